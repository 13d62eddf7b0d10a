"""The table of a source in the dialect of MySQL and MariaDB: its columns, and the SQL that its rows are asked for with.

`json_object` says every value as text that means the same, but for bytes, which it writes as they are: those are
hexadecimal here. A FLOAT, of which the server shows six digits, is written as the DOUBLE that it equals.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sessions_platform.contracts.mysql_source import MysqlSource
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.tables.table import no_such_column

if TYPE_CHECKING:
    from pymysql import Connection

_COLUMNS = (
    "select column_name, data_type from information_schema.columns where table_schema = {} and table_name = {} "
    "order by ordinal_position"
)
_NEAR = "select table_name from information_schema.tables where table_schema = {} order by 1 limit 5"
_BYTES = (
    "bit", "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry", "point", "linestring",
    "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection", "vector",
)  # fmt: skip
_HEX_KEYS = ("binary", "varbinary")
_TIMES = ("timestamp", "datetime", "date")
_NUMBERS = ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year")
# By the text of these no row can be found again, or not in the order in which the server has them.
_UNORDERED = ("float", "double", "enum", "set", "json", *(kind for kind in _BYTES if kind not in _HEX_KEYS))
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Table:
    """A table or view, as one connection sees it (see `sources.tables.table.ServerTable`)."""

    def __init__(self, source: MysqlSource, connection: "Connection[Any]") -> None:
        """Look the table up. Raises SourceRefusedError where there is none."""
        self.place = source.place
        self._connection = connection
        self.name = f"{_quoted(source.database)}.{_quoted(source.table)}"
        where = (self._literal(source.database), self._literal(source.table))
        self.types: Mapping[str, str] = dict(map(_pair, self._all(_COLUMNS.format(*where))))
        if not self.types:
            near = [name for (name,) in self._all(_NEAR.format(where[0]))]
            there = f"the database has {', '.join(near)}" if near else "the database has none that this user sees"
            raise SourceRefusedError(
                f"{source.place}: there is no such table; {there}. Fix: correct source.table, or grant select on it."
            )

    def column(self, name: str, key: str) -> str:
        if name not in self.types:
            raise SourceRefusedError(no_such_column(self, name, key))
        return _quoted(name)

    def is_time(self, column: str) -> bool:
        return self.types[column] in _TIMES

    def as_text(self, column: str) -> str:
        return f"hex({_quoted(column)})" if self.types[column] in _HEX_KEYS else f"cast({_quoted(column)} as char)"

    def value(self, column: str, text: str) -> str:
        kind = self.types[column]
        if kind in _UNORDERED:
            raise SourceRefusedError(
                f"{self.place}: by {column}, which is of type {kind}, rows have no certain order. Fix: name one of "
                "numbers, times or text in source.incremental."
            )
        if kind in _HEX_KEYS:
            return f"x'{text}'"
        # As a number: the server would compare a number with a text as two DOUBLEs, which are equal beyond 2^53.
        return text if kind in _NUMBERS and _NUMBER.fullmatch(text) else self._literal(text)

    def earlier(self, column: str, text: str, lag: timedelta | int) -> str:
        if not isinstance(lag, timedelta):
            return f"cast(cast({self.value(column, text)} as decimal(65, 0)) - {lag} as char)"
        microseconds = lag // timedelta(microseconds=1)
        return f"cast(cast({self._literal(text)} as datetime(6)) - interval {microseconds} microsecond as char)"

    def compared(self, columns: Sequence[str], operator: str, values: Sequence[str]) -> str:
        # Not as a pair, for which the server would not use an index.
        (cursor, key), (at, key_at) = columns, values
        beyond = operator[0]
        return f"({cursor} {beyond}= {at} and ({cursor} {beyond} {at} or {key} {operator} {key_at}))"

    def digest(self, where: str) -> str:
        hashed = f"cast(conv(left(md5({self._json}), 16), 16, 10) as decimal(20, 0))"
        found = self.one(f"select concat(count(*), '-', coalesce(sum({hashed}), 0)) from {self.name} t where {where}")
        assert found is not None
        return found[0]

    def one(self, select: str) -> tuple[str, ...] | None:
        return next(iter(self._all(select)), None)

    def rows(self, where: str, order: str) -> Iterator[bytes]:
        from sessions_platform.sources.mysql.unbuffered import UnbufferedCursor

        with self._connection.cursor(UnbufferedCursor) as cursor:
            cursor.execute(f"select {self._json} from {self.name} t where {where} {order}")
            while found := cursor.fetchone():
                if found[0] is None:
                    raise SourceRefusedError(
                        f"{self.place}: a row is longer than the server's max_allowed_packet. Fix: raise it."
                    )
                yield found[0]

    @property
    def _json(self) -> str:
        pairs = (f"{self._literal(name)}, {_as_json(name, kind)}" for name, kind in self.types.items())
        return f"json_object({', '.join(pairs)})"

    def _all(self, select: str) -> Sequence[tuple[str, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(select)
            return [tuple(_text(value) for value in row) for row in cursor.fetchall()]

    def _literal(self, text: str) -> str:
        return str(self._connection.escape(text))


def _pair(row: tuple[str, ...]) -> tuple[str, str]:
    return row[0], row[1]


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _as_json(column: str, kind: str) -> str:
    if kind in _BYTES:
        return f"hex({_quoted(column)})"
    return f"{_quoted(column)} + 0e0" if kind == "float" else _quoted(column)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
