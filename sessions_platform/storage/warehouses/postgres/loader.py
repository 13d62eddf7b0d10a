"""The warehouse: one schema a stream, with the tables `sessions` and `rejected_events`.

A load compares with what stands and changes only rows that differ, in the transaction it
is given, so that readers see the old or the new.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from psycopg.rows import class_row, dict_row
from psycopg.sql import SQL, Composable, Identifier

from sessions_platform.contracts.stream import Stream
from sessions_platform.storage.warehouses.postgres import statements as sql
from sessions_platform.storage.warehouses.postgres.copy_encoder import (
    CopyEncoder,
    StagedSessions,
    copy_rows,
    staged_sessions,
)
from sessions_platform.storage.warehouses.postgres.tables import Table, WarehouseTables, definitions


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


class Warehouse:
    """One stream's sessions and rejected events. Methods that take a connection work inside its transaction."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.tables = WarehouseTables(stream)
        self.dead_letters = self.tables.dead_letters

    def stage(self, connection: psycopg.Connection, table: Table, frames: Iterable[pl.DataFrame]) -> None:
        """Copy frames into a temporary table that ends with the transaction. Takes no lock that others wait for."""
        encoder = CopyEncoder(table.columns)
        self._make_staged(connection, table.columns)
        rows = (part for frame in frames for part in encoder.rows(frame))
        copy_rows(connection, sql.STAGED, table.columns, rows)
        connection.execute("analyze staged")

    def staged_sessions(self, frames: Iterable[pl.DataFrame]) -> AbstractContextManager[StagedSessions]:
        """Sessions that are to be loaded; before the transaction begins, since to make them may take minutes."""
        return staged_sessions(frames, self.tables.sessions.columns, self.stream.session.gap)

    def stage_sessions(self, connection: psycopg.Connection, sessions: StagedSessions) -> list[str]:
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
        sessions: StagedSessions,
        session_partitions: Sequence[str],
        run_id: str,
        find_merged_into: Callable[[Sequence[str]], Mapping[str, str]],
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
            loaded += self._compare(connection, sessions, compared, run_id, find_merged_into)
        self.tables.index(connection, self.tables.session_changes)
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
        self.stage(connection, self.tables.rejected_events, frames)
        self.dead_letters.before_load(connection, landing_partitions, given)
        self._find_differences(connection, self.tables.rejected_events, "landing_partition", landing_partitions)
        loaded = self._merge(connection, self.tables.rejected_events, given)
        self.tables.index(connection, self.tables.rejected_events)
        self.dead_letters.after_load(connection, landing_partitions, given)
        return loaded

    def replace_repeated_event_ids(self, connection: psycopg.Connection, found: pl.DataFrame) -> None:
        """Make the table what the newest audit has found."""
        table = self.tables.repeated_event_ids
        self.stage(connection, table, [found])
        connection.execute(SQL("delete from {}").format(table.identifier))
        connection.execute(SQL("insert into {} select * from staged").format(table.identifier))

    def partitions(self, connection: psycopg.Connection) -> dict[str, list[str]]:
        """The session partitions of the standing sessions, the landing partitions of the standing rejected rows."""
        found: dict[str, list[str]] = {}
        for table, column in (
            (self.tables.sessions, "session_partition"),
            (self.tables.rejected_events, "landing_partition"),
        ):
            query = SQL("select distinct {} from {}").format(Identifier(column), table.identifier)
            found[column] = [key for (key,) in connection.execute(query).fetchall()]
        return found

    def sample_users(self, connection: psycopg.Connection, size: int, start: str) -> list[str]:
        """The users of some sessions: those whose ids come next after `start`. Ids are random, as md5 is."""
        query = SQL("select user_id from {} where session_id >= %s order by session_id limit %s")
        rows = connection.execute(query.format(self.tables.sessions.identifier), [start, size]).fetchall()
        return sorted({user for (user,) in rows})

    def sessions_of(self, connection: psycopg.Connection, users: Sequence[str]) -> list[dict[str, Any]]:
        """All sessions of these users, with the columns of the contract."""
        columns = SQL(", ").join(map(Identifier, self.tables.sessions.columns))
        query = SQL("select {} from {} where user_id = any(%s)").format(columns, self.tables.sessions.identifier)
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, [list(users)]).fetchall()

    def totals(self, connection: psycopg.Connection) -> dict[str, float]:
        """Sessions, users, events in sessions, total duration (seconds)."""
        query = SQL(
            """select count(*), count(distinct user_id), coalesce(sum(event_count), 0)::bigint,
                      coalesce(extract(epoch from sum(session_end - session_start)), 0)::double precision from {}"""
        ).format(self.tables.sessions.identifier)
        names = ("sessions", "users", "events_in_sessions", "total_duration_seconds")
        return dict(zip(names, connection.execute(query).fetchone() or (), strict=True))

    def _state(self, connection: psycopg.Connection, session_partitions: Sequence[str]) -> _State:
        # By the next key in the index; whether any row has this one might be looked for in all rows
        query = """select key, key is not distinct from (
                     select session_partition from {} where session_partition >= key order by session_partition limit 1)
                 from unnest(%s::text[]) as key"""
        rows = connection.execute(
            SQL(query).format(self.tables.sessions.identifier), [list(session_partitions)]
        ).fetchall()
        return _State([key for key, stands in rows if not stands], [key for key, stands in rows if stands])

    def _known(
        self, connection: psycopg.Connection, sessions: StagedSessions, session_partitions: Sequence[str]
    ) -> dict[str, str]:
        """The partitions into which just what was gathered was loaded last, and by whom their rows were written."""
        query = SQL("select session_partition, digest, written_by from {} where session_partition = any(%s)")
        rows = connection.execute(query.format(self.tables.loaded_partitions.identifier), [list(session_partitions)])
        return {key: written_by for key, digest, written_by in rows.fetchall() if digest == sessions.digest(key)}

    def _unknown(
        self, connection: psycopg.Connection, sessions: StagedSessions, session_partitions: Sequence[str]
    ) -> list[str]:
        """The partitions but for those that hold just what was gathered, and that nobody has touched since."""
        known = self._known(connection, sessions, session_partitions)
        untouched = {rest.session_partition: str(rest) for rest in self._at_rest(connection, list(known))}
        return [key for key in session_partitions if key not in known or known[key] != untouched.get(key)]

    def _note_loaded(
        self,
        connection: psycopg.Connection,
        sessions: StagedSessions,
        appended: Sequence[str],
        compared: Sequence[str],
        seen: _Moment,
    ) -> None:
        """Note what the partitions hold now, but for those that somebody else wrote into during the load.

        That is seen by the number of rows, or by who wrote them, since nobody else sees rows before they are committed.
        """
        session_partitions = [*appended, *compared]
        noted = self.tables.loaded_partitions.identifier
        delete_stream = SQL("delete from {} where session_partition = any(%s)")
        connection.execute(delete_stream.format(noted), [list(session_partitions)])
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
            "table": self.tables.sessions.identifier.as_string(),
            "columns": list(self.tables.sessions.columns),
        }
        with connection.cursor(row_factory=class_row(_AtRest)) as cursor:
            return cursor.execute(sql.AT_REST.format(table=self.tables.sessions.identifier), given).fetchall()

    def _moment(self, connection: psycopg.Connection) -> _Moment:
        query = """select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest,
                        pg_current_xact_id()::text::bigint as own"""
        with connection.cursor(row_factory=class_row(_Moment)) as cursor:
            return cursor.execute(query).fetchone() or _Moment(0, 0)

    def _append(
        self, connection: psycopg.Connection, sessions: StagedSessions, session_partitions: Sequence[str], run_id: str
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
        table = self.tables.sessions
        parts = {"table": table.identifier, "changes": self.tables.session_changes.identifier}
        try:
            with connection.transaction():
                copy_rows(connection, table.identifier, sessions.columns, sessions.read(session_partitions))
        except psycopg.errors.UniqueViolation:
            return 0
        connection.execute(sql.LOG_APPENDED.format(**parts), given)
        self.tables.index(connection, table)
        alone = SQL("select min(session_partition) = max(session_partition) from {table}").format(**parts)
        if connection.execute(alone).fetchone() == (False,):
            connection.execute("drop table if exists pg_temp.newcomers")
            connection.execute(sql.NEWCOMERS.format(**parts), given)
            connection.execute("analyze newcomers")
            self._mark_open(connection, sql.CONCERNED_BY_APPENDED.format(**parts), given)
        elif sessions.uncertain:
            self._mark_open(connection, sql.UNCERTAIN, given)
        return rows

    def _compare(
        self,
        connection: psycopg.Connection,
        sessions: StagedSessions,
        session_partitions: Sequence[str],
        run_id: str,
        find_merged_into: Callable[[Sequence[str]], Mapping[str, str]],
    ) -> Loaded:
        """Change what differs between these partitions and the staged sessions."""
        self._find_differences(connection, self.tables.sessions, "session_partition", session_partitions)
        vanished = [key for (key,) in connection.execute("select key from difference where vanishes").fetchall()]
        merged_into = find_merged_into(vanished) if vanished else {}
        given = {
            "run_id": run_id,
            "gap": self.stream.session.gap,
            "vanished": list(merged_into),
            "successors": list(merged_into.values()),
        }
        loaded = self._merge(connection, self.tables.sessions, given)
        if loaded.changed:
            self.tables.index(connection, self.tables.sessions)
            self._mark_open(connection, sql.CONCERNED_BY_DIFFERENCE, {"uncertain": list(sessions.uncertain)})
        return loaded

    def _stage_sessions(
        self,
        connection: psycopg.Connection,
        sessions: StagedSessions,
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
        connection.execute(make.format(definitions(columns)))

    def _mark_open(self, connection: psycopg.Connection, concerned: Composable, given: Mapping[str, Any]) -> None:
        """Set `open_until` of all sessions of the users that a statement names."""
        connection.execute("drop table if exists pg_temp.concerned")
        connection.execute(SQL("create temporary table concerned on commit drop as {}").format(concerned), given)
        if connection.execute("select from concerned limit 1").fetchone() is None:
            return
        connection.execute("analyze concerned")
        connection.execute("drop table if exists pg_temp.marks")
        connection.execute(
            sql.FIND_MARKS.format(table=self.tables.sessions.identifier), {"gap": self.stream.session.gap}
        )
        with _row_by_row(connection):
            connection.execute(sql.MARK_OPEN.format(table=self.tables.sessions.identifier))

    def _find_differences(
        self, connection: psycopg.Connection, table: Table, scope: str, partitions: Sequence[str]
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
        table: Table,
        given: Mapping[str, Any],
    ) -> Loaded:
        """Delete, update and insert what was found to differ."""
        parts = self._parts(table)
        logs = table is self.tables.sessions
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
            changes = self.tables.session_changes.identifier
            changing = sql.AND_LOG.format(changing=changing, log=log, changes=changes)
        return connection.execute(changing, given).rowcount

    def _parts(self, table: Table) -> dict[str, Composable]:
        names = [Identifier(name) for name in table.columns]
        changed = [SQL("{0} = n.{0}").format(name) for name in names]
        return {
            "table": table.identifier,
            "key": Identifier(table.key or ""),
            "columns": SQL(", ").join(names),
            "standing": SQL(", ").join(SQL("t.{}").format(name) for name in names),
            "incoming": SQL(", ").join(SQL("n.{}").format(name) for name in names),
            "set": SQL(", ").join([*changed, *(SQL(also) for also in table.on_update)]),
            "stamped": SQL(", ").join(map(Identifier, table.on_insert)),
            "stamps": SQL(", ").join(map(SQL, table.on_insert.values())),
            "noted": SQL(table.noted),
        }


@contextmanager
def _row_by_row(connection: psycopg.Connection) -> Iterator[None]:
    """Rows that were found are changed in the order in which they stand: in another, each would need a page anew."""
    connection.execute("set local enable_hashjoin = off; set local enable_mergejoin = off")
    yield
    connection.execute("set local enable_hashjoin = on; set local enable_mergejoin = on")
