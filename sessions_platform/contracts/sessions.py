"""The columns and contracts of sessions: of the asset `sessionized_events`, and of the table `sessions`.

Not here: what opens and ends a session (``session_rule``), the algorithm (``transforms.sessionize``,
``transforms.summarize``), and the SQL types of the columns (``storage.warehouses``).
"""

from collections.abc import Mapping
from enum import StrEnum

import pandera.polars as pa
import polars as pl

from sessions_platform.contracts.events import event_columns, events_schema
from sessions_platform.contracts.polars_types import UTC_MICROSECONDS
from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.stream import Stream


class Boundary(StrEnum):
    """Why an event opens a session: the first of these that applies."""

    inactivity = "inactivity"  # no event of the user within the gap before it
    midnight = "midnight"
    campaign = "campaign"
    max_length = "max_length"


SESSIONIZED: dict[str, pl.DataType] = {
    "session_id": pl.String(),
    "is_new_session": pl.Boolean(),
    "time_diff_seconds": pl.Float64(),
    "boundary_reason": pl.String(),
    "session_partition": pl.String(),
}

_LEADING: dict[str, pl.DataType] = {
    "session_id": pl.String(),
    "user_id": pl.String(),
    "session_start": UTC_MICROSECONDS,
    "session_end": UTC_MICROSECONDS,
    "duration_seconds": pl.Float64(),
    "event_count": pl.Int64(),
    "primary_action": pl.String(),
    "entry_page": pl.String(),
    "exit_page": pl.String(),
}
_TRAILING: dict[str, pl.DataType] = {"session_partition": pl.String(), "session_rule_version": pl.String()}
SESSIONS = {**_LEADING, **_TRAILING}  # without the stream's own columns, which come between the two

# Columns that the warehouse adds: a new value of these is not a change of the session.
ADDED_BY_WAREHOUSE = {"open_until": UTC_MICROSECONDS, "loaded_at": UTC_MICROSECONDS}


# The log of the changes of the table `sessions`; `change` is appeared, changed or vanished.
SESSION_CHANGES: dict[str, pl.DataType] = {
    "session_id": pl.String(),
    "change": pl.String(),
    "merged_into": pl.String(),  # of a vanished session: the session that its earliest remaining event is in now
    "session_partition": pl.String(),
    "run_id": pl.String(),
    "changed_at": UTC_MICROSECONDS,
}

_DESCRIPTIONS = {
    "session_id": "A hash of the opening event: it stays the same as long as that event opens the session.",
    "is_new_session": "Whether the event opens its session.",
    "time_diff_seconds": "Seconds since the event before it in the session; null for the opening event.",
    "boundary_reason": "Why the event opens a session; null where it does not.",
    "session_partition": "The session partition in which the session started.",
    "user_id": "Whose session it is.",
    "session_start": "The opening event's time, in UTC.",
    "session_end": "The last event's time, in UTC.",
    "duration_seconds": "Seconds from the first event to the last.",
    "event_count": "Events in the session.",
    "primary_action": "Its most frequent event type, or the first that occurs of the stream's list.",
    "entry_page": "The first page of the session.",
    "exit_page": "The last page of the session.",
    "session_rule_version": "The version of the session rule that it was made by.",
}


def sessionized_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of the asset sessionized_events: those of an event, then `SESSIONIZED`."""
    return {**event_columns(stream), **SESSIONIZED}


def session_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of a session, in order: the general ones, with the stream's own aggregates before the last two."""
    own = {name: _aggregate_dtype(aggregate, stream) for name, aggregate in stream.session.columns.items()}
    return {**_LEADING, **own, **_TRAILING}


def sessionized_schema(stream: Stream) -> pa.DataFrameSchema:
    """The contract of the asset sessionized_events."""
    of_events = events_schema(stream).columns
    nullable = {"time_diff_seconds", "boundary_reason"} | {n for n, column in of_events.items() if column.nullable}
    own = {name: column.description for name, column in of_events.items()}
    columns = {n: pa.Column(dtype, nullable=n in nullable) for n, dtype in sessionized_columns(stream).items()}
    columns["time_diff_seconds"] = pa.Column(pl.Float64, pa.Check.ge(0), nullable=True)
    columns["boundary_reason"] = pa.Column(pl.String, pa.Check.isin(list(map(str, Boundary))), nullable=True)
    _describe(columns, {**own, **_DESCRIPTIONS})
    return pa.DataFrameSchema(columns, strict=True, name=f"{stream.name}.sessionized_events")


def sessions_schema(stream: Stream) -> pa.DataFrameSchema:
    """The contract of the table sessions, without the columns that the warehouse adds."""
    required = {"session_id", "user_id", "session_start", "session_end", *_TRAILING}
    columns = {n: pa.Column(dtype, nullable=n not in required) for n, dtype in session_columns(stream).items()}
    columns["session_id"] = pa.Column(pl.String, unique=True)
    columns["duration_seconds"] = pa.Column(pl.Float64, pa.Check.ge(0))
    columns["event_count"] = pa.Column(pl.Int64, pa.Check.ge(1))
    own_columns = {name: f"{a.function} of {a.column}" for name, a in stream.session.columns.items()}
    _describe(columns, {**_DESCRIPTIONS, **own_columns})
    ends_after_it_starts = pa.Check(
        lambda data: data.lazyframe.select(pl.col("session_end") >= pl.col("session_start")),
        name="session_end is not before session_start",
    )
    return pa.DataFrameSchema(columns, checks=ends_after_it_starts, strict=True, name=f"{stream.name}.sessions")


def _describe(columns: Mapping[str, pa.Column], descriptions: Mapping[str, str | None]) -> None:
    for name, column in columns.items():
        column.description = descriptions.get(name)


def _aggregate_dtype(aggregate: Aggregate, stream: Stream) -> pl.DataType:
    if aggregate.function.startswith("count"):
        return pl.Int64()
    return event_columns(stream)[aggregate.column]
