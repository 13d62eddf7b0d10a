"""What tests of targets share: a stream with loaded sessions, and what PostgreSQL and a target then contain."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from sessions_platform.contracts.sessions import session_columns, sessionized_columns
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.warehouses.base import Target
from sessions_platform.storage.warehouses.registry import open_target
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, table
from sessions_platform_tests.streams import DAY_ONE

ONE, TWO = "2026-01-01", "2026-01-02"
RUN = "a delivery"
BOTH_TABLES = ["sessions", "sessionized_events"]
# What a target of each kind is in the folder of a test.
KINDS = {"duckdb": "target.duckdb", "parquet": "target", "delta": "target", "iceberg": "target"}


def load_two_days(context: StreamContext) -> StreamContext:
    """Sessions of two days, two each."""
    for number, day in enumerate((ONE, TWO)):
        at = DAY_ONE + timedelta(days=number, hours=12)
        put(context, day, [line("ann", at, f"a{number}"), line("bob", at, f"b{number}")], day)
    ingest_and_publish(context, ONE, TWO)
    refresh(context)
    return context


def add_an_event(context: StreamContext, day: str, name: str) -> None:
    put(context, name, [line("cid", f"{day}T15:00:00Z", name)], day)
    ingest_and_publish(context, day)
    refresh(context)


def load_with(open_context: Callable[..., StreamContext], kind: str, path: Path, **keys: Any) -> StreamContext:
    """A stream with a target at a path, and sessions of two days."""
    return load_two_days(open_context(targets={kind: {"path": str(path), **keys}}))


def the_target(context: StreamContext) -> Target[Any]:
    """The only target of a stream."""
    (name,) = context.stream.targets
    return open_target(context.stream, name)


def delivered(context: StreamContext, **options: Any) -> Delivered:
    """What a delivery to the only target of a stream has done."""
    return deliver(context, the_target(context), RUN, **options)


def in_postgres(context: StreamContext) -> pl.DataFrame:
    columns = session_columns(context.stream)
    rows = [{name: row[name] for name in columns} for row in table(context)]
    return pl.DataFrame(rows, schema=columns)


def in_lake(context: StreamContext) -> pl.DataFrame:
    """All current sessionized events."""
    with context.database.transaction() as connection:
        paths = [version.path for version in context.ledger.loaded_sessions(connection)]
    return context.lake.scan(paths, sessionized_columns(context.stream)).collect()


def in_target(target: Target[Any], name: str = "sessions") -> pl.DataFrame:
    empty = pl.DataFrame(schema=target.tables[name])
    return pl.concat([empty, *target.read(name, None)])


def assert_equal_to_postgres(context: StreamContext) -> None:
    """The target contains what PostgreSQL and the lake contain, row for row."""
    target = the_target(context)
    expected = {"sessions": in_postgres, "sessionized_events": in_lake}
    for name in target.tables:
        by = ["session_id"] if name == "sessions" else ["session_id", "event_timestamp", "event_id"]
        assert_frame_equal(in_target(target, name).sort(by), expected[name](context).sort(by), check_exact=True)
