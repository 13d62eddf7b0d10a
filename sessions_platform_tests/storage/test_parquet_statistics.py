"""Only the columns by which files are read have statistics, and nothing else of a file differs for it."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.polars_types import REASONS, UTC_MICROSECONDS
from sessions_platform.storage.lake import parquet_writer
from sessions_platform.storage.lake.parquet_statistics import keep_statistics
from sessions_platform_tests.lakes import folder_of, local_lake

NAN, INFINITE = float("nan"), float("inf")
TYPES: list[pl.DataType] = [
    pl.Int64(),
    pl.Float64(),
    pl.String(),
    pl.Boolean(),
    pl.Binary(),
    UTC_MICROSECONDS,
    pl.List(pl.Float64()),
    REASONS,
]
columns = st.lists(st.tuples(st.sampled_from(TYPES), st.booleans()), min_size=1, max_size=40)


def written(path: Path, frame: pl.DataFrame) -> Path:
    frame.write_parquet(path, row_group_size=2)
    return path


def described(path: Path) -> list[dict[str, Any]]:
    """All that a footer says about column chunks but for their statistics."""
    footer = pq.read_metadata(path).to_dict()
    chunks = [chunk for group in footer["row_groups"] for chunk in group["columns"]]
    return [
        {name: value for name, value in chunk.items() if name not in ("statistics", "is_stats_set")} for chunk in chunks
    ]


def with_statistics(path: Path) -> set[str]:
    footer = pq.read_metadata(path)
    chunks = [
        footer.row_group(group).column(at) for group in range(footer.num_row_groups) for at in range(footer.num_columns)
    ]
    return {chunk.path_in_schema.split(".")[0] for chunk in chunks if chunk.is_stats_set}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(columns, st.integers(0, 40))
def test_other_columns_lose_their_statistics_and_nothing_else_changes(
    tmp_path: Path, drawn: list[tuple[pl.DataType, bool]], rows: int
) -> None:
    schema = {f"column {at}": dtype for at, (dtype, _) in enumerate(drawn)}
    frame = pl.DataFrame({name: [None] * rows for name in schema}, schema=schema).with_columns(
        pl.int_range(rows).cast(dtype).alias(name)
        for name, dtype in schema.items()
        if not dtype.is_nested() and dtype not in (pl.Binary, pl.Boolean)
    )
    path = written(tmp_path / "file.parquet", frame)
    before, had = described(path), with_statistics(path)
    kept = {f"column {at}" for at, (_, keep) in enumerate(drawn) if keep}
    keep_statistics(path, kept)
    assert with_statistics(path) == had & kept
    assert described(path) == before
    assert pl.read_parquet(path).equals(frame)
    assert pq.read_table(path).num_rows == rows


def test_the_rows_of_a_lake_file_that_other_readers_ask_for_are_all_found(tmp_path: Path) -> None:
    """With statistics, DuckDB leaves out NaN, and pyarrow the rows of a row group that has no other value than zero."""
    lake = local_lake(tmp_path)
    rows = pl.DataFrame({"position": range(4), "amount": [0.0, 0.0, 1.0, NAN]}, schema_overrides={"position": pl.Int64})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_writer, "ROW_GROUP_ROWS", 2)
        path = folder_of(lake) / lake.write("a", [rows], dict(rows.schema)).path
    assert with_statistics(path) == {"position"}
    found = duckdb.connect().execute(f"select position from '{path}' where amount > 2").fetchall()
    assert found == [(3,)]
    assert pq.read_table(path, filters=[("amount", "in", [0.0])])["position"].to_pylist() == [0, 1]
