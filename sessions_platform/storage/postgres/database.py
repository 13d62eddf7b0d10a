"""The warehouse database: how it is reached, and which of its errors pass by themselves."""

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
# The server answered, and its answer will be the same.
_REFUSALS = ("does not exist", "authentication failed", "no pg_hba.conf entry", "permission denied", "no password")


class QueryError(UserError):
    """PostgreSQL refused a statement; the message is its own."""


class UnreachableError(UserError):
    """The database can't be connected to. `is_refusal` tells whether it would say the same again."""

    def __init__(self, where: str, reason: str) -> None:
        self.is_refusal = any(refusal in reason for refusal in _REFUSALS)
        super().__init__(f"{where} can't be reached: {reason}. Fix: start it, or mend SESSIONS_WAREHOUSE_URL.")


class Database:
    """PostgreSQL: the one that the settings name, else the embedded one, started when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen_running: tuple[int, str] | None = None  # by which process, and where

    @property
    def url(self) -> str:
        """May hold a password: never to be shown."""
        return self._settings.warehouse_url or embedded.attach(self._settings.home).url("sessions")

    @property
    def shown(self) -> str:
        """Where it is, without secrets."""
        if self._settings.warehouse_url is None:
            return f"embedded PostgreSQL of {self._settings.home}"
        parts = conninfo_to_dict(self.url)
        return f"postgresql://{parts.get('host', '')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[psycopg.Connection]:
        """One transaction: committed at the end, rolled back where an error leaves it. Raises Unreachable."""
        try:
            with self._connect() as connection:
                connection.read_only = read_only
                if read_only:  # all that is read is of one moment
                    connection.isolation_level = IsolationLevel.REPEATABLE_READ
                yield connection
        except psycopg.Error as error:
            error.args = (_without_rows(str(error)),)
            raise

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether nobody else is doing what the name says; nobody begins before this ends."""
        with self._connect() as connection:
            connection.autocommit = True
            row = connection.execute("select pg_try_advisory_lock(%s)", [_lock_key(name)]).fetchone()
            yield row == (True,)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of one statement that only reads. Raises QueryMistake."""
        try:
            with self.transaction(read_only=True) as connection, connection.cursor(row_factory=dict_row) as cursor:
                # In binary a statement can't bring a second one, which could leave the transaction.
                cursor.execute(sql.encode(), binary=True)
                return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise QueryError(str(error).strip()) from None

    def _connect(self) -> psycopg.Connection:
        """Whether the embedded server runs is asked for once, and on failure: to ask takes as long as to connect."""
        if self._seen_running and self._seen_running[0] == os.getpid():
            with suppress(psycopg.OperationalError):
                return _open(self._seen_running[1])
        try:
            url = self.url
            connection = _open(url)
            self._seen_running = (os.getpid(), url)
            return connection
        except psycopg.OperationalError as error:
            raise UnreachableError(self.shown, str(error).strip()) from None
        except psycopg.ProgrammingError:
            # the message could quote the URL, which may hold a password
            raise SettingsError("SESSIONS_WAREHOUSE_URL: it is no URL that PostgreSQL understands.") from None


def _open(url: str) -> psycopg.Connection:
    options = f"-c lock_timeout={_LOCK_TIMEOUT} -c timezone=UTC -c client_min_messages=warning"
    return psycopg.connect(url, connect_timeout=10, application_name="sessions-platform", options=options)


def _without_rows(message: str) -> str:
    """What PostgreSQL says but for its details and context, which quote rows: payloads must not reach logs."""
    return _QUOTES_ROWS.split(message, maxsplit=1)[0]


def lock(connection: psycopg.Connection, name: str) -> None:
    """Wait until no other transaction holds the name; held until this one ends. Readers are not blocked."""
    connection.execute("select pg_advisory_xact_lock(%s)", [_lock_key(name)])


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed a little later: connections, locks, timeouts; not data or configuration."""
    if isinstance(error, UnreachableError):
        return not error.is_refusal
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return True  # the connection was lost
    if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(("08", "57P")):
        return True
    return isinstance(error, _TRANSIENT)
