"""The databases of the embedded server, and the roles that log in to them: the superuser makes both, and nothing else.

Here: what a new server lacks, and what a server of an older version of this package lacks. Not here: what the roles may
do in the warehouse (``storage.postgres.roles``), and the server itself (``cluster``).
"""

from collections.abc import Callable

import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.storage.postgres.roles import LOADER, OWNER, READER, ROLES_SQL

WAREHOUSE, DAGSTER = "sessions", "dagster"
DATABASES = (WAREHOUSE, DAGSTER)

# A database with this comment has all that is made here. Change it with what is made.
_PREPARED = "sessions-platform: roles 1"
_STATES = "select datname, coalesce(shobj_description(oid, 'pg_database'), '') from pg_database"
# pg_read_all_data: references may be in tables that somebody made as the superuser.
_LOGINS = SQL("""
alter role {owner} login; alter role {loader} login; alter role {reader} login;
grant pg_read_all_data to {loader}, {reader};
alter database {database} owner to {owner};""")
_DAGSTER_RIGHTS = SQL("revoke connect on database {database} from public; alter database {database} owner to {owner};")
_DAGSTER_TABLES = """
select c.oid::regclass::text from pg_class c
where c.relnamespace = to_regnamespace('public') and c.relkind in ('r', 'v', 'm') and c.relowner <> to_regrole(%s)"""


def create_databases(url: Callable[[str], str]) -> None:
    """Create the databases and roles that are missing. This costs one connection where nothing is.

    Args:
        url: the superuser's URL of a database, by its name.
    """
    with _connected(url("postgres"), autocommit=True) as connection:
        states = dict(connection.execute(_STATES).fetchall())
        for name in DATABASES:
            if name not in states:
                connection.execute(SQL("create database {}").format(Identifier(name)))
    if states.get(WAREHOUSE) != _PREPARED:
        with _connected(url(WAREHOUSE)) as connection:
            connection.execute(ROLES_SQL.read_bytes())
            connection.execute(_filled(_LOGINS, WAREHOUSE))
            _mark(connection, WAREHOUSE)
    if states.get(DAGSTER) != _PREPARED:
        with _connected(url(DAGSTER)) as connection:
            connection.execute(_filled(_DAGSTER_RIGHTS, DAGSTER))
            for (table,) in connection.execute(_DAGSTER_TABLES, [OWNER]).fetchall():
                connection.execute(f"alter table {table} owner to {OWNER}".encode())
            _mark(connection, DAGSTER)


def _connected(url: str, *, autocommit: bool = False) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=autocommit, connect_timeout=10, options="-c client_min_messages=warning")


def _filled(statements: SQL, database: str) -> bytes:
    names = {"owner": OWNER, "loader": LOADER, "reader": READER, "database": database}
    return statements.format(**{name: Identifier(value) for name, value in names.items()}).as_bytes()


def _mark(connection: psycopg.Connection, database: str) -> None:
    connection.execute(SQL("comment on database {} is {}").format(Identifier(database), _PREPARED))
