"""Processes that are stopped and go on later, run twice at once, or lose the database under them."""

import signal
from random import Random

import pytest

from sessions_platform_tests.faults.network import FAULTS, Fault, fault_proxy
from sessions_platform_tests.faults.processes import wait_until_stopped, wait_until_waiting
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.trial import Trials, compare, finish

pytestmark = pytest.mark.slow

SEED = 20260102


def zombie(trials: Trials, scenario: Scenario, command: str, point: int) -> None:
    """Stop a command at a point, run it in another process, and let the stopped one go on."""
    name = f"{command}, {trials.points(command)[point - 1]}"
    with trials.trial(command) as trial:
        stopped = trial.start(command, point, signal.SIGSTOP)
        wait_until_stopped(stopped)
        trial.run(command)
        stopped.send_signal(signal.SIGCONT)
        finish(stopped)
        trial.run(command)
        outcome = compare(trials.expected(command), trial.state())
        scenario.add(name, outcome, reported=not any(trial.pending().values()))


def points_outside_of_transactions(names: list[str]) -> list[int]:
    """Points at which a process holds no lock of the database."""
    return [number for number, name in enumerate(names, 1) if name.startswith(("before fsync", "before link"))]


@pytest.mark.parametrize("command", ["ingest", "replay"])
def test_a_stopped_process_that_goes_on_later_changes_nothing(trials: Trials, scenario: Scenario, command: str) -> None:
    """Stopped (SIGSTOP), overtaken, continued."""
    for point in points_outside_of_transactions(trials.points(command))[1::7]:
        zombie(trials, scenario, command, point)
    scenario.check()


def test_a_process_stopped_with_the_streams_lock_is_waited_for(trials: Trials, scenario: Scenario) -> None:
    """Stopped (SIGSTOP) with the stream's lock, waited for, continued."""
    finishing = [p for p, name in enumerate(trials.points("ingest"), 1) if name.startswith("after finish")]
    with trials.trial() as trial:
        stopped = trial.start("ingest", finishing[0], signal.SIGSTOP)
        wait_until_stopped(stopped)
        second = trial.start("ingest")
        wait_until_waiting(trial, second)
        stopped.send_signal(signal.SIGCONT)
        ended = [finish(stopped), finish(second)]
        trial.run("ingest")
        outcome = compare(trials.expected("ingest"), trial.state())
        scenario.add(str(ended), outcome, reported=[code for code, _ in ended] == [0, 0])
    scenario.check()


@pytest.mark.parametrize("command", ["first", "ingest", "replay", "rebuild"])
def test_the_same_command_twice_at_once_has_the_result_of_one(trials: Trials, scenario: Scenario, command: str) -> None:
    """The same command twice at once."""
    with trials.trial(command) as trial:
        twins = [trial.start(command), trial.start(command)]
        ended = [finish(twin) for twin in twins]
        trial.run(command)
        outcome = compare(trials.expected(command), trial.state())
        one_succeeded = any(code == 0 for code, _ in ended)
        scenario.add(f"{command}: {ended}", outcome, reported=one_succeeded and not any(trial.pending().values()))
    scenario.check()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.direction}-{fault.after}")
def test_faults_of_the_network_lose_and_double_nothing(trials: Trials, scenario: Scenario, fault: Fault) -> None:
    """A fault between platform and database."""
    with trials.trial() as trial, fault_proxy(trial.settings.warehouse_url or "", fault) as proxy:
        ended = finish(trial.start("ingest", SESSIONS_WAREHOUSE_URL=proxy.url))
        assert proxy.failed, "the fault occurred"
        trial.run("ingest")
        outcome = compare(trials.expected("ingest"), trial.state())
        scenario.add(f"{fault}: {ended}", outcome, reported=not any(trial.pending().values()))
    scenario.check()


def test_a_killed_server_loses_and_doubles_nothing(trials: Trials, scenario: Scenario, own_server: Trials) -> None:
    """The postmaster killed (-9) during a command."""
    random = Random(SEED)
    for command in ("ingest", "replay"):
        for _ in range(2):
            with own_server.trial(command) as trial:
                point = random.randrange(2, len(trials.points(command)))
                process = trial.start(command, point, signal.SIGSTOP)
                wait_until_stopped(process)
                own_server.kill_server()
                process.send_signal(signal.SIGCONT)
                _, error = finish(process)
                own_server.url("postgres")  # whoever needs the server next starts it again
                trial.run(command)
                outcome = compare(trials.expected(command), trial.state())
                done = not any(trial.pending().values())
                scenario.add(f"{command}, point {point}: {error[-300:]}", outcome, reported=done)
    scenario.check()
