"""What other packages read from the warehouse: for the status, the audit and a rebuild.

Only queries that change nothing are here; the dead-letter queue has its own in `dead_letters.py`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from sessions_platform.storage.warehouses.postgres.identity_views import IDENTITIES
from sessions_platform.storage.warehouses.postgres.tables import WarehouseTables


class WarehouseQueries:
    """Queries of one stream's tables, inside the connection's transaction."""

    def __init__(self, tables: WarehouseTables) -> None:
        self._tables = tables

    def partitions(self, connection: psycopg.Connection) -> dict[str, list[str]]:
        """The partitions of all rows: of sessions as `session_partition`, of rejected rows as `landing_partition`."""
        keys: dict[str, list[str]] = {}
        for table, column in (
            (self._tables.sessions, "session_partition"),
            (self._tables.rejected_events, "landing_partition"),
        ):
            query = SQL("select distinct {} from {}").format(Identifier(column), table.identifier)
            keys[column] = [key for (key,) in connection.execute(query).fetchall()]
        return keys

    def sample_users(self, connection: psycopg.Connection, size: int, start: str) -> list[str]:
        """The users of the first `size` sessions from the id `start` on, and after the last id from the first one on.

        Ids are random, as md5 is; so these are as well.
        """
        query = SQL("""
            (select user_id from {table} where session_id >= %(start)s order by session_id limit %(size)s)
            union all
            (select user_id from {table} where session_id < %(start)s order by session_id limit %(size)s)
            limit %(size)s""")
        statement = query.format(table=self._tables.sessions.identifier)
        rows = connection.execute(statement, {"start": start, "size": size}).fetchall()
        return sorted({user for (user,) in rows})

    def sessions_of(self, connection: psycopg.Connection, users: Sequence[str]) -> list[dict[str, Any]]:
        """All sessions of these users, with the columns of the contract, in any order."""
        columns = SQL(", ").join(map(Identifier, self._tables.sessions.columns))
        query = SQL("select {} from {} where user_id = any(%s)").format(columns, self._tables.sessions.identifier)
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, [list(users)]).fetchall()

    def changes_older_than(self, connection: psycopg.Connection, keep_for: timedelta) -> int:
        """How many rows of session_changes are older than this, by the database's time."""
        query = SQL("select count(*) from {} where changed_at < now() - %s")
        row = connection.execute(query.format(self._tables.session_changes.identifier), [keep_for]).fetchone()
        return row[0] if row else 0

    def counts(self, connection: psycopg.Connection) -> dict[str, tuple[int, int]]:
        """Sessions, and events in them, by session partition."""
        query = SQL("select session_partition, count(*), coalesce(sum(event_count), 0)::bigint from {} group by 1")
        rows = connection.execute(query.format(self._tables.sessions.identifier)).fetchall()
        return {partition: (sessions, events) for partition, sessions, events in rows}

    def identities(self, connection: psycopg.Connection) -> dict[str, int] | None:
        """Anonymous ids that were seen with a user, that are somebody's, or are shared; and the users who have any.

        None for a stream that states no identity.
        """
        if self._tables.stream.identity is None:
            return None
        query = SQL("""
            select count(*), count(user_id), count(*) filter (where is_shared), count(distinct user_id) from {}""")
        counted = connection.execute(query.format(Identifier(self._tables.stream.name, IDENTITIES))).fetchone()
        return dict(zip(("anonymous_ids", "resolved", "shared", "users"), counted or (), strict=True))

    def totals(self, connection: psycopg.Connection) -> dict[str, float]:
        """Sessions, users, events in sessions, and the sum of all durations in seconds."""
        query = SQL(
            """select count(*), count(distinct user_id), coalesce(sum(event_count), 0)::bigint,
                      coalesce(extract(epoch from sum(session_end - session_start)), 0)::double precision from {}"""
        ).format(self._tables.sessions.identifier)
        names = ("sessions", "users", "events_in_sessions", "total_duration_seconds")
        return dict(zip(names, connection.execute(query).fetchone() or (), strict=True))
