"""A stream that is no longer wanted: what it has, and its removal; and streams that have data and no file.

Here: the schema, the rows of the ledger, and the lake folder of one stream, by name, since its file may be gone. What
stays: landing files, which are not the platform's, and who was erased, so that old files of the name bring nobody back.
Not here: whether a run of Dagster works on it (`orchestration/commands.py`).
"""

from collections.abc import Collection
from contextlib import ExitStack
from typing import NamedTuple

import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.values import is_identifier
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.opening import open_filesystem
from sessions_platform.storage.postgres.database import Database, lock
from sessions_platform.storage.postgres.migrations import ensure_current
from sessions_platform.storage.postgres.roles import as_owner

_LEDGER = "sessions_platform"
# Tables of the ledger with rows of a stream. Those of its shadow build have its name and a tilde.
_TABLES = """
select table_name from information_schema.columns join information_schema.tables using (table_schema, table_name)
where table_schema = 'sessions_platform' and column_name = 'stream' and table_type = 'BASE TABLE'
    and table_name <> all(array['erasures', 'tombstones']) order by 1"""
_OBJECTS = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relkind in ('r', 'v', 'm', 'p', 'f') order by 1"""
# Views outside of the schema that read from it; they would go with it.
_DEPENDENTS = """
select distinct format('%%s.%%s', vn.nspname, v.relname) from pg_depend d
join pg_rewrite r on r.oid = d.objid join pg_class v on v.oid = r.ev_class
join pg_namespace vn on vn.oid = v.relnamespace
join pg_class t on t.oid = d.refobjid join pg_namespace tn on tn.oid = t.relnamespace
where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
    and tn.nspname = %s and vn.nspname <> %s order by 1"""


class DroppedStream(NamedTuple):
    """What of a stream is removed, or would be.

    Attributes:
        stream: its name.
        tables: tables and views of its schema.
        ledger_rows: how many rows the ledger has of it.
        lake_folder: its folder in the lake; None where there is none.
        lake_files: how many files are in that.
    """

    stream: str
    tables: list[str]
    ledger_rows: int
    lake_folder: str | None
    lake_files: int

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing of the name."""
        return not (self.tables or self.ledger_rows or self.lake_folder)


def what_is_dropped(settings: Settings, name: str) -> DroppedStream:
    """What there is of a stream.

    Raises:
        UserError: there is nothing of the name, or a view outside of its schema reads from it.
    """
    database, filesystem = Database(settings), open_filesystem(settings)
    with database.transaction() as connection:
        ensure_current(connection)
    with database.transaction(read_only=True) as connection:
        rows = sum(_count(connection, table, name) for table in _tables(connection))
        tables = [table for (table,) in connection.execute(_OBJECTS, [name]).fetchall()] if rows else []
        if tables:
            _refuse_dependents(connection, name)
    files = [*filesystem.list(name), *filesystem.drafts(name)] if is_identifier(name) else []
    dropped = DroppedStream(name, tables, rows, filesystem.url(name) if files else None, len(files))
    if dropped.is_nothing:
        known = ", ".join(streams_with_data(database)) or "none"
        raise UserError(f"{name}: there is no data of such a stream. Fix: name one that has some: {known}.")
    return dropped


def drop(settings: Settings, dropped: DroppedStream) -> None:
    """Remove what `what_is_dropped` has found. What was killed in between is completed by dropping again.

    Raises:
        UserError: another process works on the stream.
    """
    database, name, filesystem = Database(settings), dropped.stream, open_filesystem(settings)
    with ExitStack() as stack:
        for what in ("rebuild", "clean_up"):
            if not stack.enter_context(database.alone(f"sessions_platform/{name}/{what}")):
                raise UserError(f"{name}: another process works on it. Fix: wait until that has ended.")
        with database.transaction() as connection:
            lock(connection, f"sessions_platform/{name}")
            _refuse_dependents(connection, name)
            for table in _tables(connection):
                delete = SQL("delete from {} where stream = any(%s)").format(Identifier(_LEDGER, table))
                connection.execute(delete, [[name, f"{name}~next"]])
            if dropped.tables:
                with as_owner(connection):
                    connection.execute(SQL("drop schema if exists {} cascade").format(Identifier(name)))
        for folder in (name, f"{name}~next"):
            filesystem.delete_folder(folder)


def streams_with_data(database: Database) -> list[str]:
    """The names of all streams that the ledger has rows of, sorted."""
    with database.transaction() as connection:
        ensure_current(connection)
        rows = connection.execute("select stream from sessions_platform.streams order by 1").fetchall()
    return [name for (name,) in rows if "~" not in name]


def without_file(database: Database, known: Collection[str]) -> list[dict[str, object]]:
    """A status for each stream that has data and no file, with what to do.

    Args:
        database: the warehouse's.
        known: the names of the streams that have a file, of broken ones too.
    """
    fix = "put its file back, or remove its data with `sessions-platform drop"
    return [
        {"stream": name, "problems": [f"it has data and no file. Fix: {fix} {name}`."]}
        for name in streams_with_data(database)
        if name not in known
    ]


def _tables(connection: psycopg.Connection) -> list[str]:
    return [table for (table,) in connection.execute(_TABLES).fetchall()]


def _count(connection: psycopg.Connection, table: str, name: str) -> int:
    count = SQL("select count(*) from {} where stream = any(%s)").format(Identifier(_LEDGER, table))
    row = connection.execute(count, [[name, f"{name}~next"]]).fetchone()
    return row[0] if row else 0


def _refuse_dependents(connection: psycopg.Connection, name: str) -> None:
    views = [view for (view,) in connection.execute(_DEPENDENTS, [name, name]).fetchall()]
    if views:
        raise UserError(f"{name}: {', '.join(views)} would be dropped with it. Fix: drop that, or change it, first.")
