"""The week behind a small HTTP API of the demo's own, on the loopback, in this process.

``GET /events?since=2026-01-05T00:00:00.000Z&after=2000`` answers with what was received later than that, beginning
behind 2000 records: ``{"data": […], "next": "3000"}``. A record is ``{"received_at": "2026-01-05T00:00:01.000Z",
"line": "…"}``, and the last page has no next one.
"""

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sessions_platform.demo.deliveries import ArrivedLine
from sessions_platform.demo.served import LINE, Place
from sessions_platform.demo.served.process import ports
from sessions_platform.demo.visits import utc

PAGE = 1000


@contextmanager
def serve(folder: Path, lines: Sequence[ArrivedLine]) -> Iterator[Place]:
    """The API, whose pages have the lines in the order of their arrival."""
    times = [utc(line.ms) for line in lines]
    records = [
        json.dumps({"received_at": time, LINE: line.line}, ensure_ascii=False).encode()
        for time, line in zip(times, lines, strict=True)
    ]
    port = ports(folder, "http")["http"]
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(times, records))
    answering = threading.Thread(target=server.serve_forever, name="demo-http", daemon=True)
    answering.start()
    try:
        yield Place(
            {
                "type": "http",
                "url": f"http://127.0.0.1:{port}/events",
                "records": "data",
                "pages": {"cursor": "next", "param": "after"},
                "since": {"param": "since", "field": "received_at"},
            },
            is_within=True,
        )
    finally:
        server.shutdown()
        server.server_close()
        answering.join()


def _handler(times: Sequence[str], records: Sequence[bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = page_of(times, records, parse_qs(urlsplit(self.path).query))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: requests are no part of what the demo shows."""

    return Handler


def page_of(times: Sequence[str], records: Sequence[bytes], asked: dict[str, list[str]]) -> bytes:
    """The page that these parameters ask for, of records in the order of their times."""
    first = bisect_right(times, asked.get("since", [""])[0])
    start = max(first, int(asked.get("after", ["0"])[0]))
    end = start + PAGE
    following = json.dumps(str(end) if end < len(records) else None).encode()
    return b'{"data": [%b], "next": %b}' % (b",".join(records[start:end]), following)
