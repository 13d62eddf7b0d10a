"""raw_events → events and rejected_events, published together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.events import PROVENANCE, Known, event_columns
from sessions_platform.contracts.raw import RAW_EVENTS
from sessions_platform.contracts.reasons import REASONS
from sessions_platform.contracts.rejections import REJECTED_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.journey.ahead import ahead, each_ahead
from sessions_platform.journey.references import References, read_references
from sessions_platform.journey.workspace import Workspace, events_near
from sessions_platform.storage.lake import Dataset, StoredFile
from sessions_platform.storage.ledger import KnownFile, LandingVersion, Mend, Snapshot, Superseded
from sessions_platform.storage.spill import Spill
from sessions_platform.storage.warehouse import Loaded
from sessions_platform.transforms.parse import parse_with_shape
from sessions_platform.transforms.sessionize import touched_partitions
from sessions_platform.transforms.shape import NO_SHAPE, Drift, Shape, drift
from sessions_platform.transforms.validate import (
    MENDS,
    Verdict,
    accepted_columns,
    contested_values,
    judge,
    rejection_ids,
    rejections,
    settle,
    uncontested,
)

_POSITION = ["source_uri", "position"]
_RAW = {**PROVENANCE, "payload": pl.Binary()}
_POINTS = {"user_id": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")}
_SAMPLES = 5
_HASH_BYTES = 8
_PARSERS = 4  # each holds a block


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
            yield rows.join(places, on=_POSITION, how="semi")
        yield self.more.join(places, on=_POSITION, how="semi")

    def blocks(self) -> Iterator[pl.DataFrame]:
        yield from self.stored.blocks(self.landing_partition)
        if self.more.height:
            yield self.more


class JudgedRows:
    """The rows of a landing partition, each judged by itself, on the way to being settled among each other.

    Only few rows share an id, or a value that is unique, with another: those alone are brought together.
    `duplicates`, `first_event`, `last_event` and `refused` hold once all of `events` were taken.
    """

    def __init__(self, workspace: Workspace, raw: RawRows, digests: Mapping[str, str], mends: pl.DataFrame) -> None:
        self.shape = NO_SHAPE
        self.duplicates = 0
        self.first_event: datetime | None = None
        self.last_event: datetime | None = None
        self._workspace, self._raw, self._digests, self._mends = workspace, raw, digests, mends
        self._contested = contested_values(workspace.stream)
        self._hashed = {**accepted_columns(workspace.stream), **dict.fromkeys(self._contested, pl.UInt64())}
        self._accepted = workspace.spill(self._hashed)
        self._refused = workspace.spill({**_RAW, "reasons": REASONS})
        buckets = workspace.buckets_for(raw.rows * _HASH_BYTES)
        self._hashes = {name: workspace.spill({name: pl.UInt64()}, buckets, pl.col(name)) for name in self._contested}
        self._conflicts: list[pl.DataFrame] = []

    def add(self, verdict: Verdict, shape: Shape) -> None:
        accepted = verdict.events.with_columns(**self._contested)
        self._accepted.add(accepted)
        self._refused.add(verdict.rejected)
        for name, hashes in self._hashes.items():
            hashes.add(accepted.select(name).drop_nulls())
        self.shape += shape

    def events(self) -> Iterator[pl.DataFrame]:
        """Events, typed, in runs that are each in the order of time; one run where they fit into a bucket."""
        runs = [self._settled(self._accepted.bucket(0))] if self._accepted.is_held else self._runs()
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
                yield rows.select(*_RAW).join(conflicts, on=_POSITION)

    def _runs(self) -> Iterator[pl.DataFrame]:
        repeated = {name: _repeated(hashes) for name, hashes in self._hashes.items()}
        # Rows that settle each other share the one value that may be contested, or else have to stay together.
        apart = pl.col(*repeated) if len(repeated) == 1 and self._mends.is_empty() else None
        contested = self._workspace.spill(self._hashed, self._workspace.buckets_for(self._accepted.bytes), apart)
        for chunk in self._accepted.chunks():
            is_contested = self._is_contested(chunk, repeated)
            contested.add(chunk.filter(is_contested))
            yield uncontested(chunk.filter(~is_contested), self._workspace.stream, self._digests)
        for number in range(contested.buckets):
            yield self._settled(contested.bucket(number))

    def _settled(self, accepted: pl.DataFrame) -> pl.DataFrame:
        settled = settle(accepted.drop(*self._contested), self._workspace.stream, self._digests, self._mends)
        events, conflicts, duplicates = settled
        self.duplicates += duplicates
        if conflicts.height:
            self._conflicts.append(conflicts)
        return events

    def _is_contested(self, chunk: pl.DataFrame, repeated: Mapping[str, pl.Series]) -> pl.Series:
        shares = pl.any_horizontal(pl.col(name).is_in(hashes.implode()) for name, hashes in repeated.items())
        places = [self._mends.select(*_POSITION), self._mends.select(source_uri="_root_uri", position="_root_position")]
        mended = pl.concat(places).unique().with_columns(_mended=pl.lit(True))
        marked = chunk.join(mended, on=_POSITION, how="left", maintain_order="left")
        return marked.select(shares.fill_null(value=False) | pl.col("_mended").is_not_null()).to_series()


def _repeated(hashes: Spill) -> pl.Series:
    """The hashes that stand more than once."""
    found = (hashes.bucket(number).to_series() for number in range(hashes.buckets))
    return pl.concat([pl.Series(dtype=pl.UInt64), *(here.filter(here.is_duplicated()).unique() for here in found)])


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
    rows = judge_rows(workspace, RawRows(raw, landing_partition), digests, mends, references.known)
    events = lake.write(workspace.folder("events", landing_partition), ahead(rows.events()), event_columns(stream))
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


def judge_rows(
    workspace: Workspace, raw: RawRows, digests: Mapping[str, str], mends: Sequence[Mend], known: Known
) -> JudgedRows:
    """Judge all raw rows of a landing partition. `known` are the values that stand in references.

    A mend whose root stands in its file no longer, because that has changed, is void and counts as a duplicate.
    """
    stream = workspace.stream
    standing, void = _parted(stream, raw, mends)
    rows = JudgedRows(workspace, raw, digests, standing)

    def parsed(block: pl.DataFrame) -> tuple[pl.DataFrame, Shape]:
        in_force = block if void.is_empty() else block.join(void, on=_POSITION, how="anti", maintain_order="left")
        return parse_with_shape(in_force, stream)

    for columns, shape in each_ahead(parsed, raw.blocks(), min(_PARSERS, pl.thread_pool_size())):
        rows.add(judge(columns, stream, raw.landing_partition, known), shape)
    rows.duplicates += void.height
    return rows


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


def _parted(stream: Stream, raw: RawRows, mends: Sequence[Mend]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The mends whose root still stands, as MENDS has it, and the places of the others."""
    rows = [(m.uri, m.position, m.root_uri, m.root_position, m.sequence, m.root_id) for m in mends]
    told = pl.DataFrame(rows, schema={**MENDS, "root_id": pl.String()}, orient="row")
    if told.is_empty():
        return told.select(*MENDS), told.select(*_POSITION)
    places = told.select(source_uri="_root_uri", position="_root_position").unique()
    roots = [rejection_ids(rows, stream) for rows in raw.in_places(places)]
    stands = pl.col("root_id").is_in(pl.concat(roots).implode())
    return told.filter(stands).select(*MENDS), told.filter(~stands).select(*_POSITION)


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
        ordered = self._samples.sort(*_POSITION).sort(_nth_of_its_kind(), maintain_order=True)
        return tuple(ordered.head(_SAMPLES).to_dicts())


