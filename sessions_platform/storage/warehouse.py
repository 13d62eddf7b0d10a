"""The warehouse: one schema a stream, with the tables `sessions` and `rejected_events`.

Tables derive from the contract. A load compares with what stands and changes only rows
that differ, in the transaction it is given, so that readers see the old or the new.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString

import polars as pl
import psycopg
from psycopg.rows import class_row, dict_row
from psycopg.sql import SQL, Composable, Composed, Identifier

from sessions_platform.contracts.events import REPEATED_EVENT_IDS
from sessions_platform.contracts.reasons import REASONS
from sessions_platform.contracts.rejections import REJECTED_EVENTS
from sessions_platform.contracts.sessions import KEPT_BY_WAREHOUSE, SESSION_CHANGES, session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.mistakes import Mistake
from sessions_platform.storage import warehouse_sql as sql
from sessions_platform.storage.copies import Encoder, GatheredSessions, copy_rows, gathered
from sessions_platform.storage.database import lock
from sessions_platform.storage.dead_letters import DeadLetters

_TYPES: dict[pl.DataType, LiteralString] = {
    pl.String(): "text",
    pl.Int64(): "bigint",
    pl.Float64(): "double precision",
    pl.Boolean(): "boolean",
    pl.Datetime("us", "UTC"): "timestamp with time zone",
    REASONS: "jsonb",
}
_VIEW_NAME = "sessions_now"
_REJECTED_VIEW_NAME = "rejected_by_day"
# Percent of a page. A row that changes where its page has room needs no new entry in any index.
_FILLED = 66
# By which a reload recognises that it would change nothing: the digest of what was loaded last, and which
# transactions wrote the rows since, so that no edit goes unseen, by whomever.
_LOADED_PARTITIONS: dict[str, pl.DataType] = {
    "session_partition": pl.String(),
    "digest": pl.String(),
    "written_by": pl.String(),
}
_WHEN_REJECTED: dict[str, pl.DataType] = {"rejected_at": pl.Datetime("us", "UTC"), "run_id": pl.String()}


class WarehouseError(Mistake):
    """The tables that stand don't fit the contract; the message says which, and the mend."""


@dataclass(frozen=True)
class Loaded:
    """How many rows a load changed."""

    inserted: int
    updated: int
    deleted: int

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.deleted

    def __add__(self, other: "Loaded") -> "Loaded":
        return Loaded(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)


@dataclass(frozen=True)
class _State:
    """Of some session partitions, those that the table has no rows of and those that it has rows of."""

    empty: list[str]
    standing: list[str]


@dataclass(frozen=True)
class _AtRest:
    """A session partition as it rests: how many rows each transaction wrote last, into columns of which place and type.

    Whoever edits a row, adds one or takes one away makes it another.
    """

    session_partition: str
    rows: int
    writers: list[int]
    rows_of: list[int]
    columns: str

    def __str__(self) -> str:
        written = [f"{writer}: {rows}" for writer, rows in zip(self.writers, self.rows_of, strict=True)]
        return f"{', '.join(written)}; {self.columns}"


@dataclass(frozen=True)
class _Moment:
    """Transactions older than `oldest` had ended by then; `own` is the one that goes on."""

    oldest: int
    own: int

    def explains(self, writers: Sequence[int]) -> bool:
        """Whether none of them can have written later, but for this transaction. They are counted modulo 2^32."""
        return all(not 0 <= (writer - self.oldest) % 2**32 < 2**31 or writer == self.own % 2**32 for writer in writers)


@dataclass(frozen=True)
class _Table:
    name: str
    key: str | None
    columns: Mapping[str, pl.DataType]  # those that a load compares
    kept: Mapping[str, pl.DataType]  # those that stay while a row is unchanged
    indexes: tuple[tuple[str, ...], ...]
    defaults: Mapping[str, LiteralString] = field(default_factory=dict)
    grows_by: tuple[str, ...] = ()  # columns whose values grow from row to row
    sought_by: tuple[str, ...] = ()  # text that is written always and looked for now and then
    fillfactor: int = 100  # how much of a page new rows fill
    on_insert: Mapping[str, LiteralString] = field(default_factory=dict)  # columns beside those that are compared
    on_update: tuple[LiteralString, ...] = ()
    noted: LiteralString = "null"  # beside the key of a row that differs


