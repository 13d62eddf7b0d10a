"""Processes that rebuild session partitions concurrently, and a reader that polls the table."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

from psycopg import Connection

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.settings import Settings
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import RUN, load

SECONDS = 120  # a process that takes longer hangs

_starts: list[Barrier] = []


class Processes:
    """Processes that start at one moment, as soon as each of them has work to do."""

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        self._pool = ProcessPoolExecutor(count, context, _meet, (context.Barrier(count),))

    def rebuild(self, context: StreamContext, of_each: Sequence[Sequence[Sequence[str]]]) -> list[Future[None]]:
        """Each process rebuilds its ranges of session partitions one by one, each range in one transaction."""
        settings = context.database._settings
        return [self._pool.submit(_rebuild, settings, context.stream, ranges) for ranges in of_each]

    def end(self) -> None:
        for process in list(self._pool._processes.values()):
            process.terminate()  # otherwise one that hangs would be waited for
        self._pool.shutdown()


def finish(rebuilding: Sequence[Future[None]]) -> None:
    """Raise the error of a process, or TimeoutError where one hangs."""
    for future in rebuilding:
        future.result(timeout=SECONDS)


class Seen(NamedTuple):
    """One read of the table `sessions`: by session partition, sessions and the events in them; and overlaps.

    Sessions of a user that overlap hold events twice.
    """

    partitions: dict[str, tuple[int, int]]
    overlaps: int

    def events(self, partitions: Sequence[str]) -> int:
        return sum(self.partitions.get(partition, (0, 0))[1] for partition in partitions)


@contextmanager
def watched(context: StreamContext) -> Iterator[list[Seen]]:
    """All states that a polling reader sees; the first is the state before, the last the state after."""
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool, context.database.transaction() as connection:
        looks = [_look(connection, context.stream)]
        reader = pool.submit(_look_on, connection, context.stream, looks, over)
        try:
            yield looks
        finally:
            over.set()
        reader.result()


def _look_on(connection: Connection, stream: Stream, looks: list[Seen], over: threading.Event) -> None:
    while not over.is_set():
        looks.append(_look(connection, stream))
    looks.append(_look(connection, stream))


def _look(connection: Connection, stream: Stream) -> Seen:
    of_users = f"""
        select *, session_start <= lag(session_end) over (partition by user_id order by session_start) as is_early
        from {stream.name}.sessions"""
    sql = f"""
        select session_partition, count(*), sum(event_count)::bigint, count(*) filter (where is_early)
        from ({of_users}) sessions group by session_partition"""
    rows = connection.execute(sql.encode()).fetchall()
    return Seen({key: (sessions, events) for key, sessions, events, _ in rows}, sum(early for *_, early in rows))


def _meet(start: Barrier) -> None:
    _starts.append(start)


def _rebuild(settings: Settings, stream: Stream, ranges: Sequence[Sequence[str]]) -> None:
    context = StreamContext.open(stream, settings, MemorySource())
    _starts[0].wait(SECONDS)
    for partitions in ranges:
        sessionize_partitions(context, partitions, RUN)
        load(context, *partitions)
