"""What a delivery has changed in a target without recording it does not stay there, whatever the data are by then."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.operations.erase import erase
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, ReadBackError, deliver
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.warehouses import parquet_folder, parquet_places
from sessions_platform.storage.warehouses.base import Changes, TargetError
from sessions_platform.storage.warehouses.delta_tables import DeltaTables
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.storage.targets import (
    BOTH_TABLES,
    ONE,
    RUN,
    TWO,
    add_an_event,
    assert_equal_to_postgres,
    in_lake,
    in_target,
    load_two_days,
    the_target,
)
from sessions_platform_tests.storage.test_warehouse_deliveries import (
    changed,
    delivered,
    kind,
    loaded,
    path,
)

__all__ = ["context", "kind", "loaded", "open_context", "path"]


class Killed(BaseException):
    pass


def killed(*_: Any, **__: Any) -> None:
    raise Killed


def deliver_and_be_killed(context: StreamContext, where: Any = Ledger, name: str = "record_deliveries") -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, killed)
        with pytest.raises(Killed):
            delivered(context)


def take_back(context: StreamContext, day: str, name: str) -> None:
    """Correct an event away that was added."""
    put(context, name, [], day)
    ingest_and_publish(context, day)
    refresh(context)


def test_data_that_were_taken_back_before_the_record_of_their_delivery_leave(loaded: StreamContext) -> None:
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    deliver_and_be_killed(loaded)
    assert in_target(the_target(loaded)).height == 5
    take_back(loaded, TWO, "late")
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE], differing=[TWO])
    assert_equal_to_postgres(loaded)
    assert delivered(loaded) == Delivered(unchanged=[ONE, TWO])


@pytest.mark.slow
def test_data_that_were_taken_back_after_a_failed_read_back_leave(loaded: StreamContext) -> None:
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    target = the_target(loaded)
    read = target.read
    target.read = lambda table, partitions: (rows[1:] for rows in read(table, partitions))
    with pytest.raises(ReadBackError):
        deliver(loaded, target, RUN)
    take_back(loaded, TWO, "late")
    assert delivered(loaded).applied == [TWO]
    assert_equal_to_postgres(loaded)


@pytest.mark.slow
def test_users_who_are_erased_before_the_record_of_their_delivery_leave(loaded: StreamContext) -> None:
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    deliver_and_be_killed(loaded)
    assert "cid" in in_target(the_target(loaded))["user_id"]
    assert erase(loaded, ["cid"])["targets"] == [the_target(loaded).name]
    assert "cid" not in in_target(the_target(loaded))["user_id"]
    assert_equal_to_postgres(loaded)


def test_a_partition_that_is_neither_loaded_nor_recorded_leaves(loaded: StreamContext) -> None:
    """As one that was new in a killed delivery, and is no more after a rebuild with another cadence."""
    delivered(loaded)
    target = the_target(loaded)
    row = in_target(target)[:1].with_columns(session_partition=pl.lit("2025"))
    token = loaded.ledger.begin_delivery(target.name)
    target.apply(Changes(token, ["2025"], lambda table, _: iter([row] if table == "sessions" else [])))
    assert delivered(loaded) == Delivered(applied=["2025"], unchanged=[ONE, TWO], differing=["2025"])
    assert_equal_to_postgres(loaded)


@pytest.mark.slow
def test_the_target_of_a_ledger_that_was_made_anew_keeps_nothing_else(loaded: StreamContext) -> None:
    delivered(loaded)
    target = the_target(loaded)
    row = in_target(target)[:1].with_columns(session_partition=pl.lit("2025"))
    target.apply(Changes(target.token(), ["2025"], lambda table, _: iter([row] if table == "sessions" else [])))
    loaded.ledger.delete_stream()
    load_two_days(loaded)
    assert delivered(loaded).applied == ["2025", ONE, TWO]
    assert_equal_to_postgres(loaded)


def test_a_delivery_that_writes_nothing_leaves_the_next_one_as_little_to_do(loaded: StreamContext) -> None:
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    take_back(loaded, TWO, "late")
    assert delivered(loaded) == Delivered(unchanged=[ONE, TWO])
    add_an_event(loaded, ONE, "later")
    assert delivered(loaded) == Delivered(applied=[ONE], unchanged=[TWO])


@pytest.mark.slow
def test_a_removed_target_and_foreign_partitions_are_verified_together(
    loaded: StreamContext, tmp_path: Path, path: Path
) -> None:
    """As a target that was restored from a backup."""
    delivered(loaded)
    target = the_target(loaded)
    row = in_target(target)[:1].with_columns(session_partition=pl.lit("1999"))
    target.apply(Changes(target.token(), ["1999"], lambda table, _: iter([row] if table == "sessions" else [])))
    shutil.copytree(path, tmp_path / "kept") if path.is_dir() else shutil.copy(path, tmp_path / "kept")
    add_an_event(loaded, TWO, "late")
    delivered(loaded)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / "kept").rename(path)
    assert delivered(loaded, verify=True).applied == ["1999", ONE, TWO]
    assert_equal_to_postgres(loaded)


@pytest.mark.slow
def test_a_state_is_found_that_was_delivered_by_a_rule_to_which_the_stream_returns(loaded: StreamContext) -> None:
    """While another rule was stated the partition could not be delivered; a delivery of others hides no difference."""
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    deliver_and_be_killed(loaded)
    take_back(loaded, TWO, "late")
    newer = changed(loaded, session={"gap": "45m"})
    assert delivered(newer) == Delivered(pending=[ONE, TWO])
    target = the_target(loaded)
    assert loaded.ledger.target_state(target.name).delivered_token < target.token()
    assert delivered(loaded).applied == [TWO]
    assert_equal_to_postgres(loaded)


def test_a_failure_is_told_no_longer_once_the_target_has_answered(loaded: StreamContext) -> None:
    delivered(loaded)
    target = the_target(loaded)

    def down() -> int:
        raise TargetError("it is down. Fix: start it.")

    target.token = down
    with pytest.raises(TargetError):
        deliver(loaded, target, RUN, verify=True)
    before = loaded.ledger.target_state(target.name)
    assert before.failure == "it is down. Fix: start it."
    assert delivered(loaded) == Delivered(unchanged=[ONE, TWO])
    after = loaded.ledger.target_state(target.name)
    assert (after.failure, after.failed_at) == (None, None)
    assert (after.delivered_token, after.delivered_at) == (before.delivered_token, before.delivered_at)


# What is peculiar to one of them -------------------------------------------------------------------------


@pytest.fixture
def delta(tmp_path: Path, open_context: Callable[..., StreamContext]) -> StreamContext:
    return load_two_days(open_context(targets={"delta": {"path": str(tmp_path / "out"), "tables": BOTH_TABLES}}))


def deliver_one_table(context: StreamContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a delivery of Delta tables that is killed between its two commits."""
    commit, done = DeltaTables._commit, list[str]()

    def one(self: DeltaTables, table: str, changes: Changes) -> None:
        if done:
            raise Killed
        commit(self, table, changes)
        done.append(table)

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTables, "_commit", one)
        with pytest.raises(Killed):
            delivered(context)
    assert done == ["sessionized_events"]


