"""Rows by the landing partition of the time that their source says of them, as `landing: {by: source_time}` asks for.

A slice's rows of the partition that is being ingested have its uri, as if all belonged there. Those of another
partition are a landing file of their own, `SLICE#landing=2026-03-01`, which is recorded in the same transaction. Here:
which rows belong where, and their raw files. Not here: that transaction (`raw_files`), and how a source says a time
(`sources.base.SaysTimes`).

Rows wait in memory up to the size of a bucket. What is beyond it is written amid the slice, whose further rows then
have a further landing file: `SLICE#landing=2026-03-01&part=2`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from sessions_platform.contracts.polars_types import key_expr
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.sources.base import SOURCE_TIME
from sessions_platform.storage.lake.stored_file import StoredFile

IN_PARTITION = "#landing="
_LANDING = "landing_partition"


@dataclass(frozen=True)
class Placed:
    """A landing file of rows of a slice that are in one landing partition."""

    uri: str
    landing_partition: str
    rows: pl.DataFrame


@dataclass(frozen=True)
class Part:
    """A landing file whose rows are in a raw file: its uri, its partition, and how many rows it has."""

    uri: str
    landing_partition: str
    rows: int


# Raw files, and the landing files whose rows each of them has.
Written = list[tuple[StoredFile, list[Part]]]


class DatedRows:
    """Rows of slices that were read and are not recorded yet.

    Args:
        context: the stream's.
        current: the landing partition that is being ingested. Rows without a time belong to it.
        newest: the last partition that has begun. Rows of a later time belong to it, since a clock may be ahead, and
            those from before the first partition to the first.
    """

    def __init__(self, context: StreamContext, current: str, newest: str) -> None:
        self._context, self._current, self._newest = context, current, newest
        self._waiting: list[Placed] = []
        self._written: Written = []
        self.bytes = 0  # of what waits in memory

    def read(self, uri: str, blocks: Iterable[pl.DataFrame]) -> None:
        """Take the rows of a slice (the columns of RAW_EVENTS, and SOURCE_TIME), or none if not all can be read."""
        frames: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)
        parts, size, written = Counter[str](), 0, Written()
        try:
            for block in blocks:
                for partition, rows in self._by_partition(block):
                    frames[partition].append(rows)
                    size += int(rows.estimated_size())
                if self.bytes + size >= self._context.memory.bucket:
                    written += self._write(list(self._placed(uri, frames, parts)))
                    size = 0
        except BaseException:
            self._remove(written)
            raise
        if not parts[self._current]:
            frames[self._current] += [pl.DataFrame(schema=RAW_EVENTS)]  # the slice itself is recorded in any case
        self._waiting += self._placed(uri, frames, parts)
        self._written += written
        self.bytes += size

    def take(self) -> Written:
        """Write what waits; all raw files of the slices that were read since this was called last."""
        written, self._written = self._written, []
        waiting, self._waiting, self.bytes = self._waiting, [], 0
        try:
            return written + self._write(waiting)
        except BaseException:
            self._remove(written)
            raise

    def _by_partition(self, block: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        calendar = self._context.stream.landing_calendar
        first, newest = pl.lit(calendar.first_key), pl.lit(self._newest)
        key = key_expr(calendar, SOURCE_TIME).fill_null(pl.lit(self._current))
        key = pl.when(key > newest).then(newest).when(key < first).then(first).otherwise(key)
        for rows in block.with_columns(key.alias(_LANDING)).partition_by(_LANDING, maintain_order=True):
            yield rows[0, _LANDING], rows.select(*RAW_EVENTS)

    def _placed(self, uri: str, frames: defaultdict[str, list[pl.DataFrame]], parts: Counter[str]) -> Iterator[Placed]:
        """The rows so far as landing files of their own; later ones of the slice will be others."""
        for partition, rows in frames.items():
            parts[partition] += 1
            of_file = self._uri(uri, partition, parts[partition])
            yield Placed(of_file, partition, pl.concat(rows).with_columns(source_uri=pl.lit(of_file)))
        frames.clear()

    def _uri(self, uri: str, partition: str, part: int) -> str:
        if partition == self._current and part == 1:
            return uri
        return f"{uri}{IN_PARTITION}{partition}{f'&part={part}' if part > 1 else ''}"

    def _write(self, placed: Iterable[Placed]) -> Written:
        """A raw file for each partition."""
        of_partition: defaultdict[str, list[Placed]] = defaultdict(list)
        for each in placed:
            of_partition[each.landing_partition].append(each)
        return [
            (self._stored(partition, each), [_part(one) for one in each]) for partition, each in of_partition.items()
        ]

    def _stored(self, partition: str, placed: Iterable[Placed]) -> StoredFile:
        folder = self._context.folder("raw_events", partition)
        return self._context.lake.write(folder, [each.rows for each in placed], RAW_EVENTS)

    def _remove(self, written: Written) -> None:
        for stored, _ in written:
            self._context.lake.remove(stored.path)


def _part(placed: Placed) -> Part:
    return Part(placed.uri, placed.landing_partition, placed.rows.height)
