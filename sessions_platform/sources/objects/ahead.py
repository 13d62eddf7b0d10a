"""Fetches the next small object while the one before it is worked on. Not here: the requests (`copying`)."""

import time
from collections.abc import Callable, Container, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from typing import Generic, TypeVar

Body = TypeVar("Body")


@dataclass(frozen=True)
class _Fetched(Generic[Body]):
    """An object on its way, and until when it is waited for, by the monotonic clock in seconds."""

    key: str
    body: Future[Body | None]
    until: float


class Ahead(Generic[Body]):
    """What was fetched ahead: one object at most.

    Args:
        fetch: an object by its key; None where it can't be had. It raises nothing, and is called in another thread.
        give_up_after: for how long a fetch is waited for, from its beginning on.
    """

    def __init__(self, fetch: Callable[[str], Body | None], give_up_after: timedelta) -> None:
        self._fetch, self._give_up_after = fetch, give_up_after.total_seconds()
        self._following: Mapping[str, str] = {}
        self._fetched: _Fetched[Body] | None = None
        self._last: Future[Body | None] | None = None

    def expect(self, keys: Iterable[str], small: Container[str]) -> None:
        """Objects that are taken next, in this order, or are not; and which of them may be fetched."""
        self._fetched = None
        self._following = {key: after for key, after in pairwise(dict.fromkeys(keys)) if after in small}

    def take(self, key: str) -> Body | None:
        """What was fetched of an object, once; None if nothing was. The one that follows it is fetched from now on."""
        fetched, self._fetched = self._fetched, None
        body = self._waited_for(fetched) if fetched and fetched.key == key else None
        if self._last and self._last.done():
            self._last = None  # and with it its bytes
        # Behind one that hangs nothing is fetched.
        if (following := self._following.get(key)) and self._last is None:
            self._last = self._pool.submit(self._fetch, following)
            self._fetched = _Fetched(following, self._last, time.monotonic() + self._give_up_after)
        return body

    def _waited_for(self, fetched: "_Fetched[Body]") -> Body | None:
        try:
            return fetched.body.result(max(0, fetched.until - time.monotonic()))
        except TimeoutError:
            return None

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="ahead")
