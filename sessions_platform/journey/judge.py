"""raw_events → events and rejected_events, published together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from sessions_platform.contracts.events import PROVENANCE, Known, content_columns, event_columns
from sessions_platform.contracts.raw import RAW_EVENTS
from sessions_platform.contracts.rejections import REJECTED_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.journey.references import References, read_references
from sessions_platform.journey.workspace import Workspace
from sessions_platform.storage.lake import Dataset, StoredFile
from sessions_platform.storage.ledger import KnownFile, LandingVersion, Mend, Snapshot, Superseded
from sessions_platform.storage.warehouse import Loaded
from sessions_platform.transforms.parse import parse_with_shape
from sessions_platform.transforms.sessionize import touched_partitions
from sessions_platform.transforms.shape import NO_SHAPE, Drift, Shape, drift
from sessions_platform.transforms.validate import MENDS, judge, rejection_ids, rejections, settle

_POSITION = ["source_uri", "position"]
_SAMPLES = 5


@dataclass(frozen=True)
class RawRows:
    """The raw rows of one landing partition: those that are stored, and `more` that may come to it."""

    stored: Dataset
    landing_partition: str
    more: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RAW_EVENTS))

    def scan(self) -> pl.LazyFrame:
        return pl.concat([self.stored.scan(self.landing_partition), self.more.lazy()])

    def blocks(self) -> Iterator[pl.DataFrame]:
        yield from self.stored.blocks(self.landing_partition)
        if self.more.height:
            yield self.more


@dataclass(frozen=True)
class JudgedRows:
    """The events of a landing partition in time, its refused rows with all reasons, how many are duplicates."""

    events: pl.DataFrame
    refused: pl.DataFrame
    duplicates: int
    shape: Shape


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
    rows = judge_rows(stream, RawRows(raw, landing_partition), digests, mends, references.known)
    events, rejected = rows.events, rejections(rows.refused.sort(*_POSITION), stream)
    return Judged(
        landing_partition,
        max((file.sequence or 0 for file in files), default=0),
        files,
        lake.write(workspace.folder("events", landing_partition), [events], event_columns(stream)),
        lake.write(workspace.folder("rejected_events", landing_partition), [rejected], REJECTED_EVENTS),
        rows.duplicates,
        _count_reasons(rejected),
        _samples(rejected),
        references,
        rows.shape,
        *_span(events),
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


def judge_rows(
    stream: Stream, raw: RawRows, digests: Mapping[str, str], mends: Sequence[Mend], known: Known
) -> JudgedRows:
    """Judge all raw rows of a landing partition. `known` are the values that stand in references.

    A mend whose root stands in its file no longer, because that has changed, is void and counts as a duplicate.
    """
    standing, void = _parted(stream, raw.scan(), mends)
    accepted, refused, shape = _judge_blocks(stream, raw, void, known)
    events, conflicts, duplicates = settle(accepted, stream, digests, standing)
    refused = pl.concat([refused, _with_payload(raw, conflicts)])
    return JudgedRows(events, refused, duplicates + void.height, shape)


def publish(workspace: Workspace, judged: Judged, run_id: str) -> Published:
    """Make a judged landing partition current, in one transaction with what it touches and rejects.

    Raises Superseded where rows that were read later are published already.
    """
    workspace.warehouse  # noqa: B018  its tables are made before the transaction
    with workspace.database.transaction() as connection:
        workspace.ledger.lock(connection)
        landings = workspace.ledger.current(connection)
        touched = _touched(workspace, landings, judged)
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


def _parted(stream: Stream, raw: pl.LazyFrame, mends: Sequence[Mend]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The mends whose root still stands, as MENDS has it, and the places of the others."""
    rows = [(m.uri, m.position, m.root_uri, m.root_position, m.sequence, m.root_id) for m in mends]
    told = pl.DataFrame(rows, schema={**MENDS, "root_id": pl.String()}, orient="row")
    if told.is_empty():
        return told.select(*MENDS), told.select(*_POSITION)
    places = told.select(source_uri="_root_uri", position="_root_position").unique()
    roots = raw.select(*_POSITION, "payload").join(places.lazy(), on=_POSITION, how="semi").collect()
    stands = pl.col("root_id").is_in(rejection_ids(roots, stream).implode())
    return told.filter(stands).select(*MENDS), told.filter(~stands).select(*_POSITION)


def _judge_blocks(
    stream: Stream, raw: RawRows, void: pl.DataFrame, known: Known
) -> tuple[pl.DataFrame, pl.DataFrame, Shape]:
    """Accepted rows, rejected rows and the shape of all."""
    verdicts, shape = [], NO_SHAPE
    for block in [pl.DataFrame(schema=RAW_EVENTS), *raw.blocks()]:
        standing = block if void.is_empty() else block.join(void, on=_POSITION, how="anti", maintain_order="left")
        parsed, seen = parse_with_shape(standing, stream)
        verdicts.append(judge(parsed, stream, raw.landing_partition, known))
        shape += seen
    return pl.concat(verdict.events for verdict in verdicts), pl.concat(verdict.rejected for verdict in verdicts), shape


def _with_payload(raw: RawRows, conflicts: pl.DataFrame) -> pl.DataFrame:
    """The raw rows of what was found too late to have them at hand."""
    rows = raw.scan().select(*PROVENANCE, "payload")
    return rows.join(conflicts.lazy(), on=_POSITION).collect()


def _count_reasons(rejected: pl.DataFrame) -> dict[str, int]:
    """How many rows each code stands on; a row with several codes counts under each."""
    codes = rejected.select(code=pl.col("reasons").list.eval(pl.element().struct.field("code")).list.unique())
    counts = codes.explode("code").drop_nulls().group_by("code").len().sort("code")
    return dict(counts.iter_rows())


def _samples(rejected: pl.DataFrame) -> tuple[dict[str, Any], ...]:
    """A few rows, of as many different reasons as there are."""
    codes = pl.col("reasons").list.eval(pl.element().struct.field("code")).list.join(" ")
    nth = pl.int_range(pl.len()).over(codes)
    return tuple(rejected.sort(nth, maintain_order=True).head(_SAMPLES).to_dicts())


def _span(events: pl.DataFrame) -> tuple[datetime | None, datetime | None]:
    times = events["event_timestamp"]
    return (times[0], times[-1]) if len(times) else (None, None)


def _touched(workspace: Workspace, landings: Sequence[LandingVersion], judged: Judged) -> list[str]:
    """The session partitions to refresh once the judged partition stands in the place of the old one."""
    old = [landing.events_path for landing in landings if landing.landing_partition == judged.landing_partition]
    changed = _changed(workspace, old, [judged.events.path])
    read = workspace.reader(Snapshot(0, tuple(landings)), beside=[judged.events.path])
    return sorted(touched_partitions(changed, read, workspace.stream))


def _changed(workspace: Workspace, old: Sequence[str], new: Sequence[str]) -> pl.DataFrame:
    """user_id and event_timestamp of the events that only one side holds, or that differ, in content or provenance.

    Provenance counts because it decides which copy of an event is kept.
    """
    schema = event_columns(workspace.stream)
    points = ["user_id", "event_timestamp"]
    if not old:
        return workspace.lake.scan(new, schema).select(points).collect()
    row = pl.struct(*content_columns(workspace.stream), *PROVENANCE).struct.json_encode().alias("_row")
    before = workspace.lake.scan(old, schema).select(*points, row)
    after = workspace.lake.scan(new, schema).select(*points, row)
    gone = before.join(after, on="_row", how="anti")
    come = after.join(before, on="_row", how="anti")
    return pl.concat([gone, come]).select(points).collect()


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
