"""A target that is a DuckDB file.

While one process writes a DuckDB file no other can open it. So a delivery changes a copy, and renames it at the end:
readers that have the file open keep the old state, and those that open it later get the new one.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sessions_platform.contracts.targets import DuckdbTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.lake.filesystem import sync
from sessions_platform.storage.warehouses.arrow_rows import arrow_stream
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns, Target
from sessions_platform.storage.warehouses.local_files import local_path, one_writer, told

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TYPES = {
    pl.String(): "VARCHAR",
    pl.Int64(): "BIGINT",
    pl.Float64(): "DOUBLE",
    pl.Boolean(): "BOOLEAN",
    pl.Datetime("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}
_DELIVERY = "sessions_platform_delivery"
_MEMORY: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "256MB",
    "threads": "2",
    "preserve_insertion_order": "false",
}
_ROWS_AT_ONCE = 16 * 1024


class DuckdbFile(Target[DuckdbTarget]):
    """Tables in a DuckDB file."""

    def token(self) -> int:
        if not self._path.exists():
            return 0
        with self._opened(self._path, reads=True) as connection:
            return _delivered(connection)[1]

    def is_unfinished(self) -> bool:
        """Whether there is the copy of a delivery that was killed."""
        return self._draft.exists()

    def apply(self, changes: Changes) -> None:
        path = self._path
        with told(self):
            path.parent.mkdir(parents=True, exist_ok=True)
        with told(self), one_writer(self, path.with_name(f"{path.name}.lock")):
            draft = self._draft
            for left in (draft, _log_of(draft)):  # of a delivery that was killed
                left.unlink(missing_ok=True)
            self._copy_to(draft)
            try:
                with self._opened(draft) as connection:
                    self._change(connection, changes)
                if path.exists():  # whoever may read it may read the new one
                    shutil.copymode(path, draft)
                sync(draft)
                draft.replace(path)
                sync(path.parent)
            finally:
                for left in (draft, _log_of(draft)):
                    left.unlink(missing_ok=True)

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        columns = self.tables[table]
        if not self._path.exists():
            return
        with self._opened(self._path, reads=True) as connection:
            found = _columns_of(connection, table)
            if not found:
                return
            self._require_types(table, found)
            chosen = ", ".join(
                _quoted(name) if name in found else f"null::{_TYPES[dtype]} as {_quoted(name)}"
                for name, dtype in columns.items()
            )
            where = "" if partitions is None else f" where {PARTITION} in (select unnest($wanted))"
            parameters = None if partitions is None else {"wanted": list(partitions)}
            rows = connection.sql(f"select {chosen} from {table}{where}", params=parameters)
            for batch in rows.to_arrow_reader(_ROWS_AT_ONCE):
                yield pl.DataFrame(pl.from_arrow(batch)).cast(pl.Schema(columns))

    @property
    def _path(self) -> Path:
        return local_path(self)

    @property
    def _draft(self) -> Path:
        """The copy that a delivery changes."""
        return self._path.with_name(f"{self._path.name}.next")

    def _copy_to(self, draft: Path) -> None:
        if not self._path.exists():
            return
        if _log_of(self._path).exists():
            raise self.error(
                f"another program has written to it and has not finished: there is {_log_of(self._path).name}",
                "end that program, open the file once with DuckDB, and let nothing else write to it",
            )
        shutil.copyfile(self._path, draft)

    def _change(self, connection: "DuckDBPyConnection", changes: Changes) -> None:
        stream, token = _delivered(connection)
        self.require_own(stream or self.stream.name, token, changes.token)
        connection.begin()
        for table, columns in self.tables.items():
            self._prepare(connection, table, columns)
            wanted = {"partitions": list(changes.partitions)}
            connection.execute(f"delete from {table} where {PARTITION} in (select unnest($partitions))", wanted)
            names = ", ".join(map(_quoted, columns))
            with arrow_stream(changes.rows_of(table), columns) as rows:
                connection.register("staged", rows)
                connection.execute(f"insert into {table} ({names}) select {names} from staged")
                connection.unregister("staged")
        connection.execute(f"create or replace table {_DELIVERY} (stream text, token bigint)")
        connection.execute(f"insert into {_DELIVERY} values (?, ?)", [self.stream.name, changes.token])
        connection.commit()
        connection.execute("checkpoint")

    def _prepare(self, connection: "DuckDBPyConnection", table: str, columns: Columns) -> None:
        """Make the table, or add the columns that it lacks."""
        stated = ", ".join(f"{_quoted(name)} {_TYPES[dtype]}" for name, dtype in columns.items())
        connection.execute(f"create table if not exists {table} ({stated})")
        found = _columns_of(connection, table)
        self._require_types(table, found)
        for name in columns.keys() - found.keys():
            connection.execute(f"alter table {table} add column {_quoted(name)} {_TYPES[columns[name]]}")

    def _require_types(self, table: str, found: dict[str, str]) -> None:
        wanted = {name: _TYPES[dtype] for name, dtype in self.tables[table].items()}
        self.require_types(table, found, wanted, f"drop {table} there, and deliver with --verify, or name another path")

    @contextmanager
    def _opened(self, path: Path, *, reads: bool = False) -> "Iterator[DuckDBPyConnection]":
        require_extra("duckdb", "duckdb")
        import duckdb

        try:
            with duckdb.connect(path, read_only=reads, config=_MEMORY) as connection:
                connection.execute("set timezone = 'UTC'")
                yield connection
        except duckdb.Error as error:
            said = str(error).splitlines()[0].rstrip(".")
            fix = "make room on the disk" if os.strerror(28) in said else "see whether it is a DuckDB file of its own"
            raise self.error(f"DuckDB says {said!r}", fix) from None


def _delivered(connection: "DuckDBPyConnection") -> tuple[str, int]:
    """Whose sessions the file has, and the token of the delivery that made it."""
    if not _columns_of(connection, _DELIVERY):
        return "", 0
    return connection.execute(f"from {_DELIVERY}").fetchone() or ("", 0)


def _columns_of(connection: "DuckDBPyConnection", table: str) -> dict[str, str]:
    """The types of a table's columns by name; none where there is no such table."""
    sql = """select column_name, data_type from duckdb_columns()
             where table_name = ? and schema_name = 'main' and database_name = current_database()"""
    return dict(connection.execute(sql, [table]).fetchall())


def _log_of(path: Path) -> Path:
    """Where DuckDB keeps what is not in the file yet."""
    return path.with_name(f"{path.name}.wal")


def _quoted(name: str) -> str:
    return f'"{name}"'


def sql_type(dtype: pl.DataType) -> str:
    """The type of a column, as DuckDB's catalog spells it."""
    return _TYPES[dtype]
