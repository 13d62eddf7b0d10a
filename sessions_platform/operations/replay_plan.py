"""Which repaired rows can be replayed, and what raw rows they become.

Here belongs what is decided before rows are validated: which rows need no validation, the original row that a repair
replaces, and the files that repairs are stored as. Not here: whether a repaired row is accepted, and the transaction
that makes it a raw row (`replay.py`), and how outcomes are reported (`replay_report.py`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

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

_NAME_LENGTH = 32


@dataclass(frozen=True)
class Candidate:
    """A repaired row that may be ingested: its raw row, payload and all, and the original row that it replaces."""

    row: RepairedRow
    raw: dict[str, Any] = field(repr=False)
    original_id: str
    original_uri: str
    original_position: int

    @property
    def file(self) -> tuple[str, str]:
        """Repairs of one landing file in one landing partition are stored as one file."""
        return self.raw["landing_partition"], self.original_uri

    def repair(self, uri: str, position: int) -> Repair:
        """The repair as the ledger records it, once the row is stored at this position of this file."""
        partition, original = self.raw["landing_partition"], (self.original_id, self.original_uri)
        return Repair(
            self.row.rejection_id, self.row.digest, partition, uri, position, *original, self.original_position
        )


@dataclass(frozen=True)
class RepairedFile:
    """Repaired rows that are stored together: `frame` has the columns of RAW_EVENTS, a repair for each row."""

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
    queue, ids = context.warehouse.dead_letters, [row.rejection_id for row in rows]
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
    repairs = {(repair.uri, repair.position): repair for repair in context.ledger.repairs()}
    originals = {row.rejection_id: _original(rejected_records[row.rejection_id], repairs) for row in rows}
    positions = {
        (rejected_records[row.rejection_id]["source_uri"], rejected_records[row.rejection_id]["position"])
        for row in rows
    }
    raw = _raw_rows(context, positions | {(uri, position) for _, uri, position in originals.values()}, files)
    for row in rows:
        if not {row.rejection_id, originals[row.rejection_id][0]} <= raw.keys():
            partition = rejected_records[row.rejection_id]["landing_partition"]
            raise UserError(
                f"{row.where}: {originals[row.rejection_id][1]} was read again, and has another row at its position. "
                f"Fix: materialize the landing partition {partition}, and export the rows again."
            )
    return [
        Candidate(row, {**raw[row.rejection_id], "payload": row.payload}, *originals[row.rejection_id]) for row in rows
    ]


def _original(rejected_record: RejectedRecord, repairs: Mapping[tuple[str, int], Repair]) -> tuple[str, str, int]:
    """Id, uri and position of the original row: the rejected row itself, or the one that it is a repair of."""
    repair = repairs.get((rejected_record["source_uri"], rejected_record["position"]))
    if repair:
        return repair.original_id, repair.original_uri, repair.original_position
    return rejected_record["rejection_id"], rejected_record["source_uri"], rejected_record["position"]


def _raw_rows(
    context: StreamContext, positions: Iterable[tuple[str, int]], files: Mapping[str, KnownFile]
) -> dict[str, dict[str, Any]]:
    """The raw rows at these uris and positions, by the id that each has once it is rejected."""
    rows: dict[str, dict[str, Any]] = {}
    for uri, of_file in groupby(sorted(positions), itemgetter(0)):
        file = files.get(uri)
        if file is not None and file.path is not None:
            is_wanted = (pl.col("source_uri") == uri) & pl.col("position").is_in([position for _, position in of_file])
            frame = context.lake.scan([file.path], RAW_EVENTS).filter(is_wanted).collect()
            rows.update(zip(rejection_ids(frame, context.stream), frame.to_dicts(), strict=True))
    return rows


def repaired_files(candidates: Sequence[Candidate]) -> list[RepairedFile]:
    """Candidates as the files that they are stored as. The same repairs make the same file, by uri and digest."""
    ordered = sorted(candidates, key=attrgetter("file", "original_position"))
    return [_repaired_file(list(of_file)) for _, of_file in groupby(ordered, attrgetter("file"))]


def _repaired_file(candidates: Sequence[Candidate]) -> RepairedFile:
    identity = [[candidate.row.rejection_id, candidate.row.digest] for candidate in candidates]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    uri = f"replay:{digest[:_NAME_LENGTH]}"
    frame = pl.DataFrame([candidate.raw for candidate in candidates], schema=RAW_EVENTS).with_columns(
        source_uri=pl.lit(uri), position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    )
    repairs = [candidate.repair(uri, position) for position, candidate in enumerate(candidates, 1)]
    return RepairedFile(frame, repairs, digest)
