"""The disturbances of the soak: each runs a command on a trial, and does something to it meanwhile.

Here: what is drawn at random. Not here: single scenarios, which the tests of this folder are.
"""

import shutil
import signal
from collections.abc import Callable
from random import Random

from sessions_platform_tests.faults.network import FAULTS, fault_proxy
from sessions_platform_tests.faults.processes import wait_until_stopped
from sessions_platform_tests.faults.test_clocks import SHIFTS, shift_database_clock
from sessions_platform_tests.faults.trial import Trial, Trials, finish

_POINTS = 60  # about as many as a command has here; where it has fewer, it is not disturbed
_LOCKS_END_SECONDS = 300

Disturbance = Callable[[Trials, Trial, Random], str]


def killed(_trials: Trials, trial: Trial, random: Random) -> str:
    """Killed (-9) at a commit point."""
    code, error = finish(trial.start(_command(random), random.randint(1, _POINTS)))
    return _end(code, error)


def killed_repeatedly(trials: Trials, trial: Trial, random: Random) -> str:
    """Killed (-9) three times in a row."""
    return ", ".join(killed(trials, trial, random) for _ in range(3))


def twins(_trials: Trials, trial: Trial, random: Random) -> str:
    """Two or three commands at once, of which one is killed."""
    points = [0, 0, random.randint(1, _POINTS)][: random.randint(2, 3)]
    ended = [finish(process) for process in [trial.start(_command(random), point) for point in points]]
    return ", ".join(_end(*end) for end in ended)


def stopped(_trials: Trials, trial: Trial, random: Random) -> str:
    """Stopped outside of a transaction, overtaken, continued."""
    process = trial.start("first", random.randint(1, 6), signal.SIGSTOP)  # the first points are the lake's
    try:
        wait_until_stopped(process)
    except AssertionError:
        return "ended before it stopped"
    code, error = finish(trial.start("first"), _LOCKS_END_SECONDS)
    process.send_signal(signal.SIGCONT)
    return f"{_end(code, error)}, {_end(*finish(process))}"


def cut_off(trials: Trials, trial: Trial, random: Random) -> str:
    """A fault of the network."""
    fault = random.choice(FAULTS)
    sockets = (trials.server_home / "postgres" / "cluster" / "sockets").readlink()
    with fault_proxy(str(sockets / ".s.PGSQL.5432"), fault) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{trial.folder.name}?sslmode=disable"
        return f"{fault.kind}: {_end(*finish(trial.start(_command(random), SESSIONS_WAREHOUSE_URL=url)))}"


def server_killed(trials: Trials, trial: Trial, random: Random) -> str:
    """The postmaster killed (-9) amid a command."""
    process = trial.start(_command(random), random.randint(1, _POINTS), signal.SIGSTOP)
    try:
        wait_until_stopped(process)
    except AssertionError:
        return "ended before it stopped"
    trials.kill_server()
    process.send_signal(signal.SIGCONT)
    end = _end(*finish(process))
    trials.url("postgres")
    return end


def ledger_restored(trials: Trials, trial: Trial, random: Random) -> str:
    """An older ledger and warehouse restored, after a command."""
    with trials.saved(trial) as restore:
        code, error = finish(trial.start(_command(random)))
        restore()
    return _end(code, error)


def clock_jumped(_trials: Trials, trial: Trial, random: Random) -> str:
    """The database's clock wrong, or jumping, from now on."""
    shift = random.choice([*SHIFTS, "0"])
    shift_database_clock(trial, shift)
    return f"{shift} days"


def scratch_removed(_trials: Trials, trial: Trial, _random: Random) -> str:
    """The temporary files' folder removed."""
    shutil.rmtree(trial.settings.scratch, ignore_errors=True)
    return "removed"


def undisturbed(_trials: Trials, trial: Trial, random: Random) -> str:
    """Not disturbed."""
    return _end(*finish(trial.start(_command(random))))


DISTURBANCES: list[Disturbance] = [
    killed,
    killed,
    killed_repeatedly,
    twins,
    stopped,
    cut_off,
    server_killed,
    ledger_restored,
    clock_jumped,
    scratch_removed,
    undisturbed,
]


def _command(random: Random) -> str:
    return random.choice(["first", "first", "first", "rebuild"])


def _end(code: int, error: str) -> str:
    last = error.strip().splitlines()[-1][:200] if error.strip() else ""
    return f"exit {code} {last}".strip()
