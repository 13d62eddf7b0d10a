"""The versions of the database's structure: whether a database has this program's, and its upgrade.

Here: the platform's own tables and columns, in the schema ``sessions_platform`` and in the
schema of each stream. Each change is a module of ``versions``, and all of them together make
an empty database. One version counts for the whole database, which is one alembic revision in
``sessions_platform.schema_version``.

Not here: columns that a stream's file adds to the tables of its own schema, which
``storage.warehouses.postgres.tables`` makes and widens; Dagster's tables, which Dagster migrates.

Importing this package imports neither alembic nor SQLAlchemy, which take longer than most
commands: only a database of another version needs them.
"""

import psycopg
from psycopg import errors

from sessions_platform.errors import UserError

HEAD = "0018"

_SELECT_VERSION = "select version_num from sessions_platform.schema_version"


class NewerDatabaseError(UserError):
    """The database was upgraded by a later version of this program."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"The database has version {version} of its tables, and this program knows them up to {HEAD}. "
            f"Fix: install the version of sessions-platform that upgraded it, or a later one."
        )


def ensure_current(connection: psycopg.Connection) -> None:
    """Upgrade the database to this program's version unless it has that already; many may do so at once.

    Where the version is right, this is one query. Otherwise every migration that the database
    lacks is run and committed in a transaction of its own, by whichever process takes the lock
    first, while the others wait. A process that is killed leaves the version before.

    Args:
        connection: in a transaction that has written nothing yet, as an upgrade begins with a
            rollback; a new transaction begins with the next statement.

    Raises:
        NewerDatabaseError: the database has a later version than `HEAD`.
    """
    version = version_of(connection)
    if version == HEAD:
        return
    if version is not None and version > HEAD:
        raise NewerDatabaseError(version)
    from sessions_platform.storage.postgres.migrations.upgrade import upgrade

    connection.rollback()
    upgrade(connection)


def version_of(connection: psycopg.Connection) -> str | None:
    """The version that a database has; None where it is empty or was made before there were versions."""
    try:
        row = connection.execute(_SELECT_VERSION).fetchone()
    except errors.UndefinedTable:
        connection.rollback()
        return None
    return row[0] if row else None
