"""Which failures are tried again, and which stop a run at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.storage.postgres.database import is_transient

# Waits 1, 2, 4, 8, 16 seconds, each shortened by chance so that twins don't meet again.
TRANSIENT = dg.RetryPolicy(max_retries=5, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)


@contextmanager
def retried_when_transient() -> Iterator[None]:
    """Let the retry policy see transient errors alone: the same data and contract would only fail again."""
    try:
        yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:
        if is_transient(error) or isinstance(error, StaleWriteError):
            raise
        raise dg.Failure(description=f"{type(error).__name__}: {error}", allow_retries=False) from error
