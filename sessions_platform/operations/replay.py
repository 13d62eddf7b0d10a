"""Repaired rows → raw_events: each replaces the rejected row that it repairs.

A repaired row is a new raw row, and is validated like any other. It keeps all columns of the original row but its
payload. One transaction records a replay in the ledger; from then on its landing partitions are pending, so that the
next ingestion of them completes it. Here belong the validation of candidates and that transaction. Not here: which rows
are candidates (`replay_plan.py`), how repaired rows are read (`repaired_rows.py`), and what is reported
(`replay_report.py`).
"""

from collections.abc import Mapping, Sequence

import polars as pl

from sessions_platform.contracts.events import PLACE, Known
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import RejectedRecord, rejected_records_of
from sessions_platform.operations.repaired_rows import RepairedRow
from sessions_platform.operations.replay_plan import (
    Candidate,
    decided_outcomes,
    find_candidates,
    repaired_files,
    unique_rows,
)
from sessions_platform.operations.replay_report import Replay, ReplayOutcome, RowOutcome, without_values
from sessions_platform.operations.status import unpublished_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deduplicate import validate_rows
from sessions_platform.pipeline.raw_rows import RawRows
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.pipeline.text_digests import text_digests
from sessions_platform.pipeline.tombstones import read_tombstones
from sessions_platform.storage.ledger.ledger import Repair, StaleWriteError
from sessions_platform.transforms.stretches import ROWS, places_of

_ATTEMPTS = 5
_NEWEST = 2**62  # a sequence higher than any of the ledger

# Reasons by rejection id, each with code, column and rule.
Reasons = dict[str, list[dict[str, str]]]


def replay(context: StreamContext, rows: Sequence[RepairedRow], run_id: str, *, dry_run: bool = False) -> Replay:
    """Make those repaired rows raw rows that would be accepted, and report the rest with their reasons.

    Rows that were replayed before, and those whose rejected row is no longer open, are skipped: to replay twice
    changes nothing.

    Args:
        context: the stream's.
        rows: in any order.
        run_id: recorded with the repairs.
        dry_run: change nothing, and report what would happen.

    Raises:
        UserError: a row can't be repaired at all. Nothing is changed.
        StaleWriteError: the same rows were changed by other writers during each of five attempts.
    """
    rows = unique_rows(rows)
    context.prepare()
    for _ in range(_ATTEMPTS):
        try:
            return _attempt(context, rows, run_id, dry_run)
        except StaleWriteError:
            continue  # another replay or decision changed one of the rows meanwhile, or its file was read
    raise StaleWriteError(f"{context.stream.name}: rows of this replay were changed by others during each attempt")


def _attempt(context: StreamContext, rows: Sequence[RepairedRow], run_id: str, dry_run: bool) -> Replay:
    with context.database.transaction(read_only=True) as connection:
        rejected_records = rejected_records_of(connection, context, [row.rejection_id for row in rows])
        decided = decided_outcomes(connection, context, rows, rejected_records)
    files = {file.uri: file for file in context.ledger.files()}
    undecided = [row for row in rows if row.rejection_id not in decided]
    candidates = find_candidates(context, undecided, rejected_records, files)
    _refuse_erased(context, candidates)
    reasons = _rejection_reasons(context, candidates)
    accepted = [candidate for candidate in candidates if candidate.row.rejection_id not in reasons]
    if accepted and not dry_run:
        _write(context, accepted, {uri: file.sequence for uri, file in files.items()}, run_id)
    outcomes = [_row_outcome(row, decided, reasons, rejected_records) for row in rows]
    partitions = {
        rejected_records[row.rejection_id]["landing_partition"] for row in rows if row.rejection_id in rejected_records
    }
    return Replay(dry_run, outcomes, sorted(partitions & unpublished_landing_partitions(context)))


def _refuse_erased(context: StreamContext, candidates: Sequence[Candidate]) -> None:
    """Raise UserError where a repaired row is of a user who was erased."""
    tombstones = read_tombstones(context)
    if tombstones.count and candidates:
        for candidate in candidates:
            if tombstones.refuses(candidate.raw).any():
                raise UserError(f"{candidate.row.where}: its user was erased. Fix: leave the line out.")


