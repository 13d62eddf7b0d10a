"""Frames that come one after the other, written as one Parquet file whose row groups are bounded in bytes.

Here: the encoding of a local file (a draft of the lake's, see `filesystem.py`), its row groups, and which of them are
read at once. Not here: what the file is called and when it is visible (`lake.py`).

Polars writes the file: it encodes several columns at the same time, while the next frame is made, in a third of the
time and in less memory than pyarrow needs. But it bounds a row group by rows alone, not by bytes, so this module
follows the size of each row group and starts again with fewer rows in each where one would become too large.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import accumulate, chain
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from sessions_platform.settings import PRIVATE_FILE
from sessions_platform.storage.lake.parquet_statistics import keep_statistics

# Few enough that the statistics of a row group cover a narrow span of time, many enough that a footer stays small.
ROW_GROUP_ROWS = 64 * 1024
# A row group exceeds this by one frame at most. No smaller part of a file can be written, or read.
ROW_GROUP_BYTES = 64 * 1024 * 1024
# Of the row groups that are read at once, decompressed but still encoded.
READ_BYTES = 16 * 1024 * 1024


def write_parquet(
    path: Path,
    frames: Iterable[pl.DataFrame],
    schema: Mapping[str, pl.DataType],
    statistics: Collection[str],
    *,
    mode: int = PRIVATE_FILE,
) -> int:
    """Write the frames, cast to the schema, as a local file that is not synced to the disk yet.

    Where rows turn out to be so long that a row group would not fit into memory, what was written so far is read
    back and written again in smaller row groups. A killed process may leave the earlier file next to `path`, with the
    same suffix.

    Args:
        path: of the file.
        frames: with the columns of the schema at least.
        schema: the columns, in order.
        statistics: the columns of which each row group states the least and greatest value.
        mode: who may read and write the file, as far as the process's umask allows.

    Returns:
        The number of rows.
    """
    remaining = iter(frames)
    row_limit, has_statistics = ROW_GROUP_ROWS, not schema.keys().isdisjoint(statistics)
    with ExitStack() as earlier_files:
        while True:
            attempt = _Attempt(remaining, schema, row_limit, has_statistics=has_statistics)
            attempt.write(path, mode)
            if attempt.rest is None:
                if has_statistics:
                    keep_statistics(path, statistics)
                return attempt.rows
            earlier = path.with_stem(f"{path.stem}.by-{row_limit}")
            path.rename(earlier)
            earlier_files.callback(earlier.unlink, missing_ok=True)
            remaining, row_limit = _written_before(earlier, attempt.rest), attempt.smaller_row_limit


def read_ranges(footer: pq.FileMetaData, row_groups: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Which rows to read at once, for each read has a cost of its own: neighbouring row groups up to READ_BYTES.

    Args:
        footer: of the file.
        row_groups: the numbers of those that are wanted, ascending.

    Yields:
        The first row, and the number of rows.
    """
    sizes = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
    starts = [0, *accumulate(sizes)]
    together: list[int] = []
    bytes_together = 0
    for group in row_groups:
        size = footer.row_group(group).total_byte_size
        if together and (bytes_together + size > READ_BYTES or group != together[-1] + 1):
            yield starts[together[0]], starts[together[-1] + 1] - starts[together[0]]
            together, bytes_together = [], 0
        together.append(group)
        bytes_together += size
    if together:
        yield starts[together[0]], starts[together[-1] + 1] - starts[together[0]]


def _written_before(earlier: Path, rest: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The rows of an earlier file, a few row groups at a time; then, once that file is deleted, the rest."""
    rows, footer = pl.scan_parquet(earlier, glob=False), pq.read_metadata(earlier)
    for start, length in read_ranges(footer, range(footer.num_row_groups)):
        yield rows.slice(start, length).collect()
    earlier.unlink()
    yield from rest


class _Attempt:
    """One attempt to write the frames with `row_limit` rows in each row group.

    It ends early before a frame that would make a row group too large: then `rest` has that frame and all further
    ones, and `smaller_row_limit` is how many rows to try next. Else `rest` is None.
    """

    def __init__(
        self, frames: Iterator[pl.DataFrame], schema: Mapping[str, pl.DataType], row_limit: int, *, has_statistics: bool
    ) -> None:
        self.rows = 0
        self.rest: Iterator[pl.DataFrame] | None = None
        self.smaller_row_limit = row_limit
        self._frames = frames
        self._schema = dict(schema)
        self._row_limit = row_limit
        self._has_statistics = has_statistics
        self._error: BaseException | None = None

    def write(self, path: Path, mode: int) -> None:
        path.touch(mode)
        frames = register_io_source(lambda *_: self._frames_that_fit(), schema=self._schema)
        frames.sink_parquet(
            path,
            compression="zstd",
            compression_level=1,
            statistics=self._has_statistics,
            row_group_size=self._row_limit,
            engine="streaming",
        )
        if self._error is not None:
            raise self._error

    def _frames_that_fit(self) -> Iterator[pl.DataFrame]:
        """The frames of this attempt; none after one that can't be made, whose error is raised later on.

        Polars (2.1) passes an error on while a thread of its own still opens the file, and so makes it anew after it
        was deleted. Where the frames end, the file is closed first.
        """
        try:
            yield from self._frames_of_schema()
        except GeneratorExit:
            raise
        except BaseException as error:
            self._error = error

    def _frames_of_schema(self) -> Iterator[pl.DataFrame]:
        row_group = _OpenRowGroup(self._row_limit)
        for frame in self._frames:
            if (smaller := row_group.smaller_row_limit(frame)) is not None:
                self.rest, self.smaller_row_limit = chain([frame], self._frames), smaller
                return
            row_group.add(frame)
            self.rows += frame.height
            yield frame.select(pl.col(name).cast(dtype) for name, dtype in self._schema.items())


class _OpenRowGroup:
    """Rows and bytes of the last row group, while it has fewer rows than the limit at which polars starts the next."""

    def __init__(self, row_limit: int) -> None:
        self._row_limit = row_limit
        self._rows, self._bytes = 0, 0.0

    def smaller_row_limit(self, frame: pl.DataFrame) -> int | None:
        """How many rows a row group may have instead, if one is or becomes too large with this frame; else None.

        One is too large already if the frames so far exceed the limit in bytes, but not the one in rows. One becomes
        too large if a row group of rows as long as this frame's are on average would exceed the limit in bytes.
        """
        if self._bytes > ROW_GROUP_BYTES:
            return min(self._rows, self._row_limit // 2)
        size, rows = frame.estimated_size(), min(frame.height, self._row_limit)
        if rows > 1 and size * rows > ROW_GROUP_BYTES * frame.height:
            return max(1, min(int(ROW_GROUP_BYTES * frame.height // size), self._row_limit // 2))
        return None

    def add(self, frame: pl.DataFrame) -> None:
        """Count a frame. If it completes row groups, the open one has the remaining rows and their share of bytes."""
        rows, size = self._rows + frame.height, self._bytes + frame.estimated_size()
        self._rows = rows % self._row_limit
        self._bytes = size / max(1, rows) * self._rows
