"""Whether sessions contain every accepted event once: counted in the lake after a load.

Here belongs counting events in windows of time, in bounded memory. Not here: what follows from the counts
(`quality.py`), and the recomputation of whole sessions for a sample of users (`operations/audit.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import polars as pl

from sessions_platform.contracts.calendar import Calendar, Window, contiguous_runs
from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.polars_types import in_window
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.engines.accepted_events import resolve_by
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms.sort_events import IDENTITY, repeated

_EVENTS_AT_ONCE = 4 * 1024 * 1024


@dataclass(frozen=True)
class Coverage:
    """Counts of events by their timestamps: distinct accepted ones, those in sessions, and those in two sessions."""

    accepted: int
    sessionized: int
    in_two_sessions: int


def measure_coverage(context: StreamContext, session_partitions: Sequence[str]) -> Coverage:
    """Count accepted and sessionized events with a timestamp in these partitions, whatever partition contains them.

    `accepted` and `sessionized` are equal only while no session partition is stale.
    """
    current = context.ledger.landings()
    landings = [(v.events_path, v.first_event, v.last_event) for v in current]
    resolve = resolve_by(context.lake, context.stream, current)
    with context.database.transaction(read_only=True) as connection:
        versions = context.ledger.loaded_sessions(connection)
    loaded = [(v.path, v.first_event, v.last_event) for v in versions]
    rows = {version.session_partition: version.rows for version in versions}
    columns = event_columns(context.stream), sessionized_columns(context.stream)
    accepted = sessionized = in_two = 0
    for window in _windows(context.stream.session_calendar, session_partitions, rows):
        _, distinct = _count(resolve(_inside(context, landings, columns[0], window)).select(IDENTITY))
        stored, stored_distinct = _count(_inside(context, loaded, columns[1], window))
        accepted, sessionized, in_two = accepted + distinct, sessionized + stored, in_two + stored - stored_distinct
    return Coverage(accepted, sessionized, in_two)


def _windows(calendar: Calendar, session_partitions: Sequence[str], rows: Mapping[str, int]) -> Iterator[Window]:
    """The time of these partitions, in windows of about four million events.

    Duplicates of an event have its timestamp, and so are in the same window.

    Args:
        calendar: of the partitions.
        session_partitions: whose time it is.
        rows: the events that are loaded, by session partition.
    """
    for run in contiguous_runs(list(session_partitions), calendar):
        first, events = 0, 0
        for index, partition in enumerate(run):
            more = rows.get(partition, 0)
            if index > first and events + more > _EVENTS_AT_ONCE:
                yield from _cut(calendar, run[first:index], events)
                first, events = index, 0
            events += more
        yield from _cut(calendar, run[first:], events)


def _cut(calendar: Calendar, run: Sequence[str], rows: int) -> Iterator[Window]:
    """The time of neighbouring partitions, divided into equal windows where they have too many events."""
    window, windows = calendar.window_of(run), 1 + rows // _EVENTS_AT_ONCE
    step = (window.end - window.start) / windows
    edges = [*(window.start + step * number for number in range(windows)), window.end]
    yield from (Window(*between) for between in pairwise(edges))


def _inside(
    context: StreamContext,
    files: Sequence[tuple[str, datetime | None, datetime | None]],
    schema: dict[str, pl.DataType],
    window: Window,
) -> pl.LazyFrame:
    near = [path for path, first, last in files if window.overlaps(first, last)]
    events = context.lake.scan(near, schema, "event_timestamp", window.overlaps)
    return events.filter(in_window(window)).select(IDENTITY)


def _count(events: pl.LazyFrame) -> tuple[int, int]:
    """How many events there are, and how many distinct ones. Memory: eight bytes for each event.

    Only events whose 64-bit hash repeats are compared as a whole.
    """
    hashed = pl.struct(IDENTITY).hash()
    hashes = events.select(hashed).collect(engine="streaming").to_series()
    repeating = repeated(hashes)
    if repeating.is_empty():
        return hashes.len(), hashes.len()
    near = events.filter(hashed.is_in(repeating.implode())).collect(engine="streaming")
    return hashes.len(), hashes.len() - near.height + near.unique().height
