"""The result of any query, read row by row: its columns, and values as PostgreSQL writes them or as Python has them.

Here belongs how values of each type are loaded. Not here: who may query, for how long, and what errors mean
(``database``), and how results are written (``operations/export.py``).
"""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

import psycopg
from psycopg import adapt, errors, postgres, pq
from psycopg.abc import Buffer
from psycopg.types.string import TextLoader

from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.row_names import distinct

_ROWS_AT_ONCE = 1000
# Python's own value of these is that of PostgreSQL; of all others it may have none, or less of it.
_PLAIN = ("int2", "int4", "int8", "oid", "float4", "float8", "bool")
_TIMES = ("timestamp", "timestamptz")
_TYPED = (*_PLAIN, *_TIMES, "bytea", "date", "time")


class NoSuchValueError(UserError):
    """Python has no such value, as for a timestamp that is infinite; the message has the value and the fix."""


class Values(Enum):
    """How values are loaded.

    text: as PostgreSQL writes them, except that Booleans are `true` and `false`.
    json: numbers and Booleans as in Python, arrays as lists, all else as text; also JSON, which is not parsed.
    typed: numbers, Booleans, bytes, dates and times as in Python, arrays as lists, and all else, numeric too, as text.
    """

    text = "text"
    json = "json"
    typed = "typed"


class Column(NamedTuple):
    """A column of a result: a name that no other one has, PostgreSQL's type, and its modifier or -1."""

    name: str
    type_oid: int
    modifier: int

    @property
    def type_name(self) -> str:
        """PostgreSQL's own name, as in `timestamptz`; of types that are not built in, `unknown`."""
        known = postgres.types.get(self.type_oid)
        return known.name if known else "unknown"

    @property
    def is_array(self) -> bool:
        """Whether it is an array of a type that is built in."""
        known = postgres.types.get(self.type_oid)
        return known is not None and known.array_oid == self.type_oid


class Result(NamedTuple):
    """Columns, none of a statement that returns none, and rows, to be read once and while the connection is open."""

    columns: tuple[Column, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def reading(connection: psycopg.Connection, sql: str, values: Values) -> Iterator[Result]:
    """Run one statement and read its rows as they come, so that memory does not grow with their number.

    Args:
        connection: of the reader, in its transaction. The time limit of a statement holds until its last row is read.
        sql: one statement; of several, PostgreSQL accepts none.
        values: how they are loaded.

    Raises:
        psycopg.Error: PostgreSQL rejected it, before the first row or after some.
    """
    columns = _described(connection, sql)
    _register_loaders(connection, values)
    cursor = connection.cursor()
    if not columns:
        cursor.execute(sql.encode(), binary=True)  # the binary protocol takes one statement only
        yield Result((), iter(()))
        return
    # As the block ends, the statement is canceled where rows are left.
    with closing(_streamed(cursor, sql)) as rows:
        yield Result(columns, rows)


def _streamed(cursor: psycopg.Cursor, sql: str) -> Generator[tuple[Any, ...], None, None]:
    try:
        yield from cursor.stream(sql.encode(), binary=False, size=_ROWS_AT_ONCE)
    except psycopg.DataError as error:
        if error.sqlstate:  # PostgreSQL's own
            raise
        said = " ".join(str(error).split())
        raise NoSuchValueError(f"{said}. Fix: write COLUMN::text for it, or leave such rows out.") from None


def _described(connection: psycopg.Connection, sql: str) -> tuple[Column, ...]:
    """The columns that a statement returns. PostgreSQL only parses it, so they are known of an empty result, too."""
    connection.execute("select")  # the transaction begins, so that both see the same tables
    prepared = connection.pgconn.prepare(b"", sql.encode())
    if prepared.status != pq.ExecStatus.COMMAND_OK:
        raise errors.error_from_result(prepared, encoding=connection.info.encoding)
    described = connection.pgconn.describe_prepared(b"")
    names = [(described.fname(at) or b"").decode(connection.info.encoding) for at in range(described.nfields)]
    return tuple(Column(name, described.ftype(at), described.fmod(at)) for at, name in enumerate(distinct(names)))


class _TrueOrFalse(adapt.Loader):
    def load(self, data: Buffer) -> str:
        return "true" if bytes(data) == b"t" else "false"


class _Time(TextLoader):
    """A timestamp in Python's spelling; those that Python has none for, such as infinity, in PostgreSQL's."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        try:
            return str(datetime.fromisoformat(text))
        except ValueError:
            return text


def _register_loaders(connection: psycopg.Connection, values: Values) -> None:
    register = connection.adapters.register_loader
    kept = {Values.text: (), Values.json: _PLAIN, Values.typed: _TYPED}[values]
    for known in postgres.types:
        if known.name not in kept:
            register(known.oid, TextLoader)
        if values is Values.text:
            register(known.array_oid, TextLoader)
    if values is Values.text:
        register("bool", _TrueOrFalse)
    if values is Values.json:
        register("timestamp", _Time)
        register("timestamptz", _Time)
