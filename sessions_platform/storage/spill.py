"""Rows put aside while there come more than may be held."""

import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa

# What is dealt out at once is there several times over.
_MOST_BYTES_AT_ONCE = 32 * 1024 * 1024
_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")


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
        self._bucket = None if by is None or buckets == 1 else by % buckets
        self._held: list[pl.DataFrame] = []
        self._held_bytes = 0
        self._writer: pa.RecordBatchFileWriter | None = None
        self._chunks = 0

    def add(self, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        size = int(frame.estimated_size())
        self.rows, self.bytes = self.rows + frame.height, self.bytes + size
        self._held.append(_by_itself(frame.select(*self._schema)))
        self._held_bytes += size
        if self._held_bytes > self._chunk_bytes:
            self._write()

    @property
    def is_held(self) -> bool:
        """Whether all of it is in memory still."""
        return self._chunks == 0

    def bucket(self, number: int) -> pl.DataFrame:
        """All rows of one bucket."""
        return pl.concat([pl.DataFrame(schema=self._schema), *self._parts(number)], rechunk=True)

    def chunks(self) -> Iterator[pl.DataFrame]:
        """All rows, one bucket after the other, each in frames of a chunk at most."""
        for number in range(self.buckets):
            yield from self._parts(number)

    def _parts(self, number: int) -> Iterator[pl.DataFrame]:
        if self._writer is not None:
            self._write()
            self._writer.close()
            self._writer = None
            self._reader = pa.ipc.open_file(self._file)
        for chunk in range(self._chunks):
            batch = self._reader.get_batch(chunk * self.buckets + number)
            if batch.num_rows:
                yield pl.DataFrame(pl.from_arrow(batch)).cast(pl.Schema(self._schema))
        if self._held:
            yield self._cut(pl.concat(self._held))[number]

    def _write(self) -> None:
        """Write what is held: one record batch a bucket."""
        if not self._held:
            return
        held, self._held, self._held_bytes = pl.concat(self._held), [], 0
        for part in self._cut(held):
            table = part.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = self._writer = self._writer or self._begin(table.schema)
            writer.write_batch(next(iter(table.to_batches()), pa.RecordBatch.from_pylist([], table.schema)))
        self._chunks += 1

    def _begin(self, schema: pa.Schema) -> pa.RecordBatchFileWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  closed with the spill
        weakref.finalize(self, self._file.close)
        return pa.ipc.new_file(self._file, schema, options=_LZ4)

    def _cut(self, frame: pl.DataFrame) -> list[pl.DataFrame]:
        """The rows of each bucket, in their order."""
        if self._bucket is None:
            return [frame]
        parts = frame.with_columns(_bucket=self._bucket.cast(pl.UInt32)).partition_by(
            "_bucket", as_dict=True, include_key=False, maintain_order=True
        )
        return [parts.get((number,), frame.clear()) for number in range(self.buckets)]


def _by_itself(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows in memory of their own: texts of a few rows would keep the whole block that they came of."""
    return pl.DataFrame(pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest())), schema=frame.schema)
