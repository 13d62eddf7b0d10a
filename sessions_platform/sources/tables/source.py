"""A table of any database as a source: its new rows are slices with cursors.

Which rows are new is found by `increments`; the JSON of a row is the server's own, which keeps what typed readers alter
or refuse.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from sessions_platform.contracts.table_source import TableSource
from sessions_platform.sources.base import NO_CURSORS, Cursors, Found, Past, Quarantine, Slice
from sessions_platform.sources.messages import PayloadReading
from sessions_platform.sources.server import ServerRecords
from sessions_platform.sources.tables.increments import ByCursor, Increment
from sessions_platform.sources.tables.table import ServerTable


class TableRows(ServerRecords):
    """The rows of one table."""

    def __init__(self, source: TableSource, increment: Increment, block_bytes: int) -> None:
        self.source = source
        self._increment, self._block_bytes = increment, block_bytes

    @abstractmethod
    def table(self) -> AbstractContextManager[ServerTable]:
        """The table, in a transaction that sees one state of it, and can't write."""

    def search(
        self,
        landing_partitions: Iterable[str] | None = None,  # noqa: ARG002  rows belong to whichever run reads them
        cursors: Cursors = NO_CURSORS,
    ) -> Found:
        """The rows after the stored cursor, as they are now, and those without a value of the cursor column."""
        with self.table() as table:
            slices = list(self._increment.slices(table, cursors.get(self._increment.name)))
            return Found(slices, list(self._increment.skipped(table)))

    def search_past(self, past: Past, cursors: Cursors) -> Found:
        """The rows whose cursor lies in that time, once for each state of them that was seen."""
        assert isinstance(self._increment, ByCursor)  # `no_past` of the configuration says so of the others
        with self.table() as table:
            return Found(list(self._increment.past(table, past, cursors.get(self._increment.name_of(past)))))

    def unread(self, cursors: Cursors, most: int) -> int | None:
        """How many rows come after the stored cursor; None where no cursor says it."""
        position = cursors.get(self._increment.name)
        with self.table() as table:
            where = self._increment.unread(table, position)
            return None if where is None else _count(table, where, most)

    def read(self, slice_: Slice, quarantine: Quarantine) -> "TableReading":  # noqa: ARG002
        """A reading of the rows that a slice's uri says."""
        return TableReading(self, self._increment, slice_.uri, self._block_bytes)


def _count(table: ServerTable, where: str, most: int) -> int:
    found = table.one(f"select count(*) from (select 1 from {table.name} t where {where} limit {most}) n")
    assert found is not None
    return int(found[0])


class TableReading(PayloadReading):
    """One pass over the rows of a slice."""

    def __init__(self, rows: TableRows, increment: Increment, uri: str, block_bytes: int) -> None:
        super().__init__(block_bytes, increment.time_column)
        self._rows, self._increment, self._uri = rows, increment, uri

    def payloads(self) -> Iterator[bytes]:
        """The JSON of each row."""
        with self._rows.table() as table:
            yield from table.rows(self._increment.where(table, self._uri), self._increment.order(table))
