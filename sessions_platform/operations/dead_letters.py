"""The dead-letter queue as people use it: look, take away to mend, discard, open again, let expire."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TextIO

import psycopg

from sessions_platform.contracts.rejected_events import Code
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.warehouses.postgres.dead_letters import Status

RejectedRecord = dict[str, Any]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EXPORTED = (
    "stream",
    "rejection_id",
    "landing_partition",
    "source_uri",
    "position",
    "reasons",
    "payload_encoding",
    "payload",
)


@dataclass(frozen=True)
class Filter:
    """Which rows of the queue are asked for; None and "" ask for all."""

    status: Status | None = None
    code: str | None = None
    landing_partition: str | None = None
    id_prefix: str = ""
    limit: int | None = None

    def __post_init__(self) -> None:
        codes = [code.value for code in Code]
        if self.code is not None and self.code not in codes:
            raise UserError(f"--reason: there is no code {self.code!r}. Fix: write one of {', '.join(codes)}.")


@dataclass(frozen=True)
class Decided:
    """Of which rows something was decided, and which had that status already."""

    changed: list[str]
    unchanged: list[str]


def find_rejected_records(context: StreamContext, wanted: Filter) -> list[RejectedRecord]:
    """Rows of the queue, each with its stream and status."""
    context.prepare()
    queue = context.warehouse.dead_letters
    with context.database.transaction(read_only=True) as connection:
        found = queue.find(connection, **vars(wanted))
    return [{"stream": context.stream.name, **row} for row in found]


def rejected_records_of(
    connection: psycopg.Connection, context: StreamContext, ids: Sequence[str]
) -> dict[str, RejectedRecord]:
    """The rows of these ids as they stand in the queue now."""
    return {row["rejection_id"]: row for row in context.warehouse.dead_letters.find(connection, ids=ids)}


def rejected_record(contexts: Sequence[StreamContext], rejection_id: str) -> RejectedRecord:
    """One row with its whole history; the id may be cut short. Raises Mistake where it names no row, or several."""
    context, row = _only_one(contexts, rejection_id)
    queue = context.warehouse.dead_letters
    with context.database.transaction(read_only=True) as connection:
        history = queue.history(connection, [row["rejection_id"]])
        repairs = queue.replayed(connection, [row["rejection_id"]])
    told = [{name: value for name, value in decision.items() if name != "rejection_id"} for decision in history]
    return {**row, "history": told, "mends": [{k: v for k, v in m.items() if k != "rejection_id"} for m in repairs]}


def resolve_ids(
    contexts: Sequence[StreamContext], rejection_ids: Iterable[str]
) -> list[tuple[StreamContext, list[str]]]:
    """The whole ids of ids that may be cut short, by the workspace that they belong to."""
    found = [_only_one(contexts, rejection_id) for rejection_id in rejection_ids]
    of_each = ((owner, [row["rejection_id"] for of, row in found if of is owner]) for owner in contexts)
    return [(context, list(dict.fromkeys(ids))) for context, ids in of_each if ids]


def _only_one(contexts: Sequence[StreamContext], rejection_id: str) -> tuple[StreamContext, RejectedRecord]:
    if not rejection_id or not set(rejection_id) <= set("0123456789abcdef-"):
        raise UserError(f"{rejection_id!r} is no rejection id. Fix: take one from `sessions-platform rejected list`.")
    wanted = Filter(id_prefix=rejection_id, limit=2)
    found = [(context, row) for context in contexts for row in find_rejected_records(context, wanted)]
    if not found:
        raise UserError(
            f"{rejection_id}: no rejected row has an id that begins so. "
            "Fix: take one from `sessions-platform rejected list --status all`."
        )
    if len(found) > 1:
        raise UserError(f"{rejection_id}: several ids begin so. Fix: write more of it.")
    return found[0]


# Decisions


def discard(context: StreamContext, rejection_ids: Sequence[str], because: str, by: str) -> Decided:
    """Decide that these rows are not to be mended. Raises Mistake, and decides nothing, where one can't be."""
    return _decide(context, rejection_ids, Status.discarded, {Status.open}, because, by)


def reopen(context: StreamContext, rejection_ids: Sequence[str], because: str, by: str) -> Decided:
    """Take back that these rows were discarded."""
    return _decide(context, rejection_ids, Status.open, {Status.discarded}, because, by)


def _decide(
    context: StreamContext, rejection_ids: Sequence[str], status: Status, from_: set[Status], because: str, by: str
) -> Decided:
    if not because.strip():
        raise UserError("--because: it gives no reason. Fix: say in a sentence why.")
    context.prepare()
    queue = context.warehouse.dead_letters
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        rows = {row["rejection_id"]: Status(row["status"]) for row in queue.find(connection, ids=rejection_ids)}
        _refuse_others(rejection_ids, rows, {status, *from_})
        changed = [name for name in rejection_ids if rows[name] is not status]
        if waits := queue.pending_repairs(connection, changed):
            raise UserError(f"{min(waits)}: a mend of it waits to be judged. Fix: `sessions-platform rejected replay`.")
        queue.decide(connection, changed, status, because.strip(), by)
    return Decided(changed, [name for name in rejection_ids if name not in changed])


def _refuse_others(rejection_ids: Sequence[str], rows: dict[str, Status], allowed: set[Status]) -> None:
    for rejection_id in rejection_ids:
        if rejection_id not in rows:
            raise UserError(f"{rejection_id}: no such row is in the queue. Fix: `sessions-platform rejected list`.")
        if rows[rejection_id] not in allowed:
            raise UserError(
                f"{rejection_id}: it is {rows[rejection_id]}, for an accepted event stands for it. Fix: leave it out."
            )


def expire(context: StreamContext, keep_for: timedelta, by: str) -> dict[str, int]:
    """Remove from the warehouse what has been resolved or discarded for longer; how many rows by status.

    What is open stays. Decisions stay, too, and loads don't bring the rows back. The lake keeps them.
    """
    context.prepare()
    queue = context.warehouse.dead_letters
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        return queue.expire(connection, keep_for, by)


# To take away


def exported(rejected_records: Iterable[RejectedRecord]) -> Iterator[str]:
    """Lines of JSON that people mend and `replay` reads."""
    for row in rejected_records:
        told = {name: row[name] for name in _EXPORTED}
        yield json.dumps(told, ensure_ascii=False, default=str)


def is_replayable(row: RejectedRecord) -> bool:
    """Whether there is a row to mend: the rest of a file that can't be read is none."""
    return all(reason["code"] != Code.unreadable_file for reason in row["reasons"])


def write_csv(rejected_records: Iterable[RejectedRecord], file: TextIO) -> None:
    """Write rows for a spreadsheet, in which no cell is taken for a formula."""
    writer = csv.writer(file)
    for number, row in enumerate(rejected_records):
        if number == 0:
            writer.writerow(row)
        writer.writerow([_as_cell(value) for value in row.values()])


def _as_cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
