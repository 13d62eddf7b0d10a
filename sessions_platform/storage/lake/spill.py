"""Rows put aside while there come more than may be held."""

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

# What is dealt out at once is there several times over.
_MOST_BYTES_AT_ONCE = 48 * 1024 * 1024
# How often more than a frame needs it may keep.
_MOST_KEPT = 2


class _Place(NamedTuple):
    """Where a record batch stands in the file, and how many rows it has."""

    offset: int
    length: int
    rows: int


class Spill:
    """Rows in the order in which they came, in buckets, in memory up to `chunk_bytes` and beyond on the disk.

    `by` tells an unsigned integer of each row: rows of which it is equal share a bucket; without it there is
    one bucket. What is on the disk has no name there, so that nothing is left behind by a process that dies.
    Rows are added first and taken then, as often as one likes.
    """

    def __init__(
        self,
        folder: Path,
        schema: Mapping[str, pl.DataType],
        chunk_bytes: int,
        buckets: int = 1,
        by: pl.Expr | None = None,
    ) -> None:
        self.rows = 0
        self.bytes = 0  # in memory, as polars estimates it
        self.buckets = buckets if by is not None else 1
        self._folder = folder
        self._schema = dict(schema)
        self._chunk_bytes = min(chunk_bytes, _MOST_BYTES_AT_ONCE) if buckets > 1 and by is not None else chunk_bytes
        self._bucket = (pl.lit(0) if by is None else by) % self.buckets
        self._held: list[pl.DataFrame] = []
        self._held_bytes = 0
        self._finishing = Lock()
        self._places: list[list[_Place]] = []  # of each chunk on the disk: where its buckets are

    def add(self, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        size = int(frame.estimated_size())
        self.rows, self.bytes = self.rows + frame.height, self.bytes + size
        rows = frame.select(*self._schema)
        if self._places and self.buckets == 1:  # to hold it first would only copy it twice more
            self._put(rows, [rows.height])
            return
        self._held.append(_by_itself(rows, size))
        self._held_bytes += size
        if self._held_bytes > self._chunk_bytes:
            self._write()

    @property
    def is_held(self) -> bool:
        """Whether all of it is in memory still."""
        return not self._places

    def bucket(self, number: int) -> pl.DataFrame:
        """All rows of one bucket. Several threads may ask for one each."""
        batches = list(self._written(number))
        written = [self._as_frame(batches)] if batches else []
        held = [self._held_of(number)] if self._held else []
        return pl.concat([pl.DataFrame(schema=self._schema), *written, *held], rechunk=True)

    def chunks(self) -> Iterator[pl.DataFrame]:
        """All rows, one bucket after the other, each in frames of a chunk at most."""
        for number in range(self.buckets):
            yield from (self._as_frame([batch]) for batch in self._written(number))
            if self._held:
                yield self._held_of(number)

    def _written(self, number: int) -> Iterator[pa.RecordBatch]:
        """What is on the disk of one bucket. Where anything is, nothing is held any more."""
        with self._finishing:
            if self._places and self._held:
                self._write()
        for places in self._places:
            offset, length, rows = places[number]
            if rows:
                yield pa.ipc.read_record_batch(self._read(offset, length), self._layout)

    def _read(self, offset: int, length: int) -> pa.Buffer:
        """These bytes of the file. The system gives two gigabytes at a time at most."""
        buffer = pa.allocate_buffer(length)
        free = memoryview(buffer)
        while free:
            taken = os.preadv(self._file.fileno(), [free], offset + length - len(free))
            if not taken:
                raise EOFError(f"{self._folder}: the rows that were put aside are no longer there")
            free = free[taken:]
        return buffer

    def _as_frame(self, batches: list[pa.RecordBatch]) -> pl.DataFrame:
        table = pa.Table.from_batches(batches, self._layout)
        return pl.DataFrame(pl.from_arrow(table)).cast(pl.Schema(self._schema))

    def _write(self) -> None:
        """Write what is held: one record batch a bucket."""
        # In one piece first: rows of several are gathered ten times as slowly.
        held, self._held, self._held_bytes = pl.concat(self._held).rechunk(), [], 0
        ends = [held.height]
        if self.buckets > 1:
            bucket = self._bucket_of(held)
            held = held[np.argsort(bucket, kind="stable")]
            ends = np.cumsum(np.bincount(bucket, minlength=self.buckets)).tolist()
        self._put(held, ends)

    def _put(self, rows: pl.DataFrame, ends: list[int]) -> None:
        """Write rows, of which those of a bucket end here, each as one record batch."""
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        (batch,) = table.combine_chunks().to_batches()
        self._layout = table.schema
        self._places.append([self._place_of(batch.slice(start, end - start)) for start, end in pairwise([0, *ends])])
        self._file.flush()

    def _place_of(self, batch: pa.RecordBatch) -> _Place:
        offset = self._file.tell()
        return _Place(offset, self._file.write(batch.serialize()), batch.num_rows)

    @cached_property
    def _file(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  closed with the spill
        weakref.finalize(self, file.close)
        return file

    def _held_of(self, number: int) -> pl.DataFrame:
        held = pl.concat(self._held)
        return held if self.buckets == 1 else held.filter(pl.Series(self._bucket_of(held) == number))

    def _bucket_of(self, frame: pl.DataFrame) -> np.ndarray:
        """The number of each row's bucket; numbers of 16 bits are sorted by radix."""
        dtype = pl.UInt16() if self.buckets <= 1 << 16 else pl.UInt32()
        return frame.select(self._bucket.cast(dtype)).to_series().to_numpy()


def _by_itself(frame: pl.DataFrame, size: int) -> pl.DataFrame:
    """The same rows, in memory of their own if they are few of a block: their texts would keep all of it."""
    as_it_is = frame.to_arrow(compat_level=pl.CompatLevel.newest())
    if as_it_is.get_total_buffer_size() <= _MOST_KEPT * size:
        return frame
    return pl.DataFrame(pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest())), schema=frame.schema)
