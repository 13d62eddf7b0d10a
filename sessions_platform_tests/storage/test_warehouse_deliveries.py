"""Loaded sessions are delivered to targets: each state once, never an older one, and what somebody altered again."""

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

import duckdb
import polars as pl
import pytest

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import TARGET_TYPES, TargetConfig
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, ReadBackError, deliver
from sessions_platform.storage.ledger.ledger import Delivery, Ledger
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.base import Changes, LaterDeliveryError, Target, TargetError
from sessions_platform.storage.warehouses.registry import open_target
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.storage.targets import (
    BOTH_TABLES,
    KINDS,
    ONE,
    RUN,
    TWO,
    add_an_event,
    assert_equal_to_postgres,
    in_postgres,
    in_target,
    load_two_days,
    load_with,
    the_target,
)
from sessions_platform_tests.streams import stream

__all__ = ["context", "open_context"]


@pytest.fixture(params=["duckdb", *(pytest.param(other, marks=pytest.mark.slow) for other in list(KINDS)[1:])])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(kind: str, tmp_path: Path) -> Path:
    return tmp_path / KINDS[kind]


@pytest.fixture
def loaded(kind: str, path: Path, open_context: Callable[..., StreamContext]) -> StreamContext:
    """A stream with a target and with sessions of two days in the warehouse."""
    return load_with(open_context, kind, path, tables=BOTH_TABLES)


def delivered(context: StreamContext, **options: Any) -> Delivered:
    return deliver(context, the_target(context), RUN, **options)


def deliveries(context: StreamContext) -> dict[str, Delivery]:
    return context.ledger.deliveries(the_target(context).name)


def changed(context: StreamContext, **changes: Any) -> StreamContext:
    """The context with other keys in the stream's file."""
    targets = {name: target.model_dump() for name, target in context.stream.targets.items()}
    other = stream(**{"name": context.stream.name, "targets": targets, **changes})
    return StreamContext(other, context.source, context.lake, context.database)


def test_the_target_gets_the_same_rows(loaded: StreamContext) -> None:
    assert delivered(loaded) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(loaded)
    assert in_postgres(loaded).height == 4


@pytest.mark.parametrize("kind", ["duckdb"], indirect=True)
def test_sessions_are_made_once_where_they_have_to_be_written(
    loaded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counted(events: pl.DataFrame, of: Stream) -> pl.DataFrame:
        made.extend(events["session_id"].unique())
        return summarize(events, of)

    monkeypatch.setattr("sessions_platform.pipeline.deliver.summarize", counted)
    delivered(loaded)
    assert sorted(made) == sorted(in_postgres(loaded)["session_id"])
    assert_equal_to_postgres(loaded)


@pytest.mark.slow
def test_a_delivered_partition_is_not_delivered_again(loaded: StreamContext) -> None:
    delivered(loaded)
    recorded, token = deliveries(loaded), the_target(loaded).token()
    assert deliver(loaded, the_target(loaded), "another") == Delivered(unchanged=[ONE, TWO])
    assert deliveries(loaded) == recorded
    assert the_target(loaded).token() == token


@pytest.mark.slow
def test_only_a_partition_that_changed_is_delivered_again(loaded: StreamContext) -> None:
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)
    assert in_postgres(loaded).height == 5


