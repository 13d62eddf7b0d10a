"""events → sessionized_events: compute session partitions and write them to the lake.

Here: which snapshot is read, how the engine's results are divided by session partition, and what the
ledger records of each. How sessions are computed is in ``engines`` and ``transforms.sessionize``; loading
them into the warehouse is in ``pipeline.load``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from sessions_platform.contracts.calendar import contiguous_runs
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.engines.base import SessionEngine
from sessions_platform.engines.registry import open_engine
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.progress import count, portions
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.ledger import SessionVersion, Snapshot, StaleWriteError
from sessions_platform.transforms.sessionize import Sessionized

_TIME = "event_timestamp"
_SAME_AS_BEFORE = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("user_id", _TIME))


@dataclass
class _Stats:
    """What the ledger records of a session partition, summed over the engine's parts."""

    tool_id: str | None
    duplicates_across: int = 0
    conflicts_across: int = 0
    simultaneous_events: int = 0
    events_outside_sessions: int = 0
    events_without_tool_id: int = 0
    longest_activity_chain_seconds: float = 0.0
    times: list[datetime] = field(default_factory=list)

    def add(self, partition: str, events: pl.DataFrame, part: Sessionized) -> None:
        of_partition = pl.col("session_partition") == partition
        left_out = part.left_out.filter(of_partition)
        self.duplicates_across += int(left_out["duplicates_across"].sum())
        self.conflicts_across += int(left_out["conflicts_across"].sum())
        longest = part.longest_chains.filter(of_partition)["seconds"]
        self.longest_activity_chain_seconds = max([self.longest_activity_chain_seconds, *longest])
        self.simultaneous_events += count_simultaneous(events)
        self.events_outside_sessions += events["session_id"].null_count()
        if self.tool_id:
            self.events_without_tool_id += events[self.tool_id].null_count()
        if events.height:
            self.times += events.select(first=pl.min(_TIME), last=pl.max(_TIME)).row(0)


def count_simultaneous(events: pl.DataFrame) -> int:
    """How many events have a neighbour of the same user and timestamp.

    Args:
        events: with user_id and event_timestamp, each user's in the order of time and next to each other.
    """
    same = events.select(before=_SAME_AS_BEFORE.fill_null(value=False)).to_series()
    return int((same | same.shift(-1, fill_value=False)).sum())


def sessionize_partitions(
    context: StreamContext, session_partitions: Sequence[str], run_id: str
) -> dict[str, SessionVersion]:
    """Compute and write session partitions from one snapshot; they are not yet loaded into the warehouse.

    Neighbouring partitions are computed together as far as the stream's engine can.

    Args:
        context: the stream's; names the engine.
        session_partitions: keys, in any order.
        run_id: of the run that writes them.

    Returns:
        By session partition, in the order of `session_partitions`, the version that was written.
    """
    context.prepare()
    snapshot = context.ledger.snapshot()
    engine = open_engine(context.engine, context)
    rows: list[dict[str, object]] = []
    with portions("computing sessions", len(session_partitions)) as is_done:
        for run in contiguous_runs(list(session_partitions), context.stream.session_calendar):
            for batch in engine.batches(run, snapshot.landings):
                of_batch = _sessionize(context, engine, snapshot, batch, run_id)
                count(sum(int(str(row["rows"])) for row in of_batch))
                is_done(len(batch))
                rows += of_batch
    try:
        context.ledger.write_sessions(rows)
    except StaleWriteError:
        for row in rows:
            context.lake.remove(str(row["path"]))  # it may contain events of users who were erased meanwhile
        raise
    written = {version.session_partition: version for version in context.ledger.newest_sessions(session_partitions)}
    return {partition: written[partition] for partition in session_partitions}


def sessionize_again(context: StreamContext, session_partition: str, snapshot: Snapshot, run_id: str) -> StoredFile:
    """Compute a session partition of a snapshot and write it to the lake, without recording it as a version."""
    engine = open_engine(context.engine, context)
    (row,) = _sessionize(context, engine, snapshot, [session_partition], run_id)
    return StoredFile(str(row["path"]), int(str(row["rows"])), int(str(row["bytes"])))


def _sessionize(
    context: StreamContext, engine: SessionEngine, snapshot: Snapshot, batch: list[str], run_id: str
) -> list[dict[str, object]]:
    """Compute and write the partitions of a batch; a row for the ledger for each."""
    stats = {partition: _Stats(context.stream.session.id) for partition in batch}
    parts = engine.sessionize(batch, snapshot.landings)
    if len(batch) == 1:
        frames = {batch[0]: _events_of(parts, batch[0], stats[batch[0]])}  # written part by part
    else:
        frames = _by_partition(parts, stats)
    return [_write(context, partition, frames[partition], stats[partition], snapshot, run_id) for partition in batch]


def _events_of(parts: Iterable[Sessionized], partition: str, stats: _Stats) -> Iterator[pl.DataFrame]:
    for part in parts:
        stats.add(partition, part.events, part)
        yield part.events


def _by_partition(parts: Iterable[Sessionized], stats: dict[str, _Stats]) -> dict[str, list[pl.DataFrame]]:
    frames: dict[str, list[pl.DataFrame]] = {partition: [] for partition in stats}
    for part in parts:
        by_key = part.events.partition_by("session_partition", as_dict=True)
        for partition, partition_stats in stats.items():
            events = by_key.get((partition,), part.events.clear())
            partition_stats.add(partition, events, part)
            frames[partition].append(events)
    return frames


def _write(
    context: StreamContext,
    partition: str,
    frames: Iterable[pl.DataFrame],
    stats: _Stats,
    snapshot: Snapshot,
    run_id: str,
) -> dict[str, object]:
    folder = context.folder("sessionized_events", partition)
    # No statistics: users are in the order of their hashes, so each row group is of all times.
    stored = context.lake.write(folder, frames, sessionized_columns(context.stream), statistics=())
    return {
        "session_partition": partition,
        "path": stored.path,
        "rows": stored.rows,
        "bytes": stored.bytes,
        "duplicates_across": stats.duplicates_across,
        "conflicts_across": stats.conflicts_across,
        "simultaneous_events": stats.simultaneous_events,
        "events_outside_sessions": stats.events_outside_sessions,
        "events_without_tool_id": stats.events_without_tool_id,
        "first_event": min(stats.times, default=None),
        "last_event": max(stats.times, default=None),
        "longest_activity_chain_seconds": stats.longest_activity_chain_seconds,
        "snapshot": snapshot.version,
        "session_rule_version": context.stream.session_rule_version,
        "run_id": run_id,
    }
