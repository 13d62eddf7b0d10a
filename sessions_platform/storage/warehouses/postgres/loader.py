"""Load sessions and rejected events into one stream's schema of the warehouse.

Here: `Warehouse`, which decides partition by partition whether rows are left alone, copied or compared, inside the
caller's transaction, so that readers see the old state or the new one. Not here: how rows are encoded
(`copy_encoder.py`, `staged_sessions.py`), how an unchanged partition is recognized (`loaded_partitions.py`), how
differing rows are changed (`merge.py`), the tables (`tables.py`), and queries (`queries.py`, `dead_letters.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import polars as pl
import psycopg
from psycopg.sql import SQL, Composable

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.storage.warehouses.postgres import statements as sql
from sessions_platform.storage.warehouses.postgres.copy_encoder import copy_rows
from sessions_platform.storage.warehouses.postgres.erasure import ErasedRows
from sessions_platform.storage.warehouses.postgres.identity_links import IdentityLinks
from sessions_platform.storage.warehouses.postgres.loaded_partitions import LoadedPartitions
from sessions_platform.storage.warehouses.postgres.merge import (
    Loaded,
    apply_differences,
    find_differences,
    make_staging_table,
    stage,
)
from sessions_platform.storage.warehouses.postgres.open_until import update_open_until
from sessions_platform.storage.warehouses.postgres.row_counts import check_count
from sessions_platform.storage.warehouses.postgres.session_scores import SessionScores
from sessions_platform.storage.warehouses.postgres.staged_sessions import StagedSessions, staged_sessions
from sessions_platform.storage.warehouses.postgres.tables import WarehouseTables


class Warehouse:
    """One stream's sessions and rejected events. Methods that take a connection work inside its transaction."""

    def __init__(self, tables: WarehouseTables) -> None:
        self.stream = tables.stream
        self.tables = tables
        self.dead_letters = tables.dead_letters
        self.erasure = ErasedRows(tables.stream.name)
        self.identity_links = IdentityLinks(tables)
        self.scores = SessionScores(tables)
        self._loaded_partitions = LoadedPartitions(tables)

    def staged_sessions(self, frames: Iterable[pl.DataFrame]) -> AbstractContextManager[StagedSessions]:
        """Encode sessions that are to be loaded; before the transaction begins, since making them may take minutes.

        Args:
            frames: with the columns of the contract (`session_columns`); best with the newest partitions first.
        """
        return staged_sessions(frames, session_columns(self.stream), self.stream.session)

    def stage_sessions(self, connection: psycopg.Connection, sessions: StagedSessions) -> list[str]:
        """Copy what the load will have to compare into the temporary table `staged`, before the stream is locked.

        This takes no lock that others wait for. A load does without it; but then it copies while it holds the lock.

        Returns:
            The partitions whose sessions are staged.
        """
        _, existing = self._empty_and_existing(connection, list(sessions.rows))
        same = self._loaded_partitions.with_same_digest(connection, sessions, existing)
        to_compare = [partition for partition in existing if partition not in same]
        if to_compare:
            self._stage(connection, sessions, to_compare)
        return to_compare

    def load_sessions(
        self,
        connection: psycopg.Connection,
        sessions: StagedSessions,
        session_partitions: Sequence[str],
        run_id: str,
        find_merged_into: Callable[[Sequence[str]], Mapping[str, str]],
        staged: Sequence[str] = (),
    ) -> Loaded:
        """Make the sessions of these partitions the staged ones, and log what changed. The stream's lock is held.

        Partitions that are known to contain just these sessions are left alone, sessions of empty ones are copied
        into the table, and all others are compared.

        Args:
            connection: inside a transaction that holds the stream's lock.
            sessions: may have more partitions than are loaded.
            session_partitions: the partitions to load; one without staged sessions becomes empty.
            run_id: for the log of changes.
            find_merged_into: given the ids of sessions that vanish, returns for them the id of the session that has
                their earliest surviving event; without one the session is not in the result.
            staged: what `stage_sessions` returned in this transaction.
        """
        empty, existing = self._empty_and_existing(connection, session_partitions)
        appended = self._append(connection, sessions, empty, run_id)
        compared = self._loaded_partitions.changed(connection, sessions, existing)
        compared += [] if appended else empty
        loaded, horizon = Loaded(appended, 0, 0), self._loaded_partitions.horizon(connection)
        if compared:
            self._stage(connection, sessions, compared, staged)
            loaded += self._compare(connection, sessions, compared, run_id, find_merged_into)
        self.tables.index(connection, self.tables.session_changes)
        self._loaded_partitions.record(connection, sessions, empty if appended else [], compared, horizon)
        return loaded

    def load_rejected(
        self,
        connection: psycopg.Connection,
        frames: Iterable[pl.DataFrame],
        landing_partitions: Sequence[str],
        run_id: str,
    ) -> Loaded:
        """Make the rejected rows of landing partitions those of the frames. The stream's lock is held.

        A row that is known keeps the time and run of its first rejection. The dead-letter queue records which rows
        this resolves and which it opens again.
        """
        values = {"run_id": run_id, "contract": self.stream.contract_version}
        table = self.tables.rejected_events
        stage(connection, table, frames)
        self.dead_letters.before_load(connection, landing_partitions, values)
        find_differences(connection, table, "landing_partition", landing_partitions)
        loaded = apply_differences(connection, table, values)
        self.tables.index(connection, table)
        self.dead_letters.after_load(connection, landing_partitions, values)
        return loaded

    def replace_repeated_event_ids(self, connection: psycopg.Connection, repeated: pl.DataFrame) -> None:
        """Make the table `repeated_event_ids` contain what the newest audit found, and nothing else."""
        table = self.tables.repeated_event_ids
        stage(connection, table, [repeated])
        connection.execute(SQL("delete from {}").format(table.identifier))
        connection.execute(SQL("insert into {} select * from staged").format(table.identifier))

    def _empty_and_existing(
        self, connection: psycopg.Connection, session_partitions: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """The partitions of which the table has no rows, and those of which it has."""
        statement = sql.HAS_ROWS.format(table=self.tables.sessions.identifier)
        rows = connection.execute(statement, {"partitions": list(session_partitions)}).fetchall()
        return [key for key, has_rows in rows if not has_rows], [key for key, has_rows in rows if has_rows]

    def _append(
        self, connection: psycopg.Connection, sessions: StagedSessions, session_partitions: Sequence[str], run_id: str
    ) -> int:
        """Copy all sessions of empty partitions into the table, log them, and return how many they are.

        None is copied where one of them exists already, under another partition.
        """
        rows = sum(sessions.rows.get(partition, 0) for partition in session_partitions)
        if not rows:
            return 0
        values = {
            "partitions": list(session_partitions),
            "run_id": run_id,
            "ambiguous": list(sessions.ambiguous_users),
            "open_for": self.stream.session.open_for,
            "id_within": self.stream.session.id_within,
        }
        table = self.tables.sessions
        try:
            with connection.transaction():
                copied = copy_rows(connection, table.identifier, sessions.columns, sessions.read(session_partitions))
        except psycopg.errors.UniqueViolation:
            return 0
        rule = self.stream.session
        parts = {
            "table": table.identifier,
            "owner": SQL(sql.OWNERS[rule.id is not None]),
            "changes": self.tables.session_changes.identifier,
            "open_until": SQL(sql.open_until_of(rule, "max(session_end)", "tool_session_id")),
        }
        check_count(connection, table, "inserted", rows, copied)
        logged = connection.execute(sql.LOG_APPENDED.format(**parts), values)
        check_count(connection, self.tables.session_changes, "logged", rows, logged.rowcount)
        self.tables.index(connection, table)
        is_only_one = SQL("select min(session_partition) = max(session_partition) from {table}").format(**parts)
        if connection.execute(is_only_one).fetchone() == (False,):
            connection.execute("drop table if exists pg_temp.new_users")
            connection.execute(sql.NEW_USERS.format(**parts), values)
            connection.execute("analyze new_users")
            self._update_open_until(connection, sql.USERS_AFFECTED_BY_APPENDED.format(**parts), values)
        elif sessions.ambiguous_users:
            self._update_open_until(connection, sql.AMBIGUOUS_USERS, values)
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
        table = self.tables.sessions
        find_differences(connection, table, "session_partition", session_partitions)
        vanished = [key for (key,) in connection.execute("select key from difference where vanishes").fetchall()]
        merged_into = find_merged_into(vanished) if vanished else {}
        values = {
            "run_id": run_id,
            "open_for": self.stream.session.open_for,
            "id_within": self.stream.session.id_within,
            "vanished": list(merged_into),
            "merged_into": list(merged_into.values()),
        }
        loaded = apply_differences(connection, table, values, self.tables.session_changes)
        if loaded.changed:
            self.scores.forget_changed(connection)
            self.tables.index(connection, table)
            ambiguous = {"ambiguous": list(sessions.ambiguous_users)}
            self._update_open_until(connection, sql.USERS_AFFECTED_BY_DIFFERENCES, ambiguous)
        return loaded

    def expire_changes(self, connection: psycopg.Connection, keep_for: timedelta) -> int:
        """Remove rows of session_changes that are older than this, by the database's time; returns how many."""
        statement = SQL("delete from {} where changed_at < now() - %s")
        return connection.execute(statement.format(self.tables.session_changes.identifier), [keep_for]).rowcount

    def _stage(
        self,
        connection: psycopg.Connection,
        sessions: StagedSessions,
        session_partitions: Sequence[str],
        staged: Sequence[str] = (),
    ) -> None:
        """Make the table `staged` contain the sessions of just these partitions; it has those of `staged` already."""
        surplus = [partition for partition in staged if partition not in session_partitions]
        if surplus:
            connection.execute("delete from staged where session_partition = any(%s)", [surplus])
        if not staged:
            types = self.tables.sessions.every_column
            make_staging_table(connection, {name: types[name] for name in sessions.columns})
        missing = [partition for partition in session_partitions if partition not in staged]
        copy_rows(connection, sql.STAGED, sessions.columns, sessions.read(missing))
        connection.execute("analyze staged (session_id)")

    def _update_open_until(
        self, connection: psycopg.Connection, affected_users: Composable, values: Mapping[str, Any]
    ) -> None:
        update_open_until(connection, self.tables.sessions, self.stream.session, affected_users, values)
