"""The server of a table: connections that only read, and what their errors mean.

Not here: the warehouse's server, which is another one (`storage.postgres`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import IsolationLevel, errors, sql

from sessions_platform.contracts.postgres_source import PostgresSource
from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.values import spelled
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.patience import patiently

# By which a value's text is the same on every server, and says all of it.
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
    "statement_timeout": "0",
}
# What libpq says of a connection that would be refused again; its errors have no SQLSTATE. And the fix.
_REFUSALS = {
    "password authentication failed": "correct source.user and the environment variable of source.password",
    "no password supplied": "state source.password, as {env: SHOP_DB_PASSWORD}",
    "no pg_hba.conf entry": "allow this machine and role in the server's pg_hba.conf",
    "database": "correct source.database, or grant the role the right to connect",
    "role": "correct source.user",
    "not permitted to log in": "name a role that may log in as source.user",
    "could not translate host name": "correct source.host",
    "certificate": "correct source.sslrootcert, or the server's certificate",
    "does not support SSL": "set up TLS on the server, or state sslmode: prefer",
    "server version": "use a newer server",
}
_STARTING = ("starting up", "shutting down", "recovery mode")


class Server:
    """The server that a stream's source names."""

    def __init__(self, source: PostgresSource) -> None:
        self.source = source

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection]:
        """A transaction that sees one state of the table, and can't write.

        Raises:
            SourceUnavailableError: the connection broke off.
            SourceRefusedError: the server did not answer for as long as the stream says, or refuses something.
        """
        try:
            connection = patiently(self._connected, _may_pass, self.source.give_up_after)
        except SourceUnavailableError as given_up:
            raise SourceRefusedError(str(given_up)) from None
        try:
            with connection:
                yield connection
        except psycopg.Error as error:
            raise self._explained(error) from None

    def _connected(self) -> psycopg.Connection:
        source = self.source
        try:
            connection = psycopg.connect(
                host=text_of(source.host, "source.host"),
                port=source.port,
                dbname=source.database,
                user=text_of(source.user, "source.user"),
                password=source.password.read("source.password") if source.password else None,
                sslmode=source.sslmode,
                sslrootcert=str(source.sslrootcert) if source.sslrootcert else None,
                application_name="sessions-platform",
                connect_timeout=10,
                keepalives_idle=60,
                tcp_user_timeout=120_000,
            )
        except psycopg.OperationalError as error:
            raise self._not_connected(str(error)) from None
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        for name, value in _SETTINGS.items():
            connection.execute(sql.SQL("set local {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        return connection

    def _not_connected(self, said: str) -> Exception:
        reason = " ".join(said.split()).rstrip(".")
        message = f"{self.source.place} can't be reached: {reason}"
        fix = next((fix for words, fix in _REFUSALS.items() if words in said), None)
        if fix and not any(words in said for words in _STARTING):
            return SourceRefusedError(f"{message}. Fix: {fix}.")
        return SourceUnavailableError(
            f"{message}; it was tried for {spelled(self.source.give_up_after)}. Fix: start the server, or correct "
            "source.host and source.port."
        )

    def _explained(self, error: psycopg.Error) -> Exception:
        said, place = error.diag.message_primary or str(error).strip(), self.source.place
        if isinstance(error, errors.InsufficientPrivilege):
            grant = f"grant select on {self.source.table} to the role of source.user, and usage on its schema"
            if "replication" in said:
                grant = "alter the role of source.user, so that it has the attribute replication"
            return SourceRefusedError(f"{place}: {said}. Fix: {grant}.")
        state = error.sqlstate or ("" if isinstance(error, psycopg.OperationalError) else "-")
        if not state or state.startswith(("08", "40", "53", "55", "57", "58")):
            return SourceUnavailableError(
                f"{place} broke off: {said}. Fix: nothing, if it passes; see the server's log."
            )
        return SourceRefusedError(f"{place}: PostgreSQL says {said!r}. Fix: correct the keys of source, or the table.")


def _may_pass(error: Exception) -> bool:
    return isinstance(error, SourceUnavailableError)
