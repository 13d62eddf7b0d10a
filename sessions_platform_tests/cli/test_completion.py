"""What a shell offers for the command line, asked as the shell asks."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from sessions_platform.cli import app
from sessions_platform.cli.completion import ASSETS, PROGRAM, VARIABLE, Shell
from sessions_platform.operations import files
from sessions_platform_tests.cli.terminal import command


@pytest.fixture
def streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of streams; nothing is at the settings' database, so that asking it would fail."""
    folder = tmp_path / "streams"
    folder.mkdir()
    (folder / "app.yaml").write_text("# ours\nname: app\nstart: 2026-01-01\n")
    (folder / "other.yml").write_text('start: 2026-01-01\n"name": "broken_one"  # with a note\ncolumns: [\n')
    (folder / "unnamed.yaml").write_bytes(b"\xff\xfe")
    (folder / "notes.txt").write_text("name: not_a_stream\n")
    monkeypatch.setenv("SESSIONS_STREAMS", str(folder))
    monkeypatch.setenv("SESSIONS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SESSIONS_WAREHOUSE_URL", "postgresql://nobody@127.0.0.1:1/none")
    return folder


def offered(*words: str) -> list[str]:
    """What is offered for the last word, after the others."""
    *before, incomplete = words
    completions = ShellComplete(app, {}, PROGRAM, VARIABLE).get_completions(before, incomplete)
    return [item.value for item in completions]


@pytest.mark.parametrize(
    "words",
    [("status",), ("ingest",), ("rejected", "list"), ("rejected", "expire"), ("verify", "--deep")],
    ids=" ".join,
)
@pytest.mark.usefixtures("streams")
def test_streams_are_offered_by_the_names_in_their_files(words: tuple[str, ...]) -> None:
    assert offered(*words, "") == ["app", "broken_one"]
    assert offered(*words, "b") == ["broken_one"]


@pytest.mark.usefixtures("streams")
def test_commands_assets_and_formats_are_offered() -> None:
    assert offered("sta") == ["status"]
    assert offered("files", "app", "ra") == ["raw_events"]
    assert offered("sql", "select 1", "--format", "n") == ["ndjson"]
    assert ASSETS == files.ASSETS


def test_settings_that_can_not_be_read_offer_no_stream(streams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONS_STREAMS", "relative")
    assert offered("status", "") == []
    monkeypatch.setenv("SESSIONS_STREAMS", str(streams / "missing"))
    assert offered("status", "") == []
    monkeypatch.delenv("SESSIONS_STREAMS")
    assert offered("status", "") == ["web_shop"]


@pytest.mark.parametrize("shell", Shell)
def test_the_script_of_each_shell_is_accepted_by_it(shell: Shell, streams: Path) -> None:
    script = subprocess.run(command("completion", shell), capture_output=True, text=True, check=True).stdout
    assert VARIABLE in script
    if shutil.which(shell):
        subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True, check=True)
    assert streams.exists()


@pytest.mark.usefixtures("streams")
def test_bash_completes_a_stream() -> None:
    script = f"""
        eval "$({shlex.join(command("completion", "bash"))})"
        COMP_WORDS=(sessions-platform status br) COMP_CWORD=2
        _sessions_platform_completion sessions-platform br status
        echo "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "broken_one\n"