def _nth_of_its_kind() -> pl.Expr:
    codes = pl.col("reasons").list.eval(pl.element().struct.field("code")).list.join(" ")
    return pl.int_range(pl.len()).over(codes)


def _touched(workspace: Workspace, landings: Sequence[LandingVersion], judged: Judged) -> list[str]:
    """The session partitions to refresh once the judged partition stands in the place of the old one."""
    old = [landing for landing in landings if landing.landing_partition == judged.landing_partition]
    sides = [(side.first_event, side.last_event) for side in (*old, judged)]
    times = [time for side in sides for time in side if time is not None]
    if not times:
        return []
    calendar = workspace.stream.session_calendar
    keys = calendar.keys_between(calendar.key_of(min(times)), calendar.key_of(max(times)))
    edges = pl.Series([*(calendar.window(key).start for key in keys), calendar.window(keys[-1]).end])
    edges = edges.cast(pl.Datetime("us", "UTC"))
    crossing = _users_at_edges(workspace, landings, judged, edges)
    touched, near_edges = set[str](), [pl.DataFrame(schema=_POINTS)]
    for changed in _changed(workspace, [landing.events_path for landing in old], judged.events.path):
        places = edges.search_sorted(changed["event_timestamp"], side="right").unique()
        touched.update(keys[place - 1] for place in places)
        near_edges.append(changed.join(crossing, on="user_id", how="semi"))
    read = workspace.reader(Snapshot(0, tuple(landings)), beside=[judged.events.path])
    return sorted(touched | touched_partitions(pl.concat(near_edges), read, workspace.stream))


def _users_at_edges(
    workspace: Workspace, landings: Sequence[LandingVersion], judged: Judged, edges: pl.Series
) -> pl.DataFrame:
    """The users who have events within the gap on both sides of edges between partitions.

    All others stay within the partitions of their events, whatever changes there.
    """
    gap = workspace.stream.session.gap
    start, end = edges[0] - gap, edges[-1] + gap
    near = [*events_near(Snapshot(0, tuple(landings)), Window(start, end)), judged.events.path]
    sides: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
    for points in workspace.lake.blocks(near, _POINTS, "event_timestamp", lambda a, z: a < end and start <= z):
        time = points["event_timestamp"]
        behind = edges.search_sorted(time, side="right")
        to_next = edges.gather(behind.clip(0, len(edges) - 1)) - time
        since_last = time - edges.gather((behind.cast(pl.Int64) - 1).clip(0))
        for side, distance in zip(sides, (to_next, since_last), strict=True):
            side.append(points.filter((distance >= timedelta(0)) & (distance <= gap)).select("user_id").unique())
    nobody = pl.DataFrame(schema={"user_id": pl.String})
    before, after = (pl.concat([nobody, *side]).unique() for side in sides)
    return before.join(after, on="user_id", how="semi")


def _changed(workspace: Workspace, old: Sequence[str], new: str) -> Iterator[pl.DataFrame]:
    """user_id and event_timestamp of the events that only one side holds, or that differ, in content or provenance.

    Provenance counts because it decides which copy of an event is kept.
    """
    if not old:
        yield from workspace.lake.blocks([new], _POINTS)
        return
    schema = workspace.event_columns
    buckets = workspace.buckets_for(workspace.lake.size_in_memory([*old, new]))
    before, after = (workspace.spill(schema, buckets, pl.col("user_id").hash()) for _ in range(2))
    for spill, paths in ((before, old), (after, [new])):
        for block in workspace.lake.blocks(paths, schema):
            spill.add(block)
    for number in range(buckets):
        one, other = before.bucket(number), after.bucket(number)
        gone = one.join(other, on=list(schema), how="anti", nulls_equal=True)
        come = other.join(one, on=list(schema), how="anti", nulls_equal=True)
        yield pl.concat([gone, come]).select(*_POINTS)


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
