"""The disturbances of the soak: each runs a command on a trial, and does something to it meanwhile.

Here: what is drawn at random. Not here: single scenarios, which the tests of this folder are.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from sessions_platform.operations.verify import verify
from sessions_platform_tests.faults.damage import flip_a_bit, lake_files, restore_lake, truncate
from sessions_platform_tests.faults.network import FAULTS, fault_proxy
from sessions_platform_tests.faults.processes import wait_until_stopped
from sessions_platform_tests.faults.small_disks import small_disk
from sessions_platform_tests.faults.test_clocks import SHIFTS, shift_database_clock
from sessions_platform_tests.faults.trial import Trial, Trials, finish
from sessions_platform_tests.faults.workload import RUN

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
    """Stopped, overtaken once the server has ended its transaction, continued."""
    process = trial.start("first", random.randint(1, 6), signal.SIGSTOP, SESSIONS_WAREHOUSE_URL=_impatient(trial))
    try:
        wait_until_stopped(process)
    except AssertionError:
        return "ended before it stopped"
    code, error = finish(trial.start("first"), _LOCKS_END_SECONDS)
    process.send_signal(signal.SIGCONT)
    return f"{_end(code, error)}, {_end(*finish(process))}"


def cut_off(_trials: Trials, trial: Trial, random: Random) -> str:
    """A fault of the network."""
    fault = random.choice(FAULTS)
    with fault_proxy(trial.settings.warehouse_url or "", fault) as proxy:
        return f"{fault.kind}: {_end(*finish(trial.start(_command(random), SESSIONS_WAREHOUSE_URL=proxy.url)))}"


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


def damaged(_trials: Trials, trial: Trial, random: Random) -> str:
    """A lake file with a flipped bit, cut short or lost; a command; what it says is done: `verify --deep --repair`."""
    files = lake_files(trial)
    if not files:
        return "no file yet"
    file, damage = random.choice(files), random.choice([flip_a_bit, truncate, _lose])
    done = damage(file, random)
    end = _end(*finish(trial.start(_command(random))))
    verify(trial.open(), RUN, deep=True, repairing=True)
    return f"{done}: {end}"


def lake_restored(_trials: Trials, trial: Trial, random: Random) -> str:
    """An older lake restored, after a command; then `verify --repair`."""
    if not trial.settings.lake.exists():
        return "no lake yet"
    with tempfile.TemporaryDirectory() as folder:
        older = shutil.copytree(trial.settings.lake, Path(folder) / "lake")
        end = _end(*finish(trial.start(_command(random))))
        restore_lake(trial, older)
    verify(trial.open(), RUN, deep=False, repairing=True)
    return end


def lake_full(_trials: Trials, trial: Trial, random: Random) -> str:
    """The lake's disk full amid a command."""
    lake = trial.settings.lake
    if os.geteuid() != 0 or not lake.exists():
        return "no lake yet, or no right to mount a small disk"
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        shutil.copytree(lake, before)
        used = sum(4096 + file.stat().st_size for file in before.rglob("*")) // 1024
        with small_disk(lake, used + random.randint(100, 400)):
            shutil.copytree(before, lake, dirs_exist_ok=True)
            end = _end(*finish(trial.start(_command(random))))
            shutil.copytree(lake, after)
        restore_lake(trial, after)
    return end


def _impatient(trial: Trial) -> str:
    """The database's URL, where the server ends a transaction that is idle for seconds, and not for ten minutes."""
    url = trial.settings.warehouse_url or ""
    return f"{url}{'&' if '?' in url else '?'}options=-c%20idle_in_transaction_session_timeout%3D5s"


def _lose(file: Path, _random: Random) -> str:
    file.unlink()
    return "lost"


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
    lake_restored,
    lake_full,
    damaged,
    damaged,
    clock_jumped,
    scratch_removed,
    undisturbed,
]


def _command(random: Random) -> str:
    return random.choice(["first", "first", "first", "rebuild"])


def _end(code: int, error: str) -> str:
    last = error.strip().splitlines()[-1][:200] if error.strip() else ""
    return f"exit {code} {last}".strip()
