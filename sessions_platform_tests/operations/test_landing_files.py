"""Files are copied into the landing folder whole or not at all, and what killed copies leave is removed."""

import errno
import gzip
import hashlib
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


def named(tmp_path: Path, name: str, content: bytes = b"") -> Path:
    path = tmp_path / "exports" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content or lines(1))
    return path


def place(context: StreamContext, tmp_path: Path, name: str, content: bytes = b"", partition: str | None = DAY) -> str:
    """Where a file is placed, relative to the landing folder."""
    (placed,) = place_files(context, [named(tmp_path, name, content)], partition)
    assert placed.read_bytes() == (content or lines(1))
    return str(placed.relative_to(tmp_path / "in"))


def test_a_file_keeps_its_name_and_gets_a_part_of_its_digest_where_other_content_has_it(
    folder: StreamContext, tmp_path: Path
) -> None:
    assert place(folder, tmp_path, "a.ndjson") == f"{DAY}/a.ndjson"
    assert place(folder, tmp_path, "a.ndjson") == f"{DAY}/a.ndjson"
    digest = hashlib.sha256(lines(2)).hexdigest()[:12]
    assert place(folder, tmp_path, "a.ndjson", lines(2)) == f"{DAY}/a-{digest}.ndjson"
    ingest(folder, [DAY], "a-run")
    (tmp_path / "in" / DAY / "a.ndjson").unlink()
    digest = hashlib.sha256(lines(3)).hexdigest()[:12]
    assert place(folder, tmp_path, "a.ndjson", lines(3)) == f"{DAY}/a-{digest}.ndjson"  # its rows are not replaced


def test_files_of_one_command_do_not_replace_each_other(folder: StreamContext, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "a"
    other.write_bytes(lines(2))
    placed = place_files(folder, [named(tmp_path, "a"), other], DAY)
    assert [path.read_bytes() for path in placed] == [lines(1), lines(2)]


def test_a_pattern_of_exact_names_is_met_by_a_file_of_that_name(tmp_path: Path, settings: Settings) -> None:
    exact = open_folder(tmp_path, settings, source={"files": "in/{partition:%Y-%m-%d}/events.ndjson"})
    assert place(exact, tmp_path, "events.ndjson") == f"{DAY}/events.ndjson"
    with pytest.raises(UserError, match=r"events.ndjson has, or had, other content, which this would replace\. Fix: "):
        place(exact, tmp_path, "events.ndjson", lines(2))
    with pytest.raises(UserError, match=r"'b.ndjson' would not be found by .* Fix: name it like events\.ndjson"):
        place(exact, tmp_path, "b.ndjson", lines(3))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("app_2026-01-02_3.json", None),
        ("app_2025-12-31_3.json", "it is dated before the first landing partition, 2026-01-01T00. Fix: an earlier st"),
        ("app_2026-13-02_3.json", "its name states no start of a landing partition"),
        ("app_2026-01-02_03.json", r"its numbers are spelled otherwise\. Fix: write {partition:%Y-%m-%d_%H} in"),
        ("app_2199-01-02_3.json", "its name states the landing partition 2199-01-02T03, which has not begun"),
    ],
)
def test_a_file_goes_to_the_partition_that_its_name_states(
    tmp_path: Path, settings: Settings, name: str, said: str | None
) -> None:
    hourly = open_folder(
        tmp_path, settings, landing={"partition": "hourly"}, source={"files": "in/app_{partition:%Y-%m-%d_%-H}*.json"}
    )
    if said is None:
        assert place(hourly, tmp_path, name, partition=None) == name
        assert [file.landing_partition for file in hourly.ledger.files()] == ["2026-01-02T03"]
        return
    with pytest.raises(UserError, match=said):
        place_files(hourly, [named(tmp_path, "app_2026-01-02_3.json"), named(tmp_path, name)], None)
    assert not (tmp_path / "in").exists()  # of a command that can't place one file, none is placed


def test_what_is_no_file_is_refused_with_a_sentence(folder: StreamContext, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "pipe", "a pipe or a device"),
        (Path(os.devnull), "a pipe or"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(UserError, match=rf"it is {said}.* Fix: "):
            place_files(folder, [path], DAY)


def test_a_text_that_was_ingested_is_not_copied_again_in_another_packing(folder: StreamContext, tmp_path: Path) -> None:
    text = lines(*range(9))
    (first,) = place_files(folder, [named(tmp_path, "a.gz", gzip.compress(text, mtime=1))], DAY)
    ingest(folder, [DAY], "a-run")
    packings = [named(tmp_path, "b.gz", gzip.compress(text, mtime=2)), named(tmp_path, "c", text)]
    assert place_files(folder, packings, DAY) == [first, first]
    broken = named(tmp_path, "d.gz", gzip.compress(text, mtime=3)[:-8])
    assert place_files(folder, [broken], DAY) != [first]


def test_a_file_that_appears_meanwhile_is_not_replaced(
    folder: StreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfileobj

    def overtaken(*arguments: Any) -> None:
        copy(*arguments)
        (tmp_path / "in" / DAY / "a").write_bytes(lines(2))

    monkeypatch.setattr(shutil, "copyfileobj", overtaken)
    with pytest.raises(UserError, match=r"in/2026-01-01/a was written meanwhile\. Fix: run the command again"):
        place(folder, tmp_path, "a")
    assert (tmp_path / "in" / DAY / "a").read_bytes() == lines(2)
    assert hidden(tmp_path) == []
