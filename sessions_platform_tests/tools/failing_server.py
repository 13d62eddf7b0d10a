"""A server that keeps the bodies and query strings it is sent, and fails at the first of them in one of five ways.

ok      200 for all
error   500 for the first
cut     the connection is closed after the first body, without an answer
reset   the same by a reset
slow    the first answer comes after the client's patience of a second
busy    429 for the first, with a Retry-After of a second
"""

import base64
import gzip
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

MODES = ("ok", "error", "cut", "reset", "slow", "busy")
PATIENCE = 2.5


class FailingServer(ThreadingHTTPServer):
    """Listens on a free port of this machine; `bodies` are texts, as the SDK made them before it packed them."""

    daemon_threads = True

    def __init__(self, mode: str, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode = mode
        self.bodies: list[str] = []
        self._lock = threading.Lock()
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def keep(self, body: str) -> bool:
        """Keep it, and say whether it is the first."""
        with self._lock:
            self.bodies.append(body)
            return len(self.bodies) == 1

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what is tried."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self._received(unpacked(self.rfile.read(int(self.headers.get("Content-Length") or 0))))

    def do_GET(self) -> None:
        self._received(unpacked(urlsplit(self.path).query.encode()))

    def _received(self, body: str) -> None:
        is_first = bool(body) and self._failing.keep(body)
        getattr(self, f"_{self._failing.mode if is_first else 'ok'}")()

    @property
    def _failing(self) -> FailingServer:
        assert isinstance(self.server, FailingServer)
        return self.server

    def _ok(self) -> None:
        self._answer(200)

    def _error(self) -> None:
        self._answer(500)

    def _busy(self) -> None:
        self._answer(429)

    def _slow(self) -> None:
        time.sleep(PATIENCE)
        self._answer(200)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _answer(self, status: int) -> None:
        text = b'{"code": 200, "status": 1, "result": "Success"}' if status == 200 else b"{}"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """The bodies tell enough."""


def unpacked(body: bytes) -> str:
    """Without gzip, and without the form whose field `data` Mixpanel's SDKs send, one of them in base64."""
    text = (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body).decode()
    if not text.startswith("data="):
        return text
    (data,) = parse_qs(text)["data"]
    return data if data.startswith(("[", "{")) else base64.b64decode(data).decode()
