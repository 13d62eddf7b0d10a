"""A connection to MySQL or MariaDB that loads rows out of memory, as `load data local` does out of a file.

The server answers that statement by the name of a file that it wants to have, whatever the statement says. So this
sends the rows that it was given, and never opens a file. Here is only what the client's library lacks; the statements
are in `mysql_tables.py`.
"""

from collections.abc import Iterable
from typing import Any

from pymysql.connections import Connection
from pymysql.constants import CLIENT
from pymysql.err import DataError
from pymysql.protocol import MysqlPacket

_PACKET_BYTES = 1 << 18  # less than any server's max_allowed_packet


class LoadingConnection(Connection):
    """A connection with `load`. Without it a server that asks for a file gets none, as the library sees to."""

    def __init__(self, *, client_flag: int, **options: Any) -> None:
        self._loading: Iterable[bytes] | None = None
        super().__init__(client_flag=client_flag | CLIENT.LOCAL_FILES, **options)

    def load(self, statement: str, parts: Iterable[bytes], rows: int) -> None:
        """Run `load data local` with these bytes, of so many rows, as the file.

        Raises:
            MySQLError: the server refuses the statement, and nothing was sent; or it fails; or it has skipped or
                altered a row, which it does without an error where the rows are the client's. Where it breaks off while
                rows are sent, the connection is closed.
        """
        self._loading = parts
        try:
            self.query(statement)
        finally:
            self._loading = None
        for level, code, said in self.show_warnings() or ():
            if level != "Note":
                raise DataError(code, said)
        if self.affected_rows() != rows:
            raise DataError(0, f"{self.affected_rows()} of {rows} rows were loaded")

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        packet = super()._read_packet(packet_type)
        parts, self._loading = self._loading, None  # a row may begin like the server's question
        if parts is None or not packet.is_load_local_packet():
            return packet
        try:
            for part in parts:
                for start in range(0, len(part), _PACKET_BYTES):
                    self.write_packet(part[start : start + _PACKET_BYTES])
        except BaseException:  # the server may wait for the rest of a packet
            vars(Connection)["_force_close"](self)
            raise
        self.write_packet(b"")
        return super()._read_packet(packet_type)
