"""The whole table `sessions`: as it is stored, and as one sort of all ingested events gives it."""

from typing import Any

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.reference_sessionizer import Event

Row = tuple[Any, ...]

COLUMNS = (
    "session_id, user_id, session_start, session_end, duration_seconds, event_count, primary_action,"
    " entry_page, exit_page, session_partition, open_until"
)
_SHOWN = 5


def stored(context: StreamContext) -> list[Row]:
    rows = context.database.query(f"select {COLUMNS} from {context.stream.name}.sessions")
    return [tuple(row.values()) for row in rows]


def known(events: list[Event], partition: str = "%Y-%m-%d") -> list[Row]:
    """The rows that should be stored; `partition` gives the session partition of a moment."""
    sessions = reference.sessions_of(events)
    last = {session[0]["user_id"]: session for session in sessions}
    return [
        (
            *reference.summary(session).values(),
            session[0]["event_timestamp"].strftime(partition),
            session[-1]["event_timestamp"] + reference.PLAIN.gap if last[session[0]["user_id"]] is session else None,
        )
        for session in sessions
    ]


def differing(these: list[Row], those: list[Row]) -> list[Row]:
    """Some of the rows that only one side has; for whole tables pytest would print too much."""
    assert len(these) == len(set(these))
    return sorted(set(these) ^ set(those), key=str)[:_SHOWN]
