"""Fetches the next small object while the one before it is worked on. Not here: the requests (`copying`)."""

from collections.abc import Callable, Container, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Generic, TypeVar

Body = TypeVar("Body")


class Ahead(Generic[Body]):
    """What was fetched ahead: one object at most.

    Args:
        fetch: an object by its key; None where it can't be had. It raises nothing, and is called in another thread.
    """

    def __init__(self, fetch: Callable[[str], Body | None]) -> None:
        self._fetch = fetch
        self._following: Mapping[str, str] = {}
        self._fetched: tuple[str, Future[Body | None]] | None = None

    def expect(self, keys: Iterable[str], small: Container[str]) -> None:
        """Objects that are taken next, in this order, or are not; and which of them may be fetched."""
        self._fetched = None
        self._following = {key: after for key, after in pairwise(dict.fromkeys(keys)) if after in small}

    def take(self, key: str) -> Body | None:
        """What was fetched of an object, once; None if nothing was. The one that follows it is fetched from now on."""
        fetched, self._fetched = self._fetched, None
        body = fetched[1].result() if fetched and fetched[0] == key else None
        if following := self._following.get(key):
            self._fetched = following, self._pool.submit(self._fetch, following)
        return body

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="ahead")
