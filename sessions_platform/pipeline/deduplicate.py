"""The rows of a landing partition, judged, in as much memory as a bucket takes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from sessions_platform.contracts.events import PLACE, PROVENANCE, Known
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.lake.prefetch import prefetch, prefetch_map
from sessions_platform.storage.lake.spill import Spill
from sessions_platform.storage.ledger.ledger import Repair
from sessions_platform.transforms.deduplicate import REPAIRS, candidate_hashes, deduplicate, unique_events
from sessions_platform.transforms.parse.parse import parse_and_observe
from sessions_platform.transforms.rejections import rejection_ids
from sessions_platform.transforms.schema_drift import NOTHING_OBSERVED, ObservedSchema
from sessions_platform.transforms.sort_events import repeated
from sessions_platform.transforms.validate import ValidationResult, accepted_columns, validate

_RAW = {**PROVENANCE, "payload": pl.Binary()}
_HASH_BYTES = 8


@dataclass(frozen=True)
class RawRows:
    """The raw rows of one landing partition: those that are stored, and `more` that may come to it."""

    stored: Dataset
    landing_partition: str
    more: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RAW_EVENTS))

    @property
    def rows(self) -> int:
        return self.stored.rows_of(self.landing_partition) + self.more.height

    def in_places(self, places: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The rows that stand in these places (source_uri, position), read as far as they may be there."""
        positions = places["position"]
        paths = [file.path for file in self.stored.partitions[self.landing_partition]]

        def holds_any(first: int, last: int) -> bool:
            return positions.is_between(first, last).any()

        for rows in self.stored.lake.blocks(paths, RAW_EVENTS, "position", holds_any):
            yield rows.join(places, on=PLACE, how="semi")
        yield self.more.join(places, on=PLACE, how="semi")

    def blocks(self) -> Iterator[pl.DataFrame]:
        yield from self.stored.blocks(self.landing_partition)
        if self.more.height:
            yield self.more


class ValidatedRows:
    """The rows of a landing partition, each judged by itself, on the way to being settled among each other.

    Only few rows share an id, or a value that is unique, with another: those alone are brought together.
    `duplicates`, `first_event`, `last_event` and `refused` hold once all of `events` were taken.
    """

    def __init__(self, context: StreamContext, raw: RawRows, digests: Mapping[str, str], repairs: pl.DataFrame) -> None:
        self.observed = NOTHING_OBSERVED
        self.duplicates = 0
        self.first_event: datetime | None = None
        self.last_event: datetime | None = None
        self._context, self._raw, self._digests, self._mends = context, raw, digests, repairs
        places = [repairs.select(*PLACE), repairs.select(source_uri="_original_uri", position="_original_position")]
        self._mended = pl.concat(places).unique().with_columns(_mended=pl.lit(True))
        self._contested = candidate_hashes(context.stream)
        self._hashed = {**accepted_columns(context.stream), **dict.fromkeys(self._contested, pl.UInt64())}
        self._accepted = context.spill(self._hashed)
        self._refused = context.spill({**_RAW, "reasons": REASONS})
        buckets = context.buckets_for(raw.rows * _HASH_BYTES)
        self._hashes = {name: context.spill({name: pl.UInt64()}, buckets, pl.col(name)) for name in self._contested}
        self._conflicts: list[pl.DataFrame] = []

    def add(self, validation: ValidationResult, observed: ObservedSchema) -> None:
        accepted = validation.events.with_columns(**self._contested)
        self._accepted.add(accepted)
        self._refused.add(validation.rejected)
        for name, hashes in self._hashes.items():
            hashes.add(accepted.select(name).drop_nulls())
        self.observed += observed

    def events(self) -> Iterator[pl.DataFrame]:
        """Events, typed, in runs that are each in the order of time; one run where they fit into a bucket."""
        runs = [self._settled(self._accepted.bucket(0))] if self._accepted.is_in_memory else self._runs()
        for run in runs:
            if run.height:
                times = run["event_timestamp"]
                self.first_event = min(times[0], self.first_event or times[0])
                self.last_event = max(times[-1], self.last_event or times[-1])
                yield run

    def refused(self) -> Iterator[pl.DataFrame]:
        """The refused rows with all reasons; those that contradict others come last."""
        yield from self._refused.chunks()
        if self._conflicts:
            conflicts = pl.concat(self._conflicts)
            for rows in self._raw.in_places(conflicts):
                yield rows.select(*_RAW).join(conflicts, on=PLACE)

    def _runs(self) -> Iterator[pl.DataFrame]:
        twice = {name: _repeated(hashes) for name, hashes in self._hashes.items()}
        # Rows that settle each other share the one value that may be contested, or else have to stay together.
        apart = pl.col(*twice) if len(twice) == 1 and self._mends.is_empty() else None
        contested = self._context.spill(self._hashed, self._context.buckets_for(self._accepted.bytes), apart)
        for chunk in self._accepted.chunks():
            is_contested = self._is_contested(chunk, twice)
            contested.add(chunk.filter(is_contested))
            yield unique_events(chunk.filter(~is_contested), self._context.stream, self._digests)
        for number in range(contested.buckets):
            yield self._settled(contested.bucket(number))

    def _settled(self, accepted: pl.DataFrame) -> pl.DataFrame:
        settled = deduplicate(accepted.drop(*self._contested), self._context.stream, self._digests, self._mends)
        events, conflicts, duplicates = settled
        self.duplicates += duplicates
        if conflicts.height:
            self._conflicts.append(conflicts)
        return events

    def _is_contested(self, chunk: pl.DataFrame, twice: Mapping[str, pl.Series]) -> pl.Series:
        shares = pl.any_horizontal(pl.col(name).is_in(hashes.implode()) for name, hashes in twice.items())
        contested = shares.fill_null(value=False)
        if not self._mended.is_empty():  # or else the join would copy every column for nothing
            chunk = chunk.join(self._mended, on=PLACE, how="left", maintain_order="left")
            contested |= pl.col("_mended").is_not_null()
        return chunk.select(contested).to_series()


