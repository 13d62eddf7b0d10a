"""What is stored of a stream, for programs: sessions, events and rejected rows as polars frames or Arrow streams.

Here belong which rows and columns there are, and where they are read: sessions and rejected rows in the warehouse,
events in the lake. Not here: how a server or a file is read (`storage`), and what opens a stream (`api`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl
from psycopg.sql import SQL, Composed, Identifier

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.column_types import OWN_USER_ID
from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.polars_types import UTC_MICROSECONDS, in_window
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.sessions import ADDED_BY_WAREHOUSE, session_columns, sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.engines.accepted_events import events_near, resolve_by
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import Filter, find_rejected_records
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms.people import Resolve

if TYPE_CHECKING:
    import pyarrow as pa

# A row of the dead-letter queue with what was decided about it.
REJECTED_RECORDS: dict[str, pl.DataType] = {
    **REJECTED_EVENTS,
    "rejected_at": UTC_MICROSECONDS,
    "run_id": pl.String(),
    "status": pl.String(),
    "because": pl.String(),
    "decided_by": pl.String(),
    "decided_at": UTC_MICROSECONDS,
    "replacement_uri": pl.String(),
    "replacement_position": pl.Int64(),
}

# Of accepted events, where sessions are cut by person: whose they are.
PERSON_ID = "person_id"

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def window_of(stream: Stream, since: date | None, until: date | None) -> Window:
    """The moments from `since` on and before `until`; without bounds, all.

    Args:
        stream: a date, or a time without a zone, is of its session timezone.
        since: a date, which begins at midnight, or a time.
        until: the same; the day or moment itself is outside.
    """
    return Window(_moment(stream, since) or _FIRST, _moment(stream, until) or _LAST)


def _moment(stream: Stream, at: date | None) -> datetime | None:
    if at is None:
        return None
    local = at if isinstance(at, datetime) else datetime(at.year, at.month, at.day)  # noqa: DTZ001
    return (local if local.tzinfo else local.replace(tzinfo=ZoneInfo(stream.session.timezone))).astimezone(UTC)


# Sessions ------------------------------------------------------------------------------------------------


def sessions(context: StreamContext, window: Window, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The sessions that start in the window, in any order.

    Args:
        context: the stream's.
        window: of session_start.
        columns: some of the table's, in this order; by default those of ``contracts.sessions.session_columns``,
            open_until and loaded_at.

    Raises:
        UserError: there is no such column, or the warehouse can't be read.
    """
    with context.database.arrow(_sessions_query(context, window, columns)) as batches:
        read = pl.DataFrame(batches)
    return read.select(pl.col(name).cast(dtype) for name, dtype in _session_columns(context, columns).items())


def session_batches(
    context: StreamContext, window: Window, columns: Sequence[str] | None = None
) -> "pa.RecordBatchReader":
    """The same sessions as Arrow batches of a few megabytes; the connection is closed after the last one."""
    import pyarrow as pa

    stack = ExitStack()
    batches = stack.enter_context(context.database.arrow(_sessions_query(context, window, columns)))

    def each() -> "Iterator[pa.RecordBatch]":
        with stack:
            yield from batches

    return pa.RecordBatchReader.from_batches(batches.schema, each())


def _sessions_query(context: StreamContext, window: Window, columns: Sequence[str] | None) -> Composed:
    shown = SQL(", ").join(map(Identifier, _session_columns(context, columns)))
    context.prepare()
    tests = [SQL("session_start >= {}").format(window.start)] if window.start > _FIRST else []
    tests += [SQL("session_start < {}").format(window.end)] if window.end < _LAST else []
    where = SQL(" where ") + SQL(" and ").join(tests) if tests else SQL("")
    return SQL("select {} from {}").format(shown, context.tables.sessions.identifier) + where


def _session_columns(context: StreamContext, columns: Sequence[str] | None) -> Mapping[str, pl.DataType]:
    return _chosen({**session_columns(context.stream), **ADDED_BY_WAREHOUSE}, columns)


# Events --------------------------------------------------------------------------------------------------


