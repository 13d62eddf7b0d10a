"""A newcomer's first hour, from the README alone: a fresh clone, a fresh HOME, and each command's wall time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sessions_platform_tests.browser.ui import STREAM, UNSET, chromium, graph_text, served_by
from sessions_platform_tests.test_docs import PROJECT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINES = [
    {"user": {"id": f"u{n % 9}"}, "ts": f"2026-03-01T{10 + n // 9}:{n % 60:02}:00Z", "event": "view", "url": "/"}
    for n in range(90)
]


def test_a_clone_becomes_a_pipeline_of_ones_own_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, clone = tmp_path / "home", tmp_path / "clone"
    (home / "export").mkdir(parents=True)
    (home / "export" / "a.ndjson").write_text("".join(f"{json.dumps(line)}\n" for line in LINES))
    environment = {
        **{name: value for name, value in os.environ.items() if name not in (*UNSET, "SESSIONS_HOME", "VIRTUAL_ENV")},
        "HOME": str(home),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"),
    }
    taken: dict[str, float] = {}

    def run(*command: str, cwd: Path = clone) -> str:
        began = time.monotonic()
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        taken[" ".join(command)] = time.monotonic() - began
        assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done.stdout

    program, export = ".venv/bin/sessions-platform", str(home / "export" / "a.ndjson")
    run("git", "clone", "--quiet", str(PROJECT), str(clone), cwd=tmp_path)
    assert "nothing lost, 0 rows unaccounted for" in run("make", "demo")
    environment["SESSIONS_STREAMS"] = str(home / "streams")
    assert "page_url" in run(program, "init", "app", export)
    run(program, "ingest", "app", export)
    status = json.loads(run(program, "status", "app", "--json"))
    assert (status["accepted"], status["rejected"], status["users"], status["hints"]) == (90, 0, 9, [])
    listed = run(program, "sql", "select user_id, entry_page from app.sessions order by 1 limit 1")
    assert listed == "user_id,entry_page\nu0,/\n"
    run(program, "report", "app", "--html", str(home / "report.html"))
    the_ui_shows_both_streams(clone, environment, tmp_path / "dev.log", taken)
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{seconds:6.1f} s  {command}" for command, seconds in taken.items()))


def the_ui_shows_both_streams(clone: Path, environment: dict[str, str], log: Path, taken: dict[str, float]) -> None:
    """Each stream's source and assets are to be seen at once, and the runs of `demo` and `ingest` on their page."""
    began = time.monotonic()
    command = [str(clone / ".venv/bin/sessions-platform"), "dev"]
    with served_by(command, environment, log, Path(environment["HOME"]) / ".sessions_platform") as url:
        taken["make dev, until the UI answers"] = time.monotonic() - began
        with chromium() as page:
            page.goto(f"{url}/asset-groups")
            for name in (STREAM, "app"):
                expect(graph_text(page, name).first).to_be_visible()
            page.goto(f"{url}/runs")
            expect(page.get_by_text("Success", exact=True).nth(3)).to_be_visible()
