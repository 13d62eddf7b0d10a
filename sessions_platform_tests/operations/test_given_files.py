"""Folders and standard input are ingested like the files that they stand for."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sessions_platform.errors import UserError
from sessions_platform.operations.given_files import STANDARD_INPUT, given_files
from sessions_platform.operations.landing_files import place_files
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY, open_folder
from sessions_platform_tests.pipeline.test_ingest import lines


@pytest.fixture
def dated(tmp_path: Path, settings: Settings) -> StreamContext:
    return open_folder(tmp_path, settings, source={"files": "in/{partition:%Y-%m-%d}/*.ndjson"})


def written(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or lines(1))
    return path


def placed(context: StreamContext, *named: Path) -> tuple[list[str], list[str]]:
    """The paths below the stream's folder at which files were placed, and what was passed over."""
    given = given_files(context, named, DAY)
    paths = place_files(context, given.files, DAY, given.refused)
    given.raise_if_none(paths)
    return [str(path.relative_to(context.stream.path.parent)) for path in paths], given.skipped


def test_a_folder_stands_for_all_files_in_it_and_what_is_none_of_the_stream_is_told(
    dated: StreamContext, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    for number, name in enumerate(("b/deep/y.ndjson", "a.ndjson", "b/x.ndjson"), 1):
        written(export / name, lines(number))
    for name in ("README.md", ".hidden", "half.part", ".git/config"):
        written(export / name, name.encode())
    os.mkfifo(export / "pipe.ndjson")
    (export / "link").symlink_to(export / "b")
    paths, skipped = placed(dated, export)
    assert paths == [f"in/{DAY}/a.ndjson", f"in/{DAY}/x.ndjson", f"in/{DAY}/y.ndjson"]
    told = {line.partition(": ")[0].removeprefix(f"{export}/"): line.partition(": ")[2] for line in skipped}
    assert set(told) == {"README.md", ".hidden", "half.part", ".git", "pipe.ndjson", "link"}
    assert told["README.md"].startswith("'README.md' would not be found by in/{partition:%Y-%m-%d}/*.ndjson. Fix: ")
    assert told["pipe.ndjson"].startswith("it is a pipe or a device")
    assert told[".git"] == told["half.part"] == "it is hidden or unfinished"


def test_a_file_that_is_named_itself_is_refused_though_its_folder_is_named_too(
    dated: StreamContext, tmp_path: Path
) -> None:
    readme = written(tmp_path / "export" / "README.md")
    written(tmp_path / "export" / "a.ndjson")
    with pytest.raises(UserError, match=r"'README\.md' would not be found"):
        placed(dated, readme.parent, readme)
    assert not (tmp_path / "in").exists()


def test_a_folder_without_a_file_of_the_stream_is_an_error_that_says_why(dated: StreamContext, tmp_path: Path) -> None:
    written(tmp_path / "export" / "README.md")
    with pytest.raises(UserError, match=r"(?s)no file was ingested: .*README\.md.*\nFix: name files of"):
        placed(dated, tmp_path / "export")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"there is no file in what was named\nFix: "):
        placed(dated, tmp_path / "empty")


def test_files_that_are_landing_files_already_stay_where_they_are(dated: StreamContext, tmp_path: Path) -> None:
    written(tmp_path / "in" / "2026-01-02" / "a.ndjson", lines(1))
    written(tmp_path / "in" / DAY / "b.ndjson", lines(2))
    paths, skipped = placed(dated, tmp_path / "in")
    assert (paths, skipped) == (["in/2026-01-01/b.ndjson", "in/2026-01-02/a.ndjson"], [])
    assert sum(path.is_file() for path in (tmp_path / "in").rglob("*")) == 2


@pytest.mark.parametrize(
    ("pattern", "folder", "suffix"),
    [
        ("in/**/*", "in", ".ndjson"),
        ("in/**", "in", ".ndjson"),
        ("in/**/x*.gz", "in", ".gz"),
    ],
)
def test_a_pattern_with_any_folders_takes_files_into_the_first_one(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, pattern: str, folder: str, suffix: str
) -> None:
    context = open_folder(tmp_path, settings, source={"files": pattern})
    paths, _ = placed(context, written(tmp_path / "export" / f"x1{suffix}"))
    assert paths == [f"{folder}/x1{suffix}"]
    from_standard_input(monkeypatch, lines(7))
    (path,), _ = placed(context, STANDARD_INPUT)
    assert path.startswith(f"{folder}/")
    assert path.endswith(suffix)
    assert {slice_.uri for slice_ in context.source.find()} == {*paths, path}


def from_standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    given_files.__globals__["_spooled"].cache_clear()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_standard_input_is_named_by_its_digest_and_can_be_asked_for_again(
    dated: StreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_standard_input(monkeypatch, lines(1, 2))
    digest = hashlib.sha256(lines(1, 2)).hexdigest()[:12]
    assert placed(dated, STANDARD_INPUT) == ([f"in/{DAY}/{digest}.ndjson"], [])
    assert placed(dated, STANDARD_INPUT)[0] == [f"in/{DAY}/{digest}.ndjson"]  # a command that is tried again
    assert (tmp_path / "in" / DAY / f"{digest}.ndjson").read_bytes() == lines(1, 2)


def test_standard_input_without_a_byte_is_an_error(dated: StreamContext, monkeypatch: pytest.MonkeyPatch) -> None:
    from_standard_input(monkeypatch, b"")
    with pytest.raises(UserError, match=r"standard input is empty\. Fix: "):
        placed(dated, STANDARD_INPUT)


def test_the_file_of_standard_input_is_removed_and_closed_as_the_process_ends(tmp_path: Path) -> None:
    program = (
        "import pathlib; from sessions_platform.operations.given_files import _spooled;"
        "path, _ = _spooled(pathlib.Path('scratch')); assert path.read_bytes() == b'a'"
    )
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], input=b"a", cwd=tmp_path, capture_output=True, check=True
    )
    assert ended.stderr == b""  # -X dev: a file that nobody closes is a warning
    assert list((tmp_path / "scratch").iterdir()) == []
