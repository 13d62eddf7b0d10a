"""The tables and views of a stream in PostgreSQL, as sources of dbt: all that a reader's role sees of its schema.

Descriptions and tests of `sessions` and `rejected_events` are their contracts'; those of what the warehouse adds are
here. What is internal (`loaded_partitions`) is left out. Not here: the ledger, which is no stream's.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sessions_platform.contracts.column_types import (
    IDENTITY_LINK_TYPES,
    REPEATED_EVENT_ID_TYPES,
    SESSION_CHANGE_TYPES,
    StoredType,
    session_types,
)
from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.identity import PERSON
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.schemas.schema import ColumnSchema, Schema
from sessions_platform.contracts.schemas.sessions import sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.user_sessions import view_columns
from sessions_platform.operations.dbt.source_table import (
    SourceColumn,
    SourceTable,
    Test,
    accepted_values,
    data_tests,
    newest_event,
    relationships,
)
from sessions_platform.storage.warehouses.postgres.dead_letters import Status
from sessions_platform.storage.warehouses.postgres.tables import Table, WarehouseTables, sql_type

_TIME, _TEXT, _NUMBER = (sql_type(each) for each in (ColumnType.timestamp, ColumnType.string, ColumnType.integer))
_TRUTH = sql_type(ColumnType.boolean)
_KEY: tuple[Test, ...] = ("not_null", "unique")

_WHERE = "Where the row came from: its {}."
_PROVENANCE = {
    "landing_partition": _WHERE.format("landing partition"),
    "source_uri": _WHERE.format("file, or slice of another source"),
    "position": _WHERE.format("position there, from 1"),
}
_ADDED_TO_SESSIONS = {
    "open_until": "Until when it may be continued; null once the user has a later session.",
    "loaded_at": "When the row was inserted or changed last.",
}
_ADDED_BY_VIEW = {
    "is_open": "Whether the stream's newest accepted event is not later than open_until.",
    "is_first": "Whether it is its user's first session.",
}
_CHANGES = {
    "session_id": "Of which session.",
    "change": "What a load did to it.",
    "merged_into": "Of a vanished session: the session with its earliest surviving event; null if none survives.",
    "session_partition": "The session partition that it started in.",
    "run_id": "By which run.",
    "changed_at": "When.",
}
_FIRST_REJECTION = {"rejected_at": "When it was rejected first.", "run_id": "By which run that was."}
_DECISION = {
    "because": (_TEXT, "Why."),
    "decided_by": (_TEXT, "By whom: a person, or a run."),
    "decided_at": (_TIME, "When."),
    "replacement_uri": (_TEXT, "Of a resolved row: the file of the accepted row that replaces it."),
    "replacement_position": (_NUMBER, "Of a resolved row: the position of the accepted row that replaces it."),
}
_LINKS = {
    "landing_partition": "Whose accepted events show it.",
    "anonymous_id": "The id that a visitor has before a log in.",
    "user_id": "The user with whom it was seen.",
    "first_seen": "The time of the first event that has both.",
    "last_seen": "The time of the last event that has both.",
    "events": "How many accepted events have both.",
}
_SEEN = {name: _LINKS[name] for name in ("first_seen", "last_seen", "events")}
_OF_USER_SESSIONS = {"session_number": _NUMBER, "is_new": _TRUTH, "days_since_last": "integer"}


class StreamTables:
    """The sources of one stream."""

    def __init__(self, stream: Stream, fresh_within: Mapping[str, Any] | None) -> None:
        self._stream, self._fresh_within = stream, fresh_within
        self._warehouse = WarehouseTables(stream)

    def __iter__(self) -> Iterator[SourceTable]:
        yield self._sessions()
        yield self._sessions_now()
        if self._stream.user_sessions:
            yield self._user_sessions()
        yield self._session_changes()
        if self._stream.identity:
            yield from self._identity()
        yield from self._dead_letters()
        about = "Accepted events whose id occurs with two users or two times, as the job audit_event_ids found them."
        meanings = {**events_descriptions(self._stream), **_PROVENANCE}
        columns = _columns(REPEATED_EVENT_ID_TYPES, meanings, dict.fromkeys(REPEATED_EVENT_ID_TYPES, ("not_null",)))
        yield SourceTable("repeated_event_ids", about, "events", columns)

    def _sessions(self) -> SourceTable:
        columns = {**session_source_columns(self._stream, self._types(self._warehouse.sessions)), **self._added()}
        config = newest_event("session_end", self._fresh_within)
        return SourceTable("sessions", "One row a session.", "sessions", _in_order(columns, self._of_sessions), config)

    def _sessions_now(self) -> SourceTable:
        added = {name: SourceColumn(_TRUTH, about, ("not_null",)) for name, about in _ADDED_BY_VIEW.items()}
        about = "The sessions, and whether each is open and its user's first one. A view."
        return SourceTable("sessions_now", about, "sessions", {**added, **self._untested_sessions()})

    def _user_sessions(self) -> SourceTable:
        assert self._stream.user_sessions
        tests: dict[str, tuple[Test, ...]] = {
            "session_id": (*_KEY, self._is_session),
            "last_non_direct_session_id": (self._is_session,),
            **dict.fromkeys(("user_id", "session_start", "session_partition", "session_number"), ("not_null",)),
        }
        types = {**self._types(self._warehouse.sessions), **_OF_USER_SESSIONS}
        columns = {
            name: SourceColumn(types.get(name, _TEXT), about, tests.get(name, ()))
            for name, about in view_columns(self._stream.user_sessions).items()
        }
        about = "Sessions by what their user did before. A view, which is right as soon as sessions is."
        return SourceTable("user_sessions", about, "user_sessions", columns)

    def _session_changes(self) -> SourceTable:
        known = accepted_values(["appeared", "changed", "vanished"])
        every = ("session_id", "change", "session_partition", "run_id", "changed_at")
        tests: dict[str, tuple[Test, ...]] = {**dict.fromkeys(every, ("not_null",)), "change": ("not_null", known)}
        about = "A log of what loads did to sessions; rows are only added."
        return SourceTable("session_changes", about, "sessions", _columns(SESSION_CHANGE_TYPES, _CHANGES, tests))

    def _identity(self) -> Iterator[SourceTable]:
        about = "Which anonymous ids were seen with which users, by landing partition."
        tests = dict.fromkeys(IDENTITY_LINK_TYPES, ("not_null",))
        links = _columns(IDENTITY_LINK_TYPES, _LINKS, tests)
        yield SourceTable("identity_links", about, "identity_links", links)
        seen = {name: SourceColumn(links[name].data_type, about, ("not_null",)) for name, about in _SEEN.items()}
        columns = {
            "anonymous_id": SourceColumn(_TEXT, _LINKS["anonymous_id"], _KEY),
            "user_id": SourceColumn(_TEXT, "Whose it is; null where it is shared."),
            "is_shared": SourceColumn(_TRUTH, "Whether it was seen with more users than shared_above.", ("not_null",)),
            "users": SourceColumn(_NUMBER, "With how many users it was seen.", ("not_null",)),
            **seen,
        }
        about = "The user of each anonymous id. A view of all links."
        yield SourceTable("identities", about, "identity_links", columns)
        person = "The user of the session's user_id, or else that itself."
        if self._stream.persons:
            person = "The session's user_id, by whom it is cut, as of the last refresh."
        columns = {PERSON: SourceColumn(_TEXT, person, ("not_null",)), **self._untested_sessions()}
        yield SourceTable("sessions_of_people", "The sessions with their person. A view.", "sessions", columns)

    def _dead_letters(self) -> Iterator[SourceTable]:
        schema = rejected_schema(self._stream)
        types = self._types(self._warehouse.rejected_events)
        columns = _contract_columns(schema, types)
        for name, about in _FIRST_REJECTION.items():
            columns[name] = SourceColumn(types[name], about, ("not_null",))
        columns = _in_order(columns, types)
        yield SourceTable("rejected_events", "Rows that break the contract.", "rejected_events", columns)
        is_rejected = relationships(self._stream.name, "rejected_events", "rejection_id")
        decision = {name: SourceColumn(kind, about) for name, (kind, about) in _DECISION.items()}
        every = [status.value for status in Status]
        in_queue = accepted_values([status for status in every if status != Status.expired])
        status = SourceColumn(_TEXT, "What was decided last; open where nothing was.", ("not_null", in_queue))
        untested = {name: SourceColumn(each.data_type, each.description) for name, each in columns.items()}
        rows = untested.pop("rows")
        keyed = SourceColumn(_TEXT, untested["rejection_id"].description, (is_rejected,))
        queue = {**untested, "rejection_id": keyed, "status": status, **decision, "rows": rows}
        about = "The dead-letter queue: rejected rows with what was decided about them. A view."
        yield SourceTable("dead_letters", about, "rejected_events", queue)
        decided = accepted_values(every)
        tested = {name: SourceColumn(kind, about, ("not_null",)) for name, (kind, about) in _DECISION.items()}
        decisions = {
            "decision_id": SourceColumn(_NUMBER, "A later decision has a higher one.", _KEY),
            "rejection_id": SourceColumn(_TEXT, "About which row; it may have left the queue.", ("not_null",)),
            "status": SourceColumn(_TEXT, "What was decided.", ("not_null", decided)),
            "because": tested["because"],
            "decided_by": tested["decided_by"],
            "replacement_uri": decision["replacement_uri"],
            "replacement_position": decision["replacement_position"],
            "decided_at": tested["decided_at"],
        }
        about = "The history of decisions about rejected rows; rows are only added."
        yield SourceTable("rejection_decisions", about, "rejected_events", decisions)
        by_day = {
            "day": SourceColumn("date", "The day of landing.", ("not_null",)),
            "code": SourceColumn(_TEXT, "A reason.", ("not_null", accepted_values([code.value for code in Code]))),
            "rows": SourceColumn(_NUMBER, "How many raw rows have it; a row counts under each of its codes."),
        }
        yield SourceTable("rejected_by_day", "Rejected raw rows by day and reason. A view.", "rejected_events", by_day)

    @property
    def _is_session(self) -> Test:
        return relationships(self._stream.name, "sessions", "session_id")

    @property
    def _of_sessions(self) -> list[str]:
        return list(self._warehouse.sessions.every_column)

    @staticmethod
    def _added() -> dict[str, SourceColumn]:
        return {name: SourceColumn(_TIME, about) for name, about in _ADDED_TO_SESSIONS.items()}

    def _untested_sessions(self) -> dict[str, SourceColumn]:
        """The columns of sessions in a view of the same rows, which need not be tested again."""
        columns = self._sessions().columns
        return {name: SourceColumn(each.data_type, each.description) for name, each in columns.items()}

    @staticmethod
    def _types(table: Table) -> dict[str, str]:
        return {name: sql_type(dtype) for name, dtype in table.every_column.items()}


def events_descriptions(stream: Stream) -> dict[str, str]:
    """What the columns of events mean."""
    return {name: column.description or "" for name, column in events_schema(stream).columns.items()}


def session_source_columns(stream: Stream, types: Mapping[str, str]) -> dict[str, SourceColumn]:
    """The columns of the contract of sessions, in order.

    Args:
        stream: whose sessions they are.
        types: by column, as the database spells them.
    """
    return _contract_columns(sessions_schema(stream), types, _values_of_sessions(stream))


def _values_of_sessions(stream: Stream) -> dict[str, ColumnSchema]:
    """By session column the column of events whose values it has unchanged."""
    events, rule = events_schema(stream).columns, stream.session
    same = ("first", "last", "min", "max", "most_frequent")
    of = {name: each.column for name, each in rule.aggregates.items() if each.function in same}
    of |= {"primary_action": "event_type", "entry_page": "page_url", "exit_page": "page_url"}
    of |= {"tool_session_id": rule.id} if rule.id else {}
    return {name: events[column] for name, column in of.items() if column in events and name in session_types(stream)}


def _contract_columns(
    schema: Schema, types: Mapping[str, str], values: Mapping[str, ColumnSchema] | None = None
) -> dict[str, SourceColumn]:
    return {
        name: SourceColumn(types[name], column.description or "", data_tests(column, (values or {}).get(name)))
        for name, column in schema.columns.items()
    }


def _columns(
    types: Mapping[str, StoredType], meanings: Mapping[str, str], tests: Mapping[str, tuple[Test, ...]]
) -> dict[str, SourceColumn]:
    return {name: SourceColumn(sql_type(dtype), meanings[name], tests.get(name, ())) for name, dtype in types.items()}


def _in_order(columns: Mapping[str, SourceColumn], names: Any) -> dict[str, SourceColumn]:
    return {name: columns[name] for name in names}
