"""The polars engine: sessions computed in this process, within its memory budget.

Here: how much is read and computed at once. The session rule is in ``transforms.sessionize``, which knows no files.

Neighbouring session partitions are computed together as long as their events fit into one bucket: one pass over the
lake then serves them all. A partition is computed in parts of whole users, of which one is written while the next is
computed: no session has events of two users, so no part needs another. While its events fit into memory
(``memory.at_once``), they are read and sorted once; else each part has the users of one bucket.
To fill the buckets, events are read once in file order, from one longest silence before the window (which shows what
continues an earlier session) up to where the last activity chain that crosses the window's end may end, and spilled to
disk by the hash of their user.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.polars_types import in_window, key_expr
from sessions_platform.contracts.sessions import cut_columns
from sessions_platform.engines.accepted_events import event_reader, events_near, reader_within, resolve_by
from sessions_platform.engines.base import EngineContext
from sessions_platform.storage.lake.prefetch import prefetch, prefetch_map
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.activity import key_columns, keys_continuing, of_keys, point_columns
from sessions_platform.transforms.people import Resolve
from sessions_platform.transforms.sessionize import EventReader, Sessionized, sessionize_in_parts, sessionize_window
from sessions_platform.transforms.sort_events import PART_ROWS

_TIME = "event_timestamp"
_OpenReader = Callable[[], EventReader]


class PolarsEngine:
    """Implements ``engines.base.SessionEngine``."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._stream = context.stream
        self._columns = cut_columns(context.stream)
        self._resolved: tuple[Sequence[LandingVersion], Resolve] | None = None

    def batches(self, partitions: list[str], landings: Sequence[LandingVersion]) -> Iterator[list[str]]:
        if len(partitions) == 1:
            yield partitions
            return
        near = events_near(landings, self._stream.session_calendar.window_of(partitions))
        size = self._context.lake.size_in_memory(near)
        if size <= self._context.memory.bucket:
            yield partitions
            return
        counts = self._count_events(near)
        rows = sum(counts.values())
        batch: list[str] = []
        batch_bytes = 0
        for partition in partitions:
            partition_bytes = counts.get(partition, 0) * size // rows
            if batch and batch_bytes + partition_bytes > self._context.memory.bucket:
                yield batch
                batch, batch_bytes = [], 0
            batch.append(partition)
            batch_bytes += partition_bytes
        yield batch

    def _count_events(self, paths: Sequence[str]) -> dict[str, int]:
        """Approximate counts of events by session partition: counted by UTC hour, which an edge may divide."""
        hours = self._context.lake.scan(paths, self._columns).group_by(pl.col(_TIME).dt.truncate("1h")).len()
        keys = key_expr(self._stream.session_calendar)
        return dict(hours.collect(engine="streaming").group_by(keys).agg(pl.sum("len")).iter_rows())

    def sessionize(self, partitions: Sequence[str], landings: Sequence[LandingVersion]) -> Iterator[Sessionized]:
        window = self._stream.session_calendar.window_of(partitions)
        read = self._reader(landings)
        if len(partitions) > 1:  # such a batch fits into one bucket
            yield sessionize_window(window, read, self._stream)
            return
        early = Window(window.start - self._stream.session.longest_silence, window.end)
        size = self._context.lake.size_in_memory(events_near(landings, early))
        if size <= self._context.memory.at_once:
            parts = sessionize_in_parts(window, read, self._stream, PART_ROWS)
            yield from prefetch_map(lambda compute: compute(), parts)
            return
        readers = self._bucket_readers(landings, window, early, self._context.buckets_for(size))
        yield from prefetch_map(lambda open_reader: sessionize_window(window, open_reader(), self._stream), readers)

    def _bucket_readers(
        self, landings: Sequence[LandingVersion], window: Window, early: Window, buckets: int
    ) -> Iterator[_OpenReader]:
        """For each bucket of users a function that loads it and returns a reader of these users' events."""
        read, near, resolve = self._reader(landings), events_near(landings, early), self._resolve(landings)
        by_user = self._context.spill(self._columns, buckets, pl.col("user_id").hash())
        late = [pl.DataFrame(schema={name: self._columns[name] for name in key_columns(self._stream.session)})]
        for events in self._events_in(near, early, resolve):
            by_user.add(events)
            late.append(keys_continuing(events, window.end, self._stream.session))
        open_keys = pl.concat(late).unique()
        open_users = open_keys["user_id"].unique()
        beyond = Window(window.end, self._end_of_chains(landings, window.end, open_keys))
        for events in self._events_in(events_near(landings, beyond), beyond, resolve):
            by_user.add(events.filter(pl.col("user_id").is_in(open_users.implode())))
        for number in range(buckets):
            yield lambda number=number: reader_within(by_user.bucket(number), Window(early.start, beyond.end), read)

    def _resolve(self, landings: Sequence[LandingVersion]) -> Resolve:
        """Gives events their person; found once for all batches of a snapshot."""
        if self._resolved is None or self._resolved[0] is not landings:
            self._resolved = landings, resolve_by(self._context.lake, self._stream, landings)
        return self._resolved[1]

    def _reader(self, landings: Sequence[LandingVersion], columns: Iterable[str] | None = None) -> EventReader:
        resolve = self._resolve(landings)
        return event_reader(self._context.lake, self._columns, landings, columns=columns, resolve=resolve)

    def _events_in(self, paths: Sequence[str], window: Window, resolve: Resolve) -> Iterator[pl.DataFrame]:
        with closing(prefetch(self._context.lake.blocks(paths, self._columns, _TIME, window.overlaps))) as blocks:
            for block in blocks:
                yield resolve(block.lazy().filter(in_window(window))).select(*self._columns).collect()

    def _end_of_chains(self, landings: Sequence[LandingVersion], end: datetime, keys: pl.DataFrame) -> datetime:
        """A time after which the activity chains of these keys that cross `end` have ended."""
        rule = self._stream.session
        read = self._reader(landings, point_columns(self._stream))
        edge, reach = end, rule.longest_silence
        while keys.height:
            more = read(edge, edge + reach, keys["user_id"].unique())
            edge, reach = edge + reach, reach * 2
            keys = keys_continuing(of_keys(more, keys), edge, rule)
        return edge
