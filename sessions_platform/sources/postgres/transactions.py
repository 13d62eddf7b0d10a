"""New rows by the id of the transaction that wrote them, which loses none, however late it commits.

Not here: the ways that every database has (`sources.tables.increments`).
"""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from sessions_platform.contracts.postgres_source import PostgresSource
from sessions_platform.sources.base import Skipped, Slice
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.tables import increments
from sessions_platform.sources.tables.increments import slice_of, slices_before, stated_in, without
from sessions_platform.sources.tables.table import ServerTable

_XID_TYPE = "xid8"


class ByTransaction:
    """Rows by the id of the transaction that wrote them, below the oldest one that is still open.

    A transaction is in a snapshot either as a whole or not at all, and all ids below the snapshot's xmin have ended:
    so a row can't become visible in a range that was read (PostgreSQL's documentation, pg_snapshot_xmin).
    """

    def __init__(self, source: PostgresSource, column: str) -> None:
        self._source, self._column = source, column
        self.name = f"{source.table}/{column}"
        self.time_column: str | None = None

    def slices(self, table: ServerTable, position: Mapping[str, Any] | None) -> Iterator[Slice]:
        column = self._xid(table)
        found = table.one("select pg_snapshot_xmin(pg_current_snapshot())")
        assert found is not None
        start, end = int(position["xid"]) if position else 0, int(found[0])
        if start > end:
            raise SourceRefusedError(
                f"{self._source.place}: rows were read up to transaction {start}, and the server's oldest is {end}, as "
                "after it was restored from a backup or replaced. Fix: name another column in incremental.xid, or use "
                "cursor; what was read before is a duplicate then."
            )
        for number in count(slices_before(position)):
            if (first := self._nth(table, column, start, end, 0)) is None:
                return
            beyond = self._nth(table, column, start, end, increments.SLICE_ROWS)
            # The rows of one transaction stay together, even where they alone are more than a slice has.
            bound = end if beyond is None else max(beyond, first + 1)
            stated = {"from": str(start), "to": str(bound)}
            yield slice_of(self._source, number, stated, self.name, {"xid": str(bound)})
            start = bound

    def where(self, table: ServerTable, uri: str) -> str:
        start, end = stated_in(uri)["from"], stated_in(uri)["to"]
        return _between(self._xid(table), int(start), int(end))

    def order(self, table: ServerTable) -> str:
        return f"order by {self._xid(table)}"

    def skipped(self, table: ServerTable) -> Iterator[Skipped]:
        yield from without(table, self._source, [self._column])

    def unread(self, table: ServerTable, position: Mapping[str, Any] | None) -> str | None:
        column, start = self._xid(table), int(position["xid"]) if position else 0
        return f"{column} >= '{start}'::xid8 and {column} < pg_snapshot_xmin(pg_current_snapshot())"

    def _nth(self, table: ServerTable, column: str, start: int, end: int, rows: int) -> int | None:
        """The id of the row that has so many before it, of those between the bounds; None where there are not."""
        within = _between(column, start, end)
        found = table.one(f"select {column} from {table.name} t where {within} order by {column} offset {rows} limit 1")
        return int(found[0]) if found else None

    def _xid(self, table: ServerTable) -> str:
        column = table.column(self._column, "source.incremental.xid")
        if table.types[self._column] != _XID_TYPE:
            raise SourceRefusedError(
                f"{self._source.place}: {self._column} is of type {table.types[self._column]}. Fix: give the table a "
                "column of type xid8 with default pg_current_xact_id() and an index, and name that one; or use cursor."
            )
        return column


def _between(column: str, start: int, end: int) -> str:
    return f"{column} >= '{start}'::xid8 and {column} < '{end}'::xid8"
