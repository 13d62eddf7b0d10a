"""Which row groups of a lake are read: others are made unreadable, and all bytes that the process reads are counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq


@dataclass
class Reach:
    """The bytes that can still be read, and of how many."""

    row_groups: int = 0
    bytes: int = 0
    all_row_groups: int = 0
    all_bytes: int = 0

    def __str__(self) -> str:
        return f"{self.row_groups:,} of {self.all_row_groups:,} row groups, {self.bytes:,} of {self.all_bytes:,} bytes"


@contextmanager
def only_readable(folder: Path, start: datetime, end: datetime) -> Iterator[Reach]:
    """Blank all row groups but those that may contain an event of ``start <= event_timestamp < end``, for a while.

    A file of which nothing is left loses its footer too. Who reads what is blank fails.
    """
    reach, originals = Reach(), {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    try:
        for path, content in originals.items():
            path.write_bytes(_blanked(path, content, start, end, reach))
        yield reach
    finally:
        for path, content in originals.items():
            path.write_bytes(content)


def bytes_read() -> int:
    """By this process since it began, from files of any kind; polars and pyarrow read, and don't map."""
    line = Path("/proc/self/io").read_text().splitlines()[0]
    return int(line.removeprefix("rchar:"))


def _blanked(path: Path, content: bytes, start: datetime, end: datetime, reach: Reach) -> bytes:
    file, masked = pq.ParquetFile(path), bytearray(content)
    groups = [file.metadata.row_group(place) for place in range(file.num_row_groups)]
    near = [group for place, group in enumerate(groups) if _overlaps(file, place, start, end)]
    reach.all_row_groups += len(groups)
    reach.all_bytes += len(content)
    reach.row_groups += len(near)
    if not near:
        return bytes(len(content))
    for first, behind in [span for group in groups if group not in near for span in _spans(group)]:
        masked[first:behind] = bytes(behind - first)
    reach.bytes += sum(behind - first for group in near for first, behind in _spans(group))
    return bytes(masked)


def _overlaps(file: pq.ParquetFile, place: int, start: datetime, end: datetime) -> bool:
    """Whether a row group has an event from `start` to `end`; by its rows, since not all files have statistics."""
    if "event_timestamp" not in file.schema_arrow.names:
        return False
    times = file.read_row_group(place, ["event_timestamp"])["event_timestamp"].to_pylist()
    return min(times) < end and start <= max(times)


def _spans(group: pq.RowGroupMetaData) -> list[tuple[int, int]]:
    """The byte range of its columns in the file."""
    columns = [group.column(place) for place in range(group.num_columns)]
    firsts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    return [(first, first + column.total_compressed_size) for first, column in zip(firsts, columns, strict=True)]
