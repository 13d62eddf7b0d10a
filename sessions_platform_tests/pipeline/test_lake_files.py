"""The lake files of each asset, as readers outside see them: plain types, and statistics where reads are narrowed."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.contexts import line
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.streams import DAY_ONE, PLAIN

DAY = "2026-01-01"
STATISTICS = {
    "raw_events": {"source_uri", "position"},
    "events": {"event_timestamp", "source_uri", "position"},
    "rejected_events": set(),
    "sessionized_events": set(),
}


@pytest.fixture
def files(open_context: Callable[..., StreamContext]) -> dict[str, Path]:
    """A file of each asset."""
    columns = {**PLAIN["columns"], "amount": {"type": "float", "nullable": True}}
    context = open_context(columns=columns)
    put(context, "a.ndjson", [line("ann", DAY_ONE, "a", amount=0.0), line("bob", DAY_ONE, "b"), b"broken"], DAY)
    ingest_and_publish(context, DAY)
    refresh(context)
    datasets = {
        "raw_events": context.raw_events([DAY]),
        "events": context.events([DAY]),
        "rejected_events": context.rejected_events([DAY]),
        "sessionized_events": context.sessionized_events([DAY]),
    }
    return {name: folder_of(context.lake) / dataset.partitions[DAY][0].path for name, dataset in datasets.items()}


def test_only_columns_by_which_files_are_read_have_statistics(files: dict[str, Path]) -> None:
    for name, path in files.items():
        footer = pq.read_metadata(path)
        assert footer.num_row_groups == 1, name
        chunks = [footer.row_group(0).column(at) for at in range(footer.num_columns)]
        assert {chunk.path_in_schema for chunk in chunks if chunk.is_stats_set} == STATISTICS[name], name


def test_other_readers_see_plain_types_and_the_same_rows(files: dict[str, Path]) -> None:
    for path in files.values():
        table, rows = pq.read_table(path), pl.read_parquet(path)
        assert not any(isinstance(field.type, pa.DictionaryType | pa.BaseExtensionType) for field in table.schema)
        times = [field.type for field in table.schema if pa.types.is_timestamp(field.type)]
        assert all(of == pa.timestamp("us", "UTC") for of in times)
        assert table.to_pylist() == rows.to_dicts()
        assert not any(str(dtype) == "category" for dtype in table.to_pandas().dtypes)
        with duckdb.connect() as connection:
            found = connection.sql(f"select * from '{path}'")
            assert not any(str(dtype).startswith("ENUM") for dtype in found.types)
            read = found.to_arrow_table()
        assert read is not None
        assert read.to_pylist() == rows.to_dicts()  # moments, whatever their timezone
