"""Fetches the next objects while the one before them is worked on. Not here: the requests (`copying`)."""

import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Generic, Protocol, TypeVar

# So many objects are on their way, or wait to be taken, at once.
_AT_ONCE = 4


class Closable(Protocol):
    """What may keep something until it is closed."""

    def close(self) -> None:
        """Let it go."""
        ...


Body = TypeVar("Body", bound=Closable)


@dataclass(frozen=True)
class _Fetch(Generic[Body]):
    """An object on its way: what it counts, and until when it is waited for, by the monotonic clock in seconds."""

    size: int
    body: Future[Body | None]
    until: float


class Ahead(Generic[Body]):
    """What was fetched ahead: objects of `most_bytes` in all, or one that is larger.

    Args:
        fetch: an object by its key; None where it can't be had. It raises nothing, and is called in another thread.
        give_up_after: for how long a fetch is waited for, from its beginning on; for each `most_bytes` of its object.
        most_bytes: of all objects that are on their way or wait, and of those that hang and are waited for no more.
    """

    def __init__(self, fetch: Callable[[str], Body | None], give_up_after: timedelta, most_bytes: int) -> None:
        self._fetch, self._give_up_after, self._most = fetch, give_up_after.total_seconds(), most_bytes
        self._expected: list[tuple[str, int]] = []
        self._places: Mapping[str, int] = {}
        self._fetches: dict[int, _Fetch[Body]] = {}  # by the place of the object
        self._dropped: list[_Fetch[Body]] = []  # on their way, and waited for no more
        weakref.finalize(self, _close_all, self._fetches)

    def expect(self, sizes: Mapping[str, int]) -> None:
        """Objects that are taken next, in this order, or are not; and the size of each in bytes."""
        self._drop_before(len(self._expected))
        self._expected = list(sizes.items())
        self._places = {key: place for place, key in enumerate(sizes)}

    def take(self, key: str) -> Body | None:
        """What was fetched of an object, once; None if nothing was. Those that follow it are fetched from now on."""
        place = self._places.get(key)
        if place is None:
            return None
        self._drop_before(place)
        fetch = self._fetches.pop(place, None)
        body = self._waited_for(fetch) if fetch else None
        self._begin(place + 1)
        return body

    def _begin(self, place: int) -> None:
        """Fetch the objects from a place on, as many as there is room for."""
        self._dropped = [fetch for fetch in self._dropped if not fetch.body.done()]
        for at in range(place, len(self._expected)):
            key, size = self._expected[at]
            if at not in self._fetches:
                counted = [each.size for each in (*self._fetches.values(), *self._dropped)]
                counts = min(size, self._most)
                if len(counted) == _AT_ONCE or sum(counted) + counts > self._most:
                    return
                until = time.monotonic() + self._give_up_after * max(1, size / self._most)
                self._fetches[at] = _Fetch(counts, self._pool.submit(self._fetch, key), until)

    def _waited_for(self, fetch: _Fetch[Body]) -> Body | None:
        try:
            return fetch.body.result(max(0, fetch.until - time.monotonic()))
        except TimeoutError:
            self._drop(fetch)
            return None

    def _drop_before(self, place: int) -> None:
        for earlier in [at for at in self._fetches if at < place]:
            self._drop(self._fetches.pop(earlier))

    def _drop(self, fetch: _Fetch[Body]) -> None:
        fetch.body.add_done_callback(_close)
        self._dropped.append(fetch)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ahead")


def _close(fetched: "Future[Body | None]") -> None:
    with suppress(Exception):  # nobody asks for it any more
        if body := fetched.result():
            body.close()


def _close_all(fetches: "dict[int, _Fetch[Body]]") -> None:
    for fetch in fetches.values():
        fetch.body.add_done_callback(_close)
