"""The rows of Parquet files. Runs in the child process only (`worker`).

Here: how such a file is read as a whole, and which types its writers mean. What is sent of a batch is in `columns`, and
how values become JSON is in `rows`.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from sessions_platform.sources.formats.typed.columns import Rows, blocks
from sessions_platform.sources.formats.typed.rows import corrupt_unless_outage

_BUFFER_BYTES = 1024 * 1024
# Of a column chunk of few values, before compression: for each value, and at most.
_FEW_BYTES, _MOST_BYTES = 4, 16 * 1024 * 1024


def parquet_rows(handle: BinaryIO, block_bytes: int, block_rows: int) -> Iterator[Rows]:
    """The rows of a Parquet file, with its columns in the file's order.

    By pyarrow, which raises an exception for most corrupt files; polars aborts the process.

    Args:
        handle: the open file.
        block_bytes: about how large a block is in the file, decompressed.
        block_rows: how many rows a block has at most.

    Raises:
        CorruptDataError: the rest of the file can't be read; the row groups before it were returned.
        MemoryError: a block takes more than the process may have.
        OSError: an outage.
    """
    with corrupt_unless_outage("Parquet"):
        file = _opened(handle)
        file = _opened(handle, metadata=file.metadata, read_dictionary=_texts_of_few_values(file))
        batch_size = min(_rows_per_block(file.metadata, block_bytes), block_rows)
        types = _meant_types(file)
        for group in range(file.num_row_groups):  # one by one: what breaks one leaves those before it
            for batch in file.iter_batches(batch_size, row_groups=[group]):
                yield from blocks(batch, types, block_bytes, block_rows)


def _opened(handle: BinaryIO, **how: Any) -> pq.ParquetFile:
    return pq.ParquetFile(
        handle,
        pre_buffer=False,
        buffer_size=_BUFFER_BYTES,  # else the whole column of a row group is read at once
        page_checksum_verification=True,
        coerce_int96_timestamp_unit="us",  # nanoseconds would wrap around outside of 1677 to 2262
        **how,
    )


def _texts_of_few_values(file: pq.ParquetFile) -> list[str]:
    """The columns of texts that are worth reading as numbers in a dictionary: in the file they are little else.

    The file does not say directly whether a column chunk has a dictionary for all of its values, but one without takes
    more bytes. Each block has a dictionary of its own, so large ones are not worth it. A wrong guess only costs time.
    """
    texts = {field.name for field in file.schema_arrow if field.type in (pa.string(), pa.large_string())}
    texts -= {name for name in texts if "." in name}  # it may be the path of a value within another column, too
    groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
    return [
        path
        for number in range(len(file.schema))
        if (path := file.schema.column(number).path) in texts
        and _have_few_values([group.column(number) for group in groups])
    ]


def _have_few_values(chunks: list[pq.ColumnChunkMetaData]) -> bool:
    sizes = [chunk.total_uncompressed_size for chunk in chunks]
    has_dictionaries = all(chunk.has_dictionary_page for chunk in chunks) and max(sizes, default=0) <= _MOST_BYTES
    return has_dictionaries and sum(sizes) <= _FEW_BYTES * sum(chunk.num_values for chunk in chunks)


def _rows_per_block(metadata: Any, block_bytes: int) -> int:
    sizes = (metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    bytes_per_row = max(1, sum(sizes) // max(1, metadata.num_rows))
    return max(1, block_bytes // bytes_per_row)


def _meant_types(file: pq.ParquetFile) -> list[pa.DataType]:
    """The types of the file's columns as their writers mean them, where pyarrow reads them as others.

    A time of the physical type INT96 has no zone in the file; Spark, Hive and Impala write UTC. An enumeration is
    text in UTF-8 (parquet-format, "LogicalTypes", ENUM), not bytes.
    """
    leaves = [_meant_type(file.schema.column(number)) for number in range(len(file.schema))]
    if not any(leaves):
        return file.schema_arrow.types
    of_leaves = iter(leaves)
    return [_with_leaves(kind, of_leaves) for kind in file.schema_arrow.types]


def _meant_type(leaf: pq.ColumnSchema) -> pa.DataType | None:
    """None where pyarrow's own is meant."""
    if leaf.physical_type == "INT96":
        return pa.timestamp("us", "UTC")
    return pa.string() if leaf.logical_type.type == "ENUM" else None


def _with_leaves(kind: pa.DataType, leaves: Iterator[pa.DataType | None]) -> pa.DataType:
    """The type with other types of its leaves, of which None leaves one as it is; `leaves` are in the file's order."""
    if isinstance(kind, pa.BaseExtensionType):
        _with_leaves(kind.storage_type, leaves)
        return kind
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_leaves(field.type, leaves)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_with_leaves(kind.key_type, leaves), _with_leaves(kind.item_type, leaves))
    if pa.types.is_list(kind):
        return pa.list_(_with_leaves(kind.value_type, leaves))
    return next(leaves) or kind
