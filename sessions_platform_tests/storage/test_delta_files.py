"""The data files of Delta tables: when they are written and read, what a commit says of them, and which are removed."""

import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from sessions_platform.contracts.targets import DeltaTarget
from sessions_platform.storage.warehouses import delta_files
from sessions_platform.storage.warehouses.base import Changes, TargetError
from sessions_platform.storage.warehouses.delta_tables import DeltaTables
from sessions_platform_tests.storage.targets import ONE, TWO
from sessions_platform_tests.streams import stream

LAST = "\U0010ffff"
ROWS = pl.DataFrame(
    {
        "session_partition": [ONE] * 4,
        "session_id": ["a", "a" + LAST * 70, "z" * 70, None],
        "start": [datetime(1890, 1, 1, 0, 0, 0, 999, UTC), None, datetime(2026, 1, 1, 5, 0, 0, 123456, UTC), None],
        "count": [-(2**63), 2**63 - 1, None, 0],
        "amount": [float("nan"), 2.5, -0.0, None],
        "is_new": [True, False, None, None],
        "page": ["p" * 10_000, LAST * 70, None, ""],
        "nothing": pl.Series([None] * 4, dtype=pl.String),
    }
)


def target(path: Path) -> DeltaTables:
    config = DeltaTarget.model_validate({"path": str(path)})
    return DeltaTables("delta", config, stream(), {"sessions": dict(ROWS.schema)})


def rows_of(_: str, partition: str) -> Iterator[pl.DataFrame]:
    yield ROWS.with_columns(session_partition=pl.lit(partition))


def files(path: Path, partition: str) -> list[Path]:
    return list(path.glob(f"sessions/session_partition={partition}/*.parquet"))


def test_a_partition_is_on_the_disk_before_the_next_one_is_made(tmp_path: Path) -> None:
    """So that not all of them are in memory."""

    def rows(table: str, partition: str) -> Iterator[pl.DataFrame]:
        if partition == TWO:
            assert files(tmp_path, ONE)
        yield from rows_of(table, partition)

    target(tmp_path).apply(Changes(1, [ONE, TWO], rows))
    assert files(tmp_path, TWO)


def test_a_file_is_read_once_the_one_before_it_was(tmp_path: Path) -> None:
    delta = target(tmp_path)
    delta.apply(Changes(1, [ONE, TWO], rows_of))
    frames = delta.read("sessions", None)
    (first,) = next(frames)["session_partition"].unique()
    for file in files(tmp_path, TWO if first == ONE else ONE):
        file.unlink()
    with pytest.raises(TargetError):
        next(frames)


@pytest.mark.parametrize("greatest", [2.5, math.inf])
def test_a_row_is_found_by_each_of_its_values(tmp_path: Path, greatest: float) -> None:
    """Readers pass over files by the bounds of their columns; JSON has none for infinity."""
    rows = ROWS.with_columns(pl.col("amount").replace(2.5, greatest), session_partition=pl.lit(ONE))
    target(tmp_path).apply(Changes(1, [ONE], lambda *_: iter([rows])))
    table = DeltaTable(tmp_path / "sessions").to_pyarrow_dataset()
    for name, values in rows.to_dict(as_series=False).items():
        for value in values:
            is_nan = isinstance(value, float) and math.isnan(value)
            wanted = pc.field(name).is_null(nan_is_null=is_nan) if value is None or is_nan else pc.field(name) == value
            assert table.count_rows(filter=wanted), (name, value)


def test_large_partitions_have_several_files_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_platform.storage.warehouses.delta_tables._ROWS_AT_ONCE", ROWS.height)
    monkeypatch.setattr(delta_files, "_TABLES_IN_A_FILE", 2)
    delta = target(tmp_path)
    delta.apply(Changes(1, [ONE], lambda *_: iter([ROWS] * 5)))
    assert len(files(tmp_path, ONE)) == 3
    assert pl.concat(delta.read("sessions", None)).sort("count").equals(pl.concat([ROWS] * 5).sort("count"))


def test_files_of_a_killed_delivery_are_removed_once_they_are_old(tmp_path: Path) -> None:
    delta = target(tmp_path)
    delta.apply(Changes(1, [ONE], rows_of))
    old, new = (tmp_path / f"sessions/session_partition={ONE}/{name}.parquet" for name in ("old", "new"))
    for file in (old, new):
        file.touch()
    os.utime(old, (0, 0))
    delta.apply(Changes(2, [TWO], rows_of))
    assert not old.exists()
    assert new.exists()  # it may be of a commit that is about to be made
