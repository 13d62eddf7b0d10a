"""Waiting for a server that does not answer: exponential backoff with jitter, up to a bound that the stream sets."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import stamina

# By default it would print each attempt to standard output, where a program may read our JSON.
stamina.instrumentation.set_on_retry_hooks([])

Result = TypeVar("Result")

# The longest wait is short enough for a run that is told to end.
_FIRST, _LONGEST = timedelta(seconds=0.2), timedelta(seconds=10)

# Whether an error may pass by itself; or after how long, where the server has said so.
MayPass = Callable[[Exception], bool | timedelta]


def patiently(work: Callable[[], Result], may_pass: MayPass, at_most: timedelta) -> Result:
    """Do the work, and again where its error may pass by itself; the last attempt's error is raised.

    Args:
        work: may be done several times.
        may_pass: of each error.
        at_most: for how long it is tried.
    """
    attempts = stamina.retry_context(
        on=may_pass, attempts=None, timeout=at_most, wait_initial=_FIRST, wait_max=_LONGEST, wait_jitter=_FIRST
    )
    for attempt in attempts:
        with attempt:
            return work()
    raise AssertionError("stamina raises the last error")
