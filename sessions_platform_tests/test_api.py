"""`sessions_platform.open`: what it offers, and that the command line gives the same."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sessions_platform
from sessions_platform.api import OpenStream
from sessions_platform.errors import UserError
from sessions_platform.operations.json_text import json_of
from sessions_platform_tests.orchestration.conftest import Home, home

__all__ = ["home"]


def command(home: Home, *arguments: str) -> str:
    run = home.shell("sessions_platform", *arguments)
    assert run.returncode == 0, run.stderr
    return run.stdout


def as_json(document: Any) -> Any:
    return json.loads(json_of(document))


def test_importing_it_imports_nothing_else() -> None:
    listed = "import sys, sessions_platform; print(*(name for name in sys.modules if name.startswith('sessions_p')))"
    run = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["sessions_platform"]


def test_an_unknown_stream_is_a_sentence_and_opening_one_needs_no_server(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such stream"):
        sessions_platform.open("nowhere")
    assert repr(sessions_platform.open("web_shop")) == "sessions_platform.open('web_shop')"
    assert not list(tmp_path.iterdir())


def test_every_public_method_is_typed_and_says_what_it_does() -> None:
    methods = {name: method for name, method in vars(OpenStream).items() if callable(method) and name[0] != "_"}
    assert {"sessions", "events", "rejected", "ingest", "status", "preview"} <= set(methods)
    for name, method in methods.items():
        signature = inspect.signature(method)
        assert method.__doc__, name
        assert signature.return_annotation is not inspect.Signature.empty, name
        assert all(each.annotation is not each.empty for each in list(signature.parameters.values())[1:]), name


@pytest.mark.slow
def test_a_script_ingests_and_reads_what_the_command_line_shows(home: Home, tmp_path: Path) -> None:
    good = '{"id": "1", "user": "ann", "ts": "2026-01-01T10:00:00Z", "type": "view", "url": "/a"}\n'
    file = tmp_path / "a.ndjson"
    file.write_text(good + '{"id": "2"}\n')
    shop = sessions_platform.open(home.name)
    previewed = shop.preview(file)
    assert (previewed.events.height, previewed.rejected_rows) == (1, 1)
    status = shop.ingest(file, partition="2026-01-01")
    assert status["sessions"] == 1
    assert shop.sessions()["user_id"].to_list() == ["ann"]
    assert shop.rejected()["payload"].to_list() == ['{"id": "2"}']
    assert shop.report(tmp_path / "a.html").sessions == 1
    assert shop.run()["raw_rows"] == shop.rebuild()["raw_rows"] == 2
    assert json.loads(command(home, "status", home.name, "--json")) == as_json(shop.status())
    listed = json.loads(command(home, "rejected", "list", home.name, "--json"))
    assert [row["rejection_id"] for row in listed] == shop.rejected()["rejection_id"].to_list()
    shown = json.loads(command(home, "preview", home.name, str(file), "--json"))
    assert shown == as_json(previewed.document)
