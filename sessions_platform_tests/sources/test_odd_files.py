"""What can lie in a landing folder besides files: it is skipped and reported, and the files around it are found."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.sources.base import Slice
from sessions_platform.sources.files.source import FileSource
from sessions_platform_tests.sources.test_files import ingest, source, uris

DEEP = "landing/**/*.ndjson"


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def skipped(found: FileSource, *partitions: str) -> list[tuple[str, str]]:
    return [(skip.place, skip.reason) for skip in found.search(partitions or None).skipped]


ODD: list[Any] = [
    pytest.param(lambda path: link(path, path.name), "a link that leads to itself", id="itself"),
    pytest.param(lambda path: link(path, "good.ndjson/x"), "a link through a file as if it were a folder", id="file"),
    pytest.param(lambda path: link(path, "x" * 300), "a link to a name that is too long", id="too long"),
    pytest.param(lambda path: link(path, "nothing"), "a link to nothing", id="nothing"),
    pytest.param(lambda path: link(path, "/etc/passwd"), "a link that leads out of the landing folder", id="outside"),
    pytest.param(os.mkfifo, "neither a file nor a folder", id="a pipe"),
    pytest.param(lambda path: link(path, "/dev/null"), "a link that leads out of the landing folder", id="a device"),
]


@pytest.mark.parametrize("files", [DEEP, "landing/*/*.ndjson", "landing/{partition:%Y-%m-%d}/*.ndjson"])
@pytest.mark.parametrize(("make", "reason"), ODD)
def test_an_odd_file_is_skipped_with_a_reason(
    tmp_path: Path, files: str, make: Callable[[Path], object], reason: str
) -> None:
    ingest(tmp_path, "landing/2026-01-01/good.ndjson")
    make(tmp_path / "landing/2026-01-01/odd.ndjson")
    landing = source(tmp_path, files)
    assert uris(landing.find()) == ["landing/2026-01-01/good.ndjson"]
    assert skipped(landing) == [("landing/2026-01-01/odd.ndjson", reason)]
    assert skipped(landing, "2026-01-01") == skipped(landing)


def test_a_name_that_is_not_utf8_is_skipped_and_shown_escaped(tmp_path: Path) -> None:
    ingest(tmp_path, "landing/caf\udce9.ndjson", "landing/\udcff/deep.ndjson", "landing/good.ndjson")
    landing = source(tmp_path, DEEP)
    assert uris(landing.find()) == ["landing/good.ndjson"]
    assert skipped(landing) == [
        (r"landing/\udcff/deep.ndjson", "its name is not UTF-8"),
        (r"landing/caf\udce9.ndjson", "its name is not UTF-8"),
    ]


def test_what_would_not_be_a_file_of_the_stream_is_not_reported(tmp_path: Path) -> None:
    ingest(tmp_path, "landing/2026-01-01/good.ndjson")
    for name in (".hidden.ndjson", "a.ndjson.tmp", "notes.txt"):
        link(tmp_path / "landing/2026-01-01" / name, "nothing")
    link(tmp_path / "landing/other/a.ndjson", "nothing")
    (tmp_path / "landing/2026-01-01/folder.ndjson").mkdir()
    landing = source(tmp_path, "landing/{partition:%Y-%m-%d}/*.ndjson")
    assert uris(landing.find()) == ["landing/2026-01-01/good.ndjson"]
    assert skipped(landing) == []


@pytest.mark.parametrize("target", [".", "..", "../b", "../a/../b"])
def test_links_between_folders_end(tmp_path: Path, target: str) -> None:
    """Followed for as long as the system allows, these would list the same files under millions of names."""
    ingest(tmp_path, "landing/a/a.ndjson", "landing/b/b.ndjson")
    for name in ("one", "two", "three"):
        link(tmp_path / "landing/a" / name, target)
        link(tmp_path / "landing/b" / name, "../a")
    landing = source(tmp_path, DEEP)
    found = uris(landing.find())
    assert {"landing/a/a.ndjson", "landing/b/b.ndjson"} <= set(found)
    assert max(uri.count("/") for uri in found) <= 3  # one link on the way at most
    assert "a link to a folder that contains it" in {reason for _, reason in skipped(landing)}


def test_links_to_ever_more_links_are_followed_a_few_times_only(tmp_path: Path) -> None:
    for number in range(30):
        for name in ("left", "right"):
            link(tmp_path / f"landing/{number}" / name, f"../{number + 1}")
    ingest(tmp_path, "landing/30/a.ndjson")
    landing = source(tmp_path, "landing/0/**/*.ndjson", follow=True)
    assert uris(landing.find()) == []
    assert {reason for _, reason in skipped(landing)} == {"behind more than 8 links"}


def test_links_out_of_the_landing_folder_are_followed_where_the_stream_says_so(tmp_path: Path) -> None:
    ingest(tmp_path, "elsewhere/a.ndjson", "elsewhere/folder/b.ndjson")
    link(tmp_path / "landing/a.ndjson", "../elsewhere/a.ndjson")
    link(tmp_path / "landing/folder", "../elsewhere/folder")
    refusing = source(tmp_path, DEEP)
    assert uris(refusing.find()) == []
    outside = "a link that leads out of the landing folder"
    assert skipped(refusing) == [("landing/a.ndjson", outside), ("landing/folder", outside)]
    following = source(tmp_path, DEEP, follow=True)
    assert uris(following.find()) == ["landing/a.ndjson", "landing/folder/b.ndjson"]
    assert skipped(following) == []


def test_a_landing_folder_may_be_a_link_itself_and_have_links_inside(tmp_path: Path) -> None:
    ingest(tmp_path, "disk/store/a.ndjson")
    link(tmp_path / "landing", "disk")
    link(tmp_path / "disk/b.ndjson", "store/a.ndjson")
    link(tmp_path / "disk/folder", "store")
    landing = source(tmp_path, DEEP)
    assert uris(landing.find()) == ["landing/b.ndjson", "landing/folder/a.ndjson", "landing/store/a.ndjson"]


@pytest.mark.parametrize("become", ["a link", "a pipe", "a socket"])
def test_a_file_that_becomes_something_else_before_it_is_read_has_vanished(tmp_path: Path, become: str) -> None:
    ingest(tmp_path, "landing/a.ndjson")
    landing = source(tmp_path, DEEP)
    (slice_,) = landing.find()
    path = tmp_path / "landing/a.ndjson"
    path.unlink()
    if become == "a link":
        link(path, "/etc/passwd")
    elif become == "a pipe":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises(FileNotFoundError, match="No such file"):
        list(landing.read(Slice(slice_.uri, slice_.fingerprint, None), lambda _: ""))


def test_each_folder_is_listed_once_whatever_the_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "/".join("abcdefghij")
    ingest(tmp_path, f"landing/{deep}/x.ndjson")
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    found = source(tmp_path, "landing/" + "**/*/" * 6 + "**/*.ndjson").find()
    assert uris(found) == [f"landing/{deep}/x.ndjson"]
    assert len(listed) == len(set(listed)) == 11
