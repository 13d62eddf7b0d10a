"""Which failures of a step are retried, and which end a run at once.

Not here: which errors of the database are transient (`storage/postgres/errors.py`); interrupts (`interrupts.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import dagster as dg
import psycopg

from sessions_platform.orchestration.interrupts import fail_if_ended, failed_when_interrupted
from sessions_platform.pipeline.quality import CheckFailedError
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.storage.postgres.errors import DatabaseError, in_a_sentence, is_transient
from sessions_platform.storage.postgres.retries import retried

Result = TypeVar("Result")

# Delays of up to 0.5, 1.5, 3.5, 7.5, 15.5 seconds (Dagster doubles and adds one), each shortened at random so that two
# runs do not collide again. None is longer, because a run that waits does not hear that it is terminated.
TRANSIENT = dg.RetryPolicy(max_retries=5, delay=0.5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)

_WITHIN_A_TICK = (1.0, 2.0, 4.0)  # seconds


@contextmanager
def retried_when_transient() -> Iterator[None]:
    """Leave only transient errors to the retry policy, because the same data would fail again under the same contract.

    Raises:
        dagster.Failure: any other error or interrupt, with that as its cause; it is not retried.
    """
    fail_if_ended()
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


def read_again(read: Callable[[], Result]) -> Result:
    """What a sensor reads, again after transient errors, for some seconds: a tick has one minute.

    Raises:
        DatabaseError: PostgreSQL's error, in a sentence.
    """
    try:
        return retried(read, delays=_WITHIN_A_TICK)
    except psycopg.Error as error:
        raise DatabaseError(in_a_sentence(error)) from None
