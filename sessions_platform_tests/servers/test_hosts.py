"""Hosts that share the lake, the database and Dagster's storage, and nothing else: the same sessions as from one."""

import time
from collections.abc import Callable, Iterator, Sequence
from subprocess import Popen

import pytest

from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.storage.ledger.run_heartbeats import RunHeartbeats
from sessions_platform_tests.faults.workload import STREAM
from sessions_platform_tests.pipeline.steps import run_pending
from sessions_platform_tests.servers.host_daemon import LOG
from sessions_platform_tests.servers.hosts import Host
from sessions_platform_tests.servers.site import DAYS, LAST, HostedTrial, Site, ended, site

pytestmark = pytest.mark.servers
_PATIENCE_SECONDS = 480
ALL = f"{DAYS[0]}...{LAST}"


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def alone(hosted: Site) -> HostedTrial:
    """All of it done by one process, without runs of Dagster."""
    trial = hosted.trial()
    run_pending(trial.trial.open(), DAYS[-1])
    return trial


def require_same(trial: HostedTrial, expected: HostedTrial) -> None:
    """What is stale is refreshed; then no row is lost or doubled."""
    run_pending(trial.trial.open(), DAYS[-1])
    assert not any(trial.trial.pending().values())
    outcome = trial.compare(expected)
    assert (outcome.lost, outcome.doubled) == (0, 0), outcome.difference


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_on_several_hosts_make_the_sessions_of_one(hosted: Site, alone: HostedTrial, workers: int) -> None:
    trial = hosted.trial()
    share = len(DAYS) // workers
    started = []
    for number in range(workers):
        first, last = DAYS[number * share], DAYS[(number + 1) * share - 1]
        own = f"{first}...{last if number < workers - 1 else LAST}"
        works = (f"ingest_events={first}...{last}", f"refresh_sessions={own}")
        started.append(trial.work(hosted.network.host(), *works))
    for process in started:
        code, said = ended(process)
        assert code == 0, said
    require_same(trial, alone)


def silence(trial: HostedTrial, seconds: int = 46) -> None:
    """As if all runs had been heard of last so long ago."""
    context = trial.trial.open()
    with context.database.transaction() as connection:
        connection.execute(
            "update sessions_platform.run_heartbeats set beat_at = beat_at - make_interval(secs => %s)", [seconds]
        )


def wait_until_paused(process: Popen[str]) -> None:
    assert process.stdout
    line = process.stdout.readline()
    assert line == "paused\n", ended(process)


def test_a_host_that_is_cut_off_is_replaced_and_publishes_nothing_when_it_is_back(hosted: Site) -> None:
    """Meanwhile the stream's contract has changed, so that what the host had computed would be seen."""
    trial, expected = hosted.trial(), hosted.trial()
    lost, other = hosted.network.host(), hosted.network.host()
    zombie = trial.work(lost, f"ingest_events={DAYS[0]}...{DAYS[3]}", PAUSE_AT="publish")
    wait_until_paused(zombie)
    lost.cut_off()
    silence(trial)
    for each in (trial, expected):
        each.change(columns={**each.stream["columns"], "event_type": {"from": "type", "isin": ["view"]}})
    code, said = ended(trial.work(other, f"ingest_events={DAYS[0]}...{DAYS[-1]}", f"refresh_sessions={ALL}"))
    assert code == 0, said
    lost.join_again()
    code, said = ended(zombie, "go on\n")
    assert code != 0, said
    run_pending(expected.trial.open(), DAYS[-1])
    outcome = trial.compare(expected)
    assert (outcome.lost, outcome.doubled) == (0, 0), outcome.difference
    require_same(trial, expected)


def test_a_host_that_vanishes_with_the_streams_lock_keeps_others_out_no_longer(
    hosted: Site, alone: HostedTrial
) -> None:
    """Its link is gone first, so that nobody is told of its end."""
    trial = hosted.trial()
    lost, other = hosted.network.host(), hosted.network.host()
    wait_until_paused(trial.work(lost, f"ingest_events={DAYS[0]}...{DAYS[3]}", PAUSE_AT="lock"))
    lost.cut_off()
    lost.kill()
    silence(trial)
    code, said = ended(trial.work(other, f"ingest_events={DAYS[0]}...{DAYS[-1]}"))
    assert code == 0, said
    require_same(trial, alone)


def test_hosts_whose_clocks_are_wrong_make_the_same_sessions(hosted: Site, alone: HostedTrial) -> None:
    """By minutes, which the object store bears, and by more than a year, which it refuses."""
    trial = hosted.trial()
    half = len(DAYS) // 2
    ahead = trial.work(hosted.network.host(), f"ingest_events={DAYS[0]}...{DAYS[half - 1]}", clock="+10m")
    behind = trial.work(hosted.network.host(), f"ingest_events={DAYS[half]}...{DAYS[-1]}", clock="-10m")
    refused = trial.work(hosted.network.host(), f"ingest_events={DAYS[0]}...{DAYS[-1]}", clock="+400d")
    for process in (ahead, behind):
        code, said = ended(process)
        assert code == 0, said
    code, said = ended(refused)
    assert (code, "RequestTimeTooSkewed" in said) == (1, True), said
    require_same(trial, alone)


def start_sensors(trial: HostedTrial) -> None:
    """As in the UI, which any host may have."""
    home = dagster_home(trial.trial.settings, {})
    for name in ("new_files", "stale_sessions"):
        command = ["sensor", "start", f"{STREAM}__{name}", "-m", "sessions_platform.definitions"]
        code, output = ended(trial.trial.python("-m", "dagster", *command, DAGSTER_HOME=str(home)))
        assert code == 0, output


def said(daemon: Host) -> str:
    log = daemon.folder / LOG
    return log.read_text() if log.exists() else ""


def is_at_work(daemon: Host) -> bool:
    return "SensorDaemon" in said(daemon)


def wait_for(daemons: Sequence[Host], found: Callable[[], object]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not found():
        assert time.monotonic() < end, [said(daemon)[-1500:] for daemon in daemons]
        time.sleep(0.2)


def hosts_with_runs(trial: HostedTrial) -> set[str]:
    """The names of the hosts whose processes execute runs, or did so lately."""
    heartbeats = RunHeartbeats(trial.trial.open().database).all()
    return {heartbeat.process.host for heartbeat in heartbeats}


def test_two_daemons_of_which_one_vanishes_make_the_sessions_of_one(hosted: Site, alone: HostedTrial) -> None:
    """Each evaluates all sensors and starts runs on its own host; one is cut off and killed while it has some."""
    trial = hosted.trial()
    daemons = {host.name: host for host in (hosted.network.host(), hosted.network.host())}
    trial.trial.open().prepare()
    for host in daemons.values():
        trial.start(host, "-m", "sessions_platform_tests.servers.host_daemon")
    wait_for([*daemons.values()], lambda: all(map(is_at_work, daemons.values())))
    start_sensors(trial)
    wait_for([*daemons.values()], lambda: hosts_with_runs(trial))
    lost = daemons[hosts_with_runs(trial).pop()]
    lost.cut_off()
    lost.kill()
    silence(trial)
    wait_for([*daemons.values()], lambda: not any(trial.trial.pending().values()))
    outcome = trial.compare(alone)
    assert (outcome.lost, outcome.doubled) == (0, 0), outcome.difference
