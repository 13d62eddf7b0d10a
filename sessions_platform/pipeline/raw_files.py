"""Slices of one pass become raw files: many small ones share a file, and a large one has a file of its own.

Here: which slices share a raw file, and the transaction that records them. A file and a transaction for each of
thousands of small slices would take a hundred times as long as reading them. Not here: which slices are read
(`ingest`), and how (`sources`).

The rows of a raw file are those of all landing files whose path in the ledger it is, and no others. So where one of
them is read again, the rows of the others move to a new raw file, in the transaction that records what was read.
"""

from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.progress import count
from sessions_platform.pipeline.tombstones import Tombstones
from sessions_platform.sources.base import Cursor, Quarantine, Reading, ReadWarning, Slice, Warns, text_digest_of
from sessions_platform.storage.lake.errors import MissingFileError
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.files import MovedRows, ReadBatch, ReadFile
from sessions_platform.storage.ledger.ledger import KnownFile, StaleWriteError

# The folder in the lake, next to raw_events: slices that could not be read, or not to their end, or that have no rows.
QUARANTINED_FILES = "quarantined_files"

# As frames in memory: a slice of up to so many bytes shares a raw file, which gets no more of them beyond so many.
_SMALL_BYTES = 1 << 20
_SHARED_BYTES = 8 << 20
_SHARED_SLICES = 1000


class BytesLostError(RuntimeError):
    """The raw rows of a slice do not add up to its text."""


@dataclass
class _Pending:
    """Small slices that were read and are not recorded yet."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    read: list[ReadFile] = field(default_factory=list)
    unchanged: dict[str, str] = field(default_factory=dict)
    cursors: list[Cursor] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        return self.bytes >= _SHARED_BYTES or len(self.read) + len(self.unchanged) >= _SHARED_SLICES


class RawFileWriter:
    """Reads slices, in the order in which they are added, and records all of them once ``flush`` returns.

    Args:
        context: the stream's.
        files: what the ledger records of all landing files of the partitions that the slices belong to.
        run_id: recorded with each slice that is read.
        tombstones: whose rows are refused.

    Attributes:
        read: how many slices had other content than is recorded, by landing partition.
        warnings: what is doubtful about these, by landing partition.
    """

    def __init__(self, context: StreamContext, files: Sequence[KnownFile], run_id: str, tombstones: Tombstones) -> None:
        self.read: Counter[str] = Counter()
        self.warnings: defaultdict[str, list[ReadWarning]] = defaultdict(list)
        self._tombstones = tombstones
        self._delivered = context.ledger.delivered_digests() if tombstones.count else {}
        self._context, self._run_id = context, run_id
        self._known = {file.uri: file for file in files}
        self._sharing: defaultdict[str, set[str]] = defaultdict(set)
        for file in files:
            if file.path is not None:
                self._sharing[file.path].add(file.uri)
        self._pending = _Pending()
        self._partition = ""

    def add(self, slice_: Slice) -> None:
        """Read a slice. One that has vanished is left out; its recorded rows, if any, are kept.

        Raises:
            BytesLostError: its rows do not add up to its text.
            StaleWriteError: another run has read the same slices meanwhile; nothing of this batch is recorded.
        """
        partition = self._known[slice_.uri].landing_partition
        if partition != self._partition:
            self.flush()
            self._partition = partition
        reading = self._context.source.read(slice_, quarantine_of(self._context, self._tombstones))
        refused: list[int] = []
        blocks = self._tombstones.kept(blocks_of(reading, partition, slice_.uri), refused.append)
        first: list[pl.DataFrame] = []
        size = 0
        try:
            while size <= _SMALL_BYTES and (block := next(blocks, None)) is not None:
                first.append(block)
                size += int(block.estimated_size())
        except FileNotFoundError:
            return
        if size > _SMALL_BYTES:
            self.flush()
            self._add_large(slice_, reading, _resumed(first, blocks), refused)
        else:
            self._add_small(slice_, reading, first, size, sum(refused))

    def flush(self) -> None:
        """Write and record what was added and is not recorded yet."""
        pending, self._pending = self._pending, _Pending()
        stored = None
        if pending.read:
            stored = self._write(pl.concat(pending.frames) if pending.frames else pl.DataFrame(schema=RAW_EVENTS))
        moved = self._moved(pending.read)
        self._record(ReadBatch(pending.read, stored, pending.unchanged, moved, pending.cursors, pending.refused))

    def _add_small(self, slice_: Slice, reading: Reading, frames: list[pl.DataFrame], size: int, refused: int) -> None:
        if self._is_unchanged(slice_, reading):
            self._pending.unchanged[slice_.uri] = slice_.fingerprint
        else:
            self._pending.frames += frames
            self._pending.read.append(self._read_file(slice_, reading, sum(frame.height for frame in frames)))
            self._pending.bytes += size
        if self._tombstones.count:
            self._pending.refused[slice_.uri] = refused
        self._pending.cursors += [slice_.cursor] if slice_.cursor else []
        if self._pending.is_full:
            self.flush()

    def _add_large(
        self, slice_: Slice, reading: Reading, blocks: Generator[pl.DataFrame, None, None], refused: Sequence[int]
    ) -> None:
        with closing(prefetch(blocks)) as prefetched:
            stored = self._context.lake.write(self._folder, prefetched, RAW_EVENTS)
        of_users = {slice_.uri: sum(refused)} if self._tombstones.count else {}
        cursors = [slice_.cursor] if slice_.cursor else []
        if self._is_unchanged(slice_, reading):
            self._context.lake.remove(stored.path)
            self._record(ReadBatch(unchanged={slice_.uri: slice_.fingerprint}, cursors=cursors, refused=of_users))
        else:
            read = [self._read_file(slice_, reading, stored.rows)]
            self._record(ReadBatch(read, stored, moved=self._moved(read), cursors=cursors, refused=of_users))

    @property
    def _folder(self) -> str:
        return self._context.folder("raw_events", self._partition)

    def _is_unchanged(self, slice_: Slice, reading: Reading) -> bool:
        return self._known[slice_.uri].has_content(reading.digest)

    def _read_file(self, slice_: Slice, reading: Reading, rows: int) -> ReadFile:
        if isinstance(reading, Warns):
            self.warnings[self._partition] += [ReadWarning(slice_.uri, text) for text in reading.warnings]
        read = reading.digest, text_digest_of(reading)
        digest, text_digest = self._delivered.get(reading.digest, read)
        return ReadFile(slice_.uri, slice_.fingerprint, digest, rows, self._known[slice_.uri].path, text_digest)

    def _moved(self, read: Sequence[ReadFile]) -> list[MovedRows]:
        """The move of the landing files that share a raw file with any that was read."""
        of_path: defaultdict[str, set[str]] = defaultdict(set)
        for file in read:
            if file.replaces is not None:
                of_path[file.replaces].add(file.uri)
        rest = {path: self._sharing[path] - uris for path, uris in of_path.items()}
        return [self._move(path, uris) for path, uris in rest.items() if uris]

    def _move(self, path: str, uris: set[str]) -> MovedRows:
        try:
            return move_rows(self._context, self._partition, path, uris)
        except MissingFileError as missing:
            if all(file.path != path for file in self._context.ledger.files([self._partition])):
                raise StaleWriteError("users were erased meanwhile, and this raw file with them") from missing
            raise

    def _write(self, rows: pl.DataFrame) -> StoredFile:
        return self._context.lake.write(self._folder, [rows], RAW_EVENTS)

    def _record(self, batch: ReadBatch) -> None:
        if not (batch.read or batch.unchanged):
            return
        written = [*([batch.stored] if batch.stored else []), *(moved.stored for moved in batch.moved)]
        try:
            self._context.ledger.record_batch(replace(batch, tombstones=self._tombstones.count), self._run_id)
        except StaleWriteError:
            for stored in written:
                self._context.lake.remove(stored.path)
            raise
        self.read[self._partition] += len(batch.read)
        for moved in batch.moved:
            self._share(moved.uris, moved.stored)
        if batch.stored:
            self._share([file.uri for file in batch.read], batch.stored)

    def _share(self, uris: Sequence[str], stored: StoredFile) -> None:
        """Follow which landing files share a raw file now."""
        for uri in uris:
            known = self._known[uri]
            if known.path is not None:
                self._sharing[known.path].discard(uri)
            self._known[uri] = replace(known, path=stored.path)
        self._sharing[stored.path] = set(uris)


def quarantine_of(context: StreamContext, tombstones: Tombstones) -> Quarantine:
    """Where slices are quarantined that can't be read, unless they were erased."""
    into_lake = partial(context.lake.quarantine, f"{context.stream.name}/{QUARANTINED_FILES}")
    return tombstones.quarantine(into_lake, context.lake.remove)


