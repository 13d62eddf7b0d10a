"""A target of tables in a Snowflake schema.

A delivery uploads its rows as Parquet files, copies them into tables of its own, and then replaces the old rows by them
in one transaction. Making tables and adding columns come before it, since the server commits them by themselves; they
change no rows. Not here: how the server is reached, and what its errors
mean (`snowflake_session.py`).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import SnowflakeTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.arrow_rows import arrow_schema, arrow_table
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns, Target
from sessions_platform.storage.warehouses.snowflake_session import cursor_of

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

# As they are declared, and as the server names them.
_TYPES = {
    pl.String(): ("text", "TEXT"),
    pl.Int64(): ("number(19, 0)", "NUMBER"),
    pl.Float64(): ("float", "FLOAT"),
    pl.Boolean(): ("boolean", "BOOLEAN"),
    pl.Datetime("us", "UTC"): ("timestamp_ntz(6)", "TIMESTAMP_NTZ"),
}
_DELIVERY = "sessions_platform_delivery"
_STAGED = "_staged_"
_ROWS_IN_A_FILE = 500_000
_ROWS_AT_ONCE = 10_000
_PARTITIONS_AT_ONCE = 1000


class SnowflakeTables(Target[SnowflakeTarget]):
    """Tables whose names begin with the target's prefix, all in upper case, as unquoted names are."""

    def __init__(self, name: str, config: SnowflakeTarget, stream: Stream, tables: Mapping[str, Columns]) -> None:
        require_extra("snowflake.connector", "snowflake", "snowflake-connector-python")
        super().__init__(name, config, stream, tables)

    def token(self) -> int:
        with cursor_of(self) as cursor:
            found = self._found(cursor)
            is_whole = all(self._plain(table) in found for table in [*self.tables, _DELIVERY])
            return self._delivered(cursor)[1] if is_whole else 0

    def is_unfinished(self) -> bool:
        """Whether a delivery has left tables of its own."""
        with cursor_of(self) as cursor:
            return bool(self._staged_by(self._found(cursor)))

    def apply(self, changes: Changes) -> None:
        with cursor_of(self) as cursor:
            self._prepare_delivery(cursor)
            self.require_own(*self._delivered(cursor), changes.token)
            self._prepare(cursor, changes.token)
            for table in self.tables:
                self._stage(cursor, table, changes)
            cursor.execute("begin")
            # It takes the lock, which the transaction keeps; the statement after it sees what is committed by then.
            cursor.execute(f'update {self._named(_DELIVERY)} set "TOKEN" = "TOKEN"')
            self.require_own(*self._delivered(cursor), changes.token)
            for table, columns in self.tables.items():
                self._replace(cursor, table, columns, changes)
            cursor.execute(f'update {self._named(_DELIVERY)} set "TOKEN" = {changes.token}')
            cursor.execute("commit")
            for table in self.tables:
                cursor.execute(f"drop table if exists {self._staged(table, changes.token)}")

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        columns = self.tables[table]
        with cursor_of(self) as cursor:
            found = self._found(cursor).get(self._plain(table))
            if not found:
                return
            self._require_types(table, found)
            chosen = ", ".join(_read_as(name, dtype) if name in found else "null" for name, dtype in columns.items())
            for some in _chosen(partitions):
                where = "" if some is None else f" where {_quoted(PARTITION)} in ({', '.join(['%s'] * len(some))})"
                cursor.execute(f"select {chosen} from {self._named(table)}{where}", some)
                while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                    yield _frame(rows, columns)

    def _prepare_delivery(self, cursor: "SnowflakeCursor") -> None:
        """Make the table that says whose sessions these are, with a row."""
        delivery = self._named(_DELIVERY)
        cursor.execute(
            f'create table if not exists {delivery} ("STREAM" text not null, "TOKEN" number(19, 0) not null)'
        )
        first = f"insert into {delivery} select %s, 0 where not exists (select 1 from {delivery})"
        cursor.execute(first, [self.stream.name])

    def _prepare(self, cursor: "SnowflakeCursor", token: int) -> None:
        """Make the tables, add the columns that they lack, and remove what killed deliveries have staged."""
        for table, columns in self.tables.items():
            stated = ", ".join(f"{_quoted(name)} {_declared(name, dtype)}" for name, dtype in columns.items())
            cursor.execute(f"create table if not exists {self._named(table)} ({stated})")
        delivery = self._named(_DELIVERY)
        cursor.execute(
            f'create table if not exists {delivery} ("STREAM" text not null, "TOKEN" number(19, 0) not null)'
        )
        first = f"insert into {delivery} select %s, 0 where not exists (select 1 from {delivery})"
        cursor.execute(first, [self.stream.name])
        found = self._found(cursor)
        for table, columns in self.tables.items():
            self._require_types(table, found[self._plain(table)])
            for name in columns.keys() - found[self._plain(table)].keys():
                added = f"{_quoted(name)} {_TYPES[columns[name]][0]}"
                cursor.execute(f"alter table {self._named(table)} add column if not exists {added}")
        for name, by in self._staged_by(found).items():
            if by <= token:
                cursor.execute(f'drop table if exists "{name}"')

    def _stage(self, cursor: "SnowflakeCursor", table: str, changes: Changes) -> None:
        """Copy the new rows of all partitions into a table of this delivery; times as numbers of microseconds."""
        staged = self._staged(table, changes.token)
        columns = {name: pl.Int64() if _is_time(dtype) else dtype for name, dtype in self.tables[table].items()}
        stated = ", ".join(f"{_quoted(name)} {_TYPES[dtype][0]}" for name, dtype in columns.items())
        cursor.execute(f"create or replace transient table {staged} ({stated})")
        cursor.execute(f"create or replace temporary stage {staged}")
        with TemporaryDirectory(prefix="snowflake-") as folder:
            paths = 0
            for path in _files(Path(folder), changes.rows_of(table), columns):
                cursor.execute(f"put 'file://{path}' @{staged} auto_compress = false overwrite = true")
                path.unlink()
                paths += 1
        if paths:
            by_name = "file_format = (type = parquet) match_by_column_name = case_insensitive"
            cursor.execute(f"copy into {staged} from @{staged} {by_name}")

    def _replace(self, cursor: "SnowflakeCursor", table: str, columns: Columns, changes: Changes) -> None:
        for some in _chosen(changes.partitions):
            places = ", ".join(["%s"] * len(some or []))
            cursor.execute(f"delete from {self._named(table)} where {_quoted(PARTITION)} in ({places})", some)
        names = ", ".join(map(_quoted, columns))
        values = ", ".join(
            f"to_timestamp_ntz({_quoted(name)}, 6)" if _is_time(dtype) else _quoted(name)
            for name, dtype in columns.items()
        )
        staged = self._staged(table, changes.token)
        cursor.execute(f"insert into {self._named(table)} ({names}) select {values} from {staged}")

    def _delivered(self, cursor: "SnowflakeCursor") -> tuple[str, int]:
        """Whose sessions the tables have, and the token of the delivery that made them."""
        cursor.execute(f'select "STREAM", "TOKEN" from {self._named(_DELIVERY)}')
        stream, token = cursor.fetchone() or (self.stream.name, 0)
        return str(stream), int(token)

    def _found(self, cursor: "SnowflakeCursor") -> dict[str, dict[str, str]]:
        """The types of the columns by table; tables as the server names them, columns as the stream does."""
        cursor.execute(
            "select table_name, column_name, data_type from information_schema.columns "
            "where table_schema = current_schema() and startswith(table_name, %s)",
            [self._plain("")],
        )
        found = dict[str, dict[str, str]]()
        for table, name, stated in cursor.fetchall():
            found.setdefault(table, {})[str(name).lower()] = stated
        return found

    def _staged_by(self, found: Mapping[str, Any]) -> dict[str, int]:
        """The tables that deliveries have staged rows in, with the deliveries' tokens."""
        begun = {f"{self._plain(table)}{_STAGED.upper()}" for table in self.tables}
        parts = {name: name.rpartition(_STAGED.upper()) for name in found}
        return {name: int(at) for name, (before, by, at) in parts.items() if before + by in begun and at.isdecimal()}

    def _require_types(self, table: str, found: Mapping[str, str]) -> None:
        wanted = {name: _TYPES[dtype][1] for name, dtype in self.tables[table].items()}
        self.require_types(table, found, wanted, f"drop {self._plain(table)} there; everything is delivered again")

    def _plain(self, table: str) -> str:
        return f"{self.config.prefix}{table}".upper()

    def _named(self, table: str) -> str:
        return _quoted(self._plain(table))

    def _staged(self, table: str, token: int) -> str:
        return _quoted(f"{self._plain(table)}{_STAGED}{token}")


