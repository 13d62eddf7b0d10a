"""The first stage: the slices of a stream's source become raw_events, a snapshot of the rows as they came.

Here: which slices are read, where their rows are stored, and what the ledger records of each. Not
here: how a slice is found and read (`sources`), what its rows mean (`transforms.parse`), and which
landing partitions have something to ingest (`operations.status`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.tombstones import Tombstones, read_tombstones
from sessions_platform.sources.base import Reading, Slice
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import KnownFile, StaleWriteError

# The folder in the lake, next to raw_events: slices that could not be read, or not to their end, or that have no rows.
QUARANTINED_FILES = "quarantined_files"


class BytesLostError(RuntimeError):
    """The raw rows of a slice do not add up to its text."""


@dataclass(frozen=True)
class Ingested:
    """What a landing partition contains now, and what this pass changed: `files` and `rows` are its current totals.

    `read` counts slices that were new or had changed, `vanished` those that are gone and whose rows are kept.
    """

    files: int
    rows: int
    read: int
    vanished: int


def ingest(context: StreamContext, landing_partitions: Sequence[str], run_id: str) -> dict[str, Ingested]:
    """Bring the raw rows of these landing partitions up to date with the source.

    The rows of a changed slice are replaced; those of a vanished one are kept. Slices are read in the order in
    which the source returns them, across landing partitions, so that a stored cursor never passes an unread one.

    Args:
        context: the stream's.
        landing_partitions: at least one. A slice that states no landing partition and that none has read yet is
            assigned to the newest of these.
        run_id: recorded with each slice that is read.

    Returns:
        A report for each of the landing partitions.

    Raises:
        BytesLostError: the rows of a slice do not add up to its text; nothing is recorded of it.
        OSError: the source or the lake is not available.
    """
    context.prepare()
    cursors = context.ledger.cursors()
    slices = context.source.find(landing_partitions, cursors)
    _assign(context, slices, max(landing_partitions))
    known = {file.uri: file for file in context.ledger.files(landing_partitions)}
    tombstones = read_tombstones(context)
    read = Counter(
        known[slice_.uri].landing_partition
        for slice_ in slices
        if slice_.uri in known and _ingest_slice(context, known[slice_.uri], slice_, run_id, tombstones)
    )
    stored = [file for file in context.ledger.files(landing_partitions) if file.path is not None]
    # A source with cursors doesn't return what lies before them: its absence is not a loss.
    present = {file.uri for file in stored} if cursors else {slice_.uri for slice_ in slices}
    return {
        partition: _report([file for file in stored if file.landing_partition == partition], present, read[partition])
        for partition in landing_partitions
    }


def _assign(context: StreamContext, slices: Sequence[Slice], newest: str) -> None:
    """Record to which landing partition each slice belongs, where that isn't recorded yet."""
    partition_of = {slice_.uri: slice_.landing_partition or newest for slice_ in slices}
    for partition in set(partition_of.values()):
        context.ledger.assign([uri for uri, assigned in partition_of.items() if assigned == partition], partition)


def _report(stored: Sequence[KnownFile], present: set[str], read: int) -> Ingested:
    vanished = sum(file.uri not in present and not file.is_replay for file in stored)
    return Ingested(len(stored), sum(file.stored.rows for file in stored), read, vanished)


def _ingest_slice(context: StreamContext, known: KnownFile, slice_: Slice, run_id: str, tombstones: Tombstones) -> bool:
    """Read a slice that may have changed; False where its content is the recorded one."""
    if known.fingerprint == slice_.fingerprint:
        return False
    lake, ledger = context.lake, context.ledger
    quarantine = tombstones.quarantine(
        partial(lake.quarantine, f"{context.stream.name}/{QUARANTINED_FILES}"), lake.remove
    )
    reading = context.source.read(slice_, quarantine)
    folder = context.folder("raw_events", known.landing_partition)
    rows, refused = blocks_of(reading, known.landing_partition, slice_.uri), list[int]()
    try:
        with closing(prefetch(tombstones.kept(rows, refused.append))) as blocks:
            stored = lake.write(folder, blocks, RAW_EVENTS)
    except FileNotFoundError:
        return False  # it vanished after `find`; its recorded rows, if any, are kept
    if tombstones.count:
        ledger.record_refused(slice_.uri, sum(refused))
    if known.has_content(reading.digest):
        lake.remove(stored.path)
        ledger.record_unchanged(slice_.uri, slice_.fingerprint, run_id, slice_.cursor)
        return False
    digest = ledger.delivered_digest(reading.digest) if tombstones.count else reading.digest
    try:
        ledger.record_file(
            slice_.uri, slice_.fingerprint, digest, stored, run_id, slice_.cursor, tombstones=tombstones.count
        )
    except StaleWriteError:
        lake.remove(stored.path)
        raise
    return True


def blocks_of(reading: Reading, landing_partition: str, uri: str) -> Iterator[pl.DataFrame]:
    """The rows of a slice, in blocks with all columns of RAW_EVENTS.

    Raises:
        BytesLostError: after the last block, where payloads and line terminators are not all of the text.
    """
    size = 0
    for block in reading:
        size += int(block.select(pl.col("payload", "line_terminator").bin.size().sum()).sum_horizontal()[0])
        yield block.with_columns(landing_partition=pl.lit(landing_partition), source_uri=pl.lit(uri))
    if reading.text_bytes not in (None, size):
        raise BytesLostError(f"{uri}: its rows have {size} bytes of {reading.text_bytes}; this is a defect")
