"""The warehouse database: connections, transactions and locks, and which of its errors are transient.

Here: everything that is true of any table. Not here: the tables, which are in ``migrations`` and
``storage.warehouses.postgres``; the embedded server, which is in ``embedded``.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import IsolationLevel, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from sessions_platform.errors import UserError
from sessions_platform.settings import Settings, SettingsError
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.interrupts import canceled_when_interrupted

_LOCK_TIMEOUT = "120s"

_QUOTES_ROWS = re.compile(r"\n(?:DETAIL|CONTEXT):")
_TRANSIENT = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.TooManyConnections,
    ConnectionError,
    TimeoutError,
    InterruptedError,
)
# The server answered, and would answer the same again.
_REFUSALS = ("does not exist", "authentication failed", "no pg_hba.conf entry", "permission denied", "no password")


class QueryError(UserError):
    """PostgreSQL rejected a statement; the message is PostgreSQL's."""


class UnreachableError(UserError):
    """The database can't be connected to. `is_refusal` says whether another attempt would fail the same way."""

    def __init__(self, where: str, reason: str) -> None:
        self.is_refusal = any(refusal in reason for refusal in _REFUSALS)
        super().__init__(f"{where} can't be reached: {reason}. Fix: start it, or correct SESSIONS_WAREHOUSE_URL.")


class Database:
    """PostgreSQL: the server that the settings name, else the embedded one, started when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._last_reached: tuple[int, str] | None = None  # by which process, at which URL

    @property
    def url(self) -> str:
        """Its libpq URL. It may contain a password, so it must not be shown."""
        return self._settings.warehouse_url or embedded.attach(self._settings.home).url("sessions")

    @property
    def shown(self) -> str:
        """Where it is, without secrets, for people to read."""
        if self._settings.warehouse_url is None:
            return f"embedded PostgreSQL of {self._settings.home}"
        parts = conninfo_to_dict(self.url)
        return f"postgresql://{parts.get('host', '')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[psycopg.Connection]:
        """One transaction on a connection of its own: committed at the end, rolled back where an error leaves it.

        Args:
            read_only: whether it writes nothing; then everything is read as of one moment.

        Raises:
            UnreachableError: the database can't be connected to.
            psycopg.Error: a statement failed; the message quotes no rows.
        """
        try:
            with self._connect() as connection:
                connection.read_only = read_only
                if read_only:
                    connection.isolation_level = IsolationLevel.REPEATABLE_READ
                with canceled_when_interrupted(connection):
                    yield connection
        except psycopg.Error as error:
            error.args = (_without_rows(str(error)),)
            raise

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Yield whether this process has the name for itself; until the block ends, all other processes get False."""
        with self._connect() as connection:
            connection.autocommit = True
            row = connection.execute("select pg_try_advisory_lock(%s)", [_lock_key(name)]).fetchone()
            is_alone = row == (True,)
            try:
                yield is_alone
            finally:
                if is_alone and not connection.broken:
                    # A closed connection gives the lock back only once its server process has noticed.
                    connection.execute("select pg_advisory_unlock(%s)", [_lock_key(name)])

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of one statement that only reads, as dicts; none where it returns no rows.

        Raises:
            QueryError: PostgreSQL rejected the statement.
        """
        try:
            with self.transaction(read_only=True) as connection, connection.cursor(row_factory=dict_row) as cursor:
                # The binary protocol takes one statement only: a second one could leave the transaction.
                cursor.execute(sql.encode(), binary=True)
                return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise QueryError(str(error).strip()) from None

    def _connect(self) -> psycopg.Connection:
        """Connect at the last URL that worked; asking the embedded server for its URL takes as long as connecting."""
        if self._last_reached and self._last_reached[0] == os.getpid():
            with suppress(psycopg.OperationalError):
                return _open(self._last_reached[1])
        try:
            url = self.url
            connection = _open(url)
            self._last_reached = (os.getpid(), url)
            return connection
        except psycopg.OperationalError as error:
            raise UnreachableError(self.shown, str(error).strip()) from None
        except psycopg.ProgrammingError:
            # the message could quote the URL, which may contain a password
            raise SettingsError(
                "SESSIONS_WAREHOUSE_URL: PostgreSQL can't parse this URL. Fix: write postgresql://user@host/database."
            ) from None


def _open(url: str) -> psycopg.Connection:
    options = f"-c lock_timeout={_LOCK_TIMEOUT} -c timezone=UTC -c client_min_messages=warning"
    return psycopg.connect(url, connect_timeout=10, application_name="sessions-platform", options=options)


def _without_rows(message: str) -> str:
    """The message without its details and context, which quote rows: payloads must not reach logs."""
    return _QUOTES_ROWS.split(message, maxsplit=1)[0]


def lock(connection: psycopg.Connection, name: str) -> None:
    """Lock a name until the transaction ends, after any other that has locked it; readers are not blocked."""
    connection.execute("select pg_advisory_xact_lock(%s)", [_lock_key(name)])


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed when it is tried again: connections, locks, timeouts; not data or settings."""
    if isinstance(error, UnreachableError):
        return not error.is_refusal
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return True  # the connection was lost
    if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(("08", "57P")):
        return True
    return isinstance(error, _TRANSIENT)
