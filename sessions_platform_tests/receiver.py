"""An HTTP server that keeps what is posted to it, and refuses while it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What was posted, as JSON, in order; `refuses` makes it answer with status 503 and keep nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[dict[str, Any]] = []
        self.refuses = False

    @property
    def url(self) -> str:
        """With something in it that nobody may print."""
        return f"http://127.0.0.1:{self.port}/hooks/T0K3N"

    def take(self) -> list[dict[str, Any]]:
        """What was posted since this was asked last."""
        taken, self.received[:] = list(self.received), []
        return taken


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A server on a port of its own, within `with`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if not made.refuses:
                made.received.append(json.loads(body))
            self.send_response(503 if made.refuses else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