def _repeated(hashes: Spill) -> pl.Series:
    """The hashes that stand more than once."""
    found = (repeated(hashes.bucket(number).to_series()) for number in range(hashes.buckets))
    return pl.concat([pl.Series(dtype=pl.UInt64), *found])


def validate_rows(
    context: StreamContext, raw: RawRows, digests: Mapping[str, str], repairs: Sequence[Repair], known: Known
) -> ValidatedRows:
    """Judge all raw rows of a landing partition. `known` are the values that stand in references.

    A mend whose root stands in its file no longer, because that has changed, is void and counts as a duplicate.
    """
    stream = context.stream
    standing, void = _parted(stream, raw, repairs)
    rows = ValidatedRows(context, raw, digests, standing)

    def parsed(block: pl.DataFrame) -> tuple[pl.DataFrame, ObservedSchema]:
        in_force = block if void.is_empty() else block.join(void, on=PLACE, how="anti", maintain_order="left")
        return parse_and_observe(in_force, stream)

    def validations() -> Iterator[tuple[ValidationResult, ObservedSchema]]:
        for columns, observed in prefetch_map(parsed, raw.blocks()):
            yield validate(columns, stream, raw.landing_partition, known), observed

    # Judged in one thread: pandera's configuration is one for all.
    with closing(prefetch(validations())) as coming:
        for validation, observed in coming:
            rows.add(validation, observed)
    rows.duplicates += void.height
    return rows


def _parted(stream: Stream, raw: RawRows, repairs: Sequence[Repair]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The mends whose root still stands, as MENDS has it, and the places of the others."""
    rows = [(m.uri, m.position, m.original_uri, m.original_position, m.sequence, m.original_id) for m in repairs]
    told = pl.DataFrame(rows, schema={**REPAIRS, "original_id": pl.String()}, orient="row")
    if told.is_empty():
        return told.select(*REPAIRS), told.select(*PLACE)
    places = told.select(source_uri="_original_uri", position="_original_position").unique()
    roots = [rejection_ids(rows, stream) for rows in raw.in_places(places)]
    stands = pl.col("original_id").is_in(pl.concat(roots).implode())
    return told.filter(stands).select(*REPAIRS), told.filter(~stands).select(*PLACE)
