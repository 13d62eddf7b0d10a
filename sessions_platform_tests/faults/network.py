"""A TCP proxy before PostgreSQL that fails in one of many ways, once or several times.

Here: the faults of a network between the platform and its database. Not here: what the platform makes of them.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random

_CHUNK = 16 * 1024


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    Attributes:
        kind: `refuse` accepts no connection; `close` ends one in order, `reset` without, `stall` forwards no more and
            closes after a second, `garble` changes a byte, `slow` forwards one byte at a time for a while.
        after: bytes of the direction that pass before.
        direction: `up` to the server, or `down` from it.
        connections: how many connections fail, the first ones that get so far.
    """

    kind: str
    after: int = 0
    direction: str = "down"
    connections: int = 1


FAULTS = [
    Fault("refuse", connections=2),
    *(
        Fault(kind, after, direction, connections)
        for kind in ("close", "reset", "stall", "garble")
        for after, direction, connections in ((0, "down", 2), (700, "down", 3), (900, "up", 3), (4000, "up", 2))
    ),
    Fault("slow", 0, "down", 3),
]


class FaultProxy:
    """Forwards connections from a port of the loopback interface to a Unix socket, with a fault in the first ones."""

    def __init__(self, socket_path: str, fault: Fault) -> None:
        self.failed = 0
        self._upstream = socket_path
        self._fault = fault
        self._random = Random(fault.after)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                faulty = self.failed < self._fault.connections
                threading.Thread(target=self._forward, args=(client, faulty), daemon=True).start()

    def _forward(self, client: socket.socket, faulty: bool) -> None:
        if faulty and self._fault.kind == "refuse":
            self.failed += 1
            _reset(client)
            return
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._upstream)
        both = ((client, server, "up"), (server, client, "down"))
        threads = [
            threading.Thread(target=self._pump, args=(*ends, faulty and way == self._fault.direction), daemon=True)
            for *ends, way in both
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket, faulty: bool) -> None:
        passed = 0
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if faulty and passed + len(chunk) > self._fault.after:
                    target.sendall(chunk[: self._fault.after - passed])
                    chunk = chunk[self._fault.after - passed :]
                    faulty = False
                    self.failed += 1
                    if not self._fail(chunk, source, target):
                        return
                    passed += len(chunk)
                    continue
                target.sendall(chunk)
                passed += len(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _fail(self, chunk: bytes, source: socket.socket, target: socket.socket) -> bool:
        """Do what the fault says with the next bytes; whether the connection goes on."""
        if self._fault.kind == "slow":
            for byte in chunk[:200]:
                target.sendall(bytes([byte]))
            target.sendall(chunk[200:])
            return True
        if self._fault.kind == "garble":
            changed = bytearray(chunk)
            changed[self._random.randrange(min(len(changed), 5))] ^= 0x55
            target.sendall(changed)
            return True
        if self._fault.kind == "stall":
            threading.Event().wait(1)
        for end in (source, target):
            if self._fault.kind == "reset":
                _reset(end)
            else:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return False


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
def fault_proxy(socket_path: str, fault: Fault) -> Iterator[FaultProxy]:
    """A proxy for as long as the block lasts."""
    proxy = FaultProxy(socket_path, fault)
    try:
        yield proxy
    finally:
        proxy.close()
