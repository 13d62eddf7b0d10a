"""Which repaired rows can be replayed, and what raw rows they become.

Here belongs what is decided before rows are validated: which rows need no validation, the original row that a repair
replaces, and the files that repairs are stored as. Not here: whether a repaired row is accepted, and the transaction
that makes it a raw row (`replay.py`), and how outcomes are reported (`replay_report.py`).
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import attrgetter, itemgetter

import polars as pl
import psycopg

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import RejectedRecord, is_replayable
from sessions_platform.operations.repaired_rows import RepairedRow
from sessions_platform.operations.replay_report import ReplayOutcome
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import KnownFile, Repair
from sessions_platform.storage.warehouses.postgres.dead_letters import Status
from sessions_platform.transforms.rejections import payload_bytes, rejection_ids
from sessions_platform.transforms.stretches import ROWS, places_of

_NAME_LENGTH = 32


@dataclass(frozen=True)
class Candidate:
    """A repaired row that may be ingested, and the original row that it replaces.

    `raw` has the columns of RAW_EVENTS, with the repaired payload: one row, or as many as the rejected row stands for.
    """

    row: RepairedRow
    landing_partition: str
    raw: pl.DataFrame = field(repr=False)
    original_id: str
    original_uri: str
    original_position: int

    @property
    def file(self) -> tuple[str, str]:
        """Repairs of one landing file in one landing partition are stored as one file."""
        return self.landing_partition, self.original_uri

    def repair(self, uri: str, position: int) -> Repair:
        """The repair as the ledger records it, once its rows are stored from this position of this file on."""
        own = self.row.rejection_id, self.row.digest, self.landing_partition, uri, position
        return Repair(*own, self.original_id, self.original_uri, self.original_position, rows=self.raw.height)


@dataclass(frozen=True)
class RepairedFile:
    """Repaired rows that are stored together: `frame` has the columns of RAW_EVENTS, and each row is of a repair."""

    frame: pl.DataFrame
    repairs: list[Repair]
    digest: str


def unique_rows(rows: Sequence[RepairedRow]) -> list[RepairedRow]:
    """Each row once, in their order.

    Raises:
        UserError: a row is repaired in two different ways.
    """
    first: dict[str, RepairedRow] = {}
    for row in rows:
        if first.setdefault(row.rejection_id, row).payload != row.payload:
            other = first[row.rejection_id].where
            raise UserError(f"{row.where}: {row.rejection_id} has another payload at {other}. Fix: keep one of both.")
    return list(first.values())


def decided_outcomes(
    connection: psycopg.Connection,
    context: StreamContext,
    rows: Sequence[RepairedRow],
    rejected_records: Mapping[str, RejectedRecord],
) -> dict[str, ReplayOutcome]:
    """The outcome of each row that need not be validated, by rejection id.

    Raises:
        UserError: a row can't be repaired at all.
    """
    queue, ids = context.dead_letters, [row.rejection_id for row in rows]
    decided = {decision["rejection_id"]: Status(decision["status"]) for decision in queue.history(connection, ids)}
    replayed = {(repair["rejection_id"], repair["payload_digest"]) for repair in queue.repairs(connection, ids)}
    pending = queue.pending_repairs(connection, ids)
    outcomes: dict[str, ReplayOutcome] = {}
    for row in rows:
        rejected_record, name = rejected_records.get(row.rejection_id), row.rejection_id
        if rejected_record is None:
            outcomes[name] = _outcome_of_removed(row, decided.get(name), context.stream.name)
        elif decided.get(name, Status.open) is not Status.open:
            outcomes[name] = ReplayOutcome(decided[name].value)
        elif (name, row.digest) in replayed:
            outcomes[name] = ReplayOutcome.replayed
        elif name in pending:
            outcomes[name] = ReplayOutcome.pending
        elif _is_unchanged(row, rejected_record):
            outcomes[name] = ReplayOutcome.unchanged
    return outcomes


def _outcome_of_removed(row: RepairedRow, status: Status | None, stream: str) -> ReplayOutcome:
    """The outcome of a row that is no longer in the queue."""
    if status is None:
        raise UserError(
            f"{row.where}: no row of {stream} was ever rejected with the id {row.rejection_id!r}. "
            "Fix: export the rows again, and keep their ids."
        )
    return ReplayOutcome.resolved if status is Status.open else ReplayOutcome(status.value)


def _is_unchanged(row: RepairedRow, rejected_record: RejectedRecord) -> bool:
    if not is_replayable(rejected_record):
        raise UserError(
            f"{row.where}: {row.rejection_id} is {Code.unreadable_file}, and not a row that can be repaired. "
            "Fix: leave the line out, and deliver the file again."
        )
    return row.payload == payload_bytes(rejected_record["payload"], rejected_record["payload_encoding"])


def find_candidates(
    context: StreamContext,
    rows: Sequence[RepairedRow],
    rejected_records: Mapping[str, RejectedRecord],
    files: Mapping[str, KnownFile],
) -> list[Candidate]:
    """Each repaired row with the raw row that it replaces.

    Args:
        context: the stream's.
        rows: repaired rows that have to be validated.
        rejected_records: the rejected row of each, by rejection id.
        files: the landing files as the ledger records them, by uri.

    Raises:
        UserError: a file was read again and no longer contains the row.
    """
    repairs = _Repairs(context.ledger.repairs())
    records = [rejected_records[row.rejection_id] for row in rows]
    originals = [repairs.original(record) for record in records]
    ranges = [*map(_range, records), *(original.range for original in originals)]
    raw = {uri: _raw_rows(context, files.get(uri), list(of_file)) for uri, of_file in groupby(sorted(ranges), _uri)}
    pairs = zip(rows, records, originals, strict=True)
    return [_candidate(context, row, record, original, raw) for row, record, original in pairs]


@dataclass(frozen=True)
class _Original:
    """The rows of a landing file that were repaired first; `replaced_from` is the first that this repair replaces."""

    rejection_id: str
    range: "_Range"
    replaced_from: int


_Range = tuple[str, int, int]  # uri, first position, number of rows
_uri = itemgetter(0)


def _range(rejected_record: RejectedRecord) -> _Range:
    return rejected_record["source_uri"], rejected_record["position"], rejected_record["rows"]


class _Repairs:
    """The repairs of a stream, by the places of their rows."""

    def __init__(self, repairs: Iterable[Repair]) -> None:
        ordered = sorted(repairs, key=attrgetter("uri", "position"))
        self._of_uri = {uri: list(of_uri) for uri, of_uri in groupby(ordered, attrgetter("uri"))}
        self._first = {repair.original_id: repair for repair in ordered if repair.rejection_id == repair.original_id}

    def original(self, rejected_record: RejectedRecord) -> _Original:
        """The original rows of a rejected row: its own, or those that it is a repair of."""
        uri, position, _ = _range(rejected_record)
        of_uri = self._of_uri.get(uri)
        if of_uri is None:
            return _Original(rejected_record["rejection_id"], _range(rejected_record), position)
        repair = of_uri[bisect_right(of_uri, position, key=attrgetter("position")) - 1]
        first = self._first[repair.original_id]
        original = first.original_uri, first.original_position, first.rows
        return _Original(repair.original_id, original, repair.original_position + position - repair.position)


def _candidate(
    context: StreamContext,
    row: RepairedRow,
    rejected_record: RejectedRecord,
    original: _Original,
    raw: Mapping[str, pl.DataFrame],
) -> Candidate:
    partition = rejected_record["landing_partition"]
    own, of_original = (_in_range(raw, each) for each in (_range(rejected_record), original.range))
    if [_id_of(own, context), _id_of(of_original, context)] != [row.rejection_id, original.rejection_id]:
        raise UserError(
            f"{row.where}: {_uri(original.range)} was read again, and has another row at its position. "
            f"Fix: materialize the landing partition {partition}, and export the rows again."
        )
    repaired = own.with_columns(payload=pl.lit(row.payload, pl.Binary))
    return Candidate(row, partition, repaired, original.rejection_id, _uri(original.range), original.replaced_from)


def _raw_rows(context: StreamContext, file: KnownFile | None, ranges: Sequence[_Range]) -> pl.DataFrame:
    """The raw rows of a file in these ranges, by position."""
    if file is None or file.path is None:
        return pl.DataFrame(schema=RAW_EVENTS)
    places = places_of(pl.DataFrame(ranges, schema=["source_uri", "position", ROWS], orient="row"))
    is_wanted = (pl.col("source_uri") == file.uri) & pl.col("position").is_in(places["position"].implode())
    return context.lake.scan([file.path], RAW_EVENTS).filter(is_wanted).sort("position").collect()


def _in_range(raw: Mapping[str, pl.DataFrame], range_: _Range) -> pl.DataFrame:
    uri, position, rows = range_
    return raw[uri].slice(int(raw[uri]["position"].search_sorted(position)), rows)


def _id_of(raw: pl.DataFrame, context: StreamContext) -> str | None:
    """The rejection id of raw rows as one rejected row; None where they are not alike, or there are none."""
    if raw["payload"].n_unique() != 1:
        return None
    return rejection_ids(raw.head(1).with_columns(pl.lit(raw.height, pl.Int64).alias(ROWS)), context.stream).item()


def repaired_files(candidates: Sequence[Candidate]) -> list[RepairedFile]:
    """Candidates as the files that they are stored as. The same repairs make the same file, by uri and digest."""
    ordered = sorted(candidates, key=attrgetter("file", "original_position"))
    return [_repaired_file(list(of_file)) for _, of_file in groupby(ordered, attrgetter("file"))]


def _repaired_file(candidates: Sequence[Candidate]) -> RepairedFile:
    identity = [[candidate.row.rejection_id, candidate.row.digest] for candidate in candidates]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    uri = f"replay:{digest[:_NAME_LENGTH]}"
    frame = pl.concat([candidate.raw for candidate in candidates]).with_columns(
        source_uri=pl.lit(uri), position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    )
    positions = accumulate((candidate.raw.height for candidate in candidates), initial=1)
    repairs = [candidate.repair(uri, position) for candidate, position in zip(candidates, positions, strict=False)]
    return RepairedFile(frame, repairs, digest)
