"""What is peculiar to Iceberg tables as a target: one snapshot a delivery, its catalog, and the files it leaves."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import polars as pl
import pytest
from psycopg.sql import SQL, Identifier
from pyiceberg.catalog.sql import SqlCatalog

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import IcebergTarget
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.base import Changes, LaterDeliveryError, TargetError
from sessions_platform.storage.warehouses.iceberg_leftovers import remove_leftovers
from sessions_platform.storage.warehouses.iceberg_tables import IcebergTables
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.storage.targets import (
    BOTH_TABLES,
    ONE,
    RUN,
    TWO,
    add_an_event,
    assert_equal_to_postgres,
    in_target,
    load_with,
    the_target,
)
from sessions_platform_tests.streams import PLAIN

__all__ = ["context", "open_context"]

pytestmark = pytest.mark.slow


@pytest.fixture
def loaded(open_context: Callable[..., StreamContext], tmp_path: Path) -> StreamContext:
    return load_with(open_context, "iceberg", tmp_path / "out")


def delivered(context: StreamContext, **options: Any) -> Delivered:
    return deliver(context, the_target(context), RUN, **options)


def catalog(tmp_path: Path) -> SqlCatalog:
    return SqlCatalog("sessions_platform", uri=f"sqlite:///{tmp_path / 'out/catalog.db'}")


def test_a_delivery_is_one_snapshot_and_leaves_other_partitions_alone(loaded: StreamContext, tmp_path: Path) -> None:
    delivered(loaded)
    add_an_event(loaded, TWO, "late")
    delivered(loaded)
    table = catalog(tmp_path).load_table("default.sessions")
    assert [snapshot.summary.operation.value for snapshot in table.snapshots() if snapshot.summary] == [
        "append",
        "overwrite",
    ]
    before, after = (
        {task.file.partition[0]: task.file.file_path for task in table.scan(snapshot_id=one.snapshot_id).plan_files()}
        for one in table.snapshots()
    )
    assert before[ONE] == after[ONE]
    assert before[TWO] != after[TWO]


def test_an_older_delivery_that_is_overtaken_at_its_commit_is_refused(
    loaded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the other one has changed another partition: the library alone would make its commit again."""
    target, newer = the_target(loaded), the_target(loaded)
    first, second = (loaded.ledger.begin_delivery("iceberg") for _ in range(2))
    none = pl.DataFrame(schema=target.tables["sessions"])
    commit, done = SqlCatalog.commit_table, list[bool]()

    def overtaken(*arguments: Any, **keys: Any) -> Any:
        if not done and "sessions_platform.token" in str(arguments):
            done.append(True)
            newer.apply(Changes(second, [TWO], lambda *_: iter([none])))
        return commit(*arguments, **keys)

    monkeypatch.setattr(SqlCatalog, "commit_table", overtaken)
    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], lambda *_: iter([none])))
    assert done
    assert target.token() == second


def test_files_that_no_snapshot_needs_leave_once_they_are_old(loaded: StreamContext, tmp_path: Path) -> None:
    delivered(loaded)
    (folder,) = (tmp_path / "out/default").glob("sessions-*")
    left = folder / f"data/session_partition={ONE}/of-a-killed-delivery.parquet"
    left.write_bytes(b"")
    add_an_event(loaded, ONE, "late")
    delivered(loaded)
    assert left.exists()  # it may be of a commit that is about to be made
    for file in folder.glob("**/*.*"):
        os.utime(file, (0, 0))
    table = catalog(tmp_path).load_table("default.sessions")
    remove_leftovers(table, timedelta(microseconds=1))
    assert len(table.refresh().snapshots()) == 1
    assert len(list((folder / "data").glob("**/*.parquet"))) == 2
    assert not left.exists()
    assert_equal_to_postgres(loaded)
    add_an_event(loaded, TWO, "later")
    assert delivered(loaded).applied == [TWO]
    assert_equal_to_postgres(loaded)


def test_the_catalog_may_be_in_postgres(
    open_context: Callable[..., StreamContext],
    administrator: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own: dict[str, Any] = {"catalog": {"env": "CATALOG_URL"}, "tables": BOTH_TABLES, "namespace": "shop"}
    loaded = load_with(open_context, "iceberg", tmp_path / "out", **own)
    with administrator.transaction() as connection:
        schema = f"catalog_{loaded.stream.name}"
        connection.execute(SQL("create schema {}").format(Identifier(schema)))
        info = connection.info
        user, database = info.user, info.dbname
        where = {"host": info.host, "port": info.port, "options": f"-c search_path={schema}"}
    monkeypatch.setenv("CATALOG_URL", f"postgresql://{user}@/{database}?{urlencode(where)}")
    assert delivered(loaded).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)
    assert not (tmp_path / "out/catalog.db").exists()
    target = the_target(loaded)
    moved = IcebergTarget.model_validate({"path": str(tmp_path / "other"), **own})
    with pytest.raises(TargetError, match=r"shop\.sessions is in .*out/shop/sessions-\w+\. Fix: name that path"):
        IcebergTables("iceberg", moved, loaded.stream, target.tables).token()


def test_a_catalog_that_is_down_is_a_sentence_without_its_password(
    open_context: Callable[..., StreamContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_with(open_context, "iceberg", tmp_path / "out", catalog={"env": "CATALOG_URL"})
    for url in ("postgresql://me:s3cr3t@127.0.0.1:1/none", "s3cr3t"):
        monkeypatch.setenv("CATALOG_URL", url)
        with pytest.raises(
            TargetError, match=r"the catalog says .*Fix: see whether the catalog's database is up"
        ) as no:
            delivered(loaded)
        assert "s3cr3t" not in str(no.value)


def test_a_table_of_another_program_is_left_alone(loaded: StreamContext, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    theirs = catalog(tmp_path)
    theirs.create_namespace("default")
    theirs.create_table("default.sessions", pl.DataFrame({"a": [1]}).to_arrow().schema, str(tmp_path / "theirs"))
    with pytest.raises(TargetError, match=r"default\.sessions is a table of another program\. Fix: name another name"):
        delivered(loaded)


def test_tables_in_an_object_store_need_a_catalog() -> None:
    keys = {**PLAIN, "targets": {"iceberg": {"path": "s3://lake/shop"}}}
    with pytest.raises(ValueError, match="tables in an object store need a catalog"):
        Stream.model_validate(keys)


def test_rows_that_somebody_has_appended_are_found_and_removed(loaded: StreamContext, tmp_path: Path) -> None:
    delivered(loaded)
    table = catalog(tmp_path).load_table("default.sessions")
    rows = table.scan().to_arrow()
    table.append(rows)
    assert in_target(the_target(loaded)).height == 2 * rows.num_rows
    assert delivered(loaded, verify=True).differing == [ONE, TWO]
    assert_equal_to_postgres(loaded)
