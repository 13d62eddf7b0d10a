"""Parquet, Arrow, ORC and Avro: a record is a row of the file, as canonical JSON.

Rows are read in a child process (`reader_process`). How their values become JSON is in `rows`, and many at once in
`payloads`. They are not parts of a text: they have no terminators, and the bytes of the file are not kept.
"""

from collections.abc import Iterator

import polars as pl

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.raw_events import FIELD, JSON_FIELD
from sessions_platform.sources.formats.base import Content, Decoder, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.json_objects import json_object
from sessions_platform.sources.formats.typed.reader_process import ParquetProcess, SentColumns

# Of a block: each row is a Python object until it is in a Series.
_BLOCK_ROWS = 64 * 1024


class ParquetFormat:
    """Parquet, which has no options: a file says itself how it is encoded."""

    name = "parquet"

    def __init__(self, options: FormatOptions | None = None) -> None:  # noqa: ARG002  every format is made with them
        self._process = ParquetProcess(file_format=self.name)

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The rows of the file, without terminators; as fields where they are sent as columns."""
        remaining = content.max_bytes
        self._process.start()  # while the file is hashed
        for rows in self._process.rows(content.file(), block_bytes, _BLOCK_ROWS):
            block = block_of(rows)
            yield block
            remaining -= int((block.payloads if block.fields is None else block.fields).estimated_size())
            if remaining < 0:
                raise CorruptDataError(f"it unpacks to more than max_unpacked, {content.max_bytes} bytes")

    def decoder(self) -> Decoder:
        """A function from a row's JSON to its fields."""
        return lambda payload, _: json_object(payload)


def block_of(rows: list[bytes] | SentColumns) -> RecordBlock:
    """The rows that the child has sent, as they are, or as fields."""
    if isinstance(rows, list):
        return RecordBlock(pl.Series(rows, dtype=pl.Binary), None)
    import pyarrow as pa  # takes longer than all that a command does which reads no file

    columns = pl.DataFrame(pa.ipc.open_stream(pa.py_buffer(rows.stream)).read_all())  # polars copies to read a stream
    columns = columns.with_columns(pl.col(pl.Null).cast(pl.String))
    columns.columns = [
        f"{JSON_FIELD if is_json else FIELD}{name}" for name, is_json in zip(rows.names, rows.as_json, strict=True)
    ]
    nothing = pl.Series("payload", [None], pl.Binary).new_from_index(0, columns.height)
    return RecordBlock(nothing, None, fields=columns)


class ArrowFormat(ParquetFormat):
    """Arrow IPC, as a stream or as a file (Feather), told by its first bytes."""

    name = "arrow"


class OrcFormat(ParquetFormat):
    """ORC, whose `timestamp` is the local time of its writer."""

    name = "orc"


class AvroFormat(ParquetFormat):
    """Avro's object container files, each with the schema of its writer."""

    name = "avro"