def blocks_of(reading: Reading, landing_partition: str, uri: str) -> Generator[pl.DataFrame, None, None]:
    """The rows of a slice, in blocks with all columns of RAW_EVENTS.

    Raises:
        BytesLostError: after the last block, where payloads and line terminators are not all of the text.
    """
    size = 0
    for block in reading:
        count(block.height)
        size += int(block.select(pl.col("payload", "line_terminator").bin.size().sum()).sum_horizontal()[0])
        yield block.with_columns(landing_partition=pl.lit(landing_partition), source_uri=pl.lit(uri))
    if reading.text_bytes not in (None, size):
        raise BytesLostError(f"{uri}: its rows have {size} bytes of {reading.text_bytes}; this is a defect")


def move_rows(context: StreamContext, landing_partition: str, path: str, uris: Iterable[str]) -> MovedRows:
    """Write the rows that a raw file has of these landing files as a raw file of their own.

    For whoever replaces the rows of some of the landing files that share a raw file: the others have to be moved by
    `Ledger.move_rows` in the same transaction, or their rows would be read twice.
    """
    others = sorted(uris)
    folder = context.folder("raw_events", landing_partition)
    return MovedRows(others, path, context.lake.write(folder, rows_of(context.lake, path, others), RAW_EVENTS))


def rows_of(lake: Lake, path: str, uris: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The rows that a raw file has of these landing files, a few row groups at a time."""
    wanted = pl.Series(uris, dtype=pl.String).implode()
    for block in lake.blocks([path], RAW_EVENTS):
        yield block.filter(pl.col("source_uri").is_in(wanted))


def _resumed(first: list[pl.DataFrame], blocks: Iterator[pl.DataFrame]) -> Generator[pl.DataFrame, None, None]:
    """Blocks that were taken already, and then the others; none is kept once it is taken."""
    while first:
        yield first.pop(0)
    yield from blocks
