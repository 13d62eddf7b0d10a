"""A TCP proxy before a real PostgreSQL, which fails in the ways that networks and servers fail.

Here: the proxy and its faults, each of which strikes all connections or the next one that sends certain bytes.
Not here: what must hold under them, which is in the tests.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote, unquote

from psycopg.conninfo import conninfo_to_dict

_CHUNK = 64 * 1024


@dataclass
class _Trap:
    """Cuts the connection on which the client sends these bytes."""

    pattern: bytes
    before: bool  # the server never gets them; else it gets them, and the client never the answer
    times: int
    after_bytes: int = 0  # how many more bytes pass first


class _Pair:
    """A client's connection and the one to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.loses_answers = False  # nothing that the server sends reaches the client
        self.hangs = False  # the client is not told that the server has gone

    def cut(self) -> None:
        """End both at once, as if the network cable were cut and both sides had noticed."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class FaultyProxy:
    """Listens on a port of its own, and passes bytes on to one PostgreSQL.

    Attributes:
        connections: how many were accepted so far.
        sprung: how many traps have cut a connection.
    """

    def __init__(self, server_url: str) -> None:
        self._parts = conninfo_to_dict(server_url)
        self._pairs: list[_Pair] = []
        self._traps: list[_Trap] = []
        self._flows = threading.Event()
        self._flows.set()
        self._refuses = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.sprung = 0
        self.sprang = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The server's URL through the proxy."""
        user, database = self._parts.get("user", ""), self._parts.get("dbname", "")
        port = self._listener.getsockname()[1]
        return f"postgresql://{quote(str(user))}@127.0.0.1:{port}/{quote(str(database))}?sslmode=disable"

    # Faults --------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Cut all connections now; new ones are accepted."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.cut()

    def refuse(self, connections: int) -> None:
        """Close as many of the next connections as soon as they are accepted."""
        self._refuses = connections

    def stall(self) -> None:
        """Pass nothing on, in either direction, until `resume`; connections stay open."""
        self._flows.clear()

    def resume(self) -> None:
        """End a stall, and pass on what has come meanwhile."""
        self._flows.set()

    def half_open(self) -> None:
        """End the servers' side of all connections; clients get nothing any longer, and are not told."""
        for pair in list(self._pairs):
            pair.hangs = True
            with suppress(OSError):
                pair.server.shutdown(socket.SHUT_RDWR)

    def cut_before(self, pattern: bytes, times: int = 1) -> None:
        """Cut the next connections that send these bytes; the server does not get them."""
        self._traps.append(_Trap(pattern, True, times))

    def cut_after(self, pattern: bytes, times: int = 1) -> None:
        """Cut the next connections that send these bytes, once the server has answered: its answer is lost.

        After COMMIT, the client can't know the outcome.
        """
        self._traps.append(_Trap(pattern, False, times))

    def cut_amid(self, pattern: bytes, after_bytes: int, times: int = 1) -> None:
        """Cut the next connections that send these bytes, when as many more were sent; for instance amid a COPY."""
        self._traps.append(_Trap(pattern, True, times, after_bytes))

    def close(self) -> None:
        """Cut everything, and listen no longer."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flows.set()
        self.cut()

    # How bytes are passed on ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._refuses:
                self._refuses -= 1
                client.close()
                continue
            pair = _Pair(client, self._connect())
            with self._lock:
                self._pairs.append(pair)
            for pump in (self._to_server, self._to_client):
                threading.Thread(target=pump, args=(pair,), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = unquote(str(self._parts.get("host", "localhost"))), int(self._parts.get("port") or 5432)
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host, port))

    def _to_server(self, pair: _Pair) -> None:
        trap, left = None, 0
        for data in self._read(pair.client):
            if trap is None and (trap := self._sprung_by(data)):
                left = trap.after_bytes
            left -= len(data)
            if trap and trap.before and left <= 0:
                self._spring(pair)
                return
            pair.loses_answers = trap is not None and not trap.before
            with suppress(OSError):
                pair.server.sendall(data)
        if not pair.loses_answers:
            pair.cut()

    def _to_client(self, pair: _Pair) -> None:
        for data in self._read(pair.server):
            if pair.loses_answers:
                self._spring(pair)
                return
            with suppress(OSError):
                pair.client.sendall(data)
        if not pair.hangs:
            pair.cut()

    def _read(self, end: socket.socket) -> Iterator[bytes]:
        while True:
            try:
                data = end.recv(_CHUNK)
            except OSError:
                return
            self._flows.wait()
            if not data:
                return
            yield data

    def _sprung_by(self, data: bytes) -> _Trap | None:
        with self._lock:
            for trap in self._traps:
                if trap.times and trap.pattern in data:
                    trap.times -= 1
                    return trap
        return None

    def _spring(self, pair: _Pair) -> None:
        pair.cut()
        self.sprung += 1
        self.sprang.set()


@contextmanager
def faulty_proxy(server_url: str) -> Iterator[FaultyProxy]:
    """A proxy before the server of the URL, closed at the end."""
    proxy = FaultyProxy(server_url)
    try:
        yield proxy
    finally:
        proxy.close()


def each_fault() -> dict[str, Callable[[FaultyProxy], None]]:
    """Faults that strike once, by name, for tests that are repeated under each."""
    return {
        "refused": lambda proxy: proxy.refuse(2),
        "cut before BEGIN": lambda proxy: proxy.cut_before(b"BEGIN"),
        "cut before COMMIT": lambda proxy: proxy.cut_before(b"COMMIT"),
        "cut after COMMIT": lambda proxy: proxy.cut_after(b"COMMIT"),
        "cut amid COPY": lambda proxy: proxy.cut_amid(b"copy ", 64),
        "cut at a query": lambda proxy: proxy.cut_after(b"select "),
    }
