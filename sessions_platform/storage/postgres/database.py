"""The warehouse database: who connects as what, transactions, locks and queries.

Here: everything that is true of any table. Not here: how a connection is opened (``connections``), what errors mean
(``errors``), the tables (``migrations``, ``storage.warehouses.postgres``), and the embedded server (``embedded``).
"""

import hashlib
import os
import select
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composable, Literal

from sessions_platform.errors import UserError
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.connections import conninfo, open_connection
from sessions_platform.storage.postgres.errors import (
    QueryError,
    UnreachableError,
    is_lost_connection,
    is_transient,
    without_rows,
)
from sessions_platform.storage.postgres.interrupts import canceled_when_interrupted
from sessions_platform.storage.postgres.liveness import kept_alive
from sessions_platform.storage.postgres.results import Result, Values, reading
from sessions_platform.storage.postgres.roles import BECOME_READER, LOADER, OWNER, READER, become_reader
from sessions_platform.storage.postgres.row_names import rows_by_distinct_names

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Database", "QueryError", "UnreachableError", "is_transient", "lock"]

_TABLES_ARE_MADE = (
    "Fix: correct its name; a stream has its tables once something is ingested, and `sessions-platform status` shows "
    "the streams."
)


class Database:
    """PostgreSQL: the server that the settings name, else the embedded one, started when first needed.

    Work that loads logs in as the loader, or as the settings' URL says. Queries of people log in as the reader, whom no
    statement can make anything else; with a URL of a server for loading only, they take on the reader's role in it.
    """

    def __init__(self, settings: Settings, variable: str = "SESSIONS_WAREHOUSE_URL") -> None:
        self._settings, self._variable = settings, variable  # the latter names the server, in messages
        self._last_reached: dict[bool, tuple[int, str]] = {}  # for readers or not: by which process, at which URL
        self._kept = threading.local()  # `idle`: the connections that are kept open, where any are

    @property
    def url(self) -> str:
        """Its libpq URL. It may contain a password, so it must not be shown."""
        return self._url(reads=False)

    @property
    def shown(self) -> str:
        """Where it is, without secrets, for people to read."""
        if self._settings.warehouse_url is None:
            return f"embedded PostgreSQL of {self._settings.home}"
        with suppress(psycopg.ProgrammingError):
            parts = conninfo_to_dict(self._settings.warehouse_url)
            return f"postgresql://{parts.get('host', '')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
        return f"the database of {self._variable}"

    @property
    def reader_url(self) -> str:
        """Where the reader logs in to the embedded server; it has no password, and only this machine's user can.

        Raises:
            UserError: the database is another one, whose URLs contain passwords.
        """
        if self._settings.warehouse_url is not None:
            raise UserError(
                "The database is that of SESSIONS_WAREHOUSE_URL. Fix: log in to it with a role of your own that is a "
                "member of sessions_reader, as SESSIONS_READER_URL does."
            )
        return self._url(reads=True)

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[psycopg.Connection]:
        """One transaction on a connection of its own: committed at the end, rolled back where an error leaves it.

        Args:
            read_only: whether it writes nothing; then everything is read as of one moment. A role that may only read
                stays so in any case.

        Raises:
            UnreachableError: the database can't be connected to.
            psycopg.Error: a statement failed; the message quotes no rows.
        """
        try:
            with self._for_a_transaction() as connection:
                if read_only:
                    _read_only(connection)
                with canceled_when_interrupted(connection):
                    yield connection
        except psycopg.Error as error:
            error.args = (self._explained(error),)
            raise

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Have the transactions of this thread that follow each other share a connection, until the block ends.

        For whoever asks many small questions, of which each is answered sooner than a connection is made. One that was
        lost since its last transaction is replaced. Temporary tables and settings of the session stay from one to the
        next.
        """
        if hasattr(self._kept, "idle"):
            yield
            return
        self._kept.idle = []
        try:
            yield
        finally:
            for connection in self._kept.__dict__.pop("idle"):
                connection.close()

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Yield whether this process has the name for itself; until the block ends, all other processes get False.

        A process that is stopped for ten minutes loses it. What it publishes afterwards is checked as ever.
        """
        with self._connect() as connection:
            connection.autocommit = True
            row = connection.execute("select pg_try_advisory_lock(%s)", [_lock_key(name)]).fetchone()
            is_alone = row == (True,)
            try:
                with kept_alive(connection):
                    yield is_alone
            finally:
                if is_alone and not connection.broken:
                    # A closed connection gives the lock back only once its server process has noticed. A lost one has
                    # given it back, which a process that was stopped may notice here first.
                    with suppress(psycopg.OperationalError):
                        connection.execute("select pg_advisory_unlock(%s)", [_lock_key(name)])

    @contextmanager
    def committing(self) -> Iterator[psycopg.Connection]:
        """A connection that commits each statement by itself, for those that no transaction may contain (vacuum)."""
        with self._connect() as connection:
            connection.autocommit = True
            yield connection

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of one statement that only reads, as dicts; none where it returns no rows.

        It runs as the reader. Of columns of one name, the later ones are called `name_2`, `name_3` and so on.

        Raises:
            QueryError: PostgreSQL rejected the statement, or it took too long.
        """
        with self.reading() as connection, connection.cursor(row_factory=rows_by_distinct_names) as cursor:
            # The binary protocol takes one statement only: a second one could leave the transaction.
            cursor.execute(sql.encode(), binary=True)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def result(self, sql: str, values: Values) -> Iterator[Result]:
        """The result of one statement that only reads, whose rows come as they are asked for.

        It runs as the reader, like `query`, and its time limit holds until the last row is read.

        Raises:
            QueryError: PostgreSQL rejected the statement, or it took too long; maybe after some rows.
        """
        with self.reading() as connection, reading(connection, sql, values) as result:
            yield result

    @contextmanager
    def reading(self, snapshot: str | None = None) -> Iterator[psycopg.Connection]:
        """A transaction of the reader, which sees the database as of one moment; errors as `query` states them.

        Args:
            snapshot: that another transaction has exported, which is still open: the moment is that one's.
        """
        try:
            with self._connect(reads=True) as connection:
                _read_only(connection)
                if snapshot:
                    connection.execute(SQL("set transaction snapshot {}").format(Literal(snapshot)))
                if self._settings.warehouse_url and not self._settings.reader_url:
                    become_reader(connection)
                with canceled_when_interrupted(connection):
                    yield connection
        except (errors.QueryCanceled, errors.LockNotAvailable) as error:
            raise QueryError(f"{error.diag.message_primary}. Fix: ask for less, or when less is running.") from None
        except psycopg.OperationalError as error:
            error.args = (self._explained(error),)
            raise
        except errors.UndefinedTable as error:
            raise QueryError(f"{str(error).strip()}\n{_TABLES_ARE_MADE}") from None
        except psycopg.Error as error:
            raise QueryError(str(error).strip()) from None

    @contextmanager
    def arrow(self, query: Composable) -> "Iterator[pa.RecordBatchReader]":
        """The result of a query of the platform's own tables as Arrow batches; it runs as the reader, like `query`.

        Raises:
            UnreachableError: the database can't be connected to.
            QueryError: PostgreSQL rejected the query, or it took too long.
        """
        from sessions_platform.storage.postgres.arrow import arrow_batches

        takes_role = self._settings.warehouse_url and not self._settings.reader_url
        where = conninfo(self._url(reads=True), reads=True)
        before = BECOME_READER.as_string() if takes_role else None
        with arrow_batches(where, self.shown, query.as_string(), before) as batches:
            yield batches

    def _url(self, *, reads: bool) -> str:
        if self._settings.warehouse_url is None:
            return embedded.attach(self._settings.home).url(role=READER if reads else LOADER)
        return (self._settings.reader_url if reads else None) or self._settings.warehouse_url

    @contextmanager
    def _for_a_transaction(self) -> Iterator[psycopg.Connection]:
        """A connection that is committed at the end; closed then, too, or kept open for the next transaction."""
        idle: list[psycopg.Connection] | None = getattr(self._kept, "idle", None)
        connection = (_unless_ended(idle.pop()) if idle else None) or self._connect()
        with ExitStack() as closing:
            closing.enter_context(connection)
            yield connection
            if idle is not None and not connection.closed:
                connection.commit()
                connection.read_only = connection.isolation_level = None
                closing.pop_all()
                idle.append(connection)

    def _connect(self, *, reads: bool = False) -> psycopg.Connection:
        """Connect at the last URL that worked; asking the embedded server for its URL takes as long as connecting."""
        process, url = self._last_reached.get(reads, (0, ""))
        if process == os.getpid():
            with suppress(UnreachableError):
                return open_connection(url, self.shown, self._variable, reads=reads)
        url = self._url(reads=reads)
        connection = open_connection(url, self.shown, self._variable, reads=reads)
        self._last_reached[reads] = (os.getpid(), url)
        return connection

    def _explained(self, error: psycopg.Error) -> str:
        """The message without rows; of a connection that was lost, with what the embedded server's log says of it."""
        message = without_rows(str(error))
        if self._settings.warehouse_url is None and is_lost_connection(error):
            return "\n".join(filter(None, [message, embedded.last_words(self._settings.home)]))
        return message


def dagster_database(settings: Settings) -> Database:
    """The database of Dagster's own storage: the one that the settings name, else one of the embedded server."""
    url = settings.dagster_postgres_url or embedded.attach(settings.home).url("dagster", OWNER)
    return Database(replace(settings, warehouse_url=url), "DAGSTER_POSTGRES_URL")


def _unless_ended(connection: psycopg.Connection) -> psycopg.Connection | None:
    """An idle connection; None where its server has ended it: only then is there something to read of it."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        connection.close()
        return None
    return connection


def _read_only(connection: psycopg.Connection) -> None:
    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ


def exported_snapshot(connection: psycopg.Connection) -> str:
    """What the transaction sees, for others that shall see the same, by its name; they begin before it ends."""
    row = connection.execute("select pg_export_snapshot()").fetchone()
    assert row is not None
    return row[0]


def lock(connection: psycopg.Connection, name: str) -> None:
    """Lock a name until the transaction ends, after any other that has locked it; readers are not blocked."""
    connection.execute("select pg_advisory_xact_lock(%s)", [_lock_key(name)])


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
