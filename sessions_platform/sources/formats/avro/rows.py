"""The rows of an Avro file as canonical JSON. Runs in the child process only.

Records are decoded by fastavro; what it makes of each type is in `values`, and what a file consists of in `container`.
"""

import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from fastavro import schemaless_reader

from sessions_platform.sources.formats.avro.container import Block, blocks
from sessions_platform.sources.formats.avro.values import readable_schema
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.json_text import json_row
from sessions_platform.sources.formats.typed.rows import corrupt_unless_outage


def avro_rows(handle: BinaryIO, block_bytes: int, block_rows: int) -> Iterator[list[bytes]]:
    """The rows of an Avro file, each a JSON object in UTF-8 with the fields in the schema's order.

    The values of a union are written without their type. Of a map's keys that occur twice the last counts.

    Args:
        handle: the open file.
        block_bytes: about how many bytes of JSON are returned at once.
        block_rows: how many rows at most.

    Raises:
        CorruptDataError: the rest of the file can't be read; the rows of the whole blocks before were returned.
        MemoryError: a block takes more than the process may have.
        OSError: an outage.
    """
    with corrupt_unless_outage("Avro", Exception):  # fastavro raises nearly anything
        yield from _grouped(_rows_of_blocks(handle), block_bytes, block_rows)


def _rows_of_blocks(handle: BinaryIO) -> Iterator[list[bytes]]:
    schema, readable = None, None
    for block in blocks(handle):
        if block.schema is not schema:
            schema, readable = block.schema, readable_schema(block.schema)
        yield _rows(block, readable)


def _rows(block: Block, schema: Any) -> list[bytes]:
    """All rows of a block, or none: what is left over shows that the ones before are wrong as well."""
    records = io.BytesIO(block.records)
    rows = [_row(records, schema) for _ in range(block.rows)]
    if left := len(block.records) - records.tell():
        raise CorruptDataError(f"the rest of the file is no Avro data: {left} bytes of a block belong to no row")
    return rows


def _row(records: io.BytesIO, schema: Any) -> bytes:
    row = schemaless_reader(records, schema, None, handle_unicode_errors="surrogateescape")
    if not isinstance(row, dict):
        raise CorruptDataError("its values are no records, so that they have no fields")
    return json_row(row)


def _grouped(parts: Iterable[list[bytes]], block_bytes: int, block_rows: int) -> Iterator[list[bytes]]:
    """The same rows in blocks of the size that is asked for, also those in front of an error."""
    group: list[bytes] = []
    size = 0
    try:
        for row in (row for part in parts for row in part):
            group.append(row)
            size += len(row)
            if size >= block_bytes or len(group) >= block_rows:
                yield group
                group, size = [], 0
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group
