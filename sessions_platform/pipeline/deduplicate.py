"""Validate and deduplicate the rows of one landing partition, within the run's memory budget.

Here: how the work is divided. Rows are parsed and validated block by block; the accepted ones are kept in memory while
they fit (``memory.at_once``), and else spilled to disk, together with hashes of the values that no two of them may
share. Few rows are deduplicated as they are. Of many, the hashes (8 bytes a row) show which rows share a value with any
other: only these few *candidates* are brought together, and all others are unique.
What a duplicate or a conflict is belongs to ``transforms.deduplicate``, what a valid row is to
``transforms.validate``; writing and publishing the result is in ``pipeline.validate``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from sessions_platform.contracts.events import PLACE, PROVENANCE, Known
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.raw_rows import RawRows
from sessions_platform.pipeline.repairs import find_current
from sessions_platform.storage.lake.prefetch import prefetch, prefetch_map
from sessions_platform.storage.ledger.ledger import Repair
from sessions_platform.transforms.deduplicate import candidate_hashes, deduplicate, unique_events
from sessions_platform.transforms.parse.parse import parse_and_observe
from sessions_platform.transforms.schema_drift import NOTHING_OBSERVED, ObservedSchema
from sessions_platform.transforms.sort_events import PART_ROWS, repeated
from sessions_platform.transforms.stretches import NO_BREAKS, ROWS, collapsed, joined
from sessions_platform.transforms.validate import ValidationResult, accepted_columns, validate

if TYPE_CHECKING:
    from sessions_platform.storage.lake.spill import Spill

_RAW = {**PROVENANCE, "payload": pl.Binary()}
_REJECTED = {**_RAW, "reasons": REASONS, ROWS: pl.Int64()}
_HASH_BYTES = 8


class ValidatedRows:
    """The rows of a landing partition, validated one by one, and then deduplicated.

    First ``add`` every block, then take all of ``events``, then ``rejected``: `duplicates`, `repeated_lines`,
    `first_event`, `last_event` and ``rejected`` are complete only after all of ``events`` were taken.

    Args:
        context: the stream, and where to spill.
        raw: the rows, which are read again for the payloads of conflicts.
        digests: by source_uri, the digest of the file's text (`text_digests`).
        repairs: the repaired rows that count, with the columns ``transforms.deduplicate.REPAIRS``.
        breaks: the places (source_uri, position) at which a stretch of rejected rows has to begin.
    """

    def __init__(
        self,
        context: StreamContext,
        raw: RawRows,
        digests: Mapping[str, str],
        repairs: pl.DataFrame,
        breaks: pl.DataFrame = NO_BREAKS,
    ) -> None:
        self.observed = NOTHING_OBSERVED
        self.duplicates = self.repeated_lines = self.skipped = 0
        self.first_event: datetime | None = None
        self.last_event: datetime | None = None
        self._context, self._raw, self._digests = context, raw, digests
        self._repairs, self._breaks = repairs, breaks
        places = [repairs.select(*PLACE), repairs.select(source_uri="_original_uri", position="_original_position")]
        self._repaired = pl.concat(places).unique().with_columns(_repaired=pl.lit(True))
        self._candidate_hashes = candidate_hashes(context.stream)
        hash_columns = dict.fromkeys(self._candidate_hashes, pl.UInt64())
        self._hashed_columns = {**accepted_columns(context.stream), **hash_columns}
        self._accepted = context.spill(self._hashed_columns, keep=True)
        self._rejected = context.spill(_REJECTED)
        buckets = context.buckets_for(raw.rows * _HASH_BYTES)
        self._hashes = {name: context.spill({name: pl.UInt64()}, buckets, pl.col(name)) for name in hash_columns}
        self._conflicts: list[pl.DataFrame] = []

    def add(self, validation: ValidationResult, observed: ObservedSchema) -> None:
        """Add the validated rows of one block, and their observed schema."""
        accepted = validation.events.with_columns(**self._candidate_hashes)
        self._accepted.add(accepted)
        self._rejected.add(validation.rejected)
        self.skipped += validation.skipped
        for name, hashes in self._hashes.items():
            hashes.add(accepted.select(name).drop_nulls())
        self.observed += observed

    def events(self) -> Iterator[pl.DataFrame]:
        """Unique events with the contract columns, in runs that are each in the order of time.

        There is one run where the accepted rows are few. Where they fit into memory, all runs but the last,
        which has the candidates, follow each other in time.
        """
        runs = [self._deduplicated(self._accepted.bucket(0))] if self._are_few else self._runs()
        for run in runs:
            if run.height:
                times = run["event_timestamp"]
                self.first_event = min(times[0], self.first_event or times[0])
                self.last_event = max(times[-1], self.last_event or times[-1])
                yield run

    @property
    def _are_few(self) -> bool:
        """Whether the accepted rows are so few that it does not pay to find the candidates among them first."""
        rows = self._accepted
        return rows.is_in_memory and rows.rows <= PART_ROWS and rows.bytes <= self._context.memory.bucket

    def rejected(self) -> Iterator[pl.DataFrame]:
        """The rejected rows (provenance, payload, reasons, ``ROWS``); those that conflict with others come last."""
        yield from joined(self._rejected.chunks(), self._breaks)
        if self._conflicts:
            yield from joined(self._conflicting(pl.concat(self._conflicts)), self._breaks)

    def _conflicting(self, conflicts: pl.DataFrame) -> Iterator[pl.DataFrame]:
        conflicts = conflicts.with_columns(pl.lit(1, pl.Int64).alias(ROWS))
        for rows in self._raw.at_places(conflicts):
            yield rows.select(*_RAW).join(conflicts, on=PLACE, maintain_order="left").select(*_REJECTED)

    def _runs(self) -> Iterator[pl.DataFrame]:
        repeated_hashes = {name: _repeated_in(hashes) for name, hashes in self._hashes.items()}
        # Candidates of one value can be divided by its hash. If there are several values, or repairs, which tie rows
        # of different values together, then all candidates have to stay in one bucket.
        by = pl.col(*repeated_hashes) if len(repeated_hashes) == 1 and self._repairs.is_empty() else None
        buckets = self._context.buckets_for(self._accepted.bytes)
        candidates = self._context.spill(self._hashed_columns, buckets, by)
        for chunk in [self._accepted.take()] if self._accepted.is_in_memory else self._accepted.chunks():
            is_candidate = self._is_candidate(chunk, repeated_hashes)
            candidates.add(chunk.filter(is_candidate))
            yield from unique_events(chunk, ~is_candidate, self._context.stream, self._digests)
        for number in range(candidates.buckets):
            yield self._deduplicated(candidates.bucket(number))

    def _deduplicated(self, accepted: pl.DataFrame) -> pl.DataFrame:
        accepted = accepted.drop(*self._candidate_hashes)
        result = deduplicate(accepted, self._context.stream, self._digests, self._repairs)
        self.duplicates += result.duplicates
        self.repeated_lines += result.repeated_lines
        if result.conflicts.height:
            self._conflicts.append(result.conflicts)
        return result.events

    def _is_candidate(self, chunk: pl.DataFrame, repeated_hashes: Mapping[str, pl.Series]) -> pl.Series:
        shares = pl.any_horizontal(pl.col(name).is_in(hashes.implode()) for name, hashes in repeated_hashes.items())
        is_candidate = shares.fill_null(value=False)
        if not self._repaired.is_empty():  # else the join would copy every column for nothing
            chunk = chunk.join(self._repaired, on=PLACE, how="left", maintain_order="left")
            is_candidate |= pl.col("_repaired").is_not_null()
        return chunk.select(is_candidate).to_series()


def _repeated_in(hashes: "Spill") -> pl.Series:
    """The hashes that occur more than once."""
    repeats = (repeated(hashes.bucket(number).to_series()) for number in range(hashes.buckets))
    return pl.concat([pl.Series(dtype=pl.UInt64), *repeats])


def validate_rows(
    context: StreamContext, raw: RawRows, digests: Mapping[str, str], repairs: Sequence[Repair], known: Known
) -> ValidatedRows:
    """Parse and validate all raw rows of a landing partition.

    A repair is *orphaned* if its original row, or one of several, is no longer in its file, because the file has
    changed: the repaired rows are then left out, and count as duplicates.

    Args:
        context: the stream, and where to spill.
        raw: the rows.
        digests: by source_uri, the digest of the file's text (`text_digests`).
        repairs: the ledger's repairs of the partition.
        known: by column, the values that its reference contains.

    Returns:
        The validated rows, ready to be taken: first ``events``, then ``rejected``.
    """
    stream = context.stream
    repaired = find_current(stream, raw, repairs)
    rows = ValidatedRows(context, raw, digests, repaired.current, repaired.breaks)
    orphaned = repaired.orphaned

    def parsed(block: pl.DataFrame) -> tuple[pl.DataFrame, ObservedSchema]:
        counted = block if orphaned.is_empty() else block.join(orphaned, on=PLACE, how="anti", maintain_order="left")
        return parse_and_observe(collapsed(counted, repaired.breaks), stream)

    def validations() -> Iterator[tuple[ValidationResult, ObservedSchema]]:
        for columns, observed in prefetch_map(parsed, raw.blocks()):
            yield validate(columns, stream, raw.landing_partition, known), observed

    # Validated in one thread: pandera's configuration is global.
    with closing(prefetch(validations())) as results:
        for validation, observed in results:
            rows.add(validation, observed)
    rows.duplicates += orphaned.height
    return rows