def _rejection_reasons(context: StreamContext, candidates: Sequence[Candidate]) -> Reasons:
    """Why candidates would be rejected again, each validated together with its whole landing partition."""
    reasons: Reasons = {}
    known = read_references(context).known if candidates else {}
    for partition in sorted({candidate.landing_partition for candidate in candidates}):
        of_partition = [candidate for candidate in candidates if candidate.landing_partition == partition]
        reasons.update(_rejection_reasons_in(context, partition, of_partition, known))
    return reasons


def _rejection_reasons_in(
    context: StreamContext, partition: str, candidates: Sequence[Candidate], known: Known
) -> Reasons:
    files = repaired_files(candidates)
    repairs = [repair._replace(sequence=_NEWEST) for file in files for repair in file.repairs]
    stored = context.raw_events([partition])
    digests = text_digests(context, context.ledger.files([partition]), stored, partition)
    digests.update((file.repairs[0].uri, file.digest) for file in files)
    raw = RawRows(stored, partition, pl.concat(file.frame for file in files))
    rows = validate_rows(context, raw, digests, [*context.ledger.repairs([partition]), *repairs], known)
    for _ in rows.events():
        pass  # which rows conflict is known once all events are deduplicated
    uris = [file.repairs[0].uri for file in files]
    rejected = [block.filter(pl.col("source_uri").is_in(uris)).select(*PLACE, "reasons") for block in rows.rejected()]
    found = pl.concat(rejected).join(_places(repairs), on=PLACE) if rejected else pl.DataFrame()
    return {name: without_values(reasons) for _, _, reasons, name in found.iter_rows()}


def _places(repairs: Sequence[Repair]) -> pl.DataFrame:
    """The places of all repaired rows with the rejection id of the row that they replace."""
    ranges = [(repair.uri, repair.position, repair.rows, repair.rejection_id) for repair in repairs]
    columns = ["source_uri", "position", ROWS, "_replaces"]
    return places_of(pl.DataFrame(ranges, schema=columns, orient="row")).drop(ROWS)


def _write(
    context: StreamContext, candidates: Sequence[Candidate], sequences: Mapping[str, int | None], run_id: str
) -> None:
    """Store repaired rows as raw rows, and record all of them in one transaction.

    Raises StaleWriteError where a row was decided about, or its landing file read again, since it was validated.
    """
    stored = [
        (
            file,
            context.lake.write(
                context.folder("raw_events", file.repairs[0].landing_partition), [file.frame], RAW_EVENTS
            ),
        )
        for file in repaired_files(candidates)
    ]
    rows, uris = [candidate.row for candidate in candidates], {candidate.original_uri for candidate in candidates}
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        rejected_records = rejected_records_of(connection, context, [row.rejection_id for row in rows])
        current = context.ledger.sequences(connection, sorted(uris))
        is_decided = bool(decided_outcomes(connection, context, rows, rejected_records))
        if is_decided or any(current.get(uri) != sequences[uri] for uri in uris):
            raise StaleWriteError("another replay, a decision or a new reading of a file was faster")
        for file, stored_file in stored:
            context.ledger.record_repairs(connection, stored_file, file.repairs, file.digest, run_id)


def _row_outcome(
    row: RepairedRow,
    decided: Mapping[str, ReplayOutcome],
    reasons: Reasons,
    rejected_records: Mapping[str, RejectedRecord],
) -> RowOutcome:
    undecided = ReplayOutcome.rejected if row.rejection_id in reasons else ReplayOutcome.accepted
    outcome = decided.get(row.rejection_id, undecided)
    if outcome is ReplayOutcome.unchanged:
        return RowOutcome(
            row.rejection_id, row.where, outcome, without_values(rejected_records[row.rejection_id]["reasons"])
        )
    return RowOutcome(row.rejection_id, row.where, outcome, reasons.get(row.rejection_id, []))
