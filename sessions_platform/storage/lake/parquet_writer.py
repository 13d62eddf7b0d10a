"""Frames that come one after the other, as one Parquet file.

Polars writes it: columns are encoded side by side, while the next frame is made, in a third of the time
and in less memory than pyarrow takes. It counts the rows of a row group and not their bytes, so that is done here.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import accumulate, chain
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

# Small enough that the statistics of a row group tell a narrow span of time, large
# enough that a footer stays small.
ROW_GROUP_ROWS = 64 * 1024
# What a row group has at most, but for the frame that goes beyond: no less of a file can be written, or read, at once.
ROW_GROUP_BYTES = 64 * 1024 * 1024
# What is read at once, as it is stored but unpacked.
READ_BYTES = 16 * 1024 * 1024


def write_parquet(path: Path, frames: Iterable[pl.DataFrame], schema: Mapping[str, pl.DataType]) -> int:
    """Write the frames, cast to the schema, as a file that is not synced to the disk; returns the number of rows.

    Where rows turn out to be so long that a row group would not fit into memory, what was written is written
    anew in smaller ones. A process that is killed may leave a second file beside, of the same ending.
    """
    coming = iter(frames)
    rows = ROW_GROUP_ROWS
    with ExitStack() as put_aside:
        while True:
            sinking = _Sinking(coming, schema, rows)
            sinking.into(path)
            if sinking.rest is None:
                return sinking.rows
            begun = path.with_stem(f"{path.stem}.by-{rows}")
            path.rename(begun)
            put_aside.callback(begun.unlink, missing_ok=True)
            coming, rows = _once_more(begun, sinking.rest), sinking.rows_that_fit


def _once_more(begun: Path, rest: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """What a file holds, some row groups at a time; then the rest, for which the file leaves its room."""
    rows, footer = pl.scan_parquet(begun, glob=False), pq.read_metadata(begun)
    for start, length in slices(footer, range(footer.num_row_groups)):
        yield rows.slice(start, length).collect()
    begun.unlink()
    yield from rest


def slices(footer: pq.FileMetaData, groups: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first row and the number of rows of what is read at once: neighbours, for each read costs some time."""
    sizes = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
    starts = [0, *accumulate(sizes)]
    together: list[int] = []
    held = 0
    for group in groups:
        size = footer.row_group(group).total_byte_size
        if together and (held + size > READ_BYTES or group != together[-1] + 1):
            yield starts[together[0]], starts[together[-1] + 1] - starts[together[0]]
            together, held = [], 0
        together.append(group)
        held += size
    if together:
        yield starts[together[0]], starts[together[-1] + 1] - starts[together[0]]


class _Sinking:
    """Frames on their way into a file, up to one that makes its row group too large: from there on they are `rest`."""

    def __init__(self, frames: Iterator[pl.DataFrame], schema: Mapping[str, pl.DataType], rows_in_group: int) -> None:
        self.rows = 0
        self.rest: Iterator[pl.DataFrame] | None = None
        self.rows_that_fit = rows_in_group
        self._frames = frames
        self._schema = dict(schema)
        self._rows_in_group = rows_in_group
        self._open_rows, self._open_bytes = 0, 0.0  # of the row group that is not full yet

    def into(self, path: Path) -> None:
        given = register_io_source(lambda *_: self._taken(), schema=self._schema)
        given.sink_parquet(
            path,
            compression="zstd",
            compression_level=1,
            row_group_size=self._rows_in_group,
            engine="streaming",
        )

    def _taken(self) -> Iterator[pl.DataFrame]:
        for frame in self._frames:
            if not self._fits(frame):
                self.rest = chain([frame], self._frames)
                return
            self.rows += frame.height
            yield frame.select(pl.col(name).cast(dtype) for name, dtype in self._schema.items())

    def _fits(self, frame: pl.DataFrame) -> bool:
        """Whether no row group grows too large by it; notes what is open behind it."""
        size, most = frame.estimated_size(), self._rows_in_group
        if self._open_bytes > ROW_GROUP_BYTES:
            self.rows_that_fit = min(self._open_rows, most // 2)
            return False
        largest = min(frame.height, most)  # of the row groups that it fills by itself, in rows
        if largest > 1 and size * largest > ROW_GROUP_BYTES * frame.height:
            self.rows_that_fit = max(1, min(int(ROW_GROUP_BYTES * frame.height // size), most // 2))
            return False
        rows = self._open_rows + frame.height
        self._open_bytes = (self._open_bytes + size) / max(1, rows) * (rows % most)
        self._open_rows = rows % most
        return True
