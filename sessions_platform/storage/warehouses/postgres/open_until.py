"""Keep `open_until` of stored sessions correct: set for each owner's last session, null for all others.

The rule, and its value for the sessions of one frame, is `transforms/open_until.py`. It needs all sessions of a user,
and a load has only those of some partitions. Here it is applied again, in SQL, to the users whose sessions in other
partitions may matter.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable

from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.storage.warehouses.postgres import statements as sql
from sessions_platform.storage.warehouses.postgres.merge import in_physical_order
from sessions_platform.storage.warehouses.postgres.row_counts import check_count
from sessions_platform.storage.warehouses.postgres.tables import Table


def update_open_until(
    connection: psycopg.Connection,
    sessions: Table,
    rule: SessionRule,
    affected_users: Composable,
    values: Mapping[str, Any],
) -> None:
    """Correct `open_until` of all sessions of the affected users.

    Args:
        connection: inside a transaction that holds the stream's lock.
        sessions: the table.
        rule: the stream's session rule.
        affected_users: a query with the column user_id.
        values: its parameters.
    """
    connection.execute("drop table if exists pg_temp.affected_users")
    make = SQL("create temporary table affected_users on commit drop as {}")
    connection.execute(make.format(affected_users), values)
    if connection.execute("select from affected_users limit 1").fetchone() is None:
        return
    connection.execute("analyze affected_users")
    connection.execute("drop table if exists pg_temp.open_until_updates")
    open_until = SQL(sql.open_until_of(rule, "session_end", "tool_session_id"))
    parts = {"table": sessions.identifier, "open_until": open_until, "owner": SQL(sql.OWNERS[rule.id is not None])}
    times = {"open_for": rule.open_for, "id_within": rule.id_within}
    found = connection.execute(sql.FIND_OPEN_UNTIL_UPDATES.format(**parts), times)
    with in_physical_order(connection):
        updated = connection.execute(sql.UPDATE_OPEN_UNTIL.format(table=sessions.identifier))
    check_count(connection, sessions, "updated", found.rowcount, updated.rowcount)