@pytest.mark.slow
def test_a_newer_state_of_the_same_rows_is_recorded_and_not_applied(loaded: StreamContext) -> None:
    delivered(loaded)
    before, token = deliveries(loaded)[TWO], the_target(loaded).token()
    add_an_event(loaded, TWO, "late")
    put(loaded, "late", [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert delivered(loaded) == Delivered(unchanged=[ONE, TWO])
    after = deliveries(loaded)[TWO]
    assert after.digest == before.digest
    assert after.version > before.version
    assert the_target(loaded).token() == token


def test_a_partition_that_became_empty_has_no_rows_in_the_target(loaded: StreamContext) -> None:
    delivered(loaded)
    put(loaded, TWO, [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)
    assert in_target(the_target(loaded))["session_partition"].unique().to_list() == [ONE]
    assert delivered(loaded) == Delivered(unchanged=[ONE, TWO])


def test_a_delivery_that_was_killed_before_it_was_recorded_is_made_again(
    loaded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_deliveries", killed)
        with pytest.raises(KeyboardInterrupt):
            delivered(loaded)
    assert deliveries(loaded) == {}
    assert_equal_to_postgres(loaded)
    assert delivered(loaded) == Delivered(applied=[ONE, TWO], differing=[ONE, TWO])
    assert_equal_to_postgres(loaded)


def test_a_failed_delivery_changes_nothing_and_is_told_until_one_succeeds(loaded: StreamContext) -> None:
    delivered(loaded)
    before = in_target(the_target(loaded))
    add_an_event(loaded, ONE, "late")
    add_an_event(loaded, TWO, "later")
    target = the_target(loaded)
    apply = target.apply

    def full_disk(partitions: int) -> Any:
        """An `apply` whose disk is full after some partitions."""

        def rows(changes: Changes) -> Callable[[str, str], Iterator[pl.DataFrame]]:
            counted = itertools.count()

            def read(table: str, partition: str) -> Iterator[pl.DataFrame]:
                if next(counted) == partitions:
                    raise TargetError("the disk is full. Fix: make room.")
                return changes.rows(table, partition)

            return read

        return lambda changes: apply(dataclasses.replace(changes, rows=rows(changes)))

    for partitions in range(3):
        target.apply = full_disk(partitions)
        with pytest.raises(TargetError, match="the disk is full"):
            deliver(loaded, target, RUN)
        assert in_target(the_target(loaded)).equals(before)
    assert loaded.ledger.target_state(target.name).failure == "the disk is full. Fix: make room."
    assert delivered(loaded).applied == [ONE, TWO]
    assert loaded.ledger.target_state(target.name).failure is None
    assert_equal_to_postgres(loaded)


def test_a_delivery_that_has_lost_its_turn_is_refused_by_the_target_and_by_the_ledger(
    loaded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a process that was stopped for ten minutes, and whose lock another one has got."""
    monkeypatch.setattr(Database, "alone", lambda *_: nullcontext(True))
    stopped = the_target(loaded)
    apply = stopped.apply

    def stopped_before_it_applies(changes: Changes) -> None:
        add_an_event(loaded, TWO, "late")
        deliver(loaded, the_target(loaded), "a twin")
        apply(changes)

    vars(stopped)["apply"] = stopped_before_it_applies
    with pytest.raises(LaterDeliveryError, match="a later delivery has changed it"):
        deliver(loaded, stopped, RUN)
    assert_equal_to_postgres(loaded)
    assert in_postgres(loaded).height == 5


def test_only_one_process_at_a_time_delivers(loaded: StreamContext, kind: str) -> None:
    with (
        loaded.database.alone(f"sessions_platform/{loaded.stream.name}/deliver/{kind}"),
        pytest.raises(UserError, match=f"another process is delivering to {kind}"),
    ):
        delivered(loaded)
    assert the_target(loaded).token() == 0


@pytest.mark.slow
def test_a_partition_that_exists_no_longer_is_emptied(loaded: StreamContext) -> None:
    """As after a rebuild with another calendar."""
    delivered(loaded)
    target, columns = the_target(loaded), session_columns(loaded.stream)
    gone = in_postgres(loaded)[:1].with_columns(session_id=pl.lit("gone"), session_partition=pl.lit("2025"))
    token = loaded.ledger.begin_delivery(target.name)
    target.apply(
        Changes(token, ["2025"], lambda table, _: iter([gone.select(*columns)] if table == "sessions" else []))
    )
    record = Delivery(target.name, "2025", 1, "rule sessions=1:00000000000000000000000000000000")
    loaded.ledger.record_deliveries(target.name, token, [record], RUN)
    assert delivered(loaded) == Delivered(applied=["2025"], unchanged=[ONE, TWO])
    assert_equal_to_postgres(loaded)
    assert delivered(loaded) == Delivered(unchanged=["2025", ONE, TWO])


@pytest.mark.slow
def test_sessions_of_another_session_rule_are_delivered_once_they_are_refreshed(loaded: StreamContext) -> None:
    delivered(loaded)
    newer = changed(loaded, session={"gap": "45m"})
    assert delivered(newer) == Delivered(pending=[ONE, TWO])
    refresh(newer)
    assert delivered(newer) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(newer)


@pytest.mark.slow
def test_new_columns_of_the_contract_are_added(loaded: StreamContext) -> None:
    delivered(loaded)
    newer = changed(loaded, session={"columns": {"pages": {"count_distinct": "page_url"}}})
    refresh(newer)
    assert delivered(newer) == Delivered(applied=[ONE, TWO])
    assert "pages" in in_target(the_target(newer)).columns
    assert_equal_to_postgres(newer)


@pytest.mark.slow
def test_a_column_of_another_type_is_a_sentence(loaded: StreamContext) -> None:
    first = changed(loaded, session={"columns": {"best": {"max": "page_url"}}})
    refresh(first)
    delivered(first)
    newer = changed(loaded, session={"columns": {"best": {"max": "event_timestamp"}}})
    target = the_target(newer)
    with pytest.raises(TargetError, match=r"sessions\.best is .* there, and .* in the stream\. Fix: "):
        target.apply(Changes(target.token() + 1, [ONE], lambda *_: iter([])))


@pytest.mark.slow
def test_a_target_that_was_removed_gets_everything_again(loaded: StreamContext, path: Path) -> None:
    delivered(loaded)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert delivered(loaded) == Delivered(applied=[ONE, TWO], differing=[ONE, TWO])
    assert_equal_to_postgres(loaded)


@pytest.mark.slow
def test_a_target_of_a_new_ledger_gets_everything_again(loaded: StreamContext) -> None:
    delivered(loaded)
    loaded.ledger.delete_stream()
    load_two_days(loaded)
    assert delivered(loaded) == Delivered(applied=[ONE, TWO], differing=[ONE, TWO])
    assert_equal_to_postgres(loaded)


def alter(target: Target[Any], partition: str, how: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change rows of the target's sessions behind the platform's back, and leave its token as it is."""
    rows = in_target(target).filter(session_partition=partition)
    token = target.token()
    others = {table: pl.concat(target.read(table, [partition])) for table in target.tables if table != "sessions"}
    frames = {"sessions": how(rows), **others}
    target.apply(Changes(token, [partition], lambda table, _: iter([frames[table]])))


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda rows: rows[1:], id="a row removed"),
        pytest.param(lambda rows: pl.concat([rows, rows[:1]]), id="a row twice"),
        pytest.param(lambda rows: rows.with_columns(event_count=pl.col("event_count") + 1), id="a value"),
        pytest.param(lambda rows: rows.with_columns(exit_page=pl.lit("")), id="a null"),
        pytest.param(lambda rows: rows.clear(), id="all rows removed"),
    ],
)
def test_what_somebody_altered_is_noticed_and_made_whole(
    loaded: StreamContext, how: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    delivered(loaded)
    alter(the_target(loaded), TWO, how)
    assert delivered(loaded) == Delivered(unchanged=[ONE, TWO])  # the ledger alone does not show it
    assert delivered(loaded, verify=True) == Delivered(applied=[TWO], unchanged=[ONE], differing=[TWO])
    assert_equal_to_postgres(loaded)
    assert delivered(loaded, verify=True) == Delivered(unchanged=[ONE, TWO])


def test_rows_of_a_partition_that_was_never_delivered_are_removed(loaded: StreamContext) -> None:
    delivered(loaded)
    target = the_target(loaded)
    row = in_target(target)[:1].with_columns(session_partition=pl.lit("1999"))
    target.apply(Changes(target.token(), ["1999"], lambda table, _: iter([row] if table == "sessions" else [])))
    assert delivered(loaded, verify=True).differing == ["1999"]
    assert_equal_to_postgres(loaded)


@pytest.mark.slow
def test_what_is_not_returned_as_it_was_written_is_not_recorded(loaded: StreamContext) -> None:
    target = the_target(loaded)
    read = target.read
    target.read = lambda table, partitions: (rows[1:] for rows in read(table, partitions))
    with pytest.raises(ReadBackError, match=f"it has other rows of {ONE}.* than were just written"):
        deliver(loaded, target, RUN)
    assert deliveries(loaded) == {}


@pytest.mark.slow
def test_two_streams_do_not_share_a_place(
    loaded: StreamContext, kind: str, path: Path, open_context: Callable[..., StreamContext]
) -> None:
    delivered(loaded)
    other = load_with(open_context, kind, path)
    with pytest.raises(TargetError, match=f"it has the sessions of the stream {loaded.stream.name}"):
        delivered(other)


@pytest.mark.slow
def test_another_table_of_a_target_is_delivered_as_a_whole(
    kind: str, path: Path, open_context: Callable[..., StreamContext]
) -> None:
    first = load_with(open_context, kind, path)
    delivered(first)
    both = changed(first, targets={kind: {"path": str(path), "tables": BOTH_TABLES}})
    assert delivered(both) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(both)


# What is peculiar to one of them -------------------------------------------------------------------------


_READER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print("opened", flush=True)
    input()
    print(connection.execute("select count(*) from sessions").fetchone())
"""


@pytest.mark.slow
def test_readers_of_a_duckdb_file_keep_the_state_that_they_opened(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_with(open_context, "duckdb", tmp_path / "a.duckdb")
    delivered(loaded)
    reading = [sys.executable, "-c", _READER, str(tmp_path / "a.duckdb")]  # one process opens a file only once
    with subprocess.Popen(reading, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin
        assert reader.stdout
        assert reader.stdout.readline() == "opened\n"
        add_an_event(loaded, TWO, "late")
        delivered(loaded)
        assert reader.communicate("\n")[0] == "(4,)\n"
    assert in_target(the_target(loaded)).height == 5
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.duckdb", "a.duckdb.lock"]


@pytest.mark.slow
def test_what_another_program_has_not_finished_writing_is_not_overwritten(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_with(open_context, "duckdb", tmp_path / "a.duckdb")
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    (tmp_path / "a.duckdb.wal").write_bytes(b"")
    with pytest.raises(TargetError, match=r"there is a\.duckdb\.wal\. Fix: end that program"):
        delivered(loaded)


@pytest.mark.slow
def test_a_file_that_is_no_duckdb_file_is_left_alone(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_with(open_context, "duckdb", tmp_path / "notes.txt")
    (tmp_path / "notes.txt").write_text("dear diary " * 500)
    with pytest.raises(TargetError, match=r"not a valid DuckDB database file.*Fix: "):
        delivered(loaded)
    assert (tmp_path / "notes.txt").read_text() == "dear diary " * 500


@pytest.mark.slow
def test_other_tables_of_a_duckdb_file_stay(tmp_path: Path, open_context: Callable[..., StreamContext]) -> None:
    loaded = load_with(open_context, "duckdb", tmp_path / "a.duckdb")
    with duckdb.connect(tmp_path / "a.duckdb") as connection:
        connection.execute("create table mine as select 1 as number")
    delivered(loaded)
    with duckdb.connect(tmp_path / "a.duckdb", read_only=True) as connection:
        assert connection.sql("from mine").fetchall() == [(1,)]


@pytest.mark.slow
def test_parquet_folders_are_read_by_hive_layout_and_by_manifest(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_with(open_context, "parquet", tmp_path / "out")
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    delivered(loaded)
    by_layout = pl.read_parquet(
        tmp_path / "out/sessions/**/*.parquet", hive_partitioning=True, try_parse_hive_dates=False
    )
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    files = manifest["tables"]["sessions"]["partitions"]
    by_manifest = pl.read_parquet([tmp_path / "out" / file["path"] for file in files.values()], hive_partitioning=False)
    assert by_layout.height == by_manifest.height == sum(file["rows"] for file in files.values()) == 5
    assert sorted(by_layout["session_partition"].unique()) == sorted(files) == [ONE, TWO]


@pytest.mark.slow
def test_a_foreign_file_in_a_partition_is_noticed_and_removed(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_with(open_context, "parquet", tmp_path / "out")
    delivered(loaded)
    (of_one,) = (tmp_path / f"out/sessions/session_partition={ONE}").glob("*.parquet")
    shutil.copyfile(of_one, of_one.with_name("copy.parquet"))
    assert delivered(loaded, verify=True).differing == [ONE]
    assert_equal_to_postgres(loaded)
    assert not of_one.with_name("copy.parquet").exists()


# What is one of them ------------------------------------------------------------------------------------


class ToyConfig(TargetConfig):
    implementation: ClassVar[str] = f"{__name__}:ToyTarget"

    type: Literal["toy"] = "toy"

    @property
    def place(self) -> str:
        return "memory"


class ToyTarget(Target[ToyConfig]):
    """A target in memory."""

    stored: ClassVar[dict[str, pl.DataFrame]] = {}
    last: ClassVar[int] = 0

    def token(self) -> int:
        return ToyTarget.last

    def apply(self, changes: Changes) -> None:
        self.require_own(self.stream.name, self.last, changes.token)
        for table, columns in self.tables.items():
            before = self.stored.get(table, pl.DataFrame(schema=columns))
            kept = before.filter(~pl.col("session_partition").is_in(changes.partitions))
            self.stored[table] = pl.concat([kept, *changes.rows_of(table)])
        ToyTarget.last = changes.token

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        if (rows := self.stored.get(table)) is not None:
            yield rows if partitions is None else rows.filter(pl.col("session_partition").is_in(partitions))


def test_a_target_is_a_class_its_keys_and_one_line_in_the_table(
    open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGET_TYPES, "toy", ToyConfig)
    loaded = load_two_days(open_context(targets={"toy": {}}))
    assert delivered(loaded).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)


def test_a_target_that_is_not_named_is_a_sentence(loaded: StreamContext) -> None:
    with pytest.raises(UserError, match=r"it has no target lake\. Fix: name one of its targets"):
        open_target(loaded.stream, "lake")
