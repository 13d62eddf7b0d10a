"""A TCP proxy before PostgreSQL that fails in one of many ways, once or several times.

Here: the faults of a network between the platform and its database. Not here: what the platform makes of them.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote, unquote

from psycopg.conninfo import conninfo_to_dict

_CHUNK = 16 * 1024


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    Attributes:
        kind: `refuse` accepts no connection; `close` ends one in order, `reset` without, `stall` forwards no more and
            closes after a second, `garble` changes the type of a message (the protocol has no checksums: nobody could
            tell a value that has changed), `slow` forwards one byte at a time for a while.
        after: bytes of the direction that pass before.
        direction: `up` to the server, or `down` from it.
        connections: how many connections fail, the first ones that get so far.
        at: what the client has to send first; `after` counts from there. So `down` after COMMIT is a commit of which
            the client never learns the outcome.
    """

    kind: str
    after: int = 0
    direction: str = "down"
    connections: int = 1
    at: bytes = b""


FAULTS = [
    Fault("refuse", connections=2),
    *(
        Fault(kind, after, direction, connections)
        for kind in ("close", "reset", "stall", "garble")
        for after, direction, connections in ((0, "down", 2), (700, "down", 3), (900, "up", 3), (4000, "up", 2))
    ),
    Fault("slow", 0, "down", 3),
]


class _Connection:
    """A client's connection and the one to the server; each pumps its direction in a thread of its own."""

    def __init__(self, proxy: "FaultProxy", client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._ends = {"up": (client, server), "down": (server, client)}
        self._fault: Fault | None = None  # the one that this connection is to have, once enough bytes have passed
        self._left = 0

    def forward(self) -> None:
        """Pass bytes on until both directions have ended."""
        threads = [threading.Thread(target=self._pump, args=(way,), daemon=True) for way in self._ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for end in self._ends["up"]:
            end.close()

    def _pump(self, way: str) -> None:
        source, target = self._ends[way]
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if way == "up" and (fault := self._proxy.fault_at(chunk)) and self._fault is None:
                    self._fault, self._left = fault, fault.after
                if not self._pass_on(chunk, way, target):
                    return
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, chunk: bytes, way: str, target: socket.socket) -> bool:
        """Forward bytes, or fail with them; whether the connection goes on."""
        fault, left = self._fault, self._left
        if fault is None or not self._is_due(fault, way, len(chunk)):
            target.sendall(chunk)
            return True
        if fault.kind == "garble":
            left = 0  # where a message begins
        target.sendall(chunk[:left])
        return self._fail(fault, chunk[left:], target)

    def _is_due(self, fault: Fault, way: str, size: int) -> bool:
        """Whether the fault comes within the next bytes; a connection has it once at most."""
        if way != fault.direction or self._left < 0:
            return False
        self._left -= size
        return self._left < 0 and self._proxy.claim(fault)

    def _fail(self, fault: Fault, chunk: bytes, target: socket.socket) -> bool:
        """Do what the fault says with the next bytes; whether the connection goes on."""
        if fault.kind == "slow":
            for byte in chunk[:200]:
                target.sendall(bytes([byte]))
            target.sendall(chunk[200:])
            return True
        if fault.kind == "garble":
            target.sendall(bytes([chunk[0] ^ 0x55]) + chunk[1:])
            return True
        if fault.kind == "stall":
            threading.Event().wait(1)
        for end in self._ends["up"]:
            if fault.kind == "reset":
                _reset(end)
            else:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return False


class FaultProxy:
    """Forwards connections from a port of the loopback interface to one PostgreSQL, with a fault in the first ones.

    Attributes:
        failed: how many connections have had the fault.
    """

    def __init__(self, server_url: str, fault: Fault | None = None) -> None:
        self._parts = conninfo_to_dict(server_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.strike(fault)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The server's URL through the proxy."""
        user, database = quote(str(self._parts.get("user", ""))), quote(str(self._parts.get("dbname", "")))
        return f"postgresql://{user}@127.0.0.1:{self._listener.getsockname()[1]}/{database}?sslmode=disable"

    def strike(self, fault: Fault | None) -> None:
        """Have this fault in the next connections, and no other any longer; None for none."""
        with self._lock:
            self._fault, self.failed = fault, 0

    def fault_at(self, sent: bytes) -> Fault | None:
        """The fault that begins to count once a client has sent these bytes."""
        fault = self._fault
        return fault if fault and fault.kind != "refuse" and fault.at in sent else None

    def claim(self, fault: Fault) -> bool:
        """Whether one more connection has this fault now."""
        with self._lock:
            claimed = fault == self._fault and self.failed < fault.connections
            self.failed += claimed
            return claimed

    def close(self) -> None:
        """Accept no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        fault = self._fault
        if fault and fault.kind == "refuse" and self.claim(fault):
            _reset(client)
        else:
            _Connection(self, client, self._connect()).forward()

    def _connect(self) -> socket.socket:
        host, port = unquote(str(self._parts.get("host", "localhost"))), int(self._parts.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server


def _reset(connection: socket.socket) -> None:
    """Close a connection so that its other end sees it reset.

    Closing alone leaves it open while a thread reads it, so its reading is ended first.
    """
    with suppress(OSError):
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RD)
        else:
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@contextmanager
def fault_proxy(server_url: str, fault: Fault | None = None) -> Iterator[FaultProxy]:
    """A proxy for as long as the block lasts."""
    proxy = FaultProxy(server_url, fault)
    try:
        yield proxy
    finally:
        proxy.close()
