"""Waiting for what a process of a trial does.

Here: events of a process that its parent can wait for. Not here: what it runs (`workload.py`, `commands.py`).
"""

import os
import threading
from subprocess import Popen

import psycopg

from sessions_platform_tests.faults.trial import Trial

_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


def wait_until_stopped(process: Popen[str]) -> None:
    """Return once the process has stopped itself (SIGSTOP)."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        process.returncode = os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it ended before it stopped: {process.communicate()}")


def wait_until_waiting(trial: Trial, process: Popen[str]) -> None:
    """Return once a connection of the trial's database waits for a lock, or the process has ended."""
    with psycopg.connect(trial.settings.warehouse_url or "", autocommit=True) as connection:
        while process.poll() is None and connection.execute(_WAITING).fetchone() == (0,):
            threading.Event().wait(0.05)  # PostgreSQL has no event for it
