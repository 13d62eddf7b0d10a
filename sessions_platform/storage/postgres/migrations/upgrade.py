"""Runs the migrations that a database lacks, with alembic.

Here: the order of the migrations, their transactions and the lock. Not here: what they change
(``versions``), nor when they are run (the package itself).
"""

import threading
from pathlib import Path

import psycopg
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from sessions_platform.storage.postgres.database import lock
from sessions_platform.storage.postgres.migrations import NewerDatabaseError
from sessions_platform.storage.postgres.roles import as_owner

_VERSION_TABLE = {"version_table": "schema_version", "version_table_schema": "sessions_platform"}
_one_thread = threading.Lock()  # alembic's `op` is one for the whole process


def upgrade(connection: psycopg.Connection) -> None:
    """Bring the database to the newest version, one transaction for each migration.

    A database without a version is empty, or was made before there were versions: revision 0001
    makes what is missing of the tables of that time.

    Args:
        connection: outside a transaction. It is outside one afterwards, too.

    Raises:
        psycopg.Error: a statement failed; the versions before are kept.
    """
    scripts = migration_scripts()
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    try:
        with _one_thread, engine.connect() as bind:
            while _run_next(connection, bind, scripts):
                pass
    except DBAPIError as error:
        raise error.orig or error from None  # PostgreSQL's own error, without the statement


def migration_scripts() -> ScriptDirectory:
    """All migrations, in their order."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _run_next(connection: psycopg.Connection, bind: Connection, scripts: ScriptDirectory) -> bool:
    """Run the first migration that the database lacks, and commit it; False where it lacks none.

    The version is read under the lock, so that of many processes one runs each migration.
    """
    with bind.begin(), as_owner(connection):
        lock(connection, "sessions_platform")
        bind.exec_driver_sql("create schema if not exists sessions_platform")
        context = MigrationContext.configure(bind, opts=_VERSION_TABLE)
        version = context.get_current_revision()
        head = scripts.get_current_head() or ""
        if version is not None and version > head:
            raise NewerDatabaseError(version)
        missing = list(scripts.iterate_revisions(head, version or "base"))
        if not missing:
            return False
        migration = missing[-1]
        with Operations.context(context):
            migration.module.upgrade()
        context.stamp(scripts, migration.revision)
    return True
