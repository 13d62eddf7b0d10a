"""Waiting for what a process of a trial does.

Here: events of a process that its parent can wait for. Not here: what it runs (`workload.py`, `commands.py`).
"""

import os
from subprocess import Popen


def wait_until_stopped(process: Popen[str]) -> None:
    """Return once the process has stopped itself (SIGSTOP)."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        process.returncode = os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it ended before it stopped: {process.communicate()}")
