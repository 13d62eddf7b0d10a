"""Mended rows → raw_events: each in the stead of the rejected row that it was made of.

A mended row is a new raw row, and is judged as any other. It keeps all of the old one but its
payload. One transaction makes a replay known to the ledger; from then on its landing
partitions wait, so that whatever takes them in completes it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import polars as pl
import psycopg

from sessions_platform.contracts.events import Known
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import Code
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import RejectedRecord, is_replayable, rejected_records_of
from sessions_platform.operations.repaired_rows import RepairedRow
from sessions_platform.operations.status import unpublished_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deduplicate import RawRows, validate_rows
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.storage.lake.lake import StoredFile
from sessions_platform.storage.ledger.ledger import KnownFile, Repair, StaleWriteError
from sessions_platform.storage.warehouses.postgres.dead_letters import Status
from sessions_platform.transforms.rejections import payload_bytes, rejection_ids

_ATTEMPTS = 5
_NEWEST = 2**62
_NAME_LENGTH = 32
_REASON_SHOWN = ("code", "column", "rule")  # not the value: it is of the payload, which no log may hold


class Fate(StrEnum):
    """What becomes of a mended row."""

    accepted = "accepted"  # in a dry run: it would be
    rejected = "rejected"  # it would be, again
    unchanged = "unchanged"  # its payload is what was rejected
    replayed = "replayed"  # the same mend was replayed before
    pending = "pending"  # another mend of the row is not judged yet
    resolved = "resolved"  # nothing is left to mend
    discarded = "discarded"
    expired = "expired"


REFUSED = (Fate.rejected, Fate.unchanged)


@dataclass(frozen=True)
class Outcome:
    rejection_id: str
    where: str
    fate: Fate
    reasons: list[dict[str, str]]

    @property
    def told(self) -> str:
        """Its reasons in a line; values are left out, for they are of the payload."""
        return "; ".join(" ".join(filter(None, reason.values())) for reason in self.reasons)


@dataclass(frozen=True)
class Replay:
    """What became of each row, and which landing partitions now wait to be taken in."""

    dry_run: bool
    outcomes: list[Outcome]
    landing_partitions: list[str]

    @property
    def refused(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.fate in REFUSED]

    @property
    def document(self) -> dict[str, Any]:
        """All that is to be told: counts, what waits, and each row that did not land with its reasons."""
        refused = [
            {"rejection_id": o.rejection_id, "where": o.where, "fate": o.fate.value, "reasons": o.reasons}
            for o in self.refused
        ]
        return {
            "dry_run": self.dry_run,
            **self.counts,
            "landing_partitions": self.landing_partitions,
            "refused": refused,
        }

    @property
    def counts(self) -> dict[str, int]:
        fates = [outcome.fate for outcome in self.outcomes]
        return {fate.value: fates.count(fate) for fate in Fate if fate in fates}


@dataclass(frozen=True)
class _Candidate:
    """A mended row that may land: its raw row, payload and all, and where its root is."""

    row: RepairedRow
    raw: dict[str, Any] = field(repr=False)
    original_id: str
    original_uri: str
    original_position: int

    @property
    def file(self) -> tuple[str, str]:
        """Mends of one landing file in one landing partition make one file."""
        return self.raw["landing_partition"], self.original_uri

    def repair(self, uri: str, position: int) -> Repair:
        partition, root = self.raw["landing_partition"], (self.original_id, self.original_uri, self.original_position)
        return Repair(self.row.rejection_id, self.row.digest, partition, uri, position, *root)


@dataclass(frozen=True)
class _RepairedFile:
    """Mended rows that land together, and how the ledger will name them."""

    frame: pl.DataFrame
    repairs: list[Repair]
    digest: str


def replay(context: StreamContext, rows: Sequence[RepairedRow], run_id: str, *, dry_run: bool = False) -> Replay:
    """Land the mended rows that would be accepted; the others are told with their reasons.

    Rows that were replayed before, and such whose old row is no longer open, are skipped: doing it twice adds
    nothing. Raises Mistake before anything lands where a row can't be mended at all.
    """
    rows = _each_once(rows)
    context.warehouse  # noqa: B018  its tables are made before the transaction
    context.ledger  # noqa: B018  and so are these
    for _ in range(_ATTEMPTS):
        try:
            return _attempt(context, rows, run_id, dry_run)
        except StaleWriteError:
            continue  # somebody replayed or decided about one of the rows meanwhile, or its file was read
    raise StaleWriteError(f"{context.stream.name}: rows that are replayed here went on being changed elsewhere")


def _attempt(context: StreamContext, rows: Sequence[RepairedRow], run_id: str, dry_run: bool) -> Replay:
    with context.database.transaction(read_only=True) as connection:
        rejected_records = rejected_records_of(connection, context, [row.rejection_id for row in rows])
        fates = _fates(connection, context, rows, rejected_records)
    files = {file.uri: file for file in context.ledger.files()}
    candidates = _candidates(context, [row for row in rows if row.rejection_id not in fates], rejected_records, files)
    reasons = _again_rejected(context, candidates)
    landing = [candidate for candidate in candidates if candidate.row.rejection_id not in reasons]
    if landing and not dry_run:
        _land(context, landing, {uri: file.sequence for uri, file in files.items()}, run_id)
    outcomes = [_outcome(row, fates, reasons, rejected_records) for row in rows]
    partitions = {
        rejected_records[row.rejection_id]["landing_partition"] for row in rows if row.rejection_id in rejected_records
    }
    return Replay(dry_run, outcomes, sorted(partitions & unpublished_landing_partitions(context)))


def _each_once(rows: Sequence[RepairedRow]) -> list[RepairedRow]:
    """Rows in their order. Raises Mistake where one is mended in two ways."""
    first: dict[str, RepairedRow] = {}
    for row in rows:
        if first.setdefault(row.rejection_id, row).payload != row.payload:
            other = first[row.rejection_id].where
            raise UserError(f"{row.where}: {row.rejection_id} is mended otherwise at {other}. Fix: keep one of both.")
    return list(first.values())


def _fates(
    connection: psycopg.Connection,
    context: StreamContext,
    rows: Sequence[RepairedRow],
    rejected_records: Mapping[str, RejectedRecord],
) -> dict[str, Fate]:
    """The fate of each row that will not be judged. Raises Mistake for such as can't be mended."""
    queue, ids = context.warehouse.dead_letters, [row.rejection_id for row in rows]
    decided = {decision["rejection_id"]: Status(decision["status"]) for decision in queue.history(connection, ids)}
    before = {(repair["rejection_id"], repair["payload_digest"]) for repair in queue.replayed(connection, ids)}
    pending = queue.pending_repairs(connection, ids)
    fates: dict[str, Fate] = {}
    for row in rows:
        rejected_record, name = rejected_records.get(row.rejection_id), row.rejection_id
        if rejected_record is None:
            fates[name] = _fate_of_one_that_left(row, decided.get(name), context.stream.name)
        elif decided.get(name, Status.open) is not Status.open:
            fates[name] = Fate(decided[name].value)
        elif (name, row.digest) in before:
            fates[name] = Fate.replayed
        elif name in pending:
            fates[name] = Fate.pending
        elif _is_unchanged(row, rejected_record):
            fates[name] = Fate.unchanged
    return fates


