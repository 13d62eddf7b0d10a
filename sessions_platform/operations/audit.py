"""Hold what rests against what it should be, once more and from another side."""

import math
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl

from sessions_platform.contracts.calendar import Calendar, Window, contiguous_runs
from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.polars_types import in_window
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.sort_events import IDENTITY, repeated

_EVENTS_AT_ONCE = 4 * 1024 * 1024


@dataclass(frozen=True)
class DaysAudit:
    """Events with timestamps in some windows: distinct accepted ones, those in sessions, and those in two sessions."""

    accepted: int
    sessionized: int
    twice: int


@dataclass(frozen=True)
class SampleAudit:
    """Some users recomputed: how many, their accepted events and sessions, and the ids of sessions that differ."""

    users: int
    events: int
    sessions: int
    differing: list[str]


def audit_windows(context: StreamContext, session_partitions: Sequence[str]) -> DaysAudit:
    """Compare accepted and sessionized events in the time of these partitions, whatever partition holds them.

    The two agree only while nothing waits.
    """
    landings = [(v.events_path, v.first_event, v.last_event) for v in context.ledger.landings()]
    with context.database.transaction(read_only=True) as connection:
        versions = context.ledger.loaded_sessions(connection)
    loaded = [(v.path, v.first_event, v.last_event) for v in versions]
    rows = {version.session_partition: version.rows for version in versions}
    columns = event_columns(context.stream), sessionized_columns(context.stream)
    accepted = sessionized = twice = 0
    for window in _windows(context.stream.session_calendar, session_partitions, rows):
        _, distinct = _count(_inside(context, landings, columns[0], window))
        stored, stored_distinct = _count(_inside(context, loaded, columns[1], window))
        accepted, sessionized, twice = accepted + distinct, sessionized + stored, twice + stored - stored_distinct
    return DaysAudit(accepted, sessionized, twice)


