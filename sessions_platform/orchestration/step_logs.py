"""What steps print, which Dagster keeps for the UI and shows in the terminal by helper processes.

Here belongs that Ctrl-C does not reach these. Not here: messages of runs (`loggers.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import dagster as dg

from sessions_platform.interrupts import for_this_process_alone


def shield_helpers(instance: dg.DagsterInstance) -> None:
    """Let the instance start the helpers of each step so that an interrupt does not reach them.

    Dagster starts a `tail` and a Python program for each of a step's two streams, in the terminal's process group. Two
    of the four would answer Ctrl-C by a traceback; and all of them are ended by Dagster when the step ends.
    """
    manager: Any = instance.compute_log_manager
    manager.capture_logs = partial(_captured, manager.capture_logs)


@contextmanager
def _captured(capture: Any, log_key: Sequence[str]) -> Iterator[Any]:
    with ExitStack() as stack:
        with for_this_process_alone():
            context = stack.enter_context(capture(log_key))
        yield context