def _quoted(name: str) -> str:
    return f'"{name.upper()}"'


def _is_time(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime)


def _declared(name: str, dtype: pl.DataType) -> str:
    return f"{_TYPES[dtype][0]}{' not null' if name == PARTITION else ''}"


def _read_as(name: str, dtype: pl.DataType) -> str:
    return f"date_part(epoch_microsecond, {_quoted(name)})" if _is_time(dtype) else _quoted(name)


def _chosen(partitions: Sequence[str] | None) -> Iterator[list[str] | None]:
    """As many partitions as a statement may name; None, for all of them, stays."""
    if partitions is None:
        yield None
        return
    for start in range(0, len(partitions), _PARTITIONS_AT_ONCE):
        yield list(partitions[start : start + _PARTITIONS_AT_ONCE])


def _files(folder: Path, frames: Iterator[pl.DataFrame], columns: Columns) -> Iterator[Path]:
    """Rows as Parquet files; each is complete when it is yielded, and its name is its alone."""
    waiting = True
    for number in itertools.count():
        path, rows = folder / f"{number}.parquet", 0
        with pq.ParquetWriter(path, arrow_schema(columns)) as writer:
            while rows < _ROWS_IN_A_FILE and waiting:
                frame = next(frames, None)
                waiting = frame is not None
                if frame is not None:
                    writer.write_table(arrow_table(frame.with_columns(_whole(frame)), columns))
                    rows += frame.height
        if rows:
            yield path
        if not waiting:
            return


def _whole(frame: pl.DataFrame) -> list[pl.Expr]:
    """Times as numbers of microseconds."""
    return [pl.col(name).dt.epoch("us") for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]


def _frame(rows: Sequence[Any], columns: Columns) -> pl.DataFrame:
    """Rows of the server as a frame of the contract's types."""
    by_column = zip(columns.items(), zip(*rows, strict=True), strict=True)
    series = [
        pl.Series(name, values, pl.Int64() if _is_time(dtype) else dtype, strict=False).cast(dtype)
        for (name, dtype), values in by_column
    ]
    return pl.DataFrame(series)
