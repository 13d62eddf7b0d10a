"""The server of a table: connections that only read, and what their errors mean.

Values come as the bytes that the server sends: no driver's types alter them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sessions_platform.contracts.mysql_source import MysqlSource
from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.values import spelled
from sessions_platform.errors import MissingExtraError
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.patience import patiently

if TYPE_CHECKING:
    from pymysql import Connection

# By which values and names are written the same on every server; TIMESTAMP is shown in the session's timezone.
_SESSION = (
    "set time_zone = '+00:00', sql_mode = '', net_write_timeout = 3600, group_concat_max_len = 1048576",
    "set session transaction isolation level repeatable read",
    "start transaction with consistent snapshot, read only",
)
# For so long a query may take to its first row, and the network may be still; seconds.
_SILENCE = 3600
# What may pass by itself: the server is gone, ends, is full, or has ended this connection.
_PASSING = {1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1927, 2002, 2003, 2006, 2012, 2013, 2055}
_FIXES = {
    1044: "correct source.database, or grant the user rights on it",
    1045: "correct source.user and the environment variable of source.password",
    1049: "correct source.database",
    1054: "name columns that the table has",
    1129: "run mariadb-admin flush-hosts on the server",
    1130: "allow this machine: create user 'name'@'host' on the server",
    1142: "grant select on the table to source.user",
    1143: "grant select on all columns of the table to source.user",
    1146: "correct source.table",
    1698: "correct source.user: that one may not log in by a password",
    2026: "correct source.sslrootcert, or the server's certificate; or state sslmode: prefer",
}
_OTHER = "correct the keys of source, or the table"


class Server:
    """The server that a stream's source names."""

    def __init__(self, source: MysqlSource) -> None:
        self.source = source

    @contextmanager
    def reading(self) -> "Iterator[Connection[Any]]":
        """A transaction that sees one state of the table, and can't write.

        Raises:
            SourceUnavailableError: the connection broke off.
            SourceRefusedError: the server did not answer for as long as the stream says, or refuses something.
            MissingExtraError: the extra `mysql` is not installed.
        """
        try:
            from pymysql import MySQLError
        except ModuleNotFoundError:
            raise MissingExtraError("pymysql", "mysql") from None
        try:
            connection = patiently(self._connected, _may_pass, self.source.give_up_after)
        except SourceUnavailableError as given_up:
            raise SourceRefusedError(str(given_up)) from None
        try:
            yield connection
        except MySQLError as error:
            raise self._explained(error) from None
        finally:
            if connection.open:
                connection.close()

    def _connected(self) -> "Connection[Any]":
        import pymysql
        from pymysql.converters import encoders

        source = self.source
        host = text_of(source.host, "source.host")
        where: dict[str, Any] = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": source.port}
        password = source.password.read("source.password") if source.password else ""
        # What PyMySQL would make of values, by their types: nothing.
        as_they_come: dict[Any, Any] = dict(encoders)
        try:
            connection: Connection[Any] = pymysql.connect(
                **where,
                **self._encryption(),
                user=text_of(source.user, "source.user"),
                password=password.encode(),
                database=source.database,
                charset="utf8mb4",
                use_unicode=False,
                conv=as_they_come,
                connect_timeout=10,
                read_timeout=_SILENCE,
                write_timeout=_SILENCE,
                program_name="sessions-platform",
            )
            with connection.cursor() as cursor:
                for statement in _SESSION:
                    cursor.execute(statement)
        except pymysql.MySQLError as error:
            raise self._not_connected(error) from None
        return connection

    def _encryption(self) -> dict[str, Any]:
        if self.source.sslmode != "verify-full":
            return {"ssl_disabled": self.source.sslmode == "disable"}
        authority = str(self.source.sslrootcert) if self.source.sslrootcert else None
        return {"ssl_ca": authority, "ssl_verify_cert": True, "ssl_verify_identity": True}

    def _not_connected(self, error: Exception) -> Exception:
        code, said = _code_and_text(error)
        message = f"{self.source.place} can't be reached: {said}"
        original = getattr(error, "original_exception", None)
        if code in _PASSING and not _is_certificate(original):
            return SourceUnavailableError(
                f"{message}; it was tried for {spelled(self.source.give_up_after)}. Fix: start the server, or correct "
                "source.host and source.port."
            )
        return SourceRefusedError(f"{message}. Fix: {_FIXES[2026] if code in _PASSING else _FIXES.get(code, _OTHER)}.")

    def _explained(self, error: Exception) -> Exception:
        code, said = _code_and_text(error)
        if code in _PASSING:
            return SourceUnavailableError(
                f"{self.source.place} broke off: {said}. Fix: nothing, if it passes; see the server's log."
            )
        return SourceRefusedError(f"{self.source.place}: the server says {said!r}. Fix: {_FIXES.get(code, _OTHER)}.")


def _code_and_text(error: Exception) -> tuple[int, str]:
    """MySQL's number of an error, and what it says; 0 for one that has none."""
    code, *texts = error.args or (0,)
    said = " ".join(str(texts[0] if texts else error).split()).rstrip(".")
    return (code if isinstance(code, int) else 0), said


def _is_certificate(error: Exception | None) -> bool:
    import ssl

    return isinstance(error, ssl.SSLError)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, SourceUnavailableError)
