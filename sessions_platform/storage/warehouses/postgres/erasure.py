"""Remove what a stream's tables contain of users beyond what a load replaces.

Here: rejected rows and decisions about them, the log of the users' sessions, and repeated event ids. Not here:
sessions, which the load of their partitions removes (`loader.py`).
"""

from collections.abc import Callable, Sequence

import polars as pl
import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.storage.postgres.roles import become_owner
from sessions_platform.storage.warehouses.postgres.identity_views import LINKS
from sessions_platform.storage.warehouses.postgres.tables import SCORES

_ERASED = "[erased]"

# The sessions of an erased user vanish without a successor; older ones were merged into them. A session of a person
# may go on without the events of one of the person's devices.
_REMOVE_CHANGES = """
with recursive erased as (
    select session_id from {changes} t
    where (run_id = %(run_id)s and change = 'vanished' and merged_into is null)
        or (session_id = any(%(ids)s) and not exists (select from {sessions} s where s.session_id = t.session_id))
    union
    select c.session_id from {changes} c join erased e on c.merged_into = e.session_id
)
delete from {changes} where session_id in (select session_id from erased)"""

_REJECTED_AT = """
select distinct t.rejection_id from unnest(%s::text[], %s::bigint[]) as r (uri, position)
join {rejected_events} t on t.rows > 1 and t.source_uri = r.uri
    and r.position between t.position and t.position + t.rows - 1"""


class ErasedRows:
    """One stream's tables, as an erasure changes them. All methods work inside the connection's transaction."""

    def __init__(self, stream: str) -> None:
        self._stream = stream

    def rejected_at(self, connection: psycopg.Connection, rows: pl.DataFrame) -> list[str]:
        """The ids of rejected rows that stand for several, of which any is at these places: source_uri, position."""
        values = [rows["source_uri"].to_list(), rows["position"].to_list()]
        return [name for (name,) in self._execute(connection, _REJECTED_AT, values).fetchall()]

    def remove_rejected(self, connection: psycopg.Connection, rejection_ids: Sequence[str]) -> int:
        """Remove rejected rows, and all decisions about them; how many rejected rows that were. The lock is held."""
        ids = [list(rejection_ids)]
        self._execute(connection, "delete from {rejection_decisions} where rejection_id = any(%s)", ids)
        return self._execute(connection, "delete from {rejected_events} where rejection_id = any(%s)", ids).rowcount

    def partitions_of(self, connection: psycopg.Connection, users: Sequence[str]) -> list[str]:
        """The session partitions with sessions of these users."""
        sql = "select distinct session_partition from {sessions} where user_id = any(%s) order by 1"
        return [key for (key,) in self._execute(connection, sql, [list(users)]).fetchall()]

    def remove_history(
        self, connection: psycopg.Connection, users: Sequence[str], session_ids: Sequence[str], run_id: str
    ) -> int:
        """Remove the log of the users' sessions, and their repeated event ids. The stream's lock is held.

        Args:
            connection: in a transaction after the one that has removed the sessions.
            users: their ids.
            session_ids: ids of earlier sessions of the users, as far as they are known.
            run_id: of the run that has removed the sessions.

        Returns:
            How many rows were removed.
        """
        values = {"run_id": run_id, "ids": list(session_ids)}
        removed = self._execute(connection, _REMOVE_CHANGES, values).rowcount
        sql = "delete from {repeated_event_ids} where user_id = any(%s)"
        return removed + self._execute(connection, sql, [list(users)]).rowcount

    def redact_decisions(self, connection: psycopg.Connection, names_user: Callable[[bytes], bool]) -> int:
        """Replace the reasons of decisions that name a user; how many. The stream's lock is held."""
        rows = self._execute(connection, "select decision_id, because from {rejection_decisions}", []).fetchall()
        ids = [decision for decision, because in rows if names_user(because.encode())]
        sql = "update {rejection_decisions} set because = %s where decision_id = any(%s)"
        return self._execute(connection, sql, [_ERASED, ids]).rowcount if ids else 0

    def vacuum(self, connection: psycopg.Connection) -> None:
        """Free the space of removed rows, which PostgreSQL keeps until then. The connection commits by itself."""
        become_owner(connection)
        tables = ["sessions", "session_changes", "rejected_events", "rejection_decisions", "repeated_event_ids"]
        for table in (LINKS, SCORES):  # the publication and the load without the users have removed theirs
            name = Identifier(self._stream, table).as_string()
            if connection.execute("select to_regclass(%s)", [name]).fetchone() != (None,):
                tables.append(table)
        for table in tables:
            connection.execute(SQL("vacuum {}").format(Identifier(self._stream, table)))

    def _execute(self, connection: psycopg.Connection, sql: str, values: object) -> psycopg.Cursor:
        names = ("sessions", "rejected_events", "rejection_decisions", "repeated_event_ids")
        tables = {name: Identifier(self._stream, name) for name in names}
        tables["changes"] = Identifier(self._stream, "session_changes")
        return connection.execute(SQL(sql).format(**tables), values)  # type: ignore[arg-type]
