"""What all parts of a stream's ledger share: its transactions, its lock, and the calendars of its partitions.

Here: how the ledger's rows are read and written, and which locks a writer takes. Not here: what the rows mean, which is
in ``files``, ``landings`` and ``sessions``; the tables themselves, which are in ``storage.postgres.migrations``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString, TypeVar

import psycopg
import psycopg.sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.database import Database, lock
from sessions_platform.storage.postgres.migrations import ensure_current

Row = TypeVar("Row")


class CalendarChangedError(UserError):
    """A stream's cadence or timezone is another than its partitions were made with."""


class StaleWriteError(RuntimeError):
    """A newer state of the same partition was published meanwhile; this one must not replace it."""


class StaleCursorError(StaleWriteError):
    """A source was read further by another run meanwhile, so that slices found before may be read twice."""


class StreamLedger:
    """The ledger of one stream. Its parts extend this class, and ``ledger.Ledger`` has all of them.

    A method that takes a connection works inside its transaction; all others take a transaction
    of their own, which has ended when they return.
    """

    def __init__(self, database: Database, stream: str) -> None:
        self.database = database
        self.stream = stream
        self._calendars: Mapping[str, str] = {}

    def prepare(self, calendars: Mapping[str, str]) -> None:
        """Upgrade the database where it is older than the program, and record the stream and its calendars.

        Args:
            calendars: what gives partition keys their meaning, as in ``{"session.timezone": "UTC"}``;
                recorded only where the stream is new.

        Raises:
            CalendarChangedError: the stream's partitions were made with other calendars.
            NewerDatabaseError: a later version of the program has upgraded the database.
        """
        self._calendars = calendars
        with self.database.transaction() as connection:
            ensure_current(connection)
            connection.execute(
                "insert into sessions_platform.streams values (%s, %s) on conflict do nothing",
                [self.stream, Jsonb(dict(calendars))],
            )
            self._check_calendars(connection)

    def lock(self, connection: psycopg.Connection) -> None:
        """Wait until no other transaction publishes or loads the stream, and keep others from it until this one ends.

        Versions are drawn under this lock. So a snapshot that contains a version contains all
        earlier ones, too. Readers are not blocked.

        Raises:
            CalendarChangedError: the stream was rebuilt meanwhile, and its keys mean other times.
        """
        lock(connection, f"sessions_platform/{self.stream}")
        self._check_calendars(connection)

    def _check_calendars(self, connection: psycopg.Connection) -> None:
        """Reject calendars other than the recorded ones; until the transaction ends no rebuild replaces the stream.

        The shared lock on the stream's row ensures that: `record_repairs`, `contains` and a rebuild's
        swap take the row exclusively.
        """
        row = connection.execute(
            "select calendars from sessions_platform.streams where stream = %s for share", [self.stream]
        ).fetchone()
        for key, value in row[0].items() if row else ():
            if self._calendars.get(key, value) != value:
                raise CalendarChangedError(
                    f"{self.stream}: {key}: it is {self._calendars[key]} here, and the stream's partitions were made "
                    f"with {value}. Fix: run `sessions-platform rebuild {self.stream}`, or write {value} again; "
                    f"after a rebuild, reload the code location in Dagster."
                )

    def _lock_row(self, connection: psycopg.Connection) -> None:
        """Wait for all writers with a shared lock on the stream's row, and block others until the transaction ends."""
        connection.execute("select from sessions_platform.streams where stream = %s for update", [self.stream])

    @contextmanager
    def _writing(self) -> Iterator[psycopg.Connection]:
        """A transaction that writes, during which no rebuild replaces the stream."""
        with self.database.transaction() as connection:
            self._check_calendars(connection)
            yield connection

    @contextmanager
    def _writing_in_turn(self) -> Iterator[psycopg.Connection]:
        """The same under the stream's lock, so that sequences are drawn in the order in which they are committed."""
        with self.database.transaction() as connection:
            self.lock(connection)
            yield connection

    def _read(self, row: type[Row], sql: LiteralString, values: list[Any]) -> list[Row]:
        with self.database.transaction(read_only=True) as connection:
            return self._read_in(connection, row, sql, values)

    def _read_in(self, connection: psycopg.Connection, row: type[Row], sql: LiteralString, values: Any) -> list[Row]:
        with connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(sql, values).fetchall()

    def _insert(self, connection: psycopg.Connection, table: str, values: Mapping[str, Any]) -> None:
        """Insert a row of this stream; lists and dicts become JSON."""
        row = {**values, "stream": self.stream}
        adapted = {name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in row.items()}
        columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, adapted))
        placeholders = psycopg.sql.SQL(", ").join(map(psycopg.sql.Placeholder, adapted))
        statement = psycopg.sql.SQL("insert into sessions_platform.{} ({}) values ({})")
        connection.execute(statement.format(psycopg.sql.Identifier(table), columns, placeholders), adapted)
