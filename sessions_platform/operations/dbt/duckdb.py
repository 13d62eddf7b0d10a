"""The tables of a target's DuckDB file, as sources of dbt.

A delivery replaces the file, so dbt has to attach it for reading, and write to another one. Not here: how it is
delivered (`storage/warehouses/duckdb_file.py`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.dbt.source_table import (
    SourceColumn,
    SourceTable,
    data_tests,
    newest_event,
    relationships,
)
from sessions_platform.operations.dbt.tables import session_source_columns
from sessions_platform.storage.warehouses.duckdb_file import sql_type


def duckdb_tables(
    stream: Stream, target: str, source: str, fresh_within: Mapping[str, Any] | None
) -> Iterator[SourceTable]:
    """What is delivered to a target.

    Args:
        stream: whose sessions it gets.
        target: its name.
        source: the name of the source that the tables are in.
        fresh_within: how old the newest event may be, as dbt states it.
    """
    asset, config = f"sessions__{target}", stream.targets[target]
    if "sessions" in config.tables:
        types = {name: sql_type(column.dtype) for name, column in sessions_schema(stream).columns.items()}
        columns = session_source_columns(stream, types)
        age = newest_event("session_end", fresh_within)
        yield SourceTable("sessions", "One row a session.", asset, columns, age)
    if "sessionized_events" in config.tables:
        yield SourceTable(
            "sessionized_events",
            "Every event of every session.",
            asset,
            _sessionized(stream, source, has_sessions="sessions" in config.tables),
            newest_event("event_timestamp", fresh_within),
        )


def _sessionized(stream: Stream, source: str, *, has_sessions: bool) -> dict[str, SourceColumn]:
    values = events_schema(stream).columns
    columns = {
        name: SourceColumn(sql_type(column.dtype), column.description or "", data_tests(column, values.get(name)))
        for name, column in sessionized_schema(stream).columns.items()
    }
    if has_sessions:
        key = columns["session_id"]
        tests = [*key.tests, relationships(source, "sessions", "session_id")]
        columns["session_id"] = SourceColumn(key.data_type, key.description, tests)
    return columns
