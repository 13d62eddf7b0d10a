"""raw_events → events and rejected_events, written to the lake and not yet published.

Here belong the steps of one landing partition from its raw rows to two new lake files, and what is reported of them.
Not here: how rows are parsed and validated (`transforms`) and deduplicated within a bucket of memory
(`deduplicate.py`), what is checked of the result (`quality.py`), and how it becomes current (`publish.py`).
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from sessions_platform.contracts.events import PLACE, event_columns
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deduplicate import validate_rows
from sessions_platform.pipeline.enrich import enrich
from sessions_platform.pipeline.enrichment_tally import EnrichmentTally
from sessions_platform.pipeline.invalidation import Span
from sessions_platform.pipeline.raw_rows import RawRows
from sessions_platform.pipeline.reference_data import References, read_references
from sessions_platform.pipeline.text_digests import text_digests
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.ledger import KnownFile, StaleWriteError
from sessions_platform.transforms.rejections import rejections
from sessions_platform.transforms.schema_drift import ObservedSchema

_SAMPLES = 5


@dataclass(frozen=True)
class ValidatedPartition:
    """A validated landing partition, stored in the lake and not yet published."""

    landing_partition: str
    raw_sequence: int
    raw_files: tuple[KnownFile, ...]
    events: StoredFile
    rejected: StoredFile
    rejected_rows: int  # raw rows; a row of the stored file may stand for several
    duplicates: int
    skipped: int
    repeated_lines: int  # events with a derived id whose payload occurred before in the partition
    rejected_by_reason: dict[str, int]
    samples: tuple[dict[str, Any], ...]  # a few rejected rows, whole
    enriched: tuple[dict[str, str | float], ...]  # how far each enriched column is filled, and with what
    warnings: tuple[str, ...]  # of enrichments
    references: References
    observed: ObservedSchema
    first_event: datetime | None
    last_event: datetime | None

    @property
    def raw_rows(self) -> int:
        """The number of raw rows, repaired ones included."""
        return sum(file.stored.rows for file in self.raw_files)

    @property
    def span(self) -> Span:
        """The timestamps of the first and the last accepted event."""
        return self.first_event, self.last_event


def validate_partition(
    context: StreamContext, landing_partition: str, raw: Dataset, references: References | None = None
) -> ValidatedPartition:
    """Validate all raw rows of a landing partition, and write its events and rejected_events as new lake files.

    Args:
        context: the stream's.
        landing_partition: a key of the landing calendar.
        raw: raw_events, with that partition among its partitions.
        references: read here unless a run over several partitions has read them before.

    Returns:
        The stored files with their counts, samples and observed schema.

    Raises:
        StaleWriteError: the landing files were read again meanwhile.
    """
    context.prepare()
    stream, lake = context.stream, context.lake
    references = references or read_references(context)
    # Repairs are read before files: a repair is recorded and removed together with its files, so the files that are
    # read after it contain its rows or were changed, which `_files_of` notices.
    repairs = context.ledger.repairs([landing_partition])
    files = _files_of(context, landing_partition, raw)
    digests = text_digests(context, files, raw, landing_partition)
    rows = validate_rows(context, RawRows(raw, landing_partition), digests, repairs, references.known)
    enriched = EnrichmentTally(stream)
    with closing(prefetch(rows.events())) as runs:
        events = enrich(runs, stream, enriched, lake.scratch)
        stored = lake.write(context.folder("events", landing_partition), events, event_columns(stream))
    tally = _RejectionTally()
    blocks = (tally.add(rejections(block, stream)) for block in rows.rejected())
    rejected = lake.write(context.folder("rejected_events", landing_partition), blocks, REJECTED_EVENTS, statistics=())
    return ValidatedPartition(
        landing_partition,
        max((file.sequence or 0 for file in files), default=0),
        files,
        stored,
        rejected,
        tally.rows,
        rows.duplicates,
        rows.skipped,
        rows.repeated_lines,
        dict(sorted(tally.by_reason.items())),
        tally.samples(),
        tuple(enriched.records()),
        tuple(enriched.warnings()),
        references,
        rows.observed,
        rows.first_event,
        rows.last_event,
    )


def _files_of(context: StreamContext, landing_partition: str, raw: Dataset) -> tuple[KnownFile, ...]:
    """What the ledger records of the files that the dataset contains."""
    paths = {file.path for file in raw.partitions[landing_partition]}
    files = tuple(file for file in context.ledger.files([landing_partition]) if file.path is not None)
    if {file.path for file in files} != paths:
        raise StaleWriteError(f"landing partition {landing_partition}: its files were read again meanwhile")
    return files


class _RejectionTally:
    """Counts rejected rows by reason, and keeps a few samples, of as many kinds as possible.

    A row that stands for several counts as these. One with several reasons counts under each. The kind of a row is the
    list of its codes.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.by_reason: Counter[str] = Counter()
        self._samples = pl.DataFrame(schema=REJECTED_EVENTS)

    def add(self, rejected: pl.DataFrame) -> pl.DataFrame:
        """Count these rows, which have the columns of REJECTED_EVENTS, and return them."""
        codes = pl.col("reasons").list.eval(pl.element().struct.field("code")).list.unique()
        counts = rejected.select("rows", code=codes).explode("code").drop_nulls().group_by("code").agg(pl.sum("rows"))
        self.by_reason.update(dict(counts.iter_rows()))
        self.rows += int(rejected["rows"].sum())
        samples = pl.concat([self._samples, rejected])
        self._samples = samples.filter(_number_within_kind() < _SAMPLES)
        return rejected

    def samples(self) -> tuple[dict[str, Any], ...]:
        """The first row of each kind, then the second, and so on; in each of these by file and position."""
        ordered = self._samples.sort(*PLACE).sort(_number_within_kind(), maintain_order=True)
        return tuple(ordered.head(_SAMPLES).to_dicts())


def _number_within_kind() -> pl.Expr:
    codes = pl.col("reasons").list.eval(pl.element().struct.field("code")).list.join(" ")
    return pl.int_range(pl.len()).over(codes)
