"""Iterators whose next items are made in threads while the current one is used.

Only the threads are here; what an item is and how it is made is the caller's. Each function says how many items exist
at the same time, since items are large and memory is bounded by that number.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl

# No more on many processors: as many large items as processors would not bound the memory.
THREADS = min(4, pl.thread_pool_size())

S = TypeVar("S")
T = TypeVar("T")
_END = object()


def prefetch(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items in the same order, the next one made in a thread while the current one is used.

    So at most two items exist at a time. An error that making an item raises is raised where that item would have
    been returned. Where the caller may stop early, it has to close the generator (contextlib.closing): that ends the
    thread, and closes `items` if they are a generator.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        try:
            following = thread.submit(next, iterator, _END)
            while (item := following.result()) is not _END:
                following = thread.submit(next, iterator, _END)
                yield item  # pyright: ignore[reportReturnType]
        finally:
            if isinstance(iterator, Generator):
                thread.submit(iterator.close).result()


def prefetch_map(make: Callable[[S], T], items: Iterable[S], threads: int = THREADS) -> Generator[T, None, None]:
    """`make(item)` of each item, in the order of the items, made by several threads.

    At most `threads` + 1 results exist at a time.
    """
    futures = deque[Future[T]]()
    with ThreadPoolExecutor(threads, thread_name_prefix="prefetch-map") as pool:
        for item in items:
            futures.append(pool.submit(make, item))
            if len(futures) > threads:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
