"""A target of tables in a MySQL or MariaDB database.

A delivery is one transaction. Making tables and adding columns are not part of it, since the server commits them by
themselves; they change no rows. Values come and go as text, so that numbers are the same to the last bit.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import MysqlTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns, Target

if TYPE_CHECKING:
    from pymysql import Connection
    from pymysql.cursors import Cursor

_TYPES = {
    pl.String(): "longtext",
    pl.Int64(): "bigint",
    pl.Float64(): "double",
    pl.Boolean(): "tinyint",
    pl.Datetime("us", "UTC"): "datetime",
}
_DECLARED = {**_TYPES, pl.Boolean(): "tinyint(1)", pl.Datetime("us", "UTC"): "datetime(6)"}
_KEY = "varchar(32) character set ascii collate ascii_bin not null"
_TABLE = "engine = InnoDB, character set = utf8mb4, collate = utf8mb4_bin"
_MODES = {"STRICT_ALL_TABLES", "NO_BACKSLASH_ESCAPES"}  # what no value is altered without, and no text read as SQL
_COLUMNS = "select column_name, data_type from information_schema.columns where table_schema = %s and table_name = %s"
_DELIVERY = "sessions_platform_delivery"
_ROWS_AT_ONCE = 10_000
_STATEMENT_BYTES = 1_000_000
_SECONDS = 10  # to connect
_SILENCE = 600  # seconds for which a statement may be without an answer
_FIXES = {
    1044: "grant the target's user create, alter, select, insert, update and delete on the database",
    1045: "correct user and the environment variable of password",
    1049: "make the database, or correct its name",
    1114: "make room on the server's disk",
    1130: "allow this machine: create user 'name'@'host' on the server",
    1142: "grant the target's user create, alter, select, insert, update and delete on the database",
    1698: "name a user who may log in by a password",
    1021: "make room on the server's disk",
    2003: "start the server, or correct host and port",
}
_QUOTING = {1062, 1292, 1366, 1411}  # errors whose text has a value
_OTHER = "see the server's log; it is tried again"


class MysqlTables(Target[MysqlTarget]):
    """Tables whose names begin with the target's prefix."""

    def __init__(self, name: str, config: MysqlTarget, stream: Stream, tables: Mapping[str, Columns]) -> None:
        require_extra("pymysql", "mysql")
        super().__init__(name, config, stream, tables)

    def token(self) -> int:
        with self._connected() as connection, connection.cursor() as cursor:
            complete = all(self._types_of(cursor, table) for table in [*self.tables, _DELIVERY])
            return self._delivered(cursor)[1] if complete else 0

    def apply(self, changes: Changes) -> None:
        with self._connected() as connection, connection.cursor() as cursor:
            for table, columns in self.tables.items():
                self._prepare(cursor, table, columns)
            cursor.execute(
                f"create table if not exists {self._named(_DELIVERY)} "
                f"(only_one tinyint primary key, stream varchar(64) not null, token bigint not null) {_TABLE}"
            )
            insert = f"insert ignore into {self._named(_DELIVERY)} values (1, %s, 0)"
            cursor.execute(insert, [self.stream.name])
            connection.commit()
            self.require_own(*self._delivered(cursor, lock=" for update"), changes.token)
            self._require_modes(cursor)
            for table, columns in self.tables.items():
                self._replace(cursor, table, columns, changes)
            cursor.execute(f"update {self._named(_DELIVERY)} set token = %s", [changes.token])
            connection.commit()

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        from pymysql.cursors import SSCursor

        columns = self.tables[table]
        with self._connected() as connection:
            with connection.cursor() as cursor:
                found = self._types_of(cursor, table)
            if not found or partitions == []:
                return
            self._require_types(table, found)
            chosen = ", ".join(_quoted(name) if name in found else "null" for name in columns)
            where = "" if partitions is None else f" where {PARTITION} in %s"
            with connection.cursor(SSCursor) as cursor:
                cursor.execute(f"select {chosen} from {self._named(table)}{where}", partitions and [list(partitions)])
                while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                    yield _frame(rows, columns)

    def _prepare(self, cursor: "Cursor", table: str, columns: Columns) -> None:
        """Make the table, or add the columns that it lacks."""
        stated = ", ".join(f"{_quoted(name)} {_declared(name, dtype)}" for name, dtype in columns.items())
        cursor.execute(f"create table if not exists {self._named(table)} ({stated}, index ({PARTITION})) {_TABLE}")
        found = self._types_of(cursor, table)
        self._require_types(table, found)
        for name, dtype in columns.items():
            if name not in found:
                cursor.execute(f"alter table {self._named(table)} add column {_quoted(name)} {_DECLARED[dtype]}")

    def _replace(self, cursor: "Cursor", table: str, columns: Columns, changes: Changes) -> None:
        named = self._named(table)
        cursor.execute(f"delete from {named} where {PARTITION} in %s", [list(changes.partitions)])
        names = ", ".join(map(_quoted, columns))
        for frame in changes.rows_of(table):
            for rows in frame.iter_slices(_ROWS_AT_ONCE):
                for literals in _literals(rows, columns):
                    cursor.execute(f"insert into {named} ({names}) values ({literals})")

    def _require_modes(self, cursor: "Cursor") -> None:
        """Refuse a session without the modes of `_connect`; asked in the transaction, which stays in one session."""
        cursor.execute("select @@session.sql_mode")
        (stated,) = cursor.fetchone() or ("",)
        if lacking := _MODES - set(str(stated).split(",")):
            reason = f"the session has lost its sql_mode {', '.join(sorted(lacking))}"
            raise self.error(reason, "connect to the server itself, or let the proxy between keep what a session sets")

    def _delivered(self, cursor: "Cursor", lock: str = "") -> tuple[str, int]:
        """Whose sessions the tables have, and the token of the delivery that made them."""
        cursor.execute(f"select stream, token from {self._named(_DELIVERY)}{lock}")
        stream, token = cursor.fetchone() or (self.stream.name, 0)
        return stream, token

    def _types_of(self, cursor: "Cursor", table: str) -> dict[str, str]:
        cursor.execute(_COLUMNS, [self.config.database, f"{self.config.prefix}{table}"])
        return dict(cursor.fetchall())

    def _require_types(self, table: str, found: Mapping[str, str]) -> None:
        columns = self.tables[table].items()
        wanted = {name: "varchar" if name == PARTITION else _TYPES[dtype] for name, dtype in columns}
        fix = f"drop {self.config.prefix}{table} there; everything is delivered again"
        self.require_types(table, found, wanted, fix)

    def _named(self, table: str) -> str:
        return _quoted(f"{self.config.prefix}{table}")

    @contextmanager
    def _connected(self) -> "Iterator[Connection[Any]]":
        """A connection with a transaction of its own, which ends with it; errors as a TargetError."""
        from pymysql import MySQLError

        try:
            with contextlib.closing(self._connect()) as connection:
                yield connection
        except MySQLError as error:
            code, *texts = error.args or (0,)
            said = " ".join(str(texts[0] if texts else error).split()).rstrip(".")
            fix = _FIXES.get(code, _OTHER) if isinstance(code, int) else _OTHER
            raise self.error(f"the server says {_without_values(code, said)!r}", fix) from None

    def _connect(self) -> "Connection[Any]":
        import pymysql
        from pymysql.constants import CLIENT

        config, key = self.config, f"targets.{self.name}"
        host = text_of(config.host, f"{key}.host")
        where: dict[str, Any] = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": config.port}
        return pymysql.connect(
            **where,
            **_encryption(config),
            user=text_of(config.user, f"{key}.user"),
            password=config.password.read(f"{key}.password") if config.password else "",
            database=config.database,
            charset="utf8mb4",
            init_command=f"set time_zone = '+00:00', sql_mode = '{','.join(sorted(_MODES))}'",
            client_flag=CLIENT.FOUND_ROWS,
            connect_timeout=_SECONDS,
            read_timeout=_SILENCE,
            write_timeout=_SILENCE,
            program_name="sessions-platform",
        )


