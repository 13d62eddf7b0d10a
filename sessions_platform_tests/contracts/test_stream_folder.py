"""One broken stream of a folder is known by its name and its problems, and all others can be used."""

import os
from pathlib import Path

import pytest
import yaml

from sessions_platform.contracts.stream_file import StreamError
from sessions_platform.contracts.stream_folder import read_streams
from sessions_platform.errors import UserError
from sessions_platform_tests.streams import PLAIN


def text(**changes: object) -> str:
    return yaml.safe_dump({**PLAIN, **changes}, sort_keys=False)


def test_the_problems_of_all_files_are_known_and_the_good_stream_is_usable(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(text(name="first", session={"gap": "0s"}))
    (tmp_path / "two.yml").write_text("- no\n- stream\n")
    (tmp_path / "good.yaml").write_text(text())
    (tmp_path / "notes.txt").write_text("no stream either, and none of ours")
    streams = read_streams([tmp_path], home=tmp_path)
    found = {name: [(p.file.name, p.key) for p in broken.problems] for name, broken in streams.broken.items()}
    assert found == {"first": [("one.yaml", "session.gap")], "two": [("two.yml", "file")]}
    assert list(streams.usable) == ["web"]
    assert streams.named("web").name == "web"
    with pytest.raises(StreamError, match=r"one\.yaml:\d+: session\.gap: .* Fix: "):
        streams.named("first")
    with pytest.raises(
        UserError, match=r"third: there is no such stream in .* Fix: name one of first, two, web, or put third\.yaml"
    ):
        streams.named("third")


def test_two_streams_cannot_have_one_name(tmp_path: Path) -> None:
    for file in ("one", "two"):
        (tmp_path / f"{file}.yaml").write_text(text())
    (tmp_path / "other.yaml").write_text(text(name="other"))
    streams = read_streams([tmp_path], home=tmp_path)
    assert list(streams.usable) == ["other"]
    with pytest.raises(StreamError, match=r"two\.yaml: name: .*one\.yaml has the same name\. Fix: rename one"):
        streams.named("web")


def test_a_broken_copy_of_a_stream_makes_neither_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(text())
    (tmp_path / "web copy.yaml").write_text("name: web\nstart: [\n")
    streams = read_streams([tmp_path], home=tmp_path)
    assert list(streams.usable) == []
    assert [problem.key for problem in streams.broken["web"].problems] == ["file", "name"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("name: shop\ncolumns: [\n", "shop"),
        ("'name' : \"shop\"  # ours\n\tbroken", "shop"),
        ("name: Not A Name\n", "a_file_1"),
        ("  name: of_a_column\n", "a_file_1"),
        ("", "a_file_1"),
    ],
)
def test_a_broken_stream_is_known_by_the_name_it_states_or_by_its_files(
    tmp_path: Path, content: str, name: str
) -> None:
    (tmp_path / "A file-1.yaml").write_text(content)
    assert list(read_streams([tmp_path], home=tmp_path).broken) == [name]


def test_a_name_from_a_file_is_never_that_of_another_stream(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(text())
    (tmp_path / "web.yaml").write_text("no stream")
    streams = read_streams([tmp_path], home=tmp_path)
    assert (list(streams.usable), list(streams.broken)) == (["web"], ["web_2"])


def test_a_file_whose_name_is_not_utf8_is_told_in_letters_that_can_be_printed(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.yaml", "wb") as file:  # noqa: PTH123  Path has no bytes
        file.write(b"no stream")
    (tmp_path / "good.yaml").write_text(text())
    streams = read_streams([tmp_path], home=tmp_path)
    assert (list(streams.usable), list(streams.broken)) == (["web"], ["stream"])
    assert r"\udcff.yaml" in str(streams.broken["stream"].error)
    str(streams.broken["stream"].error).encode()


def test_streams_come_by_name_and_from_all_folders(tmp_path: Path) -> None:
    for folder, name in [("a", "zebra"), ("b", "ant")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "stream.yaml").write_text(text(name=name))
    assert list(read_streams([tmp_path / "a", tmp_path / "b"], home=tmp_path).usable) == ["ant", "zebra"]


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(
        StreamError, match=r"nowhere: SESSIONS_STREAMS: there is no such folder; .* exists\. Fix: make it"
    ):
        read_streams([tmp_path / "nowhere"], home=tmp_path)
