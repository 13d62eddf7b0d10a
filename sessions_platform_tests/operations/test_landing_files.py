"""Files are copied into the landing folder whole or not at all, and what killed copies leave is removed."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.errors import UserError
from sessions_platform.operations.landing_files import place_files, remove_unfinished
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY, open_folder
from sessions_platform_tests.pipeline.test_ingest import lines

KILLED = """
import os, signal, sys
from pathlib import Path
from sessions_platform.operations.landing_files import _draft
with _draft(Path(sys.argv[1])) as (draft, copy):
    copy.write(b"half of it")
    copy.flush()
    print("writing", flush=True)
    {end}
"""


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> StreamContext:
    return open_folder(tmp_path, settings, source={"files": "in/{partition:%Y-%m-%d}/*"})


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


def test_a_full_disk_leaves_nothing_and_is_named(
    folder: StreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(lines(1))

    def full(content: Any, copy: Any, *_: Any) -> None:
        copy.write(content.read(3))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", full)
        with pytest.raises(UserError, match=r"No space left on device\. Fix: free space there"):
            place_files(folder, [tmp_path / "file"], DAY)
    assert [path for path in (tmp_path / "in").rglob("*") if path.is_file()] == []
    (placed,) = place_files(folder, [tmp_path / "file"], DAY)
    assert placed.read_bytes() == lines(1)
    assert hidden(tmp_path) == []


def writer(folder: Path, end: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(KILLED).format(end=end)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.slow
def test_a_killed_copy_is_removed_by_the_next_command_and_one_in_progress_is_not(
    folder: StreamContext, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(lines(1))
    (placed,) = place_files(folder, [tmp_path / "file"], DAY)
    killed = writer(placed.parent, "os.kill(os.getpid(), signal.SIGKILL)")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    writing = writer(placed.parent, "sys.stdin.read()")
    try:
        assert len(hidden(placed.parent)) == 2
        place_files(folder, [tmp_path / "file"], DAY)
        assert len(hidden(placed.parent)) == 1
    finally:
        writing.communicate("")
    assert hidden(placed.parent) == []


def test_copies_of_earlier_versions_are_removed_once_they_are_old(tmp_path: Path) -> None:
    for name, age in ((f".{'a' * 32}.tmp", 2), (f".{'b' * 32}.tmp", 0), (".mine.tmp", 2), ("c.tmp", 2)):
        (tmp_path / name).write_bytes(b"")
        seconds = (tmp_path / name).stat().st_mtime - age * 24 * 60 * 60
        os.utime(tmp_path / name, (seconds, seconds))
    remove_unfinished([tmp_path, tmp_path / "missing"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".{'b' * 32}.tmp", ".mine.tmp", "c.tmp"]


def test_the_same_bytes_are_not_copied_again_whatever_their_number(folder: StreamContext, tmp_path: Path) -> None:
    files = [tmp_path / f"file{number}" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(lines(number % 2))
    placed = place_files(folder, files, DAY)
    assert [path.read_bytes() for path in placed] == [file.read_bytes() for file in files]
    ingest(folder, [DAY], "a-run")
    again = place_files(folder, files, DAY)
    assert {path.read_bytes() for path in again} == {lines(0), lines(1)}
    assert set(again) <= set(placed)


def test_nothing_is_copied_before_the_stream_begins(tmp_path: Path, settings: Settings) -> None:
    later = open_folder(tmp_path, settings, start="2199-01-01", source={"files": "in/{partition:%Y-%m-%d}/*"})
    (tmp_path / "file").write_bytes(lines(1))
    for partition in (None, DAY, "2199-01-01"):
        with pytest.raises(UserError, match=r"2199-01-01, has not begun, .* Fix: an earlier start"):
            place_files(later, [tmp_path / "file"], partition)
    assert not (tmp_path / "in").exists()
