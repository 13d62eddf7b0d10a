"""The lake's file systems keep one contract, in a folder and in an object store; and a lake works on either."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from sessions_platform.storage.lake.filesystem import Filesystem, LocalFilesystem
from sessions_platform.storage.lake.lake import Dataset, Lake
from sessions_platform_tests.lakes import object_filesystem

NUMBERS: dict[str, pl.DataType] = {"number": pl.Int64()}


@pytest.fixture(params=["folder", "objects"])
def filesystem(request: pytest.FixtureRequest, tmp_path: Path) -> Filesystem:
    is_local = request.param == "folder"
    return LocalFilesystem(tmp_path / "lake") if is_local else object_filesystem(tmp_path / "scratch")


def put(filesystem: Filesystem, path: str, content: bytes) -> bool:
    with filesystem.draft(path.rpartition("/")[0]) as draft:
        draft.write_bytes(content)
        return filesystem.put_if_absent(path, draft)


def read_local(filesystem: Filesystem, path: str) -> pl.DataFrame:
    with filesystem.local(path) as local:
        return pl.read_parquet(local)


# The contract --------------------------------------------------------------------------------------------


def test_a_file_can_be_opened_read_measured_and_scanned(filesystem: Filesystem) -> None:
    assert put(filesystem, "a/b/file", b"0123456789")
    with filesystem.open("a/b/file") as file:
        file.seek(8)
        assert file.read() == b"89"
    assert filesystem.size("a/b/file") == 10
    assert [filesystem.read("a/b/file", *part) for part in [(0, 3), (8, 5), (20, 1)]] == [b"012", b"89", b""]
    with filesystem.local("a/b/file") as local:
        assert local.read_bytes() == b"0123456789"
    assert filesystem.url("a/b/file").endswith("lake/a/b/file")


def test_a_file_that_exists_is_not_replaced(filesystem: Filesystem) -> None:
    assert put(filesystem, "a/file", b"first")
    assert not put(filesystem, "a/file", b"second")
    assert filesystem.read("a/file", 0, 9) == b"first"
    assert list(filesystem.list("a")) == ["a/file"]


def test_of_many_writers_of_one_path_one_succeeds(filesystem: Filesystem) -> None:
    with ThreadPoolExecutor(8) as pool:
        contents = [b"%d" % number for number in range(40)]
        succeeded = list(pool.map(lambda content: put(filesystem, "a/file", content), contents))
    assert succeeded.count(True) == 1
    assert filesystem.read("a/file", 0, 9) == contents[succeeded.index(True)]


def test_a_draft_is_not_listed_and_is_deleted_at_the_end(filesystem: Filesystem) -> None:
    with filesystem.draft("a") as draft:
        draft.write_bytes(b"unfinished")
        assert list(filesystem.list("a")) == []
        (found,) = filesystem.drafts("a")
        assert found.place == str(draft)
        assert filesystem.drafts("b") == []
    assert not draft.exists()
    filesystem.discard(found)
    assert list(filesystem.list("a")) == []


def test_files_are_listed_by_folder_and_sorted(filesystem: Filesystem) -> None:
    for path in ("a/2", "a/b/1", "a/1", "ab/1", "a~next/1"):
        put(filesystem, path, b"")
    assert list(filesystem.list("a")) == ["a/1", "a/2", "a/b/1"]
    assert list(filesystem.list("a~next")) == ["a~next/1"]
    assert filesystem.missing("a", ["a/3", "a/1", "a/b/1"]) == ["a/3"]
    filesystem.delete_folder("a")
    assert list(filesystem.list("a")) == []
    assert list(filesystem.list("ab")) == ["ab/1"]
    assert list(filesystem.list("none")) == []


def test_files_are_listed_with_their_lengths_and_times(filesystem: Filesystem) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    for path, content in {"a/2": b"12", "a/b/1": b"", "ab/1": b"123"}.items():
        put(filesystem, path, content)
    files = list(filesystem.listed("a"))
    assert [(file.path, file.size) for file in files] == [("a/2", 2), ("a/b/1", 0)]
    assert all(before < file.written_at < before + timedelta(minutes=3) for file in files)
    assert list(filesystem.listed("none")) == []


def test_a_file_may_be_deleted_again_and_written_again(filesystem: Filesystem) -> None:
    put(filesystem, "a/file", b"first")
    filesystem.delete("a/file")
    filesystem.delete("a/file")
    assert list(filesystem.list("a")) == []
    assert put(filesystem, "a/file", b"second")


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda filesystem: filesystem.open("a/none"), id="open"),
        pytest.param(lambda filesystem: filesystem.read("a/none", 0, 1), id="read"),
        pytest.param(lambda filesystem: filesystem.size("a/none"), id="size"),
        pytest.param(lambda filesystem: read_local(filesystem, "a/none"), id="local"),
    ],
)
def test_a_missing_file_is_an_error(filesystem: Filesystem, use: Callable[[Filesystem], object]) -> None:
    with pytest.raises(FileNotFoundError):
        use(filesystem)


def test_a_folder_without_hard_links_is_renamed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    local = LocalFilesystem(tmp_path)
    assert put(local, "a/file", b"first")
    assert not put(local, "a/file", b"second")
    assert [path.read_bytes() for path in (tmp_path / "a").iterdir()] == [b"first"]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space"):
        put(LocalFilesystem(tmp_path), "a/file", b"first")
    assert list((tmp_path / "a").iterdir()) == []


# A lake on either ----------------------------------------------------------------------------------------


def test_a_lake_writes_reads_and_removes_files(filesystem: Filesystem, tmp_path: Path) -> None:
    lake = Lake(filesystem, tmp_path / "scratch")
    one, two = (
        lake.write("a", [pl.DataFrame({"number": rows})], NUMBERS, statistics=("number",)) for rows in ([1, 2], [3])
    )
    paths = [one.path, two.path]
    assert (one.rows, lake.rows(one.path), one.bytes) == (2, 2, lake.size(one.path))
    assert lake.size_in_memory(paths) > 0
    assert lake.scan(paths, NUMBERS).collect()["number"].to_list() == [1, 2, 3]
    assert pl.concat(lake.blocks(paths, NUMBERS))["number"].to_list() == [1, 2, 3]
    few = lake.blocks(paths, NUMBERS, "number", lambda _least, greatest: greatest == 3)
    assert pl.concat(few)["number"].to_list() == [3]
    newer: dict[str, pl.DataType] = {"number": pl.String(), "new": pl.Boolean()}
    assert lake.scan(paths, newer).collect().rows() == [("1", None), ("2", None), ("3", None)]
    dataset = Dataset(lake, NUMBERS, {"day": (one, two), "empty": ()})
    assert (dataset.rows, dataset.scan("day").collect().height, dataset.scan("empty").collect().height) == (3, 3, 0)
    lake.remove(one.path)
    assert list(filesystem.list("a")) == [two.path]


def test_a_lake_keeps_the_same_quarantined_bytes_once(filesystem: Filesystem, tmp_path: Path) -> None:
    lake = Lake(filesystem, tmp_path / "scratch")
    path = lake.quarantine("quarantined_files", [b"01", b"234"])
    assert lake.quarantine("quarantined_files", [b"0123", b"4"]) == path
    assert list(filesystem.list("quarantined_files")) == [path]
    assert filesystem.read(path, 0, 9) == b"01234"


def test_a_lake_that_fails_while_writing_leaves_nothing(filesystem: Filesystem, tmp_path: Path) -> None:
    lake = Lake(filesystem, tmp_path / "scratch")
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        lake.write("a", [pl.DataFrame({"other": [1]})], NUMBERS)
    assert list(filesystem.list("a")) == []
