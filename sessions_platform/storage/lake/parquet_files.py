"""What the lake does with pyarrow and polars, gathered for their import when the first file is read or written.

Here belong footers, and files as frames. Not here: older contracts (`conform.py`), how frames become a file
(`parquet_writer.py`), and checksums (`checksums.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from sessions_platform.contracts.raw_events import fields_among
from sessions_platform.storage.lake.checksums import Checksums, column_chunks, seal
from sessions_platform.storage.lake.conform import conformed
from sessions_platform.storage.lake.errors import ChecksumError
from sessions_platform.storage.lake.parquet_writer import read_ranges, write_parquet
from sessions_platform.storage.lake.prefetch import prefetch

__all__ = [
    "Checksums",
    "column_chunks",
    "concatenated",
    "conformed",
    "fields_among",
    "read_footer",
    "read_ranges",
    "read_schema",
    "row_groups",
    "scan",
    "scan_blocks",
    "seal",
    "write_parquet",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def scan(sources: Sequence[Any]) -> pl.LazyFrame:
    """The rows of files of the same columns, in order; the sources are all of one type."""
    return pl.scan_parquet(list(sources), glob=False)


def scan_blocks(
    blocks: Callable[[Mapping[str, pl.DataType]], Iterator[pl.DataFrame]], schema: Mapping[str, pl.DataType]
) -> pl.LazyFrame:
    """The rows of blocks that are read whenever the frame is collected, with the columns that are needed then.

    Args:
        blocks: reads them; the frames have these columns in order. Its errors are those of `collect`.
        schema: the columns of the frame, in order.
    """

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, most_rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = schema if columns is None else {name: schema[name] for name in columns}
        with closing(prefetch(blocks(wanted))) as read_ahead:
            for block in read_ahead:
                rows = block.head(most_rows) if most_rows is not None else block
                yield rows if predicate is None else rows.filter(predicate)
                if most_rows is not None and (most_rows := most_rows - rows.height) <= 0:
                    return

    return register_io_source(read, schema=dict(schema))


def concatenated(frames: Sequence[pl.LazyFrame], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The rows of all frames; an empty frame of the schema where there is none."""
    return pl.concat(frames) if frames else pl.LazyFrame(schema=dict(schema))


def read_schema(path: Path) -> Mapping[str, pl.DataType]:
    """The columns of a file. Raises ChecksumError where they can't be read, in a file without checksums."""
    try:
        with path.open("rb") as file:
            return pl.read_parquet_schema(file)
    except pl.exceptions.ComputeError as error:
        raise ChecksumError(f"it can't be read: {error}") from None


def read_footer(path: Path) -> pq.FileMetaData:
    """The footer of a file. Raises ChecksumError where there is none that can be read, in a file without checksums."""
    try:
        with path.open("rb") as file:
            return pq.read_metadata(file)
    except pa.ArrowException as error:
        raise ChecksumError(f"it can't be read: {error}") from None


def row_groups(footer: pq.FileMetaData, column: str | None, test: Callable[[Any, Any], bool]) -> Iterator[int]:
    """The row groups that pass the test of their least and greatest value, or have no statistics of the column."""
    schema = footer.schema.to_arrow_schema()
    index = schema.get_field_index(column) if column else 0
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(index).statistics if column else None
        if statistics is None or not statistics.has_min_max or test(*_bounds(statistics, schema.field(index).type)):
            yield group


def _bounds(statistics: pq.Statistics, kind: pa.DataType) -> tuple[Any, Any]:
    """The least and greatest value. For a time, pyarrow's own properties import pandas, which takes half a second."""
    if pa.types.is_timestamp(kind) and kind.unit == "us" and kind.tz == "UTC":
        return _time(statistics.min_raw), _time(statistics.max_raw)
    return statistics.min, statistics.max


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
