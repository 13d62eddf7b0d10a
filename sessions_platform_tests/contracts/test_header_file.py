"""Names of CSV fields in a file of their own are names as if the stream listed them."""

import os
from pathlib import Path

import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream

YAML = """\
name: web
start: 2026-01-01
source: {files: "*.tsv", format: csv, separator: '\\t', quote: null, %s}
columns: {user_id: {from: u}, event_timestamp: {from: t, formats: [epoch_s]}, event_type: {}}
"""


def load(folder: Path, stated: str) -> Stream:
    path = folder / "web.yaml"
    path.write_text(YAML % stated)
    return load_stream(path, home=folder / "home")


@pytest.mark.parametrize(
    "content", [b"u\tt\tevent_type\n", b"\xef\xbb\xbfu\tt\tevent_type\r\nmore", b"u\tt\tevent_type"]
)
@pytest.mark.parametrize("stated", ["lookup/headers.tsv", "${SESSIONS_HOME}/headers.tsv"])
def test_the_first_record_has_the_names(tmp_path: Path, content: bytes, stated: str) -> None:
    folder = tmp_path / ("home" if "HOME" in stated else "lookup")
    folder.mkdir()
    (folder / "headers.tsv").write_bytes(content)
    read = load(tmp_path, f'header_file: "{stated}"')
    assert read.source.header == ["u", "t", "event_type"]
    listed = load(tmp_path, "header: [u, t, event_type]")
    assert read.contract_version == listed.contract_version


def test_other_names_are_another_contract(tmp_path: Path) -> None:
    file = tmp_path / "headers.tsv"
    file.write_text("u\tt\tevent_type\n")
    before = load(tmp_path, "header_file: headers.tsv")
    file.write_text("u\tt\tevent_type\tnew\n")
    after = load(tmp_path, "header_file: headers.tsv")
    assert (before.contract_version, before.definition_version) != (after.contract_version, after.definition_version)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has a field without a name"),
        (b"u\t\tt\n", "has a field without a name"),
        (b"u\tt\tu\n", "names 'u' twice"),
        (b"\xff\n", "is no CSV as this stream has it: 'utf-8' codec can't decode byte 0xff"),
        (b"x" * 1_000_001, "has more than 1,000,000 bytes"),
    ],
)
def test_a_file_without_names_is_a_problem_of_the_stream(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "headers.tsv").write_bytes(content)
    with pytest.raises(StreamError) as error:
        load(tmp_path, "header_file: headers.tsv")
    (problem,) = error.value.problems
    assert (problem.key, problem.line) == ("source.header_file", 3)
    assert problem.reason.startswith(f"{tmp_path / 'headers.tsv'} {reason}")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "headers.tsv")
    with pytest.raises(StreamError, match="is no file"):
        load(tmp_path, "header_file: headers.tsv")


def test_names_between_blanks(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("  u  t\tevent_type \n")
    read = load(tmp_path, "header_file: names")
    assert read.source.header == ["  u  t", "event_type "]
    path = tmp_path / "web.yaml"
    path.write_text(path.read_text().replace("'\\t'", "whitespace"))
    assert load_stream(path, tmp_path).source.header == ["u", "t", "event_type"]
