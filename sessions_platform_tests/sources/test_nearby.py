"""Where no landing file is found, what lies near is told: the deepest folder that exists, and what is in it."""

from pathlib import Path

import pytest

from sessions_platform.sources.files.nearby import what_is_near
from sessions_platform.sources.files.source import FileSource
from sessions_platform_tests.streams import stream

PATTERN = ONE = "landing/*/*.ndjson"


@pytest.mark.parametrize(
    ("files", "pattern", "said"),
    [
        (["a.yaml"], PATTERN, "ROOT exists and has no folder landing, and has 1 file named *.yaml"),
        (["Landing/a"], ONE, "ROOT exists and has no folder landing (but Landing/), and has 1 file named a, as "),
        (["x/", "y/"], PATTERN, "ROOT exists and has no folder landing (but x, y)"),
        (["landing/"], PATTERN, "ROOT/landing exists and is empty"),
        (["landing/a.ndjson", "landing/b.ndjson"], PATTERN, "ROOT/landing exists and has 2 files named *.ndjson"),
        (["landing/1/a.json.gz"], PATTERN, "ROOT/landing/1 exists and has 1 file named *.json.gz"),
        (["landing/1/", "landing/2/b.csv"], ONE, "ROOT/landing/1 (and 1 more) exists and has 1 file named *.csv"),
        (["landing/1/09/a.ndjson"], ONE, "ROOT/landing/1 exists and has 1 file named *.ndjson, as ROOT/landing/1/0"),
        (["landing/1/.a.ndjson", "landing/1/b.part"], PATTERN, "ROOT/landing/1 exists and is empty"),
        (["landing/1/x/"], PATTERN, "ROOT/landing/1 exists and has no file in it or below"),
        (["in/a.csv"], "in/**/*.ndjson", "ROOT/in exists and has 1 file named *.csv"),
        (["in/a.csv", "in/b.csv", "in/c.txt"], "in/*.json", "has 2 files named *.csv, 1 file named *.txt"),
    ],
)  # fmt: skip
def test_the_deepest_folder_and_its_files_are_told(tmp_path: Path, files: list[str], pattern: str, said: str) -> None:
    for name in files:
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(b"")
    assert said.replace("ROOT", str(tmp_path)) in what_is_near(tmp_path, pattern)


def test_a_root_that_there_is_not_and_a_folder_that_can_not_be_a_folder_are_told(tmp_path: Path) -> None:
    assert what_is_near(tmp_path / "missing", PATTERN) == f"{tmp_path / 'missing'} is no folder"
    (tmp_path / "landing").write_bytes(b"")
    assert "has no folder landing, and has 1 file named landing" in what_is_near(tmp_path, PATTERN)


def test_a_source_says_what_it_looked_for_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.json.gz").write_bytes(b"")
    source = FileSource(stream(path=tmp_path / "web.yaml"))
    assert source.near() == (
        "no file matches landing/{partition:%Y-%m-%d}/*.ndjson; "
        f"{tmp_path}/landing exists and has 1 file named *.json.gz. "
        "Fix: correct files in the stream's source, or put the files there."
    )
