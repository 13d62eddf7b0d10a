"""events → sessionized_events: each session partition from accepted events alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from sessions_platform.contracts.calendar import Window, contiguous_runs
from sessions_platform.contracts.polars_types import in_window, key_expr
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.pipeline.context import StreamContext, events_near
from sessions_platform.storage.lake.prefetch import prefetch, prefetch_map
from sessions_platform.storage.ledger.ledger import SessionVersion, Snapshot
from sessions_platform.transforms.sessionize import EventReader, Sessionized, sessionize_window

_TIME = "event_timestamp"
_SomeUsers = Callable[[], EventReader]


@dataclass
class _Told:
    """What is told of a session partition, over all of its buckets."""

    duplicates_across: int = 0
    conflicts_across: int = 0
    longest_activity_chain_seconds: float = 0.0
    times: list[datetime] = field(default_factory=list)

    def add(self, partition: str, events: pl.DataFrame, result: Sessionized) -> None:
        here = pl.col("session_partition") == partition
        left_out = result.left_out.filter(here)
        self.duplicates_across += int(left_out["duplicates_across"].sum())
        self.conflicts_across += int(left_out["conflicts_across"].sum())
        longest = result.longest_chains.filter(here)["seconds"]
        self.longest_activity_chain_seconds = max([self.longest_activity_chain_seconds, *longest])
        if events.height:
            self.times += events.select(first=pl.min(_TIME), last=pl.max(_TIME)).row(0)


def sessionize_partitions(
    context: StreamContext, session_partitions: Sequence[str], run_id: str
) -> dict[str, SessionVersion]:
    """Compute and write session partitions from one snapshot; they are not yet loaded.

    Neighbours are made in one pass over the events as long as these fit into a bucket. The users of a
    partition that does not fit are dealt out to several.
    """
    context.prepare()
    snapshot = context.ledger.snapshot()
    rows = [
        row
        for run in contiguous_runs(list(session_partitions), context.stream.session_calendar)
        for batch in _batches(context, snapshot, run)
        for row in _sessionize(context, snapshot, batch, run_id)
    ]
    context.ledger.write_sessions(rows)
    written = {version.session_partition: version for version in context.ledger.newest_sessions(session_partitions)}
    return {partition: written[partition] for partition in session_partitions}


def _batches(context: StreamContext, snapshot: Snapshot, run: list[str]) -> Iterator[list[str]]:
    """Neighbouring partitions, as many as make a bucket of events; at least one."""
    if len(run) == 1:
        yield run
        return
    near = events_near(snapshot, context.stream.session_calendar.window_of(run))
    size = context.lake.size_in_memory(near)
    if size <= context.bucket_bytes:
        yield run
        return
    counts = _count_events(context, near)
    rows = sum(counts.values())
    batch: list[str] = []
    held = 0
    for partition in run:
        bytes_here = counts.get(partition, 0) * size // rows
        if batch and held + bytes_here > context.bucket_bytes:
            yield batch
            batch, held = [], 0
        batch.append(partition)
        held += bytes_here
    yield batch


def _count_events(context: StreamContext, paths: Sequence[str]) -> dict[str, int]:
    """About how many events each session partition has: by the hour, which odd timezones cut."""
    hours = context.lake.scan(paths, context.event_columns).group_by(pl.col(_TIME).dt.truncate("1h")).len()
    keys = key_expr(context.stream.session_calendar)
    return dict(hours.collect(engine="streaming").group_by(keys).agg(pl.sum("len")).iter_rows())


def _sessionize(context: StreamContext, snapshot: Snapshot, batch: list[str], run_id: str) -> list[dict[str, object]]:
    window, read = context.stream.session_calendar.window_of(batch), context.reader(snapshot)
    told = {partition: _Told() for partition in batch}
    if len(batch) > 1:
        result = sessionize_window(window, read, context.stream)
        of_partition = result.events.partition_by("session_partition", as_dict=True)
        frames = {partition: [of_partition.get((partition,), result.events.clear())] for partition in batch}
        for partition in batch:
            told[partition].add(partition, frames[partition][0], result)
    else:
        some_users = _readers(context, snapshot, window, read)
        frames = {batch[0]: _in_buckets(context, some_users, window, batch[0], told[batch[0]])}
    return [_write(context, partition, frames[partition], told[partition], snapshot, run_id) for partition in batch]


def _in_buckets(
    context: StreamContext, some_users: Iterable[_SomeUsers], window: Window, partition: str, told: _Told
) -> Iterator[pl.DataFrame]:
    """The sessionized events of one partition, some users at a time, and of several such at once."""

    def made(read: _SomeUsers) -> Sessionized:
        return sessionize_window(window, read(), context.stream)

    for result in prefetch_map(made, some_users):
        told.add(partition, result.events, result)
        yield result.events


def _readers(context: StreamContext, snapshot: Snapshot, window: Window, read: EventReader) -> Iterator[_SomeUsers]:
    """For each bucket of users a reader that knows of them alone; it takes them up when it is made."""
    gap = context.stream.session.gap
    early = Window(window.start - gap, window.end)
    near = events_near(snapshot, early)
    buckets = context.buckets_for(context.lake.size_in_memory(near))
    if buckets == 1:
        yield lambda: read
        return
    users = context.spill(context.event_columns, buckets, pl.col("user_id").hash())
    late = [pl.DataFrame(schema={"user_id": pl.String})]
    for events in _events_in(context, near, early):
        users.add(events)
        late.append(events.filter(pl.col(_TIME) >= window.end - gap).select("user_id").unique())
    going_on = pl.concat(late)["user_id"].unique()
    behind = Window(window.end, _end_of_chains(context, snapshot, window.end, going_on))
    for events in _events_in(context, events_near(snapshot, behind), behind):
        users.add(events.filter(pl.col("user_id").is_in(going_on.implode())))
    for number in range(buckets):
        yield lambda number=number: _reader_of(users.bucket(number), Window(early.start, behind.end), read)


def _events_in(context: StreamContext, paths: Sequence[str], window: Window) -> Iterator[pl.DataFrame]:
    with closing(prefetch(context.lake.blocks(paths, context.event_columns, _TIME, window.overlaps))) as blocks:
        for block in blocks:
            yield block.filter(in_window(window))


def _end_of_chains(context: StreamContext, snapshot: Snapshot, end: datetime, users: pl.Series) -> datetime:
    """Up to where the sessions of these users can go on that may be open at `end`; the least that is read of each."""
    read = context.reader(snapshot, columns=["user_id", _TIME])
    edge, reach = end, context.stream.session.gap
    while users.len():
        more = read(edge, edge + reach, users)
        edge, reach = edge + reach, reach * 2
        users = more.filter(pl.col(_TIME) >= edge - context.stream.session.gap)["user_id"].unique()
    return edge


def _reader_of(events: pl.DataFrame, held: Window, read: EventReader) -> EventReader:
    """Takes what it can of what is asked for from these events, which are all of their users' in the window `held`.

    Behind the end of the partition they are only those of users whose sessions may go on there; nobody asks for others.
    """

    def read_some(start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame:
        if start < held.start or end > held.end:
            return read(start, end, users)
        inside = events.filter(in_window(Window(start, end)))
        return inside if users is None else inside.filter(pl.col("user_id").is_in(users.implode()))

    return read_some


def _write(
    context: StreamContext,
    partition: str,
    frames: Iterable[pl.DataFrame],
    told: _Told,
    snapshot: Snapshot,
    run_id: str,
) -> dict[str, object]:
    folder = context.folder("sessionized_events", partition)
    stored = context.lake.write(folder, frames, sessionized_columns(context.stream))
    return {
        "session_partition": partition,
        "path": stored.path,
        "rows": stored.rows,
        "bytes": stored.bytes,
        "duplicates_across": told.duplicates_across,
        "conflicts_across": told.conflicts_across,
        "first_event": min(told.times, default=None),
        "last_event": max(told.times, default=None),
        "longest_activity_chain_seconds": told.longest_activity_chain_seconds,
        "snapshot": snapshot.version,
        "session_rule_version": context.stream.session_rule_version,
        "run_id": run_id,
    }
