"""An interrupt ends a step and its run: Terminate in the UI, the time limit of a run, or Ctrl-C.

Dagster by itself answers an interrupt by the step's retry policy, and the run goes on. Here belongs the answer of steps
and IO managers. Not here: who interrupts a run (`launcher.py`, `heartbeats.py`), what becomes of the database's
statement (`storage/postgres/interrupts.py`), and errors (`failures.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from sessions_platform.orchestration.heartbeats import ENDED_FROM_OUTSIDE

_INTERRUPTED = "The step was interrupted. What it had not committed is undone, and is pending again."


@contextmanager
def failed_when_interrupted() -> Iterator[None]:
    """Let no retry policy answer an interrupt.

    Raises:
        dagster.Failure: for an interrupt, with that as its cause. The run ends as canceled if that was asked for.
    """
    try:
        yield
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt) as interrupt:
        raise dg.Failure(_INTERRUPTED, allow_retries=False) from interrupt


def fail_if_ended() -> None:
    """Begin no second attempt of a step whose run was ended: an interrupt may come just before or after our code.

    Raises:
        dagster.Failure: the run was ended from outside; it is not retried.
    """
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return  # no step, as in a test that calls a function
    if context.retry_number == 0:
        return
    run = context.instance.get_run_by_id(context.run_id)
    if run is not None and run.status in ENDED_FROM_OUTSIDE:
        raise dg.Failure(_INTERRUPTED, allow_retries=False)
