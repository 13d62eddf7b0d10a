"""Which columns follow from which: source fields, columns of events, and columns of sessions.

Not here: how a user interface gets it (``orchestration.metadata``).
"""

from collections.abc import Iterable

from sessions_platform.contracts.column_types import TOOL_SESSION_ID, event_types, session_types
from sessions_platform.contracts.session_outcomes import IS_BOUNCE, IS_ENGAGED
from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.contracts.stream import Stream

_TIME, _TYPE, _PAGE = ("event_timestamp",), ("event_type",), ("page_url",)
_OF_SESSIONS = {
    "session_id": ("event_id", "user_id", "event_timestamp"),
    "user_id": ("user_id",),
    **dict.fromkeys(("session_start", "session_end", "duration_seconds", "session_partition"), _TIME),
    "event_count": ("event_id",),
    "primary_action": _TYPE,
    **dict.fromkeys(("entry_page", "exit_page"), _PAGE),
}


def fields_of_events(stream: Stream) -> dict[str, list[str]]:
    """The source fields that each column of events is made of; those of enrichments by way of what they read."""
    fields = {name: column.fields(name) for name, column in stream.columns.items()}
    for config in stream.enrich.values():
        read = (*config.reads, *(_TIME if config.reads_time else ()))
        of_inputs = _once(field for column in read for field in fields.get(column, []))
        fields |= dict.fromkeys(config.added, of_inputs)
    return {name: found for name, found in fields.items() if found}


def columns_of_sessions(stream: Stream) -> dict[str, list[str]]:
    """The columns of events that each column of sessions is computed from, apart from what cuts sessions."""
    of_own = {
        name: _once((aggregate.column, *(aggregate.where or {})))
        for name, aggregate in stream.session.aggregates.items()
    }
    tool = {TOOL_SESSION_ID: [stream.session.id]} if stream.session.id else {}
    known = {**{name: list(columns) for name, columns in _OF_SESSIONS.items()}, **tool, **of_own}
    if stream.persons:  # whose an id is follows from both
        ids = (stream.persons.anonymous_id, stream.persons.user_id)
        known |= {name: _once((*known[name], *ids)) for name in ("session_id", "user_id")}
    known |= {IS_ENGAGED: [*_TYPE, *_TIME], IS_BOUNCE: _of_bounces(stream.session)}
    events = event_types(stream)
    computed = {name: [column for column in known.get(name, []) if column in events] for name in session_types(stream)}
    return {name: columns for name, columns in computed.items() if columns}


def _of_bounces(rule: SessionRule) -> list[str]:
    """Events are all that is counted for `one_event`, unless some are passive by their type."""
    if rule.bounce == "one_event" and not rule.passive:
        return list(_OF_SESSIONS["event_count"])
    return [*_TYPE, *_TIME] if rule.bounce == "not_engaged" else list(_TYPE)


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
