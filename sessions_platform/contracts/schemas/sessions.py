"""The contracts of sessionized events and of sessions as schemas."""

import polars as pl

from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.schema import ColumnSchema, Schema, ValueCheck
from sessions_platform.contracts.sessions import Boundary, session_columns, sessionized_columns
from sessions_platform.contracts.stream import Stream

_DESCRIPTIONS = {
    "session_id": "A hash of the opening event: it stays the same as long as that event opens the session. Null of a "
    "passive event outside of all sessions.",
    "is_new_session": "Whether the event opens its session.",
    "time_diff_seconds": "Seconds since the event before it in the session; null for the opening event.",
    "boundary_reason": "Why the event opens a session; null where it does not.",
    "session_partition": "The session partition in which the session started.",
    "user_id": "Whose session it is.",
    "own_user_id": "The event's user_id as it was accepted, where user_id is the person.",
    "session_start": "The opening event's time, in UTC.",
    "session_end": "The last event's time, in UTC.",
    "duration_seconds": "Seconds from the first event to the last.",
    "event_count": "Events in the session.",
    "primary_action": "Its most frequent event type, or the first that occurs of the stream's list.",
    "entry_page": "The first page of the session.",
    "exit_page": "The last page of the session.",
    "tool_session_id": "The tool's own id of the session; null where its events had none, and the rule decided.",
    "is_engaged": "Whether it is engaged, by the rule of the tool that the stream names.",
    "is_bounce": "Whether it is a bounce, as the stream says.",
    "session_rule_version": "The version of the session rule that it was made by.",
}

_NEVER_NULL = {
    *("session_id", "user_id", "session_start", "session_end", "session_partition", "session_rule_version"),
    *("duration_seconds", "event_count"),
}
_ENDS_AFTER_IT_STARTS = ValueCheck(
    "session_end is not before session_start", lambda _row: pl.col("session_end") >= pl.col("session_start")
)


def sessionized_schema(stream: Stream) -> Schema:
    """The contract of the asset sessionized_events."""
    of_events = events_schema(stream).columns
    nullable = {"time_diff_seconds", "boundary_reason"} | {n for n, column in of_events.items() if column.nullable}
    nullable |= {"session_id"} if stream.session.passive else set()
    descriptions = {**{name: column.description for name, column in of_events.items()}, **_DESCRIPTIONS}
    checks = {
        "time_diff_seconds": [ValueCheck.compares("ge", 0)],
        "boundary_reason": [ValueCheck.isin(list(map(str, Boundary)))],
    }
    columns = {
        name: ColumnSchema(dtype, checks.get(name, ()), name in nullable, description=descriptions.get(name))
        for name, dtype in sessionized_columns(stream).items()
    }
    return Schema(f"{stream.name}.sessionized_events", columns)


def sessions_schema(stream: Stream) -> Schema:
    """The contract of the table sessions, without the columns that the warehouse adds."""
    own_columns = {name: a.in_words for name, a in stream.session.aggregates.items()}
    descriptions = {**_DESCRIPTIONS, **own_columns}
    checks = {
        "duration_seconds": [ValueCheck.compares("ge", 0)],
        "event_count": [ValueCheck.compares("ge", 1)],
    }
    columns = {
        name: ColumnSchema(
            dtype,
            checks.get(name, ()),
            nullable=name not in _NEVER_NULL,
            unique=name == "session_id",
            description=descriptions.get(name),
        )
        for name, dtype in session_columns(stream).items()
    }
    return Schema(f"{stream.name}.sessions", columns, [_ENDS_AFTER_IT_STARTS])
