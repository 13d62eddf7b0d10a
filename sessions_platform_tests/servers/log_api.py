"""An HTTP API in a process of its own, which gives the lines of a file as a log of events, a thousand in a page.

``python -m sessions_platform_tests.servers.log_api FILE PORT``. A page is ``{"data": […], "next": "…"}``: its lines as
they are, and with what the next page is asked for by ``?after=``. The last page has no lines, and no next one. The file
may grow.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = 1000


def page_of(lines: list[bytes], after: int) -> bytes:
    """The page behind so many lines."""
    page = lines[after : after + PAGE]
    following = json.dumps(str(after + len(page)) if page else None)
    return b'{"data": [%b], "next": %b}' % (b", ".join(page), following.encode())


def serve(file: Path, port: int) -> None:
    """Answer until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            (after,) = parse_qs(urlsplit(self.path).query).get("after", ["0"])
            body = page_of(file.read_bytes().splitlines(), int(after))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