class Warehouse:
    """One stream's tables. Methods that take a connection work inside its transaction."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.sessions = _Table(
            "sessions",
            "session_id",
            session_columns(stream),
            KEPT_BY_WAREHOUSE,
            (("session_partition",), ("user_id", "session_start")),
            fillfactor=_FILLED,
            on_insert={"open_until": "n.open_until", "loaded_at": "now()"},
            # Whether it is its user's last session does not change by its own end.
            on_update=(
                "open_until = case when t.open_until is not null then n.session_end + %(gap)s end",
                "loaded_at = now()",
            ),
            noted=sql.NOTED_OF_SESSIONS,
            defaults={"loaded_at": "now()"},
        )
        self.rejected_events = _Table(
            "rejected_events",
            "rejection_id",
            REJECTED_EVENTS,
            _WHEN_REJECTED,
            (("landing_partition",),),
            on_insert={"rejected_at": "now()", "run_id": "%(run_id)s"},
        )
        self.session_changes = _Table(
            "session_changes", None, SESSION_CHANGES, {}, (), grows_by=("changed_at",), sought_by=("session_id",)
        )
        self.loaded_partitions = _Table("loaded_partitions", "session_partition", _LOADED_PARTITIONS, {}, ())
        self.repeated_event_ids = _Table("repeated_event_ids", None, REPEATED_EVENT_IDS, {}, (("event_id",),))
        self.dead_letters = DeadLetters(stream.name)
        self._tables = (
            self.sessions,
            self.rejected_events,
            self.session_changes,
            self.repeated_event_ids,
            self.loaded_partitions,
        )

    def prepare(self, connection: psycopg.Connection) -> None:
        """Make or widen the tables. Raises WarehouseError where a column changed its type."""
        queue = [*self.rejected_events.columns, *self.rejected_events.kept]
        views_stand = self._views_stand(connection) and self.dead_letters.stands(connection, queue)
        if views_stand and all(self._stands(connection, table) for table in self._tables):
            return
        lock(connection, "sessions_platform")
        connection.execute(SQL("create schema if not exists {}").format(Identifier(self.stream.name)))
        for table in self._tables:
            self._create(connection, table)
        self._create_view(connection)
        self._create_rejected_view(connection)
        self.dead_letters.prepare(connection, queue)

    def retype(self, connection: psycopg.Connection) -> None:
        """Empty the columns that have another type now, and give it to them; whoever calls loads every row anew.

        Raises WarehouseError where something that is not the platform's own depends on such a column.
        """
        view = Identifier(self.stream.name, _VIEW_NAME)
        for table in self._tables:
            standing = self._standing(connection, table)
            for name, dtype in table.columns.items():
                if standing.get(name, _TYPES[dtype]) != _TYPES[dtype]:
                    connection.execute(SQL("drop view if exists {}").format(view))
                    self._retype_column(connection, table, name, _TYPES[dtype])

    def stage(self, connection: psycopg.Connection, table: _Table, frames: Iterable[pl.DataFrame]) -> None:
        """Copy frames into a temporary table that ends with the transaction. Takes no lock that others wait for."""
        encoder = Encoder(table.columns)
        self._make_staged(connection, table.columns)
        rows = (part for frame in frames for part in encoder.rows(frame))
        copy_rows(connection, sql.STAGED, table.columns, rows)
        connection.execute("analyze staged")

    def gathered(self, frames: Iterable[pl.DataFrame]) -> AbstractContextManager[GatheredSessions]:
        """Sessions that are to be loaded; before the transaction begins, since to make them may take minutes."""
        return gathered(frames, self.sessions.columns, self.stream.session.gap)

    def stage_sessions(self, connection: psycopg.Connection, sessions: GatheredSessions) -> list[str]:
        """Copy ahead of the load what it will have to compare: of which partitions. Takes no lock that others wait for.

        A load does without; but then it copies while the lock is held.
        """
        standing = self._state(connection, list(sessions.rows)).standing
        known = self._known(connection, sessions, standing)
        compared = [partition for partition in standing if partition not in known]
        if compared:
            self._stage_sessions(connection, sessions, compared)
        return compared

    def load_sessions(
        self,
        connection: psycopg.Connection,
        sessions: GatheredSessions,
        session_partitions: Sequence[str],
        run_id: str,
        find_successors: Callable[[Sequence[str]], Mapping[str, str]],
        staged: Sequence[str] = (),
    ) -> Loaded:
        """Make the sessions of these partitions those that were gathered, and log what changed.

        Partitions that are known to hold just these sessions are left alone, and sessions of empty ones
        are copied into the table straight; others are compared. The stream's lock is held.
        `find_successors` tells, for sessions that vanish, which ones hold their earliest surviving events.
        """
        state = self._state(connection, session_partitions)
        appended = self._append(connection, sessions, state.empty, run_id)
        compared = self._unknown(connection, sessions, state.standing)
        compared += [] if appended else state.empty
        loaded, seen = Loaded(appended, 0, 0), self._moment(connection)
        if compared:
            self._stage_sessions(connection, sessions, compared, staged)
            loaded += self._compare(connection, sessions, compared, run_id, find_successors)
        self._index(connection, self.session_changes)
        self._note_loaded(connection, sessions, state.empty if appended else [], compared, seen)
        return loaded

    def load_rejected(
        self,
        connection: psycopg.Connection,
        frames: Iterable[pl.DataFrame],
        landing_partitions: Sequence[str],
        run_id: str,
    ) -> Loaded:
        """Make the rejected rows of landing partitions those of the frames; known ones keep when they first came.

        The queue is told which of them are resolved by it, and which are open again. The stream's lock is held.
        """
        given = {"run_id": run_id, "contract": self.stream.contract_version}
        self.stage(connection, self.rejected_events, frames)
        self.dead_letters.before_load(connection, landing_partitions, given)
        self._find_differences(connection, self.rejected_events, "landing_partition", landing_partitions)
        loaded = self._merge(connection, self.rejected_events, given)
        self._index(connection, self.rejected_events)
        self.dead_letters.after_load(connection, landing_partitions, given)
        return loaded

    def replace_repeated_event_ids(self, connection: psycopg.Connection, found: pl.DataFrame) -> None:
        """Make the table what the newest audit has found."""
        table = self.repeated_event_ids
        self.stage(connection, table, [found])
        connection.execute(SQL("delete from {}").format(self._name(table)))
        connection.execute(SQL("insert into {} select * from staged").format(self._name(table)))

    def partitions(self, connection: psycopg.Connection) -> dict[str, list[str]]:
        """The session partitions of the standing sessions, the landing partitions of the standing rejected rows."""
        found: dict[str, list[str]] = {}
        for table, column in ((self.sessions, "session_partition"), (self.rejected_events, "landing_partition")):
            query = SQL("select distinct {} from {}").format(Identifier(column), self._name(table))
            found[column] = [key for (key,) in connection.execute(query).fetchall()]
        return found

    def sample_users(self, connection: psycopg.Connection, size: int, start: str) -> list[str]:
        """The users of some sessions: those whose ids come next after `start`. Ids are random, as md5 is."""
        query = SQL("select user_id from {} where session_id >= %s order by session_id limit %s")
        rows = connection.execute(query.format(self._name(self.sessions)), [start, size]).fetchall()
        return sorted({user for (user,) in rows})

    def sessions_of(self, connection: psycopg.Connection, users: Sequence[str]) -> list[dict[str, Any]]:
        """All sessions of these users, with the columns of the contract."""
        columns = SQL(", ").join(map(Identifier, self.sessions.columns))
        query = SQL("select {} from {} where user_id = any(%s)").format(columns, self._name(self.sessions))
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, [list(users)]).fetchall()

    def totals(self, connection: psycopg.Connection) -> dict[str, float]:
        """Sessions, users, events in sessions, total duration (seconds)."""
        query = SQL(
            """select count(*), count(distinct user_id), coalesce(sum(event_count), 0)::bigint,
                      coalesce(extract(epoch from sum(session_end - session_start)), 0)::double precision from {}"""
        ).format(self._name(self.sessions))
        names = ("sessions", "users", "events_in_sessions", "total_duration_seconds")
        return dict(zip(names, connection.execute(query).fetchone() or (), strict=True))

    def _state(self, connection: psycopg.Connection, session_partitions: Sequence[str]) -> _State:
        # By the next key in the index; whether any row has this one might be looked for in all rows
        query = """select key, key is not distinct from (
                     select session_partition from {} where session_partition >= key order by session_partition limit 1)
                 from unnest(%s::text[]) as key"""
        rows = connection.execute(SQL(query).format(self._name(self.sessions)), [list(session_partitions)]).fetchall()
        return _State([key for key, stands in rows if not stands], [key for key, stands in rows if stands])

    def _known(
        self, connection: psycopg.Connection, sessions: GatheredSessions, session_partitions: Sequence[str]
    ) -> dict[str, str]:
        """The partitions into which just what was gathered was loaded last, and by whom their rows were written."""
        query = SQL("select session_partition, digest, written_by from {} where session_partition = any(%s)")
        rows = connection.execute(query.format(self._name(self.loaded_partitions)), [list(session_partitions)])
        return {key: written_by for key, digest, written_by in rows.fetchall() if digest == sessions.digest(key)}

    def _unknown(
        self, connection: psycopg.Connection, sessions: GatheredSessions, session_partitions: Sequence[str]
    ) -> list[str]:
        """The partitions but for those that hold just what was gathered, and that nobody has touched since."""
        known = self._known(connection, sessions, session_partitions)
        untouched = {rest.session_partition: str(rest) for rest in self._at_rest(connection, list(known))}
        return [key for key in session_partitions if key not in known or known[key] != untouched.get(key)]

    def _note_loaded(
        self,
        connection: psycopg.Connection,
        sessions: GatheredSessions,
        appended: Sequence[str],
        compared: Sequence[str],
        seen: _Moment,
    ) -> None:
        """Note what the partitions hold now, but for those that somebody else wrote into during the load.

        That is seen by the number of rows, or by who wrote them, since nobody else sees rows before they are committed.
        """
        session_partitions = [*appended, *compared]
        noted = self._name(self.loaded_partitions)
        forget = SQL("delete from {} where session_partition = any(%s)")
        connection.execute(forget.format(noted), [list(session_partitions)])
        rest = self._at_rest(connection, session_partitions)
        sure = [
            at
            for at in rest
            if at.rows == sessions.rows.get(at.session_partition)
            and (at.session_partition in appended or seen.explains(at.writers))
        ]
        note = SQL("insert into {} values (%s, %s, %s)").format(noted)
        with connection.cursor() as cursor:
            cursor.executemany(
                note, [(at.session_partition, sessions.digest(at.session_partition), str(at)) for at in sure]
            )

    def _at_rest(self, connection: psycopg.Connection, session_partitions: Sequence[str]) -> list[_AtRest]:
        if not session_partitions:
            return []
        given = {
            "partitions": list(session_partitions),
            "table": self._regclass(self.sessions),
            "columns": list(self.sessions.columns),
        }
        with connection.cursor(row_factory=class_row(_AtRest)) as cursor:
            return cursor.execute(sql.AT_REST.format(table=self._name(self.sessions)), given).fetchall()

    def _moment(self, connection: psycopg.Connection) -> _Moment:
        query = """select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest,
                        pg_current_xact_id()::text::bigint as own"""
        with connection.cursor(row_factory=class_row(_Moment)) as cursor:
            return cursor.execute(query).fetchone() or _Moment(0, 0)

    def _append(
        self, connection: psycopg.Connection, sessions: GatheredSessions, session_partitions: Sequence[str], run_id: str
    ) -> int:
        """Copy all sessions of empty partitions into the table and log them; how many they are.

        None is copied where one of them stands already, under a partition that is not its own.
        """
        rows = sum(sessions.rows.get(partition, 0) for partition in session_partitions)
        if not rows:
            return 0
        given = {
            "partitions": list(session_partitions),
            "run_id": run_id,
            "uncertain": list(sessions.uncertain),
            "gap": self.stream.session.gap,
        }
        parts = {"table": self._name(self.sessions), "changes": self._name(self.session_changes)}
        try:
            with connection.transaction():
                copy_rows(connection, parts["table"], sessions.columns, sessions.read(session_partitions))
        except psycopg.errors.UniqueViolation:
            return 0
        connection.execute(sql.LOG_APPENDED.format(**parts), given)
        self._index(connection, self.sessions)
        alone = SQL("select min(session_partition) = max(session_partition) from {}").format(parts["table"])
        if sessions.uncertain or connection.execute(alone).fetchone() == (False,):
            connection.execute("drop table if exists pg_temp.newcomers")
            connection.execute(sql.NEWCOMERS.format(**parts), given)
            connection.execute("analyze newcomers")
            self._mark_open(connection, sql.CONCERNED_BY_APPENDED.format(**parts), given)
        return rows

    def _compare(
        self,
        connection: psycopg.Connection,
        sessions: GatheredSessions,
        session_partitions: Sequence[str],
        run_id: str,
        find_successors: Callable[[Sequence[str]], Mapping[str, str]],
    ) -> Loaded:
        """Change what differs between these partitions and the staged sessions."""
        self._find_differences(connection, self.sessions, "session_partition", session_partitions)
        vanished = [key for (key,) in connection.execute("select key from difference where vanishes").fetchall()]
        successors = find_successors(vanished) if vanished else {}
        given = {
            "run_id": run_id,
            "gap": self.stream.session.gap,
            "vanished": list(successors),
            "successors": list(successors.values()),
        }
        loaded = self._merge(connection, self.sessions, given)
        if loaded.changed:
            self._index(connection, self.sessions)
            self._mark_open(connection, sql.CONCERNED_BY_DIFFERENCE, {"uncertain": list(sessions.uncertain)})
        return loaded

    def _stage_sessions(
        self,
        connection: psycopg.Connection,
        sessions: GatheredSessions,
        session_partitions: Sequence[str],
        staged: Sequence[str] = (),
    ) -> None:
        """Make the table `staged` hold the sessions of just these partitions; those of some are there already."""
        surplus = [partition for partition in staged if partition not in session_partitions]
        if surplus:
            connection.execute("delete from staged where session_partition = any(%s)", [surplus])
        if not staged:
            self._make_staged(connection, sessions.columns)
        lacking = [partition for partition in session_partitions if partition not in staged]
        copy_rows(connection, sql.STAGED, sessions.columns, sessions.read(lacking))
        connection.execute("analyze staged (session_id)")

    def _make_staged(self, connection: psycopg.Connection, columns: Mapping[str, pl.DataType]) -> None:
        connection.execute("drop table if exists pg_temp.staged")
        make = SQL("create temporary table staged ({}) on commit drop")
        connection.execute(make.format(_definitions(columns)))

    def _mark_open(self, connection: psycopg.Connection, concerned: Composable, given: Mapping[str, Any]) -> None:
        """Set `open_until` of all sessions of the users that a statement names."""
        connection.execute("drop table if exists pg_temp.concerned")
        connection.execute(SQL("create temporary table concerned on commit drop as {}").format(concerned), given)
        if connection.execute("select from concerned limit 1").fetchone() is None:
            return
        connection.execute("analyze concerned")
        connection.execute("drop table if exists pg_temp.marks")
        connection.execute(sql.FIND_MARKS.format(table=self._name(self.sessions)), {"gap": self.stream.session.gap})
        with _row_by_row(connection):
            connection.execute(sql.MARK_OPEN.format(table=self._name(self.sessions)))

    def _find_differences(
        self, connection: psycopg.Connection, table: _Table, scope: str, partitions: Sequence[str]
    ) -> None:
        """Put the keys of rows that differ between the staged and the standing ones into the table `difference`."""
        connection.execute("drop table if exists pg_temp.difference")
        parts = self._parts(table)
        connection.execute(sql.DIFFER.format(scope=Identifier(scope), **parts), {"partitions": list(partitions)})
        connection.execute("analyze difference (key)")
        connection.execute(sql.FIND_ELSEWHERE.format(**parts))

    def _merge(
        self,
        connection: psycopg.Connection,
        table: _Table,
        given: Mapping[str, Any],
    ) -> Loaded:
        """Delete, update and insert what was found to differ."""
        parts = self._parts(table)
        logs = table is self.sessions
        with _row_by_row(connection):
            deleted = self._change(connection, sql.DELETE, parts, given, sql.LOG_VANISHED if logs else None)
            updated = self._change(connection, sql.UPDATE, parts, given, sql.LOG_CHANGED if logs else None)
            inserted = self._change(connection, sql.INSERT, parts, given, sql.LOG_APPEARED if logs else None)
        return Loaded(inserted, updated, deleted)

    def _change(
        self,
        connection: psycopg.Connection,
        statement: SQL,
        parts: Mapping[str, Any],
        given: Mapping[str, Any],
        log: SQL | None,
    ) -> int:
        """Run a statement, and log the sessions that it changes in the same breath; how many they are."""
        changing = statement.format(**parts)
        if log is not None:
            changes = self._name(self.session_changes)
            changing = sql.AND_LOG.format(changing=changing, log=log, changes=changes)
        return connection.execute(changing, given).rowcount

    def _parts(self, table: _Table) -> dict[str, Composable]:
        names = [Identifier(name) for name in table.columns]
        changed = [SQL("{0} = n.{0}").format(name) for name in names]
        return {
            "table": self._name(table),
            "key": Identifier(table.key or ""),
            "columns": SQL(", ").join(names),
            "standing": SQL(", ").join(SQL("t.{}").format(name) for name in names),
            "incoming": SQL(", ").join(SQL("n.{}").format(name) for name in names),
            "set": SQL(", ").join([*changed, *(SQL(also) for also in table.on_update)]),
            "stamped": SQL(", ").join(map(Identifier, table.on_insert)),
            "stamps": SQL(", ").join(map(SQL, table.on_insert.values())),
            "noted": SQL(table.noted),
        }

    def _create_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _VIEW_NAME)
        connection.execute(SQL("drop view if exists {}").format(view))
        comparison = SQL("<" if self.stream.session.gap_inclusive else "<=")
        parts = {"table": self._name(self.sessions), "is_before": comparison, "stream": self.stream.name}
        connection.execute(sql.VIEW.format(view=view, **parts))
        connection.execute(SQL("comment on view {} is {}").format(view, self._view_comment))

    def _create_rejected_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _REJECTED_VIEW_NAME)
        connection.execute(SQL("drop view if exists {}").format(view))
        connection.execute(sql.REJECTED_VIEW.format(view=view, table=self._name(self.rejected_events)))
        connection.execute(SQL("comment on view {} is {}").format(view, sql.REJECTED_VIEW_COMMENT))

    @property
    def _view_comment(self) -> str:
        """Says what the view holds, and so tells whether it is still right."""
        until = "before" if self.stream.session.gap_inclusive else "not after"
        columns = ", ".join(self.sessions.columns)
        return (
            f"Sessions; open while the stream's newest event is {until} open_until, first where the user has none "
            f"before. Columns: {columns}."
        )

    def _views_stand(self, connection: psycopg.Connection) -> bool:
        query = "select obj_description(to_regclass(%s), 'pg_class'), obj_description(to_regclass(%s), 'pg_class')"
        names = [f"{self.stream.name}.{view}" for view in (_VIEW_NAME, _REJECTED_VIEW_NAME)]
        return connection.execute(query, names).fetchone() == (self._view_comment, sql.REJECTED_VIEW_COMMENT)

    def _retype_column(self, connection: psycopg.Connection, table: _Table, column: str, dtype: LiteralString) -> None:
        retype = SQL("alter table {table} alter {column} type {dtype} using null")
        parts = {"table": self._name(table), "column": Identifier(column), "dtype": SQL(dtype)}
        try:
            connection.execute(retype.format(**parts))
        except psycopg.errors.FeatureNotSupported as error:
            raise WarehouseError(
                f"{self.stream.name}.{table.name}: column {column} can't become {dtype}: {error.diag.message_detail}. "
                f"Mend: drop that, rebuild, and make it again."
            ) from None

    def _standing(self, connection: psycopg.Connection, table: _Table) -> dict[str, str]:
        """The columns of the table that stands, and their types; none where there is no table."""
        rows = connection.execute(
            "select column_name, data_type from information_schema.columns where table_schema = %s and table_name = %s",
            [self.stream.name, table.name],
        ).fetchall()
        return dict(rows)

    def _missing(self, connection: psycopg.Connection, table: _Table) -> dict[str, pl.DataType] | None:
        """Columns that the standing table lacks; None where there is no table."""
        standing = self._standing(connection, table)
        if not standing:
            return None
        wanted = {**table.columns, **table.kept}
        for name, dtype in wanted.items():
            if name in standing and standing[name] != _TYPES[dtype]:
                self._refuse(table, name, standing[name], _TYPES[dtype])
        return {name: dtype for name, dtype in wanted.items() if name not in standing}

    def _stands(self, connection: psycopg.Connection, table: _Table) -> bool:
        """Whether nothing is to be made or widened."""
        return self._missing(connection, table) == {} and self._lack_defaults(connection, table) == []

    def _lack_defaults(self, connection: psycopg.Connection, table: _Table) -> list[str]:
        query = """select attname from pg_attribute where attrelid = to_regclass(%s) and attname = any(%s)
                 and not atthasdef and not attisdropped"""
        rows = connection.execute(query, [self._regclass(table), list(table.defaults)]).fetchall()
        return [name for (name,) in rows]

    def _refuse(self, table: _Table, column: str, standing: str, wanted: str) -> None:
        raise WarehouseError(
            f"{self.stream.path}: column {column}: the table {self.stream.name}.{table.name} holds it as {standing}, "
            f"the contract says {wanted}. Mend: run `sessions-platform rebuild {self.stream.name}`, give the column "
            f"another name, or change its type back."
        )

    def _create(self, connection: psycopg.Connection, table: _Table) -> None:
        name = self._name(table)
        missing = self._missing(connection, table)
        if missing is None:
            columns = _definitions({**table.columns, **table.kept})
            make = SQL("create table {} ({}) with (fillfactor = {})")
            connection.execute(make.format(name, columns, table.fillfactor))
            if table.key:
                connection.execute(SQL("alter table {} add primary key ({})").format(name, Identifier(table.key)))
        for column, dtype in (missing or {}).items():
            added = _definitions({column: dtype})
            connection.execute(SQL("alter table {} add column {}").format(name, added))
        for column in self._lack_defaults(connection, table):
            default = SQL("alter table {} alter column {} set default {}")
            connection.execute(default.format(name, Identifier(column), SQL(table.defaults[column])))

    def _index(self, connection: psycopg.Connection, table: _Table) -> None:
        """Make the indexes that are missing beside the key's: of a new table once its first rows are there.

        To fill an index with a million rows at once takes a fifth of the time that filling it row by row takes.
        """
        wanted = [(columns, sql.IN_ORDER) for columns in table.indexes]
        wanted += [((name,), sql.BY_RANGE) for name in table.grows_by]
        wanted += [((name,), sql.BY_TRACE) for name in table.sought_by]
        for columns, kind in wanted:
            name = f"{table.name}_{'_'.join(columns)}_idx"
            where = [Identifier(self.stream.name, name).as_string()]
            if connection.execute("select to_regclass(%s)", where).fetchone() == (None,):
                on = SQL(", ").join(map(Identifier, columns))
                parts = [Identifier(name), self._name(table), kind.format(columns=on)]
                connection.execute(SQL("create index {} on {} {}").format(*parts))

    def _regclass(self, table: _Table) -> str:
        return self._name(table).as_string()

    def _name(self, table: _Table) -> Identifier:
        return Identifier(self.stream.name, table.name)


@contextmanager
def _row_by_row(connection: psycopg.Connection) -> Iterator[None]:
    """Rows that were found are changed in the order in which they stand: in another, each would need a page anew."""
    connection.execute("set local enable_hashjoin = off; set local enable_mergejoin = off")
    yield
    connection.execute("set local enable_hashjoin = on; set local enable_mergejoin = on")


def _definitions(columns: Mapping[str, pl.DataType]) -> Composed:
    return SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(_TYPES[dtype])) for name, dtype in columns.items())
