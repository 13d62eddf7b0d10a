"""The contracts of sessionized events and of sessions as pandera schemas."""

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl

from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.sessions import Boundary, session_columns, sessionized_columns
from sessions_platform.contracts.stream import Stream

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
    required = {"session_id", "user_id", "session_start", "session_end", "session_partition", "session_rule_version"}
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