def _encryption(config: MysqlTarget) -> dict[str, Any]:
    if config.sslmode != "verify-full":
        return {"ssl_disabled": config.sslmode == "disable"}
    return {"ssl_ca": config.sslrootcert, "ssl_verify_cert": True, "ssl_verify_identity": True}


def _declared(name: str, dtype: pl.DataType) -> str:
    return _KEY if name == PARTITION else _DECLARED[dtype]


def _quoted(name: str) -> str:
    return f"`{name}`"


def _literals(rows: pl.DataFrame, columns: Columns) -> Iterator[str]:
    """Rows as SQL has them between the outer parentheses of `values`, in texts that are not much longer than a packet.

    As the client's library writes values one by one, but by column, which takes a tenth of its time.
    """
    row = pl.concat_str([_literal(name, dtype) for name, dtype in columns.items()], separator=",")
    texts = rows.select(row.alias("_row")).with_columns(
        _part=pl.col("_row").str.len_bytes().cast(pl.Int64).cum_sum() // _STATEMENT_BYTES
    )
    for part in texts.partition_by("_part", maintain_order=True):
        yield "),(".join(part["_row"])


def _literal(name: str, dtype: pl.DataType) -> pl.Expr:
    """A value as a literal of SQL, where a backslash is no escape, as `_require_modes` has seen to.

    Floats have an exponent, else they are decimals.
    """
    value = pl.col(name)
    if dtype == pl.String():
        text = pl.format("'{}'", value.str.replace_all("'", "''", literal=True))
    elif dtype == pl.Float64():
        plain = value.cast(pl.String())
        text = pl.when(plain.str.contains("e", literal=True)).then(plain).otherwise(plain + "e0")
    elif isinstance(dtype, pl.Datetime):
        text = value.dt.strftime("'%Y-%m-%d %H:%M:%S%.6f'")
    else:
        text = value.cast(pl.Int64()).cast(pl.String())
    return text.fill_null("null")


def _frame(rows: Sequence[Sequence[Any]], columns: Columns) -> pl.DataFrame:
    """Rows of the server as a frame of the contract's types."""
    by_column = zip(columns.items(), zip(*rows, strict=True), strict=True)
    return pl.DataFrame([_series(name, list(values), dtype) for (name, dtype), values in by_column])


def _series(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Boolean():
        values = [None if value is None else bool(value) for value in values]
    if isinstance(dtype, pl.Datetime):
        values = [value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for value in values]
    return pl.Series(name, values, dtype)


def _without_values(code: Any, said: str) -> str:
    """What the server says, as far as it quotes no row: only the start of what it says of values."""
    return said.partition(" '")[0] if code in _QUOTING else said