def audit_sample(context: StreamContext, size: int, dice: random.Random) -> SampleAudit:
    """Recompute all sessions of some users from all of their accepted events, by the plain oracle.

    About half of the users are drawn from the sessions, the others from the events. Partitions that
    wait for a refresh are left out on both sides, since what they should hold is known and not there yet.
    """
    ledger, warehouse = context.ledger, context.warehouse
    with context.database.transaction(read_only=True) as connection:
        landings = ledger.current(connection)
        drawn = warehouse.queries.sample_users(connection, size // 2, str(uuid.UUID(int=dice.getrandbits(128))))
        users = sorted({*drawn, *_users_of_events(context, landings, size - size // 2, dice)})
        standing = {row["session_id"]: row for row in warehouse.queries.sessions_of(connection, users)}
        stale = set(ledger.stale_partitions_in(connection, context.stream.session_rule_version))
    of_users = pl.col("user_id").is_in(users)
    paths = [landing.events_path for landing in landings]
    events = context.lake.scan(paths, event_columns(context.stream)).filter(of_users).collect().to_dicts()
    should = _plain_sessions(context.stream, events)
    return SampleAudit(
        len(users),
        len(events),
        len(should),
        sorted(
            session_id
            for session_id in should.keys() | standing.keys()
            if _differ(should.get(session_id), standing.get(session_id), stale)
        ),
    )


def _users_of_events(
    context: StreamContext, landings: Sequence[LandingVersion], size: int, dice: random.Random
) -> set[str]:
    """The users of some events, each of another landing partition as long as there are any."""
    filled = [landing for landing in landings if landing.accepted]
    users: set[str] = set()
    for landing in dice.choices(filled, k=size) if filled else []:
        column = context.lake.scan([landing.events_path], event_columns(context.stream)).select("user_id")
        users.update(column.slice(dice.randrange(landing.accepted), 1).collect().to_series())
    return users


def _plain_sessions(stream: Stream, events: list[reference.Event]) -> dict[str, dict[str, Any]]:
    """The rows that these events should have in the table, by session id."""
    session = stream.session
    zone = session.timezone if session.split_at_midnight else None
    rule = reference.Rule(
        session.gap, session.gap_inclusive, zone, session.campaign, session.max_length, stream.sequence
    )
    priorities = () if session.primary_action == "most_frequent" else session.primary_action
    columns = {name: (aggregate.function, aggregate.column) for name, aggregate in session.columns.items()}
    rows: dict[str, dict[str, Any]] = {}
    for found in reference.sessions_of(events, rule):
        partition = stream.session_calendar.key_of(found[0]["event_timestamp"])
        told = {"session_partition": partition, "session_rule_version": stream.session_rule_version}
        rows[reference.session_id(found)] = {**reference.summary(found, priorities, columns), **told}
    return rows


def _differ(should: dict[str, Any] | None, standing: dict[str, Any] | None, stale: set[str]) -> bool:
    if any(row is not None and row["session_partition"] in stale for row in (should, standing)):
        return False
    if should is None or standing is None:
        return True
    return any(not _equal(value, standing[name]) for name, value in should.items())


def _equal(one: Any, other: Any) -> bool:
    """Sums of fractions depend on the order of their parts, in the last bits."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return one == other


def repeated_event_ids(context: StreamContext) -> pl.DataFrame:
    """Accepted events whose id stands under two users or times, in the whole lake; by event_id."""
    schema = event_columns(context.stream)
    events = context.lake.scan([landing.events_path for landing in context.ledger.landings()], schema)
    # 64-bit hashes tell which ids may repeat; only those are looked at whole
    hashes = events.select(pl.col("event_id").hash()).collect().to_series()
    near = events.filter(pl.col("event_id").hash().is_in(repeated(hashes).implode()))
    places = near.select(*IDENTITY, "landing_partition", "source_uri", "position").collect()
    several = pl.struct("user_id", "event_timestamp").n_unique().over("event_id") > 1
    return places.filter(several).sort("event_id", "event_timestamp", "user_id", "landing_partition")


def _windows(calendar: Calendar, session_partitions: Sequence[str], rows: Mapping[str, int]) -> Iterator[Window]:
    """The time of these partitions in windows of about so many events as are looked at at once.

    Copies of an event have the same time, and so stand in the same window.
    """
    for run in contiguous_runs(list(session_partitions), calendar):
        first, held = 0, 0
        for place, partition in enumerate(run):
            more = rows.get(partition, 0)
            if place > first and held + more > _EVENTS_AT_ONCE:
                yield from _cut(calendar, run[first:place], held)
                first, held = place, 0
            held += more
        yield from _cut(calendar, run[first:], held)


def _cut(calendar: Calendar, run: Sequence[str], rows: int) -> Iterator[Window]:
    """The time of neighbours, in equal pieces where one of them is large."""
    window, pieces = calendar.window_of(run), 1 + rows // _EVENTS_AT_ONCE
    step = (window.end - window.start) / pieces
    edges = [*(window.start + step * piece for piece in range(pieces)), window.end]
    yield from (Window(*between) for between in pairwise(edges))


def _inside(
    context: StreamContext,
    files: Sequence[tuple[str, datetime | None, datetime | None]],
    schema: dict[str, pl.DataType],
    window: Window,
) -> pl.LazyFrame:
    near = [path for path, first, last in files if window.overlaps(first, last)]
    return context.lake.scan(near, schema).filter(in_window(window)).select(IDENTITY)


def _count(events: pl.LazyFrame) -> tuple[int, int]:
    """How many events there are, and how many distinct ones; eight bytes are held of each.

    64-bit hashes tell which ones may repeat; only those are looked at whole.
    """
    hashed = pl.struct(IDENTITY).hash()
    hashes = events.select(hashed).collect(engine="streaming").to_series()
    twice = repeated(hashes)
    if twice.is_empty():
        return hashes.len(), hashes.len()
    near = events.filter(hashed.is_in(twice.implode())).collect(engine="streaming")
    return hashes.len(), hashes.len() - near.height + near.unique().height
