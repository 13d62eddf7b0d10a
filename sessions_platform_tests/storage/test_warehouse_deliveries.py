"""Loaded sessions are delivered to a second warehouse, here DuckDB: each state once, and never an older one."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.ledger.ledger import Delivery, Ledger, StaleWriteError
from sessions_platform.storage.warehouses.registry import TARGETS
from sessions_platform_tests.contexts import context, line, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, table
from sessions_platform_tests.streams import DAY_ONE, stream

__all__ = ["context", "open_context"]

ONE, TWO = "2026-01-01", "2026-01-02"
RUN = "a delivery"


class DuckDB:
    """A toy target: a table of sessions, and one with the digest of each partition, in one file."""

    name = "duckdb"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.path = options["path"]
        self.written: list[str] = []

    def apply(self, partition: str, sessions: pl.DataFrame, digest: str) -> None:
        with duckdb.connect(self.path) as connection:  # what is not committed when it closes is rolled back
            connection.register("staged", sessions.to_arrow())
            connection.begin()
            connection.execute("create table if not exists digests (partition text primary key, digest text)")
            connection.execute("create table if not exists sessions as from staged limit 0")
            same = connection.execute("from digests where partition = ? and digest = ?", [partition, digest]).fetchone()
            if not same:
                connection.execute("delete from sessions where session_partition = ?", [partition])
                connection.execute("insert into sessions from staged")
                connection.execute("insert or replace into digests values (?, ?)", [partition, digest])
                self.written.append(partition)
            connection.commit()


@pytest.fixture
def target(tmp_path: Path) -> DuckDB:
    return DuckDB({"path": str(tmp_path / "target.duckdb")})


@pytest.fixture
def loaded(context: StreamContext) -> StreamContext:
    """A stream with sessions of two days in the warehouse."""
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


def in_postgres(context: StreamContext) -> list[dict[str, Any]]:
    columns = session_columns(context.stream)
    return [{name: row[name] for name in columns} for row in table(context)]


def in_target(context: StreamContext, target: DuckDB) -> list[dict[str, Any]]:
    with duckdb.connect(target.path) as connection:
        connection.execute("set timezone = 'UTC'")
        sessions = connection.sql("from sessions order by session_id").to_arrow_table()
    frame = pl.DataFrame(pl.from_arrow(sessions)).cast(pl.Schema(session_columns(context.stream)))
    return frame.to_dicts()


def test_the_target_gets_the_same_sessions(loaded: StreamContext, target: DuckDB) -> None:
    assert deliver(loaded, target, RUN) == Delivered(applied=[ONE, TWO])
    assert in_target(loaded, target) == in_postgres(loaded)
    assert len(in_postgres(loaded)) == 4


def test_a_delivered_partition_is_not_delivered_again(loaded: StreamContext, target: DuckDB) -> None:
    deliver(loaded, target, RUN)
    recorded = loaded.ledger.deliveries("duckdb")
    assert deliver(loaded, target, "another") == Delivered(unchanged=[ONE, TWO])
    assert loaded.ledger.deliveries("duckdb") == recorded
    assert target.written == [ONE, TWO]


def test_only_a_partition_that_changed_is_delivered_again(loaded: StreamContext, target: DuckDB) -> None:
    deliver(loaded, target, RUN)
    add_an_event(loaded, TWO, "late")
    assert deliver(loaded, target, RUN) == Delivered(applied=[TWO], unchanged=[ONE])
    assert in_target(loaded, target) == in_postgres(loaded)
    assert len(in_postgres(loaded)) == 5


def test_a_newer_state_of_the_same_sessions_is_recorded_and_not_applied(loaded: StreamContext, target: DuckDB) -> None:
    deliver(loaded, target, RUN)
    before = loaded.ledger.deliveries("duckdb")[TWO]
    add_an_event(loaded, TWO, "late")
    put(loaded, "late", [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert deliver(loaded, target, RUN) == Delivered(unchanged=[ONE, TWO])
    after = loaded.ledger.deliveries("duckdb")[TWO]
    assert after.digest == before.digest
    assert after.version > before.version


def test_a_delivery_that_was_killed_before_it_was_recorded_is_made_again(
    loaded: StreamContext, target: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_delivery", killed)
        with pytest.raises(KeyboardInterrupt):
            deliver(loaded, target, RUN)
    assert loaded.ledger.deliveries("duckdb") == {}
    assert deliver(loaded, target, RUN) == Delivered(applied=[ONE, TWO])
    assert target.written == [ONE, TWO]  # the first was applied twice and written once
    assert in_target(loaded, target) == in_postgres(loaded)


def test_a_target_that_fails_is_delivered_to_again(
    loaded: StreamContext, target: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = DuckDB.apply

    def fails_for_two(self: DuckDB, partition: str, *more: Any) -> None:
        if partition == TWO:
            raise OSError("disk full")
        apply(self, partition, *more)

    with monkeypatch.context() as patch:
        patch.setattr(DuckDB, "apply", fails_for_two)
        with pytest.raises(OSError, match="disk full"):
            deliver(loaded, target, RUN)
    assert list(loaded.ledger.deliveries("duckdb")) == [ONE]
    assert deliver(loaded, target, RUN) == Delivered(applied=[TWO], unchanged=[ONE])


def test_an_older_state_does_not_replace_a_newer_one(loaded: StreamContext, target: DuckDB) -> None:
    deliver(loaded, target, RUN)
    last = loaded.ledger.deliveries("duckdb")[ONE]
    loaded.ledger.record_delivery(Delivery("duckdb", ONE, last.version + 1, "of a newer state"), RUN)
    with pytest.raises(StaleWriteError, match=f"duckdb has a newer state of session partition {ONE}"):
        deliver(loaded, target, RUN)
    assert target.written == [ONE, TWO]


def test_a_partition_that_exists_no_longer_is_emptied(loaded: StreamContext, target: DuckDB) -> None:
    """As after a rebuild with another calendar."""
    deliver(loaded, target, RUN)
    (session,) = pl.DataFrame(in_postgres(loaded)[:1], schema=session_columns(loaded.stream)).iter_slices()
    gone = session.with_columns(session_id=pl.lit("gone"), session_partition=pl.lit("2025"))
    target.apply("2025", gone, "a digest")
    loaded.ledger.record_delivery(Delivery("duckdb", "2025", 1, "a digest"), RUN)
    assert deliver(loaded, target, RUN) == Delivered(applied=["2025"], unchanged=[ONE, TWO])
    assert in_target(loaded, target) == in_postgres(loaded)
    assert deliver(loaded, target, RUN) == Delivered(unchanged=["2025", ONE, TWO])


def test_sessions_of_another_session_rule_are_delivered_once_they_are_refreshed(
    loaded: StreamContext, target: DuckDB
) -> None:
    deliver(loaded, target, RUN)
    changed = stream(name=loaded.stream.name, session={"gap": "45m"})
    newer = StreamContext(changed, loaded.source, loaded.lake, loaded.database)
    assert deliver(newer, target, RUN) == Delivered(pending=[ONE, TWO])
    refresh(newer)
    assert deliver(newer, target, RUN) == Delivered(applied=[ONE, TWO])
    assert in_target(newer, target) == in_postgres(newer)


def test_only_one_process_at_a_time_delivers(loaded: StreamContext, target: DuckDB) -> None:
    with (
        loaded.database.alone(f"sessions_platform/{loaded.stream.name}/deliver/duckdb"),
        pytest.raises(UserError, match="another process is delivering to duckdb"),
    ):
        deliver(loaded, target, RUN)
    assert target.written == []


def test_a_target_is_a_class_and_one_line_in_the_registry(
    loaded: StreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "duckdb", DuckDB)
    target = TARGETS["duckdb"]({"path": str(tmp_path / "registered.duckdb")})
    assert deliver(loaded, target, RUN).applied == [ONE, TWO]
