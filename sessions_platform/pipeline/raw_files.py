"""Slices of one pass become raw files: many small ones share a file, and a large one has a file of its own.

Here: which slices share a raw file, and the transaction that records them. A file and a transaction for each of
thousands of small slices would take a hundred times as long as reading them. Not here: which slices are read
(`ingest`), and how (`sources`).

The rows of a raw file are those of all landing files whose path in the ledger it is, and no others. So where one of
them is read again, the rows of the others move to a new raw file, in the transaction that records what was read.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS, fields_among, with_fields_of
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.dated_rows import IN_PARTITION, DatedRows, Part, Written
from sessions_platform.pipeline.progress import count
from sessions_platform.pipeline.tombstones import Tombstones
from sessions_platform.sources.base import (
    Cursor,
    Cursors,
    KeepsFields,
    Quarantine,
    Reading,
    ReadWarning,
    SaysTimes,
    Slice,
    Warns,
    divided_alike,
    extent_of,
    text_digest_of,
)
from sessions_platform.sources.formats.typed.payloads import with_payloads
from sessions_platform.storage.lake.errors import MissingFileError
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.files import MovedRows, ReadBatch, ReadFile
from sessions_platform.storage.ledger.ledger import KnownFile, StaleWriteError

# The folder in the lake, next to raw_events: slices that could not be read, or not to their end, or that have no rows.
QUARANTINED_FILES = "quarantined_files"

BY_SOURCE = "source_time"  # as `landing.by` says it

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
    dated: dict[str, tuple[Slice, str]] = field(default_factory=dict)  # with the digest of what was read, by uri
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        slices = len(self.read) + len(self.unchanged) + len(self.dated)
        return self.bytes >= _SHARED_BYTES or slices >= _SHARED_SLICES


class RawFileWriter:
    """Reads slices, in the order in which they are added, and records all of them once ``flush`` returns.

    Args:
        context: the stream's.
        files: what the ledger records of all landing files of the partitions that the slices belong to.
        run_id: recorded with each slice that is read.
        tombstones: whose rows are refused.
        cursors: the stored positions by which the slices were found.
        newest: the last landing partition that has begun.

    Attributes:
        read: how many slices had other content than is recorded, by landing partition.
        warnings: what is doubtful about these, by landing partition.
    """

    def __init__(
        self,
        context: StreamContext,
        files: Sequence[KnownFile],
        run_id: str,
        tombstones: Tombstones,
        cursors: Cursors,
        newest: str,
    ) -> None:
        self.read: Counter[str] = Counter()
        self.warnings: defaultdict[str, list[ReadWarning]] = defaultdict(list)
        self._tombstones = tombstones
        self._delivered = context.ledger.delivered_digests() if tombstones.count else {}
        self._context, self._run_id = context, run_id
        self._cursors, self._newest = dict(cursors), newest
        self._known = {file.uri: file for file in files}
        self._sharing: defaultdict[str, set[str]] = defaultdict(set)
        for file in files:
            if file.path is not None:
                self._sharing[file.path].add(file.uri)
        self._pending = _Pending()
        self._partition = ""
        self._dated: DatedRows | None = None

    def add(self, slice_: Slice) -> None:
        """Read a slice. One that has vanished is left out; its recorded rows, if any, are kept.

        Raises:
            BytesLostError: its rows do not add up to its text.
            StaleWriteError: another run has read the same slices meanwhile, or has moved their cursor; nothing of this
                batch is recorded.
        """
        partition = self._known[slice_.uri].landing_partition
        if partition != self._partition:
            self.flush()
            self._partition = partition
            is_dated = self._context.stream.landing.by == BY_SOURCE
            self._dated = DatedRows(self._context, partition, self._newest) if is_dated else None
        reading = self._context.source.read(slice_, quarantine_of(self._context, self._tombstones))
        if isinstance(reading, KeepsFields):
            reading.keeps_fields = not self._tombstones.count
        refused: list[int] = []
        blocks = self._tombstones.kept(blocks_of(reading, partition, slice_.uri), refused.append)
        if self._dated is not None and slice_.cursor is not None and isinstance(reading, SaysTimes):
            reading.says_times = True
            self._add_dated(self._dated, slice_, reading, blocks, refused)
            return
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
            columns = with_fields_of(first[0].schema)
            self._add_large(slice_, reading, _alike(_resumed(first, blocks), columns), columns, refused)
        else:
            self._add_small(slice_, reading, list(map(with_payloads, first)), size, sum(refused))

    def flush(self) -> None:
        """Write and record what was added and is not recorded yet."""
        pending, self._pending = self._pending, _Pending()
        if self._dated is not None and pending.dated:
            self._record_dated(self._dated.take(), pending)
            return
        stored = None
        if pending.read:
            stored = self._write(pl.concat(pending.frames) if pending.frames else pl.DataFrame(schema=RAW_EVENTS))
        moved = self._moved(pending.read)
        self._record(ReadBatch(pending.read, stored, pending.unchanged, moved, pending.cursors, pending.refused))

    def _add_dated(
        self,
        dated: DatedRows,
        slice_: Slice,
        reading: Reading,
        blocks: Iterator[pl.DataFrame],
        refused: Sequence[int],
    ) -> None:
        assert slice_.cursor is not None
        dated.read(slice_.uri, blocks)
        self._pending.dated[slice_.uri] = slice_, reading.digest
        self._pending.cursors.append(slice_.cursor)
        if self._tombstones.count:
            self._pending.refused[slice_.uri] = sum(refused)
        if isinstance(reading, Warns):
            self.warnings[self._partition] += [ReadWarning(slice_.uri, text) for text in reading.warnings]
        if self._pending.is_full or dated.bytes >= _SHARED_BYTES:
            self.flush()

    def _record_dated(self, written: Written, pending: _Pending) -> None:
        """Record slices that were read, with all of their landing files, in whichever partitions these are."""
        batches = [(stored, [_of_part(part, pending.dated) for part in parts]) for stored, parts in written]
        self._record(ReadBatch(dated=batches, cursors=pending.cursors, refused=pending.refused))
        self.read[self._partition] += len(pending.dated)

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
        self,
        slice_: Slice,
        reading: Reading,
        blocks: Generator[pl.DataFrame, None, None],
        columns: Mapping[str, pl.DataType],
        refused: Sequence[int],
    ) -> None:
        with closing(prefetch(blocks)) as prefetched:
            stored = self._context.lake.write(self._folder, prefetched, columns)
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
        """Whether it has the bytes that are recorded, and they are divided into rows as they were then."""
        known = self._known[slice_.uri]
        return known.has_content(reading.digest) and divided_alike(known.fingerprint, slice_.fingerprint)

    def _read_file(self, slice_: Slice, reading: Reading, rows: int) -> ReadFile:
        if isinstance(reading, Warns):
            self.warnings[self._partition] += [ReadWarning(slice_.uri, text) for text in reading.warnings]
        read = reading.digest, text_digest_of(reading)
        digest, text_digest = self._delivered.get(reading.digest, read)
        replaces, extent = self._known[slice_.uri].path, extent_of(reading)
        partition = self._partition if slice_.cursor else None
        return ReadFile(slice_.uri, slice_.fingerprint, digest, rows, replaces, text_digest, extent, partition)

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
        if not (batch.read or batch.unchanged or batch.dated):
            return
        written = [
            *(stored for stored, _ in batch.dated),
            *([batch.stored] if batch.stored else []),
            *(moved.stored for moved in batch.moved),
        ]
        try:
            recorded = replace(batch, tombstones=self._tombstones.count, cursors_before=self._cursors)
            self._context.ledger.record_batch(recorded, self._run_id)
        except StaleWriteError:
            for stored in written:
                self._context.lake.remove(stored.path)
            raise
        self._cursors |= {cursor.name: cursor.position for cursor in batch.cursors}
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
            self._known[uri] = known._replace(path=stored.path)
        self._sharing[stored.path] = set(uris)


def _of_part(part: Part, dated: Mapping[str, tuple[Slice, str]]) -> ReadFile:
    """Its digest is of the whole slice and of its own name, so that each landing file of a slice has another one."""
    uri, _, place = part.uri.partition(IN_PARTITION)
    slice_, read = dated[uri]
    digest = hashlib.sha256(f"{read}{IN_PARTITION}{place}".encode()).hexdigest() if place else read
    return ReadFile(part.uri, slice_.fingerprint, digest, part.rows, None, landing_partition=part.landing_partition)


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


def _alike(blocks: Iterable[pl.DataFrame], columns: Mapping[str, pl.DataType]) -> Generator[pl.DataFrame, None, None]:
    """The blocks with these columns. The rows of one whose fields are others have payloads instead."""
    fields = {name: columns[name] for name in fields_among(columns)}
    for block in blocks:
        if {name: block.schema[name] for name in fields_among(block.columns)} == fields:
            yield block
        else:
            nothing = (pl.lit(None, dtype).alias(name) for name, dtype in fields.items())
            yield with_payloads(block).with_columns(*nothing)


def _resumed(first: list[pl.DataFrame], blocks: Iterator[pl.DataFrame]) -> Generator[pl.DataFrame, None, None]:
    """Blocks that were taken already, and then the others; none is kept once it is taken."""
    while first:
        yield first.pop(0)
    yield from blocks
