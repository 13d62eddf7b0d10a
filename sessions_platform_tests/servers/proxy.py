"""What stands between a source and its server, and disturbs their connections: a TCP proxy.

``with Proxy(port) as proxy`` passes everything on until it is told otherwise. What it is told holds for connections
that are made from then on, and counts the bytes of the server's answers on each of them.
"""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Literal

Fault = Literal["cut", "stall", "half-close"]
_CHUNK = 65536


class Proxy:
    """A proxy before a port of this machine's own address.

    Attributes:
        port: where it listens.
        met: set once a fault has happened.
        connections: how many were made.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.met = threading.Event()
        self.connections = 0
        self._released = threading.Event()
        self._faults: tuple[Fault, int, int | None] | None = None
        self._refuses = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def disturb(self, fault: Fault, after: int, times: int | None = 1) -> None:
        """From now on answers are disturbed once so many bytes have come.

        Args:
            fault: "cut" closes both sides; "stall" passes nothing more on until `release`; "half-close" ends the
                answer, and goes on listening.
            after: bytes of the server's answers on one connection.
            times: on how many connections; None for all.
        """
        self.met.clear()
        self._released.clear()
        self._faults = (fault, after, times)

    def release(self) -> None:
        """Let everything pass from now on, what was stalled included."""
        self._faults = None
        self._refuses = False
        self._released.set()

    def refuse(self) -> None:
        """Close new connections at once, and those that there are."""
        self._refuses = True
        for end in self._open:
            _close(end)

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)
        self.release()
        self.refuse()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                if self._refuses:
                    _close(client)
                    continue
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.server_port))
        except OSError:  # the server is down: so is the proxy
            _close(client)
            return
        self._open += [client, server]
        threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
        threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):  # either side is gone
            while chunk := server.recv(_CHUNK):
                if self._faults and passed + len(chunk) > self._faults[1]:
                    before = max(0, self._faults[1] - passed)
                    client.sendall(chunk[:before])
                    if self._met(client, server):
                        return
                    client.sendall(chunk[before:])
                else:
                    client.sendall(chunk)
                passed += len(chunk)
            client.shutdown(socket.SHUT_WR)

    def _met(self, client: socket.socket, server: socket.socket) -> bool:
        """Disturb a connection; whether it has ended by that."""
        assert self._faults is not None
        fault, after, times = self._faults
        self._faults = (fault, after, times - 1) if times is not None and times > 1 else None if times else self._faults
        self.met.set()
        if fault == "stall":
            self._released.wait()
            return False
        if fault == "half-close":
            client.shutdown(socket.SHUT_WR)
            return True
        _close(client)
        _close(server)
        return True


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side is gone
        while chunk := here.recv(_CHUNK):
            there.sendall(chunk)
        there.shutdown(socket.SHUT_WR)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        end.shutdown(socket.SHUT_RDWR)
    end.close()
