"""raw_events → events and rejected_events, published together."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from sessions_platform.contracts.events import PLACE, event_columns
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deduplicate import RawRows, validate_rows
from sessions_platform.pipeline.enrich import enrich
from sessions_platform.pipeline.invalidation import Span, affected_by
from sessions_platform.pipeline.reference_data import References, read_references
from sessions_platform.storage.lake.lake import Dataset, StoredFile
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import KnownFile, StaleWriteError
from sessions_platform.storage.warehouses.postgres.loader import Loaded
from sessions_platform.transforms.rejections import rejections
from sessions_platform.transforms.schema_drift import NOTHING_OBSERVED, Drift, ObservedSchema, drift

_SAMPLES = 5


@dataclass(frozen=True)
class ValidatedPartition:
    """A judged landing partition at rest in the lake, not yet published."""

    landing_partition: str
    raw_sequence: int
    raw_files: tuple[KnownFile, ...]
    events: StoredFile
    rejected: StoredFile
    duplicates: int
    rejected_by_reason: dict[str, int]
    samples: tuple[dict[str, Any], ...]  # a few rejected rows, whole
    references: References
    observed: ObservedSchema
    first_event: datetime | None
    last_event: datetime | None

    @property
    def raw_rows(self) -> int:
        return sum(file.stored.rows for file in self.raw_files)

    @property
    def span(self) -> Span:
        return self.first_event, self.last_event


@dataclass(frozen=True)
class Published:
    version: int
    affected: tuple[str, ...]
    rejected: Loaded


def validate_partition(
    context: StreamContext, landing_partition: str, raw: Dataset, references: References | None = None
) -> ValidatedPartition:
    """Judge all raw rows of a landing partition and write events and rejected_events beside those that stand.

    `references` are read here unless a run over several partitions has read them before.
    Raises Superseded where the landing files were read again meanwhile.
    """
    stream, lake = context.stream, context.lake
    references = references or read_references(context)
    # Before the files: mends come and go with theirs, so what fits the files that are found after fits the mends.
    repairs = context.ledger.repairs([landing_partition])
    files = _files_of(context, landing_partition, raw)
    digests = {file.uri: file.digest or "" for file in files}
    rows = validate_rows(context, RawRows(raw, landing_partition), digests, repairs, references.known)
    with closing(prefetch(rows.events())) as runs:
        events = lake.write(context.folder("events", landing_partition), enrich(runs, stream), event_columns(stream))
    tally = _Tally()
    rejected = (tally.seen(rejections(refused, stream)) for refused in rows.rejected())
    return ValidatedPartition(
        landing_partition,
        max((file.sequence or 0 for file in files), default=0),
        files,
        events,
        lake.write(context.folder("rejected_events", landing_partition), rejected, REJECTED_EVENTS),
        rows.duplicates,
        dict(sorted(tally.by_reason.items())),
        tally.samples(),
        references,
        rows.observed,
        rows.first_event,
        rows.last_event,
    )


def drifts(context: StreamContext, validated: Sequence[ValidatedPartition]) -> dict[str, list[Drift]]:
    """How the shape of each of these partitions differs from the contract and from the partition before it.

    That one may be among them, and is not published yet then. Partitions without rows are passed over.
    """
    own = {validation.landing_partition: validation.observed for validation in validated}
    found: dict[str, list[Drift]] = {}
    for partition, observed in own.items():
        others = context.ledger.observed_before(partition, besides=list(own))
        earlier = {key: seen for key, seen in own.items() if key < partition and seen.rows}
        earlier |= {key: ObservedSchema(**seen) for key, seen in others.items()}
        found[partition] = drift(observed, earlier[max(earlier)] if earlier else NOTHING_OBSERVED, context.stream)
    return found


def publish(context: StreamContext, validated: ValidatedPartition, run_id: str) -> Published:
    """Make a judged landing partition current, in one transaction with what it touches and rejects.

    Raises Superseded where rows that were read later are published already.
    """
    context.warehouse  # noqa: B018  its tables are made before the transaction
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        landings = context.ledger.current(connection)
        affected = affected_by(context, landings, validated.landing_partition, validated.events.path, validated.span)
        version = context.ledger.publish(connection, ledger_row(context, validated, run_id), affected)
        frames = context.lake.blocks([validated.rejected.path], REJECTED_EVENTS)
        loaded = context.warehouse.load_rejected(connection, frames, [validated.landing_partition], run_id)
    return Published(version, tuple(affected), loaded)


def _files_of(context: StreamContext, landing_partition: str, raw: Dataset) -> tuple[KnownFile, ...]:
    """What the ledger knows of the files that the dataset holds."""
    paths = {file.path for file in raw.partitions[landing_partition]}
    files = tuple(file for file in context.ledger.files([landing_partition]) if file.path is not None)
    if {file.path for file in files} != paths:
        raise StaleWriteError(f"landing partition {landing_partition}: its files were read again meanwhile")
    return files


class _Tally:
    """What is told of rejected rows: how many rows each code stands on, and a few of as many kinds as there are.

    A row with several codes counts under each.
    """

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self._samples = pl.DataFrame(schema=REJECTED_EVENTS)

    def seen(self, rejected: pl.DataFrame) -> pl.DataFrame:
        codes = rejected.select(code=pl.col("reasons").list.eval(pl.element().struct.field("code")).list.unique())
        counts = codes.explode("code").drop_nulls().group_by("code").len()
        self.by_reason.update(dict(counts.iter_rows()))
        samples = pl.concat([self._samples, rejected])
        self._samples = samples.filter(_nth_of_its_kind() < _SAMPLES)
        return rejected

    def samples(self) -> tuple[dict[str, Any], ...]:
        ordered = self._samples.sort(*PLACE).sort(_nth_of_its_kind(), maintain_order=True)
        return tuple(ordered.head(_SAMPLES).to_dicts())


def _nth_of_its_kind() -> pl.Expr:
    codes = pl.col("reasons").list.eval(pl.element().struct.field("code")).list.join(" ")
    return pl.int_range(pl.len()).over(codes)


def ledger_row(context: StreamContext, validated: ValidatedPartition, run_id: str) -> dict[str, object]:
    """A judged landing partition as the ledger notes it."""
    return {
        "landing_partition": validated.landing_partition,
        "raw_sequence": validated.raw_sequence,
        "raw_files": [{"uri": file.uri, "digest": file.digest, "path": file.path} for file in validated.raw_files],
        "events_path": validated.events.path,
        "rejected_path": validated.rejected.path,
        "raw_rows": validated.raw_rows,
        "accepted": validated.events.rows,
        "rejected": validated.rejected.rows,
        "duplicates": validated.duplicates,
        "rejected_by_reason": validated.rejected_by_reason,
        "first_event": validated.first_event,
        "last_event": validated.last_event,
        "reference_digests": validated.references.digests,
        "observed_schema": {"rows": validated.observed.rows, "fields": validated.observed.fields},
        "contract_version": context.stream.contract_version,
        "session_rule_version": context.stream.session_rule_version,
        "run_id": run_id,
    }
