"""Rows that are kept in memory up to a bound, and beyond it in a temporary file, until they are read back.

Here: rows of one computation, by bucket, in the order in which they were added. The file lies in the scratch folder,
which is not the lake's, and is gone when the process ends. Not here: files that outlast a computation (`lake.py`).
"""

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import IO, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from sessions_platform.settings import make_private_folder

# Rows that are sorted into buckets at once exist several times meanwhile.
_MAX_SORTED_BYTES = 48 * 1024 * 1024
# How many times the bytes of its rows a frame's buffers may have and still be kept as they are.
_MAX_BUFFER_RATIO = 2


class _Batch(NamedTuple):
    """Where a record batch lies in the file, and how many rows it has."""

    offset: int
    length: int
    rows: int


class Spill:
    """Rows in buckets, in the order in which they were added: in memory up to a bound, beyond that on the disk.

    The file on the disk has no name, so a process that dies leaves nothing behind. All rows are added first, and read
    afterwards, as often as needed.

    Args:
        folder: for the temporary file; made when the first is needed.
        schema: the columns that are kept, in order.
        chunk_bytes: how many bytes, as polars estimates them, are kept in memory before they are written.
        buckets: how many there are.
        by: an unsigned integer of each row; rows with the same one share a bucket. Without it there is one bucket.
        most_in_memory: how many bytes stay in memory before the first is written, if not `chunk_bytes`.
    """

    def __init__(
        self,
        folder: Path,
        schema: Mapping[str, pl.DataType],
        chunk_bytes: int,
        buckets: int = 1,
        by: pl.Expr | None = None,
        *,
        most_in_memory: int | None = None,
    ) -> None:
        self.rows = 0
        self.bytes = 0  # of all rows in memory, as polars estimates it
        self.buckets = buckets if by is not None else 1
        self._folder = folder
        self._schema = dict(schema)
        self._chunk_bytes = min(chunk_bytes, _MAX_SORTED_BYTES) if buckets > 1 and by is not None else chunk_bytes
        self._most_in_memory = most_in_memory or self._chunk_bytes
        self._bucket = (pl.lit(0) if by is None else by) % self.buckets
        self._in_memory: list[pl.DataFrame] = []
        self._bytes_in_memory = 0
        self._writing_rest = Lock()
        self._written: list[list[_Batch]] = []  # for each chunk on the disk the batch of each bucket

    def add(self, frame: pl.DataFrame) -> None:
        """Keep the rows of a frame that has at least the columns of the schema, with these types."""
        if frame.is_empty():
            return
        size = int(frame.estimated_size())
        self.rows, self.bytes = self.rows + frame.height, self.bytes + size
        rows = frame.select(*self._schema)
        if self._written and self.buckets == 1:  # keeping it in memory first would only copy it twice more
            self._write(rows, [rows.height])
            return
        rows, held = _without_shared_buffers(rows, size)
        self._in_memory.append(rows)
        self._bytes_in_memory += held
        if self._bytes_in_memory > (self._chunk_bytes if self._written else self._most_in_memory):
            self._write_memory()

    @property
    def is_in_memory(self) -> bool:
        """Whether nothing has been written to the disk."""
        return not self._written

    def bucket(self, number: int) -> pl.DataFrame:
        """All rows of one bucket. Several threads may each read one."""
        batches = list(self._read_batches(number))
        from_disk = [self._as_frame(batches)] if batches else []
        from_memory = [self._rows_in_memory(number)] if self._in_memory else []
        return pl.concat([pl.DataFrame(schema=self._schema), *from_disk, *from_memory], rechunk=True)

    def take(self) -> pl.DataFrame:
        """All rows of a single bucket in one chunk, which the spill no longer has afterwards.

        Each column is copied by itself, so that not all of the rows exist twice meanwhile.
        """
        if not self.is_in_memory:
            rows, self._written, self._in_memory = self.bucket(0), [], []
            return rows
        frames, self._in_memory, self._bytes_in_memory = self._in_memory, [], 0
        columns = [pl.Series(name, dtype=dtype) for name, dtype in self._schema.items()]
        for at, column in enumerate(columns):
            columns[at] = pl.concat([column, *(frame[column.name] for frame in frames)], rechunk=True)
            frames = [frame.drop(column.name) for frame in frames]
        return pl.DataFrame(columns)

    def chunks(self) -> Iterator[pl.DataFrame]:
        """All rows, one bucket after the other, in frames of one chunk or less."""
        for number in range(self.buckets):
            yield from (self._as_frame([batch]) for batch in self._read_batches(number))
            if self._in_memory:
                yield self._rows_in_memory(number)

    def _read_batches(self, number: int) -> Iterator[pa.RecordBatch]:
        """A bucket's rows from the disk. Once anything is there, the rest is written too before reading begins."""
        with self._writing_rest:
            if self._written and self._in_memory:
                self._write_memory()
        for batches in self._written:
            offset, length, rows = batches[number]
            if rows:
                yield pa.ipc.read_record_batch(self._read(offset, length), self._arrow_schema)

    def _read(self, offset: int, length: int) -> pa.Buffer:
        """Bytes of the file, by as many system calls as it takes: Linux returns two gigabytes at most for one."""
        buffer = pa.allocate_buffer(length)
        unread = memoryview(buffer)
        while unread:
            count = os.preadv(self._file.fileno(), [unread], offset + length - len(unread))
            if not count:
                raise EOFError(f"{self._folder}: the rows in a temporary file are no longer there")
            unread = unread[count:]
        return buffer

    def _as_frame(self, batches: list[pa.RecordBatch]) -> pl.DataFrame:
        table = pa.Table.from_batches(batches, self._arrow_schema)
        return pl.DataFrame(pl.from_arrow(table)).cast(pl.Schema(self._schema))

    def _write_memory(self) -> None:
        """Write the rows that are in memory, those of each bucket together."""
        if self.buckets == 1:
            frames, self._in_memory, self._bytes_in_memory = self._in_memory, [], 0
            for frame in frames:
                self._write(frame, [frame.height])
            return
        # Rechunked first: rows of several chunks are gathered ten times as slowly.
        rows, self._in_memory, self._bytes_in_memory = pl.concat(self._in_memory).rechunk(), [], 0
        bucket = self._bucket_of(rows)
        rows = rows[np.argsort(bucket, kind="stable")]
        self._write(rows, np.cumsum(np.bincount(bucket, minlength=self.buckets)).tolist())

    def _write(self, rows: pl.DataFrame, ends: list[int]) -> None:
        """Write one record batch for each bucket; `ends` has the row after its last."""
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        (all_rows,) = table.combine_chunks().to_batches()
        self._arrow_schema = table.schema
        batches: list[_Batch] = []
        for start, end in pairwise([0, *ends]):
            offset, part = self._file.tell(), all_rows.slice(start, end - start)
            batches.append(_Batch(offset, self._file.write(part.serialize()), part.num_rows))
        self._written.append(batches)
        self._file.flush()

    @cached_property
    def _file(self) -> IO[bytes]:
        make_private_folder(self._folder)
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  closed with the spill
        weakref.finalize(self, file.close)
        return file

    def _rows_in_memory(self, number: int) -> pl.DataFrame:
        rows = pl.concat(self._in_memory)
        return rows if self.buckets == 1 else rows.filter(pl.Series(self._bucket_of(rows) == number))

    def _bucket_of(self, frame: pl.DataFrame) -> np.ndarray:
        """The number of each row's bucket; of 16 bits where that is enough, because numpy radix-sorts these."""
        dtype = pl.UInt16() if self.buckets <= 1 << 16 else pl.UInt32()
        return frame.select(self._bucket.cast(dtype)).to_series().to_numpy()


def _without_shared_buffers(frame: pl.DataFrame, size: int) -> tuple[pl.DataFrame, int]:
    """The same rows, copied if they are a small part of buffers that they share with others; and their size.

    Otherwise those buffers, with the texts of rows that are not in the spill, would stay in memory.
    """
    held = frame.to_arrow(compat_level=pl.CompatLevel.newest()).get_total_buffer_size()
    if held <= _MAX_BUFFER_RATIO * size:
        return frame, held
    return pl.DataFrame(pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest())), schema=frame.schema), size