class LakeRows:
    """The rows of an asset of the lake whose event_timestamp is in a window.

    Args:
        context: the stream's.
        paths: lake files that may have such rows.
        schema: the columns of the asset, in order.
        window: of event_timestamp.
        columns: some of the asset's, in this order; all of them by default. UserError where there is no such one.
        resolve: gives accepted events their person, shown where `columns` names `PERSON_ID`; None where nobody's is.
    """

    def __init__(
        self,
        context: StreamContext,
        paths: Sequence[str],
        schema: Mapping[str, pl.DataType],
        window: Window,
        columns: Sequence[str] | None,
        resolve: Callable[[], Resolve] | None = None,
    ) -> None:
        known = {**schema, PERSON_ID: pl.String()} if resolve else schema
        self._columns = _chosen(known, list(schema) if columns is None else columns)
        self._person = _with_person(resolve()) if resolve and PERSON_ID in self._columns else None
        self._lake, self._paths, self._schema, self._window = context.lake, paths, schema, window

    def frame(self) -> pl.DataFrame:
        """All of them. UserError where a lake file is missing or damaged."""
        rows = self._lake.scan(self._paths, self._schema, "event_timestamp", self._window.overlaps)
        return self._shown(rows).collect()

    def batches(self) -> "pa.RecordBatchReader":
        """The same as Arrow batches, of a few row groups of a file each."""
        import pyarrow as pa

        blocks = self._lake.blocks(self._paths, self._schema, "event_timestamp", self._window.overlaps)
        wanted = (self._shown(block.lazy()).collect() for block in blocks)
        schema = pl.DataFrame(schema=self._columns).to_arrow().schema
        return pa.RecordBatchReader.from_batches(
            schema, (batch for block in wanted for batch in block.to_arrow().to_batches())
        )

    def _shown(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        inside = rows.filter(in_window(self._window))
        return (self._person(inside) if self._person else inside).select(*self._columns)


def _with_person(resolve: Resolve) -> Resolve:
    """A function that adds the person as `PERSON_ID`, and leaves `user_id` as it was accepted."""
    return lambda events: resolve(events).rename({"user_id": PERSON_ID, OWN_USER_ID: "user_id"})


def events(context: StreamContext, window: Window, columns: Sequence[str] | None = None) -> LakeRows:
    """The accepted events of the window, with the columns of ``contracts.events.event_columns``.

    An event that landed in several landing partitions is there several times; in `sessionized_events` it is once. Where
    sessions are cut by person, `columns` may name `PERSON_ID`, unless the stream has a column of that name: the person
    by all links of now, for which all accepted events of all time are read.
    """
    context.prepare()
    landings, schema = context.ledger.landings(), event_columns(context.stream)
    has_people = context.stream.persons is not None and PERSON_ID not in schema
    resolve = partial(resolve_by, context.lake, context.stream, landings) if has_people else None
    return LakeRows(context, events_near(landings, window), schema, window, columns, resolve)


def sessionized_events(context: StreamContext, window: Window, columns: Sequence[str] | None = None) -> LakeRows:
    """The events of the window with their sessions, each once, as they are loaded; columns as `sessionized_columns`."""
    context.prepare()
    with context.database.transaction(read_only=True) as connection:
        loaded = context.ledger.loaded_sessions(connection)
    paths = [each.path for each in loaded if window.overlaps(each.first_event, each.last_event)]
    return LakeRows(context, paths, sessionized_columns(context.stream), window, columns)


# Rejected rows -------------------------------------------------------------------------------------------


def rejected(context: StreamContext, wanted: Filter) -> pl.DataFrame:
    """The rows of the dead-letter queue, with the columns of `REJECTED_RECORDS`, in its order."""
    return pl.DataFrame(find_rejected_records(context, wanted), schema=REJECTED_RECORDS)


def _chosen(of: Mapping[str, pl.DataType], columns: Sequence[str] | None) -> Mapping[str, pl.DataType]:
    if columns is None:
        return of
    if unknown := [name for name in columns if name not in of]:
        raise UserError(f"there is no column {unknown[0]!r}. Fix: name some of {', '.join(of)}.")
    return {name: of[name] for name in columns}
