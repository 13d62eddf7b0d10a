"""A PostgreSQL table as a source, by its rows or by the server's log.

Not here: the configuration (`contracts.postgres_source.PostgresSource`), and reading the log (`changes`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sessions_platform.contracts.postgres_source import PostgresSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.postgres.changes import PostgresChanges
from sessions_platform.sources.postgres.server import Server
from sessions_platform.sources.postgres.table import Table
from sessions_platform.sources.postgres.transactions import ByTransaction
from sessions_platform.sources.server import ServerRecords
from sessions_platform.sources.tables.increments import Increment, increment_of
from sessions_platform.sources.tables.source import TableRows


def open_table(stream: Stream, settings: Settings) -> ServerRecords:
    """The implementation that `contracts.postgres_source.PostgresSource` names: by its log, or by its rows."""
    assert isinstance(stream.source, PostgresSource)
    if stream.source.incremental and stream.source.incremental.slot is not None:
        return PostgresChanges(stream, settings.block_bytes)
    return PostgresTable(stream, settings.block_bytes)


class PostgresTable(TableRows):
    """The rows of one table."""

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES) -> None:
        assert isinstance(stream.source, PostgresSource)
        super().__init__(stream.source, _increment_of(stream.source), block_bytes)
        self._server = Server(stream.source)

    @contextmanager
    def table(self) -> Iterator[Table]:
        with self._server.reading() as connection:
            yield Table(self._server.source, connection)


def _increment_of(source: PostgresSource) -> Increment:
    stated = source.incremental
    if stated is not None and stated.xid is not None:
        return ByTransaction(source, stated.xid)
    return increment_of(source, stated)
