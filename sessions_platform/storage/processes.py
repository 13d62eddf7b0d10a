"""Which process this is, and whether a process that was recorded earlier still runs.

Here: the identity of a process across reuse of its number, restarts of its machine, and containers. Not here: what a
process does, and where its identity is recorded (`ledger/run_heartbeats.py`).
"""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_ENDED = ("Z", "X")  # a process that ended and that its parent has not waited for; one that is just vanishing
_STATE, _START = 0, 19  # fields 3 and 22 of proc(5)'s /proc/PID/stat, counted from the one after the name


class Process(NamedTuple):
    """A process, told apart from a later one with the same number.

    Attributes:
        host: the machine's name.
        boot: what is another after a restart of the machine, and in another container on it; empty where unknown.
        pid: the process's number, as processes of the same host and boot see it.
        started: when it started, in a form that only equals itself; empty where unknown.
    """

    host: str
    boot: str
    pid: int
    started: str

    @property
    def is_local(self) -> bool:
        """Whether this process can see that one."""
        return (self.host, self.boot) == (platform.node(), _boot())

    @property
    def is_gone(self) -> bool:
        """Whether it has ended; False where that can't be known, as of a process on another host."""
        if not self.is_local:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it is another user's, so it runs
        started = _started(self.pid)
        return started is None or bool(self.started and started and started != self.started)


def this_process() -> Process:
    """The process that calls this."""
    return Process(platform.node(), _boot(), os.getpid(), _started(os.getpid()) or "")


@cache
def _boot() -> str:
    """The identity of the running kernel and of the namespace of process numbers; Linux only."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started: in clock ticks since the machine's start, elsewhere to the second as `ps` says it.

    Returns:
        None for a process that has ended, an empty text where it can't be known.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[_STATE] in _ENDED else fields[_START]
    except (OSError, IndexError):
        return _started_as_ps_says(pid)


def _started_as_ps_says(pid: int) -> str:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return " ".join(said.stdout.split())
