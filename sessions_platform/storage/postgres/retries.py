"""Repeat work that failed for a reason that may pass, as Dagster's steps are repeated.

Here: the loop, for entries that are no steps. Not here: which errors are transient (``errors``), and the retry policy
of steps (`orchestration/failures.py`), which has similar delays.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sessions_platform.storage.postgres import errors

Result = TypeVar("Result")

DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each further attempt; each is shortened at random


def retried(
    work: Callable[[], Result],
    on_retry: Callable[[Exception, int], None] = lambda _error, _attempt: None,
    *,
    delays: tuple[float, ...] = DELAYS,
    failed: Exception | None = None,
    is_transient: Callable[[Exception], bool] = errors.is_transient,
) -> Result:
    """Do the work, and again where an error is transient; the last attempt's error is raised.

    Args:
        work: may be done twice, since the outcome of a commit may be unknown.
        on_retry: called with the error, and which further attempt follows: 1, 2, …
        delays: the longest wait before each further attempt, in seconds.
        failed: how a first attempt has failed already, if there was one.
        is_transient: whether an error may pass by itself.
    """
    for attempt, delay in enumerate(delays, start=1):
        try:
            if failed is None:
                return work()
        except Exception as error:
            failed = error
        if not is_transient(failed):
            raise failed
        on_retry(failed, attempt)
        failed = None
        time.sleep(random.uniform(0, delay))  # shortened at random, so that two programs do not collide again
    return work()
