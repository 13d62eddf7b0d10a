"""Commands of every day in a terminal of forty columns, into a pipe that closes, and without any standard stream.

Each runs as a process. Not here: the formats of `sql` (`cli/test_streams_of_processes.py`), and Ctrl-C in commands that
wait to publish (`test_interrupted_commands.py`).
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from sessions_platform_tests.cli.terminal import Terminal, command
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.test_interrupted_commands import interrupted_while_it_waits, unreadable

pytestmark = pytest.mark.slow

COLUMNS = 40
NOBODY_READS = 141
# With how many columns its lines fit. Click's help has fifty at least; payloads and scripts are not folded.
READING = {
    "--help": 50,
    "check": COLUMNS,
    "presets": COLUMNS,
    "status": COLUMNS,
    "status STREAM": COLUMNS,
    "rejected list STREAM": COLUMNS,
    "rejected export STREAM": None,
    "files STREAM events": COLUMNS,
    "preview STREAM": COLUMNS,
    "report STREAM --html REPORT": None,
    "clean-up STREAM --dry-run": COLUMNS,
    "drop STREAM --dry-run": None,
    "verify STREAM": None,
    "doctor": COLUMNS,
    "completion bash": None,
}


def in_shell(home: Home, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of bash, in which "$@" is the command."""
    run = ["bash", "-o", "pipefail", "-c", script, "bash", *command(*arguments)]
    return subprocess.run(run, env=home.environment, capture_output=True, text=True, check=False)


def into_a_closed_pipe(home: Home, *arguments: str) -> int:
    """The exit code where one line is read, and no more."""
    done = in_shell(home, f'"$@" 2>"{home.folder}/errors" | head -1', *arguments)
    assert "Traceback" not in (home.folder / "errors").read_text()
    return done.returncode


def without_streams(home: Home, *arguments: str) -> int:
    return in_shell(home, '"$@" <&- >&- 2>&-', *arguments).returncode


def in_forty_columns(home: Home, *arguments: str, fits: int | None = None) -> int:
    environment = {**home.environment, "NO_COLOR": "1", "TERM": "xterm"}
    for size in ("COLUMNS", "LINES"):
        environment.pop(size, None)
    printed = Terminal(command(*arguments), columns=COLUMNS, lines=24, environment=environment).end()
    assert "Traceback" not in printed.text
    assert [line for line in printed.lines if fits and is_too_wide(line, fits)] == []
    return printed.code


def is_too_wide(line: str, columns: int) -> bool:
    """Whether it could be folded; a word that is longer than a line, such as a path, can't."""
    longest = max(map(len, line.split()), default=0)
    return len(line.rstrip()) > max(columns, longest + 2)


def landed(home: Home, folder: Path, user: str) -> list[str]:
    """The command that ingests a row of this user, and one of nobody."""
    file = folder / f"{user}.ndjson"
    times = {"ts": "2026-01-01T10:00:00Z", "type": "view"}
    rows = [{"id": user, "user": user, **times}, {"id": f"no {user}", "user": None, **times}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["ingest", home.name, str(file), "--partition", "2026-01-01"]


def users(home: Home) -> list[str]:
    return sorted(row["user_id"] for row in home.table())


def test_ingest_and_run_lose_nothing_where_nobody_reads_or_there_is_no_terminal(home: Home, tmp_path: Path) -> None:
    assert into_a_closed_pipe(home, *landed(home, tmp_path, "ann")) in (0, NOBODY_READS)
    assert without_streams(home, "run", home.name) == 0
    assert users(home) == ["ann"]
    assert without_streams(home, *landed(home, tmp_path, "bob")) == 0
    assert users(home) == ["ann", "bob"]
    assert in_forty_columns(home, *landed(home, tmp_path, "cleo")) == 0
    assert in_forty_columns(home, "run", home.name) == 0
    assert users(home) == ["ann", "bob", "cleo"]


def test_commands_that_read_end_alike_in_every_terminal(home: Home, tmp_path: Path) -> None:
    assert in_forty_columns(home, *landed(home, tmp_path, "ann")) == 0
    words = {"STREAM": home.name, "REPORT": os.fspath(tmp_path / "report.html")}
    for named, fits in READING.items():
        arguments = [words.get(word, word) for word in named.split()]
        codes = [in_forty_columns(home, *arguments, fits=fits), without_streams(home, *arguments)]
        assert (named, codes) == (named, [0, 0])
        assert (named, into_a_closed_pipe(home, *arguments)) in [(named, 0), (named, NOBODY_READS)]
    assert users(home) == ["ann"]


def test_an_interrupt_ends_a_command_that_reads_with_130(home: Home, tmp_path: Path) -> None:
    assert in_forty_columns(home, *landed(home, tmp_path, "ann")) == 0
    report = tmp_path / "report.html"
    interrupted_while_it_waits(home, "status", home.name, by=unreadable)
    interrupted_while_it_waits(home, "report", home.name, "--html", str(report), by=unreadable)
    interrupted_while_it_waits(home, "sql", f"select * from {home.name}.sessions", by=unreadable)
    assert not report.exists()
