"""The table of a source in PostgreSQL's dialect: its columns, and the SQL that its rows are asked for with.

`row_to_json` says every value as text that means the same: numerics of any size, infinity, times before Christ, a key
of json that occurs twice. Binary COPY has no escapes, so each payload is the server's text, byte for byte.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import psycopg
from psycopg import sql

from sessions_platform.contracts.postgres_source import PostgresSource
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.tables.table import no_such_column

_COLUMNS = """
select attname, format_type(atttypid, null) from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum"""
_NEAR = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by n.nspname <> %s, c.relname <> %s, 1 limit 5"""
_TIMES = ("timestamp", "date")


class Table:
    """A table or view, as one connection sees it (see `sources.tables.table.ServerTable`)."""

    def __init__(self, source: PostgresSource, connection: psycopg.Connection) -> None:
        """Look the table up. Raises SourceRefusedError where there is none."""
        self.place = source.place
        self._connection = connection
        schema, _, name = source.table.partition(".")
        self.name = sql.Identifier(schema, name).as_string(connection)
        self.types: Mapping[str, str] = dict(connection.execute(_COLUMNS, [self.name]).fetchall())
        if not self.types:
            near = [found for (found,) in connection.execute(_NEAR, [schema, name])]
            there = f"it has {', '.join(near)}" if near else "it has none that this role sees"
            raise SourceRefusedError(
                f"{source.place}: there is no such table; {there}. Fix: correct source.table, or grant usage on its "
                "schema."
            )

    def column(self, name: str, key: str) -> str:
        if name not in self.types:
            raise SourceRefusedError(no_such_column(self, name, key))
        return self.quoted(name)

    def quoted(self, name: str) -> str:
        """A name, quoted."""
        return sql.Identifier(name).as_string(self._connection)

    def is_time(self, column: str) -> bool:
        return self.types[column].startswith(_TIMES)

    def as_text(self, column: str) -> str:
        return f"{self.quoted(column)}::text"

    def value(self, column: str, text: str) -> str:
        return f"{self._literal(text)}::{self.types[column]}"

    def earlier(self, column: str, text: str, lag: timedelta | int) -> str:
        step = f"interval {self._literal(f'{lag.total_seconds()} s')}" if isinstance(lag, timedelta) else str(lag)
        return f"({self.value(column, text)} - {step})::{self.types[column]}::text"

    def compared(self, columns: Sequence[str], operator: str, values: Sequence[str]) -> str:
        return f"({', '.join(columns)}) {operator} ({', '.join(values)})"

    def digest(self, where: str) -> str:
        found = self.one(
            "select count(*) || '-' || coalesce(sum(hashtextextended(row_to_json(t.*)::text, 0)::numeric), 0)"
            f" from {self.name} t where {where}"
        )
        assert found is not None
        return found[0]

    def one(self, select: str) -> tuple[str, ...] | None:
        found = self._connection.execute(select.encode()).fetchone()
        return tuple(map(str, found)) if found else None

    def rows(self, where: str, order: str) -> Iterator[bytes]:
        return self.copied(f"select row_to_json(t.*)::text from {self.name} t where {where} {order}")

    def copied(self, select: str) -> Iterator[bytes]:
        """The values of a query's only column, as they come; none is kept."""
        with self._connection.cursor().copy(f"copy ({select}) to stdout (format binary)".encode()) as rows:
            for (value,) in rows.rows():
                yield value

    def _literal(self, text: str) -> str:
        return sql.Literal(text).as_string(self._connection)
