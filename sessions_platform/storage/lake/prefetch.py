"""Several stages at once: while a block is used, the next one is made."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl

# Of items that are large; on many processors as many as these would be no bound of memory.
THREADS = min(4, pl.thread_pool_size())

S = TypeVar("S")
T = TypeVar("T")
_END = object()


def prefetch(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items, each made in a thread while the one before is used; so no more than two are there at once.

    What the making raises is raised where the item would have come. Close it (contextlib.closing) where
    it may not be taken to its end: the thread has ended then, and items that are a generator are closed.
    """
    making = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        try:
            coming = thread.submit(next, making, _END)
            while (item := coming.result()) is not _END:
                coming = thread.submit(next, making, _END)
                yield item  # pyright: ignore[reportReturnType]
        finally:
            if isinstance(making, Generator):
                thread.submit(making.close).result()


def prefetch_map(make: Callable[[S], T], items: Iterable[S], threads: int = THREADS) -> Generator[T, None, None]:
    """What is made of each item, in their order, by so many threads; one more item than these is there at once."""
    coming = deque[Future[T]]()
    with ThreadPoolExecutor(threads, thread_name_prefix="each-ahead") as pool:
        for item in items:
            coming.append(pool.submit(make, item))
            if len(coming) > threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
