"""The requests that are planted: what logs escape, cut, or can't read, as bytes on a raw socket.

Here: the requests and how they are sent. Not here: the servers (``servers``).
"""

import base64
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

HOST = "shop.example"
SLOW_SECONDS = 2.5
_READ_SECONDS = 5
_PAUSE_SECONDS = 3


@dataclass(frozen=True)
class Planted:
    """One request.

    `agent` and `user` are None where the header is not sent, and `raw` is what can't be read as a request. With
    `keeps_open` the next request comes on the same connection after a pause, if the server keeps it open, too.
    """

    name: str
    target: bytes = b""
    agent: bytes | None = b"Mozilla/5.0 (X11)"
    user: bytes | None = None
    method: bytes = b"GET"
    version: bytes = b"HTTP/1.1"
    raw: bytes | None = None
    keeps_open: bool = False

    @property
    def is_garbage(self) -> bool:
        """Whether no server can read it."""
        return self.raw is not None

    def sent_as(self, number: int) -> bytes:
        """The target with the number by which its line is found."""
        return self.target + (b"&" if b"?" in self.target else b"?") + b"t=%d" % number

    def message(self, number: int) -> bytes:
        """All bytes of the request."""
        if self.raw is not None:
            return self.raw
        lines = [b"%b %b %b" % (self.method, self.sent_as(number), self.version), b"Host: " + HOST.encode()]
        if self.agent is not None:
            lines.append(b"User-Agent: " + self.agent)
        if self.user is not None:
            lines.append(b"Authorization: Basic " + base64.b64encode(self.user + b":secret"))
        return b"\r\n".join([*lines, *([] if self.keeps_open else [b"Connection: close"]), b"", b""])


PLANTED = [
    Planted("plain", b"/p"),
    Planted("query", b"/p?q=a+b%20c"),
    Planted("percent", b"/100%25?x=%&y=%zz"),
    Planted("quote in the target", b'/a"b'),
    Planted("backslash in the target", b"/a\\b\\x41"),
    Planted("UTF-8 in the target", "/café".encode()),
    Planted("Latin-1 in the target", b"/caf\xe9"),
    Planted("dots and slashes", b"//a/./b/../p"),
    Planted("semicolons", b"/p;v=1?a=1;b=2"),
    Planted("absolute", b"http://shop.example/absolute"),
    Planted("long target", b"/" + b"x" * 1500),
    Planted("HTTP/1.0", b"/old", version=b"HTTP/1.0"),
    Planted("another method", b"/dav", method=b"PROPFIND"),
    Planted("quotes in the agent", b"/p", b'say "hi"'),
    Planted("backslashes in the agent", b"/p", b'a\\b \\x41 \\"'),
    Planted("UTF-8 in the agent", b"/p", "Café/1 日本".encode()),
    Planted("Latin-1 in the agent", b"/p", b"Caf\xe9/1"),
    Planted("tab in the agent", b"/p", b"a\tb"),
    Planted("signs in the agent", b"/p", b"100% #22 {a|b} %22"),
    Planted("agent that looks like a line", b"/p", b'x] "GET /fake HTTP/1.1" 200 1 "-" "-'),
    Planted("empty agent", b"/p", b""),
    Planted("no agent", b"/p", None),
    Planted("hyphen as the agent", b"/p", b"-"),
    Planted("user", b"/p", user=b"ann"),
    Planted("TLS", raw=b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xe9 "\\\r\n\r\n'),
    Planted("word", raw=b"hello\r\n\r\n"),
    Planted("method alone", raw=b"GET\r\n\r\n"),
    Planted("control characters", raw=b"\x01\x02\x7f\xff\r\n\r\n"),
    *(Planted(f"step {step}", b"/step%d" % step) for step in range(1, 7)),
    Planted("kept open", b"/kept", keeps_open=True),
    Planted("on the same connection", b"/kept"),
    Planted("slow", b"/slow"),
]
# At 02:30 of summer time, and again an hour later.
AUTUMN = [Planted("first 02:30 of autumn", b"/autumn"), Planted("second 02:30 of autumn", b"/autumn")]


def send_all(requests: list[Planted], port: int, clock: Callable[[], float], first: int) -> Iterator[dict[str, Any]]:
    """Send each request, one after the other, on connections of their own but for those that keep theirs open.

    Args:
        requests: what is sent.
        port: of the server, on this machine.
        clock: seconds since 1970 as the server has them.
        first: the number of the first request.

    Yields:
        For each request what was sent, bytes as the characters of their numbers, and when it began.
    """
    kept: socket.socket | None = None
    for number, request in enumerate(requests, first):
        began = clock()
        connection = kept or socket.create_connection(("127.0.0.1", port), timeout=_READ_SECONDS)
        connection.sendall(request.message(number))
        kept = None
        if request.keeps_open:
            time.sleep(_PAUSE_SECONDS)
            kept = connection if _is_open(connection) else None
        else:
            _read_to_the_end(connection)
        yield {
            "name": request.name,
            "number": number,
            "sent": round(began, 3),
            "garbage": request.is_garbage,
            "method": request.method.decode(),
            "target": None if request.is_garbage else request.sent_as(number).decode("latin-1"),
            "agent": None if request.agent is None or request.is_garbage else request.agent.decode("latin-1"),
            "user": request.user and request.user.decode("latin-1"),
        }


def _is_open(connection: socket.socket) -> bool:
    """Whether the server has left a connection open behind its answer, which is read."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        connection.setblocking(True)
        return True
    connection.close()
    return False


def _read_to_the_end(connection: socket.socket) -> None:
    """Read until the server closes the connection, or says nothing more."""
    with connection:
        connection.settimeout(SLOW_SECONDS + 1)
        try:
            while connection.recv(65536):
                pass
        except (TimeoutError, ConnectionError):
            return


def wait_until_open(port: int, seconds: float = 20) -> None:
    """Wait until something accepts connections. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def wait_until_answered(port: int, seconds: float = 30) -> None:
    """Wait until a request is answered with 200. Raises TimeoutError."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        with socket.create_connection(("127.0.0.1", port), timeout=_READ_SECONDS) as connection:
            connection.sendall(b"GET /ready HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % HOST.encode())
            if b" 200 " in connection.recv(64):
                return
        time.sleep(0.1)
    raise TimeoutError(f"what listens on port {port} does not answer 200")