@pytest.mark.slow
def test_half_of_a_delivery_to_delta_tables_leaves(delta: StreamContext, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered(delta)
    add_an_event(delta, TWO, "late")
    deliver_one_table(delta, monkeypatch)
    take_back(delta, TWO, "late")
    assert delivered(delta).applied == [TWO]
    assert_equal_to_postgres(delta)
    assert the_target(delta).token() == delta.ledger.target_state("delta").delivered_token


@pytest.mark.slow
def test_half_of_the_first_delivery_to_delta_tables_leaves(delta: StreamContext) -> None:
    """Of a partition that is no more, as after a rebuild with another cadence."""
    target = the_target(delta)
    assert isinstance(target, DeltaTables)
    token = delta.ledger.begin_delivery(target.name)
    row = in_lake(delta)[:1].with_columns(session_partition=pl.lit("2025"))
    target._commit("sessionized_events", Changes(token, ["2025"], lambda *_: iter([row])))
    assert delivered(delta).applied == ["2025", ONE, TWO]
    assert_equal_to_postgres(delta)


@pytest.mark.slow
def test_files_of_a_killed_delivery_to_a_parquet_folder_leave(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_two_days(open_context(targets={"parquet": {"path": str(tmp_path / "out")}}))
    delivered(loaded)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    add_an_event(loaded, TWO, "late")
    for where, step in ((parquet_folder, "write_parquet"), (parquet_places, "sync")):
        deliver_and_be_killed(loaded, where, step)
    (tmp_path / f"out/sessions/session_partition={TWO}/1-left.parquet.tmp").touch()  # as of one that was killed by -9
    take_back(loaded, TWO, "late")
    delivered(loaded)
    files = sorted((tmp_path / "out").glob("*/*/*"))
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    named = [file["path"] for file in manifest["tables"]["sessions"]["partitions"].values()]
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == sorted(named)
    assert delivered(loaded) == Delivered(unchanged=[ONE, TWO])


@pytest.mark.slow
def test_the_copy_of_a_killed_delivery_to_a_duckdb_file_leaves(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_two_days(open_context(targets={"duckdb": {"path": str(tmp_path / "a.duckdb")}}))
    delivered(loaded)
    shutil.copy(tmp_path / "a.duckdb", tmp_path / "a.duckdb.next")
    delivered(loaded)
    assert sorted(path.name for path in tmp_path.glob("a.*")) == ["a.duckdb", "a.duckdb.lock"]


@pytest.mark.slow
def test_who_may_read_a_duckdb_file_may_read_the_next_one(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_two_days(open_context(targets={"duckdb": {"path": str(tmp_path / "a.duckdb")}}))
    delivered(loaded)
    for mode in (0o640, 0o440, 0o666):
        (tmp_path / "a.duckdb").chmod(mode)
        add_an_event(loaded, TWO, f"late{mode}")
        delivered(loaded)
        assert stat.S_IMODE((tmp_path / "a.duckdb").stat().st_mode) == mode


@pytest.mark.slow
def test_delta_files_are_kept_for_no_less_than_the_stream_says(
    tmp_path: Path, open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltalake import DeltaTable

    kept = list[int]()
    monkeypatch.setattr(DeltaTable, "vacuum", lambda _, hours, **__: kept.append(hours))
    for keep_for in ("30m", "60m", "61m"):
        loaded = load_two_days(
            open_context(targets={"delta": {"path": str(tmp_path / keep_for), "keep_for": keep_for}})
        )
        delivered(loaded)
    assert kept == [1, 1, 2]
