"""The database roles owner, loader and reader: what they are called, how they are made, and how one is taken on.

Here: ``roles.sql``, which makes them and gives them their rights, for the embedded server, for migrations and for
administrators; and the roles that a connection takes on inside its transaction. Not here: who logs in as which role,
which is in ``database`` and ``embedded``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL

OWNER = "sessions_owner"
LOADER = "sessions_loader"
READER = "sessions_reader"

ROLES_SQL = Path(__file__).with_name("roles.sql")

_MAY_CREATE_ROLES = """
select rolsuper or (rolcreaterole and pg_has_role(datdba, 'MEMBER'))
from pg_roles, pg_database where rolname = current_user and datname = current_database()"""
# Only where the roles were made for this database, and this login is a member of them.
_BECOME_OWNER = """
select set_config('role', rolname, %s) from pg_roles
where rolname = %s and rolname <> current_user and pg_has_role(oid, 'MEMBER')
    and has_database_privilege(oid, current_database(), 'CREATE')"""
BECOME_READER = SQL("""
select set_config('role', rolname, true) from pg_roles
where rolname = {} and pg_has_role(oid, 'MEMBER') and exists (
    select from pg_namespace s where nspname = 'sessions_platform' and has_schema_privilege(rolname, s.oid, 'USAGE'))
""").format(READER)


def make_roles(connection: psycopg.Connection) -> bool:
    """Make the roles, and give them their rights in this database; to repeat it changes nothing.

    Args:
        connection: in a transaction, or one begins.

    Returns:
        Whether this login may do that: it is a superuser, or may create roles and owns the database.
    """
    if connection.execute(_MAY_CREATE_ROLES).fetchone() != (True,):
        return False
    try:
        with connection.transaction():
            connection.execute(ROLES_SQL.read_bytes())
    except psycopg.errors.InsufficientPrivilege:  # another login has made the roles, for another database
        return False
    return True


@contextmanager
def as_owner(connection: psycopg.Connection) -> Iterator[None]:
    """Create and change tables as their owner; a login that the roles were not made for does it as itself.

    Args:
        connection: in a transaction, or one begins. It is its former role afterwards.
    """
    former = connection.execute("select current_setting('role')").fetchone()
    became = connection.execute(_BECOME_OWNER, [True, OWNER]).fetchone()
    yield
    if former and became:  # after an error the rollback does it
        connection.execute("select set_config('role', %s, true)", [former[0]])


def become_owner(connection: psycopg.Connection) -> None:
    """Be the tables' owner from now on, for what no transaction may contain; the connection is to be closed then."""
    connection.execute(_BECOME_OWNER, [False, OWNER])


def become_reader(connection: psycopg.Connection) -> None:
    """Read as the reader until the transaction ends, where this login may. The role can be left by who wants to."""
    connection.execute(BECOME_READER)
