"""A MySQL or MariaDB table as a source. The configuration is `contracts.mysql_source.MysqlSource`."""

from collections.abc import Iterator
from contextlib import contextmanager

from sessions_platform.contracts.mysql_source import MysqlSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.mysql.server import Server
from sessions_platform.sources.mysql.table import Table
from sessions_platform.sources.tables.increments import increment_of
from sessions_platform.sources.tables.source import TableRows


class MysqlTable(TableRows):
    """The rows of one table."""

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES) -> None:
        assert isinstance(stream.source, MysqlSource)
        super().__init__(stream.source, increment_of(stream.source, stream.source.incremental), block_bytes)
        self._server = Server(stream.source)

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "MysqlTable":
        """The implementation that `contracts.mysql_source.MysqlSource` names."""
        return cls(stream, settings.block_bytes)

    @contextmanager
    def table(self) -> Iterator[Table]:
        with self._server.reading() as connection:
            yield Table(self._server.source, connection)
