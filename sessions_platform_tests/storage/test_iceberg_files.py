"""Which files of Iceberg tables are removed, and which are not, however old they are."""

import os
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import PyArrowLocalFileSystem
from pyiceberg.table.statistics import PartitionStatisticsFile, StatisticsFile
from pyiceberg.table.update import SetPartitionStatisticsUpdate, SetStatisticsUpdate

from sessions_platform.contracts.targets import IcebergTarget
from sessions_platform.storage.warehouses.base import Changes, TargetError
from sessions_platform.storage.warehouses.iceberg_leftovers import remove_leftovers
from sessions_platform.storage.warehouses.iceberg_tables import IcebergTables
from sessions_platform_tests.storage.targets import ONE, TWO
from sessions_platform_tests.streams import stream

ROWS = pl.DataFrame({"session_partition": [ONE], "session_id": ["a"]})


def tables_in(path: Path, namespace: str) -> IcebergTables:
    """A target of one small table, of a stream that is called as its namespace."""
    config = IcebergTarget.model_validate({"path": str(path), "namespace": namespace})
    return IcebergTables("iceberg", config, stream(name=namespace), {"sessions": dict(ROWS.schema)})


def deliver(target: IcebergTables, token: int) -> None:
    target.apply(Changes(token, [ONE], lambda *_: iter([ROWS])))


def make_old(path: Path) -> None:
    for file in path.glob("**/*.*"):
        os.utime(file, (0, 0))


@pytest.fixture
def shop(tmp_path: Path) -> IcebergTables:
    """A target to which one delivery was made."""
    target = tables_in(tmp_path, "shop")
    deliver(target, 1)
    return target


def test_no_other_namespace_below_the_same_path_loses_files(shop: IcebergTables, tmp_path: Path) -> None:
    blog = tables_in(tmp_path, "blog")
    deliver(blog, 1)
    make_old(tmp_path)
    deliver(blog, 2)
    assert pl.concat(shop.read("sessions", None)).equals(ROWS)


def test_files_that_are_no_data_and_no_metadata_stay(shop: IcebergTables, tmp_path: Path) -> None:
    (table,) = tmp_path.glob("shop/sessions-*")
    theirs = [tmp_path / "sessions/notes.txt", tmp_path / "shop/notes.txt", table / "notes.txt"]
    for file in theirs:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    make_old(tmp_path)
    deliver(shop, 2)
    assert all(file.exists() for file in theirs)


def test_a_table_that_was_dropped_is_made_in_a_folder_of_its_own(shop: IcebergTables, tmp_path: Path) -> None:
    with shop._catalog() as catalog:
        catalog.drop_table("shop.sessions")
    deliver(shop, 2)
    assert len(list(tmp_path.glob("shop/sessions-*"))) == 2


def test_statistics_that_another_program_has_made_stay(shop: IcebergTables, tmp_path: Path) -> None:
    (folder,) = tmp_path.glob("shop/sessions-*/metadata")
    of_columns, of_partitions = folder / "of-columns.puffin", folder / "of-partitions.parquet"
    of_columns.touch()
    of_partitions.touch()
    with shop._catalog() as catalog:
        table = catalog.load_table("shop.sessions")
        common = {"snapshot-id": table.metadata.snapshots[0].snapshot_id, "file-size-in-bytes": 0}
        puffin = {**common, "statistics-path": str(of_columns), "file-footer-size-in-bytes": 0, "blob-metadata": []}
        columns = StatisticsFile.model_validate(puffin)
        partitions = PartitionStatisticsFile.model_validate({**common, "statistics-path": str(of_partitions)})
        updates = (
            SetStatisticsUpdate.model_validate({"statistics": columns}),
            SetPartitionStatisticsUpdate.model_validate({"partition-statistics": partitions}),
        )
        catalog.commit_table(table, (), updates)
        make_old(tmp_path)
        remove_leftovers(table.refresh(), timedelta(days=7))
    assert of_columns.exists()
    assert of_partitions.exists()


def test_a_file_that_a_twin_has_just_removed_is_no_failure(
    shop: IcebergTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = tmp_path.glob("shop/sessions-*/data")
    left = [folder / f"{name}.parquet" for name in "abc"]
    for file in left:
        file.touch()
    make_old(tmp_path)
    remove = PyArrowLocalFileSystem.delete_file

    def after_a_twin(files: PyArrowLocalFileSystem, path: str) -> None:
        if path == str(left[1]):
            left[1].unlink()
        remove(files, path)

    monkeypatch.setattr(PyArrowLocalFileSystem, "delete_file", after_a_twin)
    deliver(shop, 2)
    assert not any(file.exists() for file in left)


@pytest.mark.parametrize("lost", [CommitFailedException(), FileNotFoundError()])
def test_a_twin_that_forgets_snapshots_meanwhile_is_no_failure(
    shop: IcebergTables, monkeypatch: pytest.MonkeyPatch, lost: Exception
) -> None:
    """Its commit comes before this one's, or the files that this one is about to read have gone."""
    with shop._catalog() as catalog:
        deliver(shop, 2)
        table = catalog.load_table("shop.sessions")
        method = "commit_table" if isinstance(lost, CommitFailedException) else "load_table"

        def fail(*_: object) -> None:
            raise lost

        monkeypatch.setattr(catalog, method, fail)
        remove_leftovers(table, timedelta(microseconds=1))


def test_a_file_is_read_once_the_one_before_it_was(tmp_path: Path) -> None:
    target = tables_in(tmp_path, "shop")
    target.apply(Changes(1, [ONE, TWO], lambda _, day: iter([ROWS.with_columns(session_partition=pl.lit(day))])))
    frames = target.read("sessions", None)
    (first,) = next(frames)["session_partition"].unique()
    for file in tmp_path.glob(f"shop/sessions-*/data/session_partition={TWO if first == ONE else ONE}/*"):
        file.unlink()
    with pytest.raises(TargetError):
        next(frames)
