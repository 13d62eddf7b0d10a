"""What the lake does with pyarrow, gathered for its import when the first file is read or written.

Here belong footers. Not here: how frames become a file (`parquet_writer.py`), and checksums (`checksums.py`).
"""

from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sessions_platform.storage.lake.checksums import Checksums, column_chunks, seal
from sessions_platform.storage.lake.errors import ChecksumError
from sessions_platform.storage.lake.parquet_writer import read_ranges, write_parquet

__all__ = ["Checksums", "column_chunks", "read_footer", "read_ranges", "row_groups", "seal", "write_parquet"]


def read_footer(file: IO[bytes]) -> pq.FileMetaData:
    """The footer of a file. Raises ChecksumError where there is none that can be read, in a file without checksums."""
    try:
        return pq.read_metadata(file)
    except pa.ArrowException as error:
        raise ChecksumError(f"it can't be read: {error}") from None


def row_groups(footer: pq.FileMetaData, column: str | None, test: Callable[[Any, Any], bool]) -> Iterator[int]:
    """The row groups that pass the test of their least and greatest value, or have no statistics of the column."""
    index = footer.schema.to_arrow_schema().get_field_index(column) if column else 0
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(index).statistics if column else None
        if statistics is None or not statistics.has_min_max or test(statistics.min, statistics.max):
            yield group
