"""Which columns stored rows have, and of which type: raw, accepted and rejected events, sessions and their changes.

From these types derive those of polars (``polars_types.dtypes``, in ``raw_events``, ``events``, ``rejected_events`` and
``sessions``, which say what the columns mean) and of SQL (``storage.warehouses``). They are plain Python, because what
only shows stored rows does without polars, which takes longer to import than all else that it needs. Not here: how a
column is described in a stream's file (``columns``).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from sessions_platform.contracts.columns import Column, ColumnType
from sessions_platform.contracts.enrichments import enriched_columns
from sessions_platform.contracts.session_outcomes import outcome_types
from sessions_platform.contracts.session_rule import Aggregate

if TYPE_CHECKING:
    from sessions_platform.contracts.stream import Stream


class OwnType(StrEnum):
    """Types that columns of the platform have, and none of a stream's own."""

    binary = "binary"
    reasons = "reasons"  # a list of ``rejection_reasons.Reason``


StoredType = ColumnType | OwnType
_STRING, _INTEGER, _TIMESTAMP = ColumnType.string, ColumnType.integer, ColumnType.timestamp

RAW_EVENT_TYPES: dict[str, StoredType] = {
    "landing_partition": _STRING,
    "source_uri": _STRING,  # the file, or the slice of another source: the URI that the source gives it
    "position": _INTEGER,  # of the record in its slice, from 1; a CSV header is not a record
    "preamble": OwnType.binary,  # in a file's first row: the bytes before it (a BOM, a CSV header); else null
    "payload": OwnType.binary,  # the record; where bytes are corrupt, the URI of their copy; null beside fields
    "line_terminator": OwnType.binary,  # of a text file: LF, CR LF, or empty at the end of the file; else null
    "header": OwnType.binary,  # of a CSV file: the header that names the row's fields; else null
    "corrupt_reason": _STRING,  # why the slice, or the rest of it, could not be read; else null
}
LEADING = ("event_id", "user_id", "event_timestamp", "event_type")
PROVENANCE_TYPES: dict[str, StoredType] = {"landing_partition": _STRING, "source_uri": _STRING, "position": _INTEGER}
REPEATED_EVENT_ID_TYPES: dict[str, StoredType] = {
    "user_id": _STRING,
    "event_timestamp": _TIMESTAMP,
    "event_id": _STRING,
    **PROVENANCE_TYPES,
}
# The table `identity_links`: in which landing partition which anonymous id was seen with which user.
IDENTITY_LINK_TYPES: dict[str, StoredType] = {
    "landing_partition": _STRING,
    "anonymous_id": _STRING,
    "user_id": _STRING,
    "first_seen": _TIMESTAMP,
    "last_seen": _TIMESTAMP,
    "events": _INTEGER,
}
# The table `session_scores`, and which state of a session partition was scored by which models.
SESSION_SCORE_TYPES: dict[str, StoredType] = {
    "session_id": _STRING,
    "score_name": _STRING,
    "score": ColumnType.float,
    "model": _STRING,
    "session_partition": _STRING,
}
SCORED_PARTITION_TYPES: dict[str, StoredType] = {"session_partition": _STRING, "version": _INTEGER, "models": _STRING}
REJECTED_EVENT_TYPES: dict[str, StoredType] = {
    "rejection_id": _STRING,
    **PROVENANCE_TYPES,
    "payload": _STRING,
    "payload_encoding": _STRING,
    "reasons": OwnType.reasons,
    "contract_version": _STRING,
    "rows": _INTEGER,
}
SESSIONIZED_TYPES: dict[str, StoredType] = {
    "session_id": _STRING,
    "is_new_session": ColumnType.boolean,
    "time_diff_seconds": ColumnType.float,
    "boundary_reason": _STRING,
    "session_partition": _STRING,
}
# Before these, where sessions are a person's: the event's user_id as it was accepted. Its user_id then is the person.
OWN_USER_ID = "own_user_id"
_FIRST_OF_SESSION: dict[str, StoredType] = {
    "session_id": _STRING,
    "user_id": _STRING,
    "session_start": _TIMESTAMP,
    "session_end": _TIMESTAMP,
    "duration_seconds": ColumnType.float,
    "event_count": _INTEGER,
    "primary_action": _STRING,
    "entry_page": _STRING,
    "exit_page": _STRING,
}
_LAST_OF_SESSION: dict[str, StoredType] = {"session_partition": _STRING, "session_rule_version": _STRING}
# Without the stream's own columns, which come between the two.
SESSION_TYPES = {**_FIRST_OF_SESSION, **_LAST_OF_SESSION}
# Between these two, in a stream whose rule names the tool's id: that id, of the type of its column.
TOOL_SESSION_ID = "tool_session_id"
# Columns that the warehouse adds: a new value of these is not a change of the session.
WAREHOUSE_TYPES: dict[str, StoredType] = {"open_until": _TIMESTAMP, "loaded_at": _TIMESTAMP}
# The log of the changes of the table `sessions`; `change` is appeared, changed or vanished.
SESSION_CHANGE_TYPES: dict[str, StoredType] = {
    "session_id": _STRING,
    "change": _STRING,
    "merged_into": _STRING,  # of a vanished session: the session that its earliest remaining event is in now
    "session_partition": _STRING,
    "run_id": _STRING,
    "changed_at": _TIMESTAMP,
}


def ordered_columns(stream: "Stream") -> dict[str, Column]:
    """The stream's columns in the order in which an event has them: ``LEADING``, then as in the stream's file."""
    leading = {name: stream.columns[name] for name in LEADING if name in stream.columns}
    return {**leading, **stream.columns}


def contract_types(stream: "Stream") -> dict[str, StoredType]:
    """The contract columns: event_id (also where it is derived), the stream's others, properties and provenance."""
    own: Mapping[str, StoredType] = {name: column.type for name, column in ordered_columns(stream).items()}
    return {"event_id": _STRING, **own, "properties": _STRING, **PROVENANCE_TYPES}


def event_types(stream: "Stream") -> dict[str, StoredType]:
    """The columns of the asset `events`: the contract columns, with enriched ones before properties and provenance."""
    contract = contract_types(stream)
    last = {name: contract.pop(name) for name in ("properties", *PROVENANCE_TYPES)}
    return {**contract, **enriched_columns(stream.enrich), **last}


def session_types(stream: "Stream") -> dict[str, StoredType]:
    """The columns of a session, in order: the general ones, with those that the stream defines before the last two."""
    of_event, rule = event_types(stream), stream.session
    tool = {TOOL_SESSION_ID: of_event[rule.id]} if rule.id else {}
    own = {name: _aggregate_type(aggregate, of_event) for name, aggregate in rule.aggregates.items()}
    outcomes = outcome_types(engaged=rule.engaged is not None, bounce=rule.bounce is not None)
    return {**_FIRST_OF_SESSION, **tool, **own, **outcomes, **_LAST_OF_SESSION}


def _aggregate_type(aggregate: Aggregate, of_event: Mapping[str, StoredType]) -> StoredType:
    return _INTEGER if aggregate.function.startswith("count") else of_event[aggregate.column]
