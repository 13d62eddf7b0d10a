"""The real command line in a process of its own, and whether what it printed is fit for a user.

Here: how commands are started in a trial. Not here: the commands without Dagster's runs (`workload.py`).
"""

import os
import signal
from pathlib import Path
from random import Random
from subprocess import Popen

from sessions_platform_tests.faults.trial import Trial, finish

# Python runs the file sitecustomize.py of this folder in each process of a command.
_SITE = Path(__file__).parent / "site"


def start_command(trial: Trial, *arguments: str, **variables: str) -> Popen[str]:
    """Start `sessions-platform` with these arguments."""
    kept = {name: value for name, value in os.environ.items() if name == "SESSIONS_MEMORY"}
    return trial.python("-m", "sessions_platform", *arguments, **kept, **variables)


def run_command(trial: Trial, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run `sessions-platform` with these arguments; its exit code and its error output."""
    return finish(start_command(trial, *arguments, **variables))


def kill_at(point: int, program: str, marker: Path) -> dict[str, str]:
    """Variables by which the first process whose command line has this text kills itself at a commit point."""
    return {
        "PYTHONPATH": str(_SITE),
        "FAULT_POINT": str(point),
        "FAULT_SIGNAL": str(int(signal.SIGKILL)),
        "FAULT_PROGRAM": program,
        "FAULT_MARKER": str(marker),
    }


def points_drawn(random: Random, count: int, most: int) -> list[int]:
    """Numbers of commit points, spread over the whole command."""
    step = most // count
    return [1 + step * number + random.randrange(step) for number in range(count)]


def is_sentence(error: str) -> bool:
    """Whether the output is fit for a user: no traceback, and it says something."""
    return bool(error.strip()) and "Traceback" not in error and "\n  File " not in error
