"""A program that answers ClickHouse's HTTP protocol, as far as `clickhouse-connect` needs it, with the engine `chdb`.

Arguments: the engine's folder, a port, and `USER:PASSWORD`. One statement runs at a time.
"""

import base64
import json
import re
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_OF_HTTP = {  # parameters that are no settings of the engine
    "query",
    "database",
    "query_id",
    "session_id",
    "wait_end_of_query",
    "default_format",
    "client_protocol_version",
    "enable_http_compression",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
}
_BINARY = re.compile(rb"(insert into .*?) format (Arrow|ArrowStream|Native|Parquet)\s", re.IGNORECASE | re.DOTALL)
_REFUSED = (
    "Code: 516. DB::Exception: {}: Authentication failed: password is incorrect, or there is no user with such name. "
    "(AUTHENTICATION_FAILED)"
)


class Engine:
    """The engine in a folder, which stays when the process is killed."""

    def __init__(self, folder: str) -> None:
        self._session: Any = import_module("chdb.session").Session(folder)
        self._alone = Lock()

    def answer(self, statement: bytes, stated: dict[str, str]) -> bytes:
        """What the engine answers to a statement with its data. Raises the engine's error."""
        with self._alone, tempfile.NamedTemporaryFile() as data:
            self._session.query(f"use {stated.get('database', 'default')}")
            for name, value in stated.items():
                if name not in _OF_HTTP and not name.startswith("param_"):
                    self._session.query(f"set {name} = '{value}'")
            if found := _BINARY.match(statement):  # the engine takes no binary data in a statement
                data.write(statement[found.end() :])
                data.flush()
                statement = found[1] + f" select * from file('{data.name}', '{found[2].decode()}')".encode()
            parameters = {name[6:]: value for name, value in stated.items() if name.startswith("param_")}
            wanted = stated.get("default_format", "TabSeparated")
            return self._session.query(statement.decode(), wanted, params=parameters).bytes()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    engine: Engine
    credentials: str

    def do_POST(self) -> None:
        """A statement: the parameter query, and what the body has after it."""
        stated, body = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)), self._body()
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if given != self.credentials:
            return self._send(403, _REFUSED.format(given.partition(":")[0]).encode(), 516)
        statement = b"\n".join(part for part in (stated.get("query", "").encode(), body) if part)
        try:
            self._send(200, self.engine.answer(statement, stated))
        except Exception as error:
            code = re.search(r"Code: (\d+)", str(error))
            self._send(500, str(error).encode(), int(code[1]) if code else 1001)

    def do_GET(self) -> None:
        """A statement without data."""
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: statements have data."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes, code: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Summary", json.dumps({}))
        if code is not None:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.end_headers()
        self.wfile.write(body)


def main(folder: str, port: str, credentials: str) -> None:
    """Serve until the process ends."""
    Handler.engine, Handler.credentials = Engine(folder), credentials
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