def _fate_of_one_that_left(row: RepairedRow, status: Status | None, stream: str) -> Fate:
    if status is None:
        raise UserError(
            f"{row.where}: no row of {stream} was ever rejected under {row.rejection_id!r}. "
            "Fix: export the rows anew, and keep their ids."
        )
    return Fate.resolved if status is Status.open else Fate(status.value)


def _is_unchanged(row: RepairedRow, rejected_record: RejectedRecord) -> bool:
    if not is_replayable(rejected_record):
        raise UserError(
            f"{row.where}: {row.rejection_id} is {Code.unreadable_file}, which is no row to mend. "
            "Fix: leave the line out, and deliver the file again."
        )
    return row.payload == payload_bytes(rejected_record["payload"], rejected_record["payload_encoding"])


def _candidates(
    context: StreamContext,
    rows: Sequence[RepairedRow],
    rejected_records: Mapping[str, RejectedRecord],
    files: Mapping[str, KnownFile],
) -> list[_Candidate]:
    """Each mended row with the raw row that it replaces. Raises Mistake where its file holds that no longer."""
    repairs = {(repair.uri, repair.position): repair for repair in context.ledger.repairs()}
    roots = {row.rejection_id: _root(rejected_records[row.rejection_id], repairs) for row in rows}
    places = {
        (rejected_records[row.rejection_id]["source_uri"], rejected_records[row.rejection_id]["position"])
        for row in rows
    }
    raw = _raw_rows(context, places | {(uri, position) for _, uri, position in roots.values()}, files)
    for row in rows:
        if not {row.rejection_id, roots[row.rejection_id][0]} <= raw.keys():
            partition = rejected_records[row.rejection_id]["landing_partition"]
            raise UserError(
                f"{row.where}: {roots[row.rejection_id][1]} was read again, and holds another row there now. "
                f"Fix: materialize the landing partition {partition}, and export the rows anew."
            )
    return [
        _Candidate(row, {**raw[row.rejection_id], "payload": row.payload}, *roots[row.rejection_id]) for row in rows
    ]


def _root(rejected_record: RejectedRecord, repairs: Mapping[tuple[str, int], Repair]) -> tuple[str, str, int]:
    """The id and place of the row of a landing file that a rejected row is, or is a mend of."""
    repair = repairs.get((rejected_record["source_uri"], rejected_record["position"]))
    if repair:
        return repair.original_id, repair.original_uri, repair.original_position
    return rejected_record["rejection_id"], rejected_record["source_uri"], rejected_record["position"]


