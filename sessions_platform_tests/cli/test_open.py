"""`open`: the URL of a stream's page, and whether a webserver answers there."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.cli.open import page_of
from sessions_platform.errors import UserError


class Server(HTTPServer):
    """Answers as Dagster's webserver does, or as another one."""

    content = b'{"dagster_webserver_version": "1"}'


class Answer(BaseHTTPRequestHandler):
    """Answers everything with the server's content."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        assert isinstance(self.server, Server)
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing on standard error."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_the_url_selects_the_assets_of_the_stream() -> None:
    parts = urlsplit(page_of("web_shop", 3001))
    assert (parts.netloc, parts.path) == ("127.0.0.1:3001", "/asset-groups")
    assert parse_qs(parts.query) == {"asset-selection": ['key:"web_shop/*" or key:"*/web_shop/*"']}
    assert page_of(None, 3000) == "http://127.0.0.1:3000/asset-groups"


def test_where_no_dagster_answers_the_command_says_so_after_the_url(server: Server, tmp_path: Path) -> None:
    arguments = ["open", "web_shop", "--port", str(server.server_port)]
    environment = {"SESSIONS_HOME": str(tmp_path)}
    shown = CliRunner().invoke(app, arguments, env=environment)
    assert (shown.exit_code, shown.output) == (0, f"{page_of('web_shop', server.server_port)}\n")
    server.content = b"[]"
    shown = CliRunner().invoke(app, arguments, env=environment)
    assert shown.output == f"{page_of('web_shop', server.server_port)}\n"
    assert isinstance(shown.exception, UserError)
    assert str(shown.exception).startswith("no UI answers at port ")


def test_an_unknown_stream_has_no_page(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["open", "nix"], env={"SESSIONS_HOME": str(tmp_path)})
    assert shown.output == ""
    assert str(shown.exception).startswith("nix: there is no such stream")
