"""Parquet, Arrow, ORC and Avro: a record is a row of the file, as canonical JSON.

Rows are read in a child process (see `reader_process`; `rows` for how values become JSON, `arrow_and_orc` for Arrow and
ORC, and `sources.formats.avro` for Avro). They are not parts of a text: they have no terminators, and the bytes of the
file are not kept.
"""

from collections.abc import Iterator

import polars as pl

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Content, Decoder, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.json_objects import json_object
from sessions_platform.sources.formats.typed.reader_process import ParquetProcess

# Of a block: each row is a Python object until it is in a Series.
_BLOCK_ROWS = 64 * 1024


class ParquetFormat:
    """Parquet, which has no options: a file says itself how it is encoded."""

    name = "parquet"

    def __init__(self, options: FormatOptions | None = None) -> None:  # noqa: ARG002  every format is made with them
        self._process = ParquetProcess(file_format=self.name)

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The rows of the file, without terminators."""
        remaining = content.max_bytes
        for payloads in self._process.rows(content.file(), block_bytes, _BLOCK_ROWS):
            yield RecordBlock(pl.Series(payloads, dtype=pl.Binary), None)
            remaining -= sum(map(len, payloads))
            if remaining < 0:
                raise CorruptDataError(f"it unpacks to more than max_unpacked, {content.max_bytes} bytes")

    def decoder(self) -> Decoder:
        """A function from a row's JSON to its fields."""
        return lambda payload, _: json_object(payload)


class ArrowFormat(ParquetFormat):
    """Arrow IPC, as a stream or as a file (Feather), told by its first bytes."""

    name = "arrow"


class OrcFormat(ParquetFormat):
    """ORC, whose `timestamp` is the local time of its writer."""

    name = "orc"


class AvroFormat(ParquetFormat):
    """Avro's object container files, each with the schema of its writer."""

    name = "avro"
