"""Audits that read across the whole lake: sessions recomputed for a sample of users, and event ids used twice.

They are jobs of their own. The counts after each load are in `pipeline/coverage.py`, and the checks of what is about
to be published or loaded in `pipeline/quality.py`.
"""

import random
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.session_outcomes import conversion_types
from sessions_platform.contracts.session_rule import TIME_UNITS, SessionRule
from sessions_platform.contracts.stream import Stream
from sessions_platform.engines.accepted_events import resolve_by
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.people import Resolve
from sessions_platform.transforms.sort_events import IDENTITY, repeated

Rows = dict[str, dict[str, Any]]
Tolerances = Mapping[str, float]


@dataclass(frozen=True)
class SampleAudit:
    """How many users were recomputed, with how many events and sessions, and the ids of the sessions that differ."""

    users: int
    events: int
    sessions: int
    mismatches: list[str]


def audit_sample(context: StreamContext, size: int, generator: random.Random) -> SampleAudit:
    """Recompute all sessions of a random sample of users from all of their accepted events, with the reference.

    Stale partitions are left out of the comparison, since their sessions are known to be out of date.

    Args:
        context: the stream's.
        size: how many users; about half are drawn from the sessions, the others from the events.
        generator: draws the users.
    """
    context.prepare()
    ledger, queries = context.ledger, context.queries
    with context.database.transaction(read_only=True) as connection:
        landings = ledger.current(connection)
        drawn = queries.sample_users(connection, size // 2, str(uuid.UUID(int=generator.getrandbits(128))))
        resolve = resolve_by(context.lake, context.stream, landings)
        users = sorted({*drawn, *_users_of_events(context, landings, size - size // 2, generator, resolve)})
        stored = {row["session_id"]: row for row in queries.sessions_of(connection, users)}
        stale = set(ledger.stale_partitions_in(connection, context.stream.session_rule_version))
    of_users = pl.col("user_id").is_in(users)
    paths = [landing.events_path for landing in landings]
    events = resolve(context.lake.scan(paths, event_columns(context.stream))).filter(of_users).collect().to_dicts()
    expected, tolerances = _recomputed_sessions(context.stream, events)
    return SampleAudit(
        len(users),
        len(events),
        len(expected),
        sorted(
            session_id
            for session_id in expected.keys() | stored.keys()
            if _differ(expected.get(session_id), stored.get(session_id), stale, tolerances.get(session_id, {}))
        ),
    )


def _users_of_events(
    context: StreamContext, landings: Sequence[LandingVersion], size: int, generator: random.Random, resolve: Resolve
) -> set[str]:
    """The users of events drawn at random: first a landing partition, then one of its events."""
    filled = [landing for landing in landings if landing.accepted]
    users: set[str] = set()
    for landing in generator.choices(filled, k=size) if filled else []:
        column = context.lake.scan([landing.events_path], event_columns(context.stream)).select("user_id")
        drawn = resolve(column.slice(generator.randrange(landing.accepted), 1))
        users.update(drawn.select("user_id").collect().to_series())
    return users


def _recomputed_sessions(stream: Stream, events: list[reference.Event]) -> tuple[Rows, dict[str, Tolerances]]:
    """The rows that the sessions of these events have to have in the table, and the tolerances of their columns."""
    session = stream.session
    zone = session.timezone if session.split_at_midnight else None
    keeps_last = stream.duplicates.keep == "last"
    rule = reference.Rule(
        session.gap,
        session.gap_inclusive,
        zone,
        session.campaign,
        session.max_length,
        stream.sequence,
        keeps_last,
        TIME_UNITS[session.precision],
        session.gap_from == "second",
        session.cut_on and session.cut_on.column,
        session.cut_on is not None and "changes" in session.cut_on.when,
        session.cut_on is not None and "leaves" in session.cut_on.when,
        tuple(session.passive or ()),
        session.id,
        session.id_within,
    )
    priorities = () if session.primary_action == "most_frequent" else session.primary_action
    columns = {
        name: reference.Column(own.function, own.column, own.where or {}) for name, own in session.aggregates.items()
    }
    outcomes = _outcomes(session)
    rows: Rows = {}
    tolerances: dict[str, Tolerances] = {}
    for events_of_session in reference.sessions_of(events, rule):
        partition = stream.session_calendar.key_of(events_of_session[0]["event_timestamp"])
        versions = {"session_partition": partition, "session_rule_version": stream.session_rule_version}
        summary = reference.summary(events_of_session, priorities, columns, rule, outcomes)
        session_id = reference.session_id(events_of_session)
        rows[session_id] = {**summary, **versions}
        tolerances[session_id] = _tolerances(stream, events_of_session)
    return rows, tolerances


def _outcomes(rule: SessionRule) -> reference.Outcomes:
    engaged = rule.engaged
    return reference.Outcomes(
        rule.views or (),
        conversion_types(rule.conversions),
        engaged.after if engaged and engaged.like == "ga4" else None,
        (engaged and engaged.pings) or (),
        engaged.heartbeat if engaged else timedelta(seconds=10),
        rule.bounce,
    )


def _tolerances(stream: Stream, events: list[reference.Event]) -> Tolerances:
    """By column that sums floats, how far a sum in any order of addition may lie from the exact one.

    The error of adding n floats one after the other is below n · epsilon · Σ|x| (Higham, "The accuracy of
    floating point summation", 1993), however much of the sum cancels out.
    """
    tolerances: dict[str, float] = {}
    for name, aggregate in stream.session.aggregates.items():
        values = [event[aggregate.column] for event in events if isinstance(event[aggregate.column], float)]
        if aggregate.function == "sum" and values:
            tolerances[name] = len(values) * sum(abs(value) * sys.float_info.epsilon for value in values)
    return tolerances


def _differ(
    expected: dict[str, Any] | None, stored: dict[str, Any] | None, stale: set[str], tolerances: Tolerances
) -> bool:
    if any(row is not None and row["session_partition"] in stale for row in (expected, stored)):
        return False
    if expected is None or stored is None:
        return True
    return any(not _equal(value, stored[name], tolerances.get(name, 0.0)) for name, value in expected.items())


def _equal(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, float) and isinstance(other, float) and one != other:
        return abs(one - other) <= tolerance
    return one == other


def repeated_event_ids(context: StreamContext) -> pl.DataFrame:
    """Accepted events of the whole lake whose event_id is used by several users or at several times.

    Returns:
        user_id, event_timestamp, event_id, landing_partition, source_uri and position, ordered by event_id.
    """
    context.prepare()
    schema = event_columns(context.stream)
    events = context.lake.scan([landing.events_path for landing in context.ledger.landings()], schema)
    # Only ids whose 64-bit hash repeats are compared as a whole.
    hashes = events.select(pl.col("event_id").hash()).collect().to_series()
    near = events.filter(pl.col("event_id").hash().is_in(repeated(hashes).implode()))
    candidates = near.select(*IDENTITY, "landing_partition", "source_uri", "position").collect()
    several = pl.struct("user_id", "event_timestamp").n_unique().over("event_id") > 1
    return candidates.filter(several).sort("event_id", "event_timestamp", "user_id", "landing_partition")
