"""raw_events → events and rejected_events, published together."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from sessions_platform.contracts.events import PLACE, event_columns
from sessions_platform.contracts.rejections import REJECTED_EVENTS
from sessions_platform.journey.ahead import ahead
from sessions_platform.journey.judged_rows import RawRows, judge_rows
from sessions_platform.journey.references import References, read_references
from sessions_platform.journey.touched import Span, touched_by
from sessions_platform.journey.workspace import Workspace
from sessions_platform.storage.lake import Dataset, StoredFile
from sessions_platform.storage.ledger import KnownFile, Superseded
from sessions_platform.storage.warehouse import Loaded
from sessions_platform.transforms.shape import NO_SHAPE, Drift, Shape, drift
from sessions_platform.transforms.validate import rejections

_SAMPLES = 5


@dataclass(frozen=True)
class Judged:
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
    shape: Shape
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
    touched: tuple[str, ...]
    rejected: Loaded


def judge_partition(
    workspace: Workspace, landing_partition: str, raw: Dataset, references: References | None = None
) -> Judged:
    """Judge all raw rows of a landing partition and write events and rejected_events beside those that stand.

    `references` are read here unless a run over several partitions has read them before.
    Raises Superseded where the landing files were read again meanwhile.
    """
    stream, lake = workspace.stream, workspace.lake
    references = references or read_references(workspace)
    # Before the files: mends come and go with theirs, so what fits the files that are found after fits the mends.
    mends = workspace.ledger.mends([landing_partition])
    files = _files_of(workspace, landing_partition, raw)
    digests = {file.uri: file.digest or "" for file in files}
    rows = judge_rows(workspace, RawRows(raw, landing_partition), digests, mends, references.known)
    with closing(ahead(rows.events())) as runs:
        events = lake.write(workspace.folder("events", landing_partition), runs, event_columns(stream))
    tally = _Tally()
    rejected = (tally.seen(rejections(refused, stream)) for refused in rows.refused())
    return Judged(
        landing_partition,
        max((file.sequence or 0 for file in files), default=0),
        files,
        events,
        lake.write(workspace.folder("rejected_events", landing_partition), rejected, REJECTED_EVENTS),
        rows.duplicates,
        dict(sorted(tally.by_reason.items())),
        tally.samples(),
        references,
        rows.shape,
        rows.first_event,
        rows.last_event,
    )


def drifts(workspace: Workspace, judged: Sequence[Judged]) -> dict[str, list[Drift]]:
    """How the shape of each of these partitions differs from the contract and from the partition before it.

    That one may be among them, and is not published yet then. Partitions without rows are passed over.
    """
    own = {verdict.landing_partition: verdict.shape for verdict in judged}
    found: dict[str, list[Drift]] = {}
    for partition, shape in own.items():
        others = workspace.ledger.shape_before(partition, besides=list(own))
        earlier = {key: seen for key, seen in own.items() if key < partition and seen.rows}
        earlier |= {key: Shape(**seen) for key, seen in others.items()}
        found[partition] = drift(shape, earlier[max(earlier)] if earlier else NO_SHAPE, workspace.stream)
    return found


def publish(workspace: Workspace, judged: Judged, run_id: str) -> Published:
    """Make a judged landing partition current, in one transaction with what it touches and rejects.

    Raises Superseded where rows that were read later are published already.
    """
    workspace.warehouse  # noqa: B018  its tables are made before the transaction
    with workspace.database.transaction() as connection:
        workspace.ledger.lock(connection)
        landings = workspace.ledger.current(connection)
        touched = touched_by(workspace, landings, judged.landing_partition, judged.events.path, judged.span)
        version = workspace.ledger.publish(connection, ledger_row(workspace, judged, run_id), touched)
        frames = workspace.lake.blocks([judged.rejected.path], REJECTED_EVENTS)
        loaded = workspace.warehouse.load_rejected(connection, frames, [judged.landing_partition], run_id)
    return Published(version, tuple(touched), loaded)


def _files_of(workspace: Workspace, landing_partition: str, raw: Dataset) -> tuple[KnownFile, ...]:
    """What the ledger knows of the files that the dataset holds."""
    paths = {file.path for file in raw.partitions[landing_partition]}
    files = tuple(file for file in workspace.ledger.files([landing_partition]) if file.path is not None)
    if {file.path for file in files} != paths:
        raise Superseded(f"landing partition {landing_partition}: its files were read again meanwhile")
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


def ledger_row(workspace: Workspace, judged: Judged, run_id: str) -> dict[str, object]:
    """A judged landing partition as the ledger notes it."""
    return {
        "landing_partition": judged.landing_partition,
        "raw_sequence": judged.raw_sequence,
        "raw_files": [{"uri": file.uri, "digest": file.digest, "path": file.path} for file in judged.raw_files],
        "events_path": judged.events.path,
        "rejected_path": judged.rejected.path,
        "raw_rows": judged.raw_rows,
        "accepted": judged.events.rows,
        "rejected": judged.rejected.rows,
        "duplicates": judged.duplicates,
        "rejected_by_reason": judged.rejected_by_reason,
        "first_event": judged.first_event,
        "last_event": judged.last_event,
        "reference_digests": judged.references.digests,
        "shape": {"rows": judged.shape.rows, "fields": judged.shape.fields},
        "contract_version": workspace.stream.contract_version,
        "policy_version": workspace.stream.policy_version,
        "run_id": run_id,
    }
