"""Which failures of a step are retried, and which end a run at once.

An interrupt ends it. It comes from Terminate, `max_runtime` or Ctrl-C, and Dagster by itself would answer it by the
retry policy. Not here: who interrupts a run (`launcher.py`, `heartbeats.py`), and which errors of the database are
transient (`storage/postgres/errors.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg

from sessions_platform.orchestration.heartbeats import ENDED_FROM_OUTSIDE
from sessions_platform.pipeline.quality import CheckFailedError
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.storage.postgres.errors import in_a_sentence, is_transient

# Delays of 1, 2, 4, 8, 16 seconds, each shortened at random so that two runs do not collide again. None is longer,
# because a run that waits does not hear that it is terminated.
TRANSIENT = dg.RetryPolicy(max_retries=5, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)

_INTERRUPTED = "The step was interrupted. What it had not committed is undone, and is pending again."


@contextmanager
def retried_when_transient() -> Iterator[None]:
    """Leave only transient errors to the retry policy, because the same data would fail again under the same contract.

    Raises:
        dagster.Failure: any other error or interrupt, with that as its cause; it is not retried.
    """
    _fail_if_ended()
    try:
        with failed_when_interrupted():
            yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:
        if is_transient(error) or isinstance(error, StaleWriteError):
            raise
        if isinstance(error, CheckFailedError):
            raise dg.Failure(str(error), metadata={"checks": error.names}, allow_retries=False) from error
        said = in_a_sentence(error) if isinstance(error, psycopg.Error) else f"{type(error).__name__}: {error}"
        raise dg.Failure(description=said, allow_retries=False) from error


@contextmanager
def failed_when_interrupted() -> Iterator[None]:
    """For IO managers, whose errors are left to the retry policy: an interrupt is not.

    Raises:
        dagster.Failure: for an interrupt, with that as its cause.
    """
    try:
        yield
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt) as interrupt:
        raise dg.Failure(_INTERRUPTED, allow_retries=False) from interrupt


def _fail_if_ended() -> None:
    """Begin no second attempt of a run that was ended where Dagster answers an interrupt, before or after our code."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return  # no step, as in a test that calls a function
    if context.retry_number == 0:
        return
    run = context.instance.get_run_by_id(context.run_id)
    if run is not None and run.status in ENDED_FROM_OUTSIDE:
        raise dg.Failure(_INTERRUPTED, allow_retries=False)
