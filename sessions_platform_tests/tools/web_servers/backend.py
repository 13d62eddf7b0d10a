"""The server behind the proxies: it answers every request with two bytes, and those for /slow late."""

import socketserver
import sys
import time

from sessions_platform_tests.tools.web_servers.planted import SLOW_SECONDS

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nok"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        if b"slow" in request:
            time.sleep(SLOW_SECONDS)
        self.wfile.write(_ANSWER)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with _Server(("127.0.0.1", int(sys.argv[1])), _Handler) as server:
        server.serve_forever()