def _raw_rows(
    context: StreamContext, places: Iterable[tuple[str, int]], files: Mapping[str, KnownFile]
) -> dict[str, dict[str, Any]]:
    """The raw rows that are in these places now, by the id that each has once it is rejected."""
    found: dict[str, dict[str, Any]] = {}
    for uri, of_file in groupby(sorted(places), itemgetter(0)):
        file = files.get(uri)
        if file is not None and file.path is not None:
            at = pl.col("position").is_in([position for _, position in of_file])
            frame = context.lake.scan([file.path], RAW_EVENTS).filter(at).collect()
            found.update(zip(rejection_ids(frame, context.stream), frame.to_dicts(), strict=True))
    return found


def _again_rejected(context: StreamContext, candidates: Sequence[_Candidate]) -> dict[str, list[dict[str, str]]]:
    """Why mended rows would be rejected, by their rejection id: as their landing partitions would be judged."""
    reasons: dict[str, list[dict[str, str]]] = {}
    known = read_references(context).known if candidates else {}
    for partition in sorted({candidate.raw["landing_partition"] for candidate in candidates}):
        here = [candidate for candidate in candidates if candidate.raw["landing_partition"] == partition]
        reasons.update(_again_rejected_in(context, partition, here, known))
    return reasons


def _again_rejected_in(
    context: StreamContext, partition: str, candidates: Sequence[_Candidate], known: Known
) -> dict[str, list[dict[str, str]]]:
    repaired = _mended_files(candidates)
    repairs = [replace(repair, sequence=_NEWEST) for file in repaired for repair in file.repairs]
    digests = {file.uri: file.digest or "" for file in context.ledger.files([partition])}
    digests.update((file.repairs[0].uri, file.digest) for file in repaired)
    raw = RawRows(context.raw_events([partition]), partition, pl.concat(file.frame for file in repaired))
    all_mends = [*context.ledger.repairs([partition]), *repairs]
    rows = validate_rows(context, raw, digests, all_mends, known)
    for _ in rows.events():
        pass  # until all rows were settled with each other
    refused = [row for rows in rows.rejected() for row in rows.select("source_uri", "position", "reasons").iter_rows()]
    of_place = {(uri, at): reasons for uri, at, reasons in refused}
    places = {repair.rejection_id: (repair.uri, repair.position) for repair in repairs}
    return {name: _shown(of_place[place]) for name, place in places.items() if place in of_place}


def _mended_files(candidates: Sequence[_Candidate]) -> list[_RepairedFile]:
    ordered = sorted(candidates, key=attrgetter("file", "original_position"))
    return [_mended_file(list(of_file)) for _, of_file in groupby(ordered, attrgetter("file"))]


def _mended_file(candidates: Sequence[_Candidate]) -> _RepairedFile:
    """The same rows mended in the same way have the same name."""
    told = [[candidate.row.rejection_id, candidate.row.digest] for candidate in candidates]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    uri = f"replay:{digest[:_NAME_LENGTH]}"
    frame = pl.DataFrame([candidate.raw for candidate in candidates], schema=RAW_EVENTS).with_columns(
        source_uri=pl.lit(uri), position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    )
    return _RepairedFile(frame, [candidate.repair(uri, at) for at, candidate in enumerate(candidates, 1)], digest)


def _land(
    context: StreamContext, candidates: Sequence[_Candidate], sequences: Mapping[str, int | None], run_id: str
) -> None:
    """Make the mended rows raw rows, all in one transaction. Raises Superseded where a row may land no longer."""
    stored = [(file, _write(context, file)) for file in _mended_files(candidates)]
    rows, uris = [candidate.row for candidate in candidates], {candidate.original_uri for candidate in candidates}
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        rejected_records = rejected_records_of(connection, context, [row.rejection_id for row in rows])
        known = context.ledger.sequences(connection, sorted(uris))
        if _fates(connection, context, rows, rejected_records) or any(known.get(uri) != sequences[uri] for uri in uris):
            raise StaleWriteError("another replay, a decision or a new reading of a file came between")
        for file, at_rest in stored:
            context.ledger.record_repairs(connection, at_rest, file.repairs, file.digest, run_id)


def _write(context: StreamContext, file: _RepairedFile) -> StoredFile:
    folder = context.folder("raw_events", file.repairs[0].landing_partition)
    return context.lake.write(folder, [file.frame], RAW_EVENTS)


def _outcome(
    row: RepairedRow,
    fates: Mapping[str, Fate],
    reasons: Mapping[str, list[dict[str, str]]],
    rejected_records: Mapping[str, RejectedRecord],
) -> Outcome:
    fate = fates.get(row.rejection_id, Fate.rejected if row.rejection_id in reasons else Fate.accepted)
    known = (
        rejected_records[row.rejection_id]["reasons"] if fate is Fate.unchanged else reasons.get(row.rejection_id, [])
    )
    return Outcome(row.rejection_id, row.where, fate, _shown(known))


def _shown(reasons: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{part: reason[part] for part in _REASON_SHOWN} for reason in reasons]
