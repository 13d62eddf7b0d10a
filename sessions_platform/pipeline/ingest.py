"""Landing files → raw_events: a snapshot of the rows as they came."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.sources.base import Reading, Slice
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import KnownFile

# In the lake, beside raw_events: files that could not be read, or not to their end, or that have no rows.
FILE_COPIES = "quarantined_files"


class BytesLostError(RuntimeError):
    """The raw rows of a file do not add up to its text."""


@dataclass(frozen=True)
class Ingested:
    """What a landing partition holds now, and what this pass changed."""

    files: int
    rows: int
    read: int  # files that were new or had changed
    vanished: int  # files that are gone, whose rows are kept


def ingest(context: StreamContext, landing_partitions: Sequence[str], run_id: str) -> dict[str, Ingested]:
    """Bring the raw rows of these landing partitions up to date with their files.

    A changed file's newest version replaces its rows, a vanished one keeps them. Files of a
    flat glob that no partition has seen yet belong to the newest of these partitions.
    """
    context.prepare()
    found = context.source.find(landing_partitions)
    _claim(context, found, landing_partitions)
    return {partition: _ingest_partition(context, partition, found, run_id) for partition in landing_partitions}


def _claim(context: StreamContext, found: Sequence[Slice], landing_partitions: Sequence[str]) -> None:
    newest = max(landing_partitions)
    for partition in {file.landing_partition or newest for file in found}:
        uris = [file.uri for file in found if (file.landing_partition or newest) == partition]
        context.ledger.assign(uris, partition)


def _ingest_partition(context: StreamContext, partition: str, found: Sequence[Slice], run_id: str) -> Ingested:
    present = {file.uri: file for file in found}
    known = context.ledger.files([partition])
    read = sum(_read_again(context, file, present[file.uri], run_id) for file in known if file.uri in present)
    held = [file for file in context.ledger.files([partition]) if file.path is not None]
    vanished = sum(file.uri not in present and not file.is_replay for file in held)
    return Ingested(len(held), sum(file.stored.rows for file in held), read, vanished)


def _read_again(context: StreamContext, known: KnownFile, file: Slice, run_id: str) -> bool:
    """Read a file that may have changed; False where it holds what it held."""
    if known.fingerprint == file.fingerprint:
        return False
    lake = context.lake
    reading = context.source.read(file, partial(lake.keep, f"{context.stream.name}/{FILE_COPIES}"))
    folder = context.folder("raw_events", known.landing_partition)
    try:
        with closing(prefetch(blocks_of(reading, known.landing_partition, file.uri))) as blocks:
            stored = lake.write(folder, blocks, RAW_EVENTS)
    except FileNotFoundError:
        return False  # it vanished since it was found: its rows, if any are known, stay
    if reading.digest == known.digest:
        lake.remove(stored.path)
        context.ledger.record_unchanged(file.uri, file.fingerprint)
        return False
    context.ledger.record_file(file.uri, file.fingerprint, reading.digest, stored, run_id)
    return True


def blocks_of(reading: Reading, landing_partition: str, uri: str) -> Iterator[pl.DataFrame]:
    """The file's rows. Raises BytesLost, before they are stored, where they are not all that was read."""
    held = 0
    for block in reading:
        held += int(block.select(pl.col("payload", "line_terminator").bin.size().sum()).sum_horizontal()[0])
        yield block.with_columns(landing_partition=pl.lit(landing_partition), source_uri=pl.lit(uri))
    if reading.text_bytes not in (None, held):
        raise BytesLostError(f"{uri}: its rows have {held} bytes of {reading.text_bytes}; this is a defect")
