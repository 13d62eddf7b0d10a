"""A target of tables in a MySQL or MariaDB database.

A delivery is one transaction. Making tables and adding columns are not part of it, since the server commits them by
themselves; they change no rows. Values come and go as text, so that numbers are the same to the last bit. They go by
`load data local`, and by `insert` where the server does not allow that. Not here: how the former gets rows
(`mysql_session.py`).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import MysqlTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns, Target

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    from sessions_platform.storage.warehouses.mysql_session import LoadingConnection

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
_WARNINGS = "max_error_count = 65535"  # as many as are listed at most; a server may list none
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
_LOADS_REFUSED = {1047, 1148, 3948, 4166}  # by ProxySQL; by older servers; by MySQL; by MariaDB
_BETWEEN, _NULL = "\x1f", "\x1e"  # characters between the values of a row that is read, and in place of null
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
            self._replace(connection, cursor, changes)
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
            sent = [_sent(name, dtype) if name in found else f"'{_NULL}'" for name, dtype in columns.items()]
            row = f", '{_BETWEEN}', ".join(sent)
            where = "" if partitions is None else f" where {PARTITION} in %s"
            with connection.cursor(SSCursor) as cursor:
                select = f"select concat({row}) from {self._named(table)}{where}"
                cursor.execute(select, partitions and [list(partitions)])
                while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                    yield _frame([self._whole(row) for (row,) in rows], columns)

    def _whole(self, row: str | None) -> str:
        """A row as the server sends it: null where it is too long."""
        if row is None:
            raise self.error("a row is longer than the server's max_allowed_packet", "raise it on the server")
        return row

    def _prepare(self, cursor: "Cursor", table: str, columns: Columns) -> None:
        """Make the table, or add the columns that it lacks."""
        stated = ", ".join(f"{_quoted(name)} {_declared(name, dtype)}" for name, dtype in columns.items())
        cursor.execute(f"create table if not exists {self._named(table)} ({stated}, index ({PARTITION})) {_TABLE}")
        found = self._types_of(cursor, table)
        self._require_types(table, found)
        for name, dtype in columns.items():
            if name not in found:
                cursor.execute(f"alter table {self._named(table)} add column {_quoted(name)} {_DECLARED[dtype]}")

    def _replace(self, connection: "LoadingConnection", cursor: "Cursor", changes: Changes) -> None:
        may_load = _may_load(cursor)
        for table, columns in self.tables.items():
            named = self._named(table)
            cursor.execute(f"delete from {named} where {PARTITION} in %s", [list(changes.partitions)])
            for frame in changes.rows_of(table):
                may_load = may_load and _load(connection, named, frame, columns)
                if not may_load:
                    _insert(cursor, named, frame, columns)

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
    def _connected(self) -> "Iterator[LoadingConnection]":
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

    def _connect(self) -> "LoadingConnection":
        from pymysql.constants import CLIENT

        from sessions_platform.storage.warehouses.mysql_session import LoadingConnection

        config, key = self.config, f"targets.{self.name}"
        host = text_of(config.host, f"{key}.host")
        where: dict[str, Any] = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": config.port}
        return LoadingConnection(
            **where,
            **_encryption(config),
            user=text_of(config.user, f"{key}.user"),
            password=config.password.read(f"{key}.password") if config.password else "",
            database=config.database,
            charset="utf8mb4",
            init_command=f"set time_zone = '+00:00', sql_mode = '{','.join(sorted(_MODES))}', {_WARNINGS}",
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


def _may_load(cursor: "Cursor") -> bool:
    """Whether `load data` is part of the transaction: a server of Galera may be set to commit in its middle."""
    cursor.execute("show variables where variable_name = 'wsrep_load_data_splitting' and value = 'ON'")
    return cursor.fetchone() is None


def _load(connection: "LoadingConnection", table: str, rows: pl.DataFrame, columns: Columns) -> bool:
    """Add rows to a table by `load data`. Returns whether server and proxy allow it; if not, nothing was added."""
    from pymysql import MySQLError

    names = ", ".join(map(_quoted, columns))
    flags = [pl.col(name).cast(pl.Int8()) for name, dtype in columns.items() if dtype == pl.Boolean()]
    values = rows.select(*columns).with_columns(flags)
    parts = (
        part.write_csv(
            include_header=False, quote_style="non_numeric", null_value="NULL", datetime_format="%Y-%m-%d %H:%M:%S%.6f"
        ).encode()
        for part in values.iter_slices(_ROWS_AT_ONCE)
    )
    try:
        connection.load(
            f"load data local infile 'rows' into table {table} character set utf8mb4 "
            f"fields terminated by ',' enclosed by '\"' escaped by '' lines terminated by '\n' ({names})",
            parts,
            rows.height,
        )
    except MySQLError as error:
        if error.args and error.args[0] in _LOADS_REFUSED:
            return False
        raise
    return True


def _insert(cursor: "Cursor", table: str, rows: pl.DataFrame, columns: Columns) -> None:
    """Add rows to a table by statements that contain them."""
    names = ", ".join(map(_quoted, columns))
    for part in rows.iter_slices(_ROWS_AT_ONCE):
        for literals in _literals(part, columns):
            cursor.execute(f"insert into {table} ({names}) values ({literals})")


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


def _sent(name: str, dtype: pl.DataType) -> str:
    """A value as the server sends it, which `_received` reads: a text without what is between two of them.

    Each row comes as one text, since the client's library takes most of its time for single values.
    """
    column = _quoted(name)
    if dtype == pl.String():
        text = f"convert({column} using utf8mb4) collate utf8mb4_bin"
        text = f"replace(replace({text}, '{_NULL}', '{_NULL}0'), '{_BETWEEN}', '{_NULL}1')"
        return f"if({column} is null, '{_NULL}', {text})"  # a text that is too long is null, and so is its row
    text = f"timestampdiff(microsecond, '1970-01-01', {column})" if isinstance(dtype, pl.Datetime) else column
    return f"ifnull({text}, '{_NULL}')"


def _received(name: str, dtype: pl.DataType) -> pl.Expr:
    text = pl.col(name)
    value = pl.when(text != _NULL).then(text)
    if dtype == pl.String():
        value = value.str.replace_all(f"{_NULL}1", _BETWEEN, literal=True)
        return value.str.replace_all(f"{_NULL}0", _NULL, literal=True).alias(name)
    if dtype == pl.Float64():
        return value.cast(dtype).alias(name)
    whole = value.cast(pl.Int64())
    return (whole != 0 if dtype == pl.Boolean() else whole.cast(dtype)).alias(name)


def _frame(rows: Sequence[str], columns: Columns) -> pl.DataFrame:
    """Rows of the server as a frame of the contract's types."""
    values = pl.Series("row", rows, pl.String()).str.split_exact(_BETWEEN, len(columns) - 1).struct
    return values.rename_fields(list(columns)).struct.unnest().select(_received(*column) for column in columns.items())


def _without_values(code: Any, said: str) -> str:
    """What the server says, as far as it quotes no row: only the start of what it says of values."""
    return said.partition(" '")[0] if code in _QUOTING else said
