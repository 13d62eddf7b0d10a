"""The dead-letter queue as people use it: find, show, export, discard, reopen, expire.

Here belong the queries and decisions of operators, and the two export formats. Not here: the tables of the queue
(`storage/warehouses/postgres/dead_letters.py`), the replay of repaired rows (`replay.py`), and arguments and output
(`cli`, `orchestration/dead_letters.py`).
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TextIO

import psycopg

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream import Stream
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
    "rows",
    "reasons",
    "payload_encoding",
    "payload",
)


@dataclass(frozen=True)
class Filter:
    """Which rows of the queue to find; None and "" do not restrict them. An unknown code is a UserError."""

    status: Status | None = None
    code: str | None = None
    landing_partition: str | None = None
    id_prefix: str = ""
    limit: int | None = None

    def __post_init__(self) -> None:
        codes = [code.value for code in Code]
        if self.code is not None and self.code not in codes:
            raise UserError(f"--reason: there is no code {self.code!r}. Fix: write one of {', '.join(codes)}.")

    @classmethod
    def of(cls, status: str, code: str | None, landing_partition: str | None, limit: int | None = None) -> "Filter":
        """The filter of what people write; the status `all` does not restrict. A status that is none is a UserError."""
        statuses = [each.value for each in Status if each is not Status.expired]
        if status not in (*statuses, "all"):
            raise UserError(f"there is no status {status!r}. Fix: write one of {', '.join(statuses)}, all.")
        return cls(None if status == "all" else Status(status), code, landing_partition, limit=limit)


@dataclass(frozen=True)
class Decided:
    """Rejection ids of the rows whose status changed, and of those that had it already."""

    changed: list[str]
    unchanged: list[str]


def find_rejected_records(context: StreamContext, wanted: Filter) -> list[RejectedRecord]:
    """Rows of the queue, each with its stream and status, in the order of the queue."""
    context.prepare()
    queue = context.dead_letters
    with context.database.transaction(read_only=True) as connection:
        rows = queue.find(connection, **vars(wanted))
    return [{"stream": context.stream.name, **row} for row in rows]


def rejected_records_of(
    connection: psycopg.Connection, context: StreamContext, ids: Sequence[str]
) -> dict[str, RejectedRecord]:
    """The rows of these ids that are in the queue now, by rejection id."""
    return {row["rejection_id"]: row for row in context.dead_letters.find(connection, ids=ids)}


def rejected_record(contexts: Sequence[StreamContext], rejection_id: str) -> RejectedRecord:
    """One row with all decisions about it and all of its repairs; the id may be abbreviated.

    Raises:
        UserError: no row, or several, have such an id.
    """
    context, row = _only_one(contexts, rejection_id)
    queue = context.dead_letters
    with context.database.transaction(read_only=True) as connection:
        history = queue.history(connection, [row["rejection_id"]])
        repairs = queue.repairs(connection, [row["rejection_id"]])
    return {
        **row,
        "history": [_without_id(decision) for decision in history],
        "repairs": list(map(_without_id, repairs)),
    }


def _without_id(record: RejectedRecord) -> RejectedRecord:
    return {name: value for name, value in record.items() if name != "rejection_id"}


def resolve_ids(
    contexts: Sequence[StreamContext], rejection_ids: Iterable[str]
) -> list[tuple[StreamContext, list[str]]]:
    """Full rejection ids of ids that may be abbreviated, by the context that they belong to.

    Raises:
        UserError: no row, or several, have such an id.
    """
    rows = [_only_one(contexts, rejection_id) for rejection_id in rejection_ids]
    by_context = ((context, [row["rejection_id"] for owner, row in rows if owner is context]) for context in contexts)
    return [(context, list(dict.fromkeys(ids))) for context, ids in by_context if ids]


def _only_one(contexts: Sequence[StreamContext], rejection_id: str) -> tuple[StreamContext, RejectedRecord]:
    if not rejection_id or not set(rejection_id) <= set("0123456789abcdef-"):
        raise UserError(
            f"{rejection_id!r} is not a rejection id. Fix: take one from `sessions-platform rejected list`."
        )
    wanted = Filter(id_prefix=rejection_id, limit=2)
    rows = [(context, row) for context in contexts for row in find_rejected_records(context, wanted)]
    if not rows:
        raise UserError(
            f"{rejection_id}: no rejected row has an id that begins like this. "
            "Fix: take one from `sessions-platform rejected list --status all`."
        )
    if len(rows) > 1:
        raise UserError(f"{rejection_id}: several ids begin like this. Fix: write more of it.")
    return rows[0]


# Decisions ---------------------------------------------------------------------------------------------


def discard(context: StreamContext, rejection_ids: Sequence[str], because: str, by: str) -> Decided:
    """Decide that these rows will not be repaired.

    Args:
        context: the stream's.
        rejection_ids: full ids.
        because: the reason, for the history.
        by: who decides, for the history.

    Raises:
        UserError: there is no reason, or a row can't be discarded. Nothing is decided.
    """
    return _decide(context, rejection_ids, Status.discarded, {Status.open}, because, by)


def reopen(context: StreamContext, rejection_ids: Sequence[str], because: str, by: str) -> Decided:
    """Make discarded rows open again; arguments and errors as for `discard`."""
    return _decide(context, rejection_ids, Status.open, {Status.discarded}, because, by)


def _decide(
    context: StreamContext, rejection_ids: Sequence[str], status: Status, from_: set[Status], because: str, by: str
) -> Decided:
    if not because.strip():
        raise UserError("--because: it gives no reason. Fix: write in a sentence why.")
    context.prepare()
    queue = context.dead_letters
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        rows = {row["rejection_id"]: Status(row["status"]) for row in queue.find(connection, ids=rejection_ids)}
        for rejection_id in rejection_ids:
            _require_status(rejection_id, rows.get(rejection_id), {status, *from_})
        changed = [name for name in rejection_ids if rows[name] is not status]
        if pending := queue.pending_repairs(connection, changed):
            raise UserError(
                f"{min(pending)}: a repair of it is not validated yet. Fix: run `sessions-platform rejected replay`."
            )
        queue.decide(connection, changed, status, because.strip(), by)
    return Decided(changed, [name for name in rejection_ids if name not in changed])


def _require_status(rejection_id: str, status: Status | None, allowed: set[Status]) -> None:
    if status is None:
        raise UserError(f"{rejection_id}: it is not in the queue. Fix: see `sessions-platform rejected list`.")
    if status not in allowed:
        raise UserError(f"{rejection_id}: it is {status}, since an accepted event replaces it. Fix: leave it out.")


def kept_for(stream: Stream, days: int | None) -> timedelta:
    """How long resolved and discarded rows are kept: these days, or as the stream's file says.

    Raises:
        UserError: there is neither.
    """
    if days is not None:
        return timedelta(days=days)
    if stream.rejected.keep_for is None:
        raise UserError(
            f"{stream.name}: the stream's file does not say how long resolved and discarded rows are kept. "
            "Fix: write rejected.keep_for into it, or name a number of days."
        )
    return stream.rejected.keep_for


def expire(context: StreamContext, keep_for: timedelta, by: str) -> dict[str, int]:
    """Remove rows from the warehouse that were resolved or discarded long ago.

    Open rows stay, and so do all decisions. Later loads do not restore removed rows; the lake keeps them.

    Args:
        context: the stream's.
        keep_for: how long resolved and discarded rows are kept.
        by: who removes them, for the history.

    Returns:
        How many rows were removed, by status.
    """
    context.prepare()
    queue = context.dead_letters
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        return queue.expire(connection, keep_for, by)


# Export ------------------------------------------------------------------------------------------------


def exported(rejected_records: Iterable[RejectedRecord]) -> Iterator[str]:
    """Rows as lines of JSON, which people repair and `replay` reads."""
    for row in rejected_records:
        yield json.dumps({name: row[name] for name in _EXPORTED}, ensure_ascii=False, default=str)


def is_replayable(row: RejectedRecord) -> bool:
    """Whether the record is a row that can be repaired; the rest of an unreadable file is not."""
    return all(reason["code"] != Code.unreadable_file for reason in row["reasons"])


def write_csv(rejected_records: Iterable[RejectedRecord], file: TextIO) -> None:
    """Write rows as CSV for a spreadsheet, in which no cell is interpreted as a formula."""
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
