"""Google's XML API before fake-gcs-server, which reads, lists and deletes by it, but writes by the JSON API alone.

`GoogleWrites` passes requests on, and turns ``PUT /BUCKET/KEY`` into an upload of the JSON API, with the precondition
that the request has: ``x-goog-if-generation-match: N`` becomes ``ifGenerationMatch=N``, as which Google documents it
(https://cloud.google.com/storage/docs/request-preconditions). Uploads in parts are not turned into anything.
"""

import http.client
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_PRECONDITION = "x-goog-if-generation-match"
_NOT_PASSED_ON = {"transfer-encoding", "connection", "content-length"}


class GoogleWrites:
    """The server, on a port of this machine's own address.

    Attributes:
        port: where it listens.
        preconditions: of each write, None where it had none.
    """

    def __init__(self, server_port: int) -> None:
        self.preconditions: list[str | None] = []
        preconditions = self.preconditions

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = _ask(server_port, self.command, self.path, dict(self.headers), body)
                self._answer(status, headers, content)

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                preconditions.append(expected := self.headers.get(_PRECONDITION))
                bucket, key = self.path.lstrip("/").split("/", 1)
                status, headers, content = _upload(server_port, bucket, urllib.parse.unquote(key), body, expected)
                if status == 200:
                    made = json.loads(content)
                    headers = {"ETag": f'"{made["md5Hash"]}"', "x-goog-generation": made["generation"]}
                    content = b""
                self._answer(status, headers, content)

            def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in _NOT_PASSED_ON:
                        self.send_header(name, value)
                length = headers["Content-Length"] if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_DELETE = do_POST = _pass_on  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def __enter__(self) -> "GoogleWrites":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _upload(port: int, bucket: str, key: str, body: bytes, expected: str | None) -> tuple[int, dict[str, str], bytes]:
    """Write an object by the JSON API, in two parts: only of such requests the server sees preconditions."""
    query = {"uploadType": "multipart", "name": key, **({} if expected is None else {"ifGenerationMatch": expected})}
    described = json.dumps({"name": key}).encode()
    parts = b"".join(
        b"--part\r\nContent-Type: %b\r\n\r\n%b\r\n" % (kind, content)
        for kind, content in ((b"application/json", described), (b"application/octet-stream", body))
    )
    headers = {"Content-Type": "multipart/related; boundary=part"}
    path = f"/upload/storage/v1/b/{bucket}/o?{urllib.parse.urlencode(query)}"
    return _ask(port, "POST", path, headers, parts + b"--part--\r\n")


def _ask(port: int, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    kept = {name: value for name, value in headers.items() if name.lower() not in (*_NOT_PASSED_ON, "host")}
    try:
        connection.request(method, path, body or None, {**kept, "Host": f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()
