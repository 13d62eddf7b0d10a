"""A first record that can't be a header makes its file unreadable; else it would be lost, or all rows."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.files.source import FileSource
from sessions_platform.sources.formats import csv as csv_format
from sessions_platform.sources.formats.registry import open_format
from sessions_platform_tests.ingested import QUARANTINED, joined, rows_of
from sessions_platform_tests.streams import PLAIN, stream

REQUIRED = stream().required_fields
HEADER = "its first record, the header, "
NEEDED = f"{HEADER}names none of the fields that are needed (id, ts, type, user): "
NAMES_FIX = ". Fix: list the names in header if it is a row, or correct separator, line_end or the columns' from"


def rows(folder: Path, content: bytes, required: Any = REQUIRED, **options: Any) -> pl.DataFrame:
    path = folder / "file"
    path.write_bytes(content)
    source = FilesSource.model_validate({"files": "*", "format": "csv", **options})
    return rows_of(FileReading(path, source, open_format(source, required), QUARANTINED.quarantine, 64))


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        pytest.param(
            b"id,user,ts,type\r1,ann,x,view\r",
            {},
            f"{HEADER}contains a CR: 'id,user,ts,type\\r1,ann,x,view\\r'. Fix: set line_end: auto if its lines end so",
            id="lines that end in CR",
        ),
        pytest.param(
            b"id,user\r\r\n1,ann\r\r\n",
            {"line_end": "auto"},
            f"{HEADER}contains a CR: 'id,user\\r'. Fix: end its lines with LF",
            id="lines that end in CR CR LF",
        ),
        pytest.param(b"1,ann,2026-01-01,view", {}, f"{NEEDED}'1,ann,2026-01-01,view'{NAMES_FIX}", id="a row alone"),
        pytest.param(b"1,a,x,view\n2,b,x,view\n", {}, f"{NEEDED}'1,a,x,view'{NAMES_FIX}", id="no header"),
        pytest.param(b"ID,USER\n", {}, f"{NEEDED}'ID,USER'{NAMES_FIX}", id="names in another case"),
        pytest.param(b"\nid,user\n", {}, f"{NEEDED}''{NAMES_FIX}", id="an empty line above it"),
        pytest.param(
            b"id,\0user\n",
            {},
            f"{HEADER}contains NUL: 'id,\\x00user'. Fix: deliver text, in the encoding that the stream states",
            id="NUL",
        ),
        pytest.param(
            bytes(range(128, 256)),
            {},
            f"{HEADER}is not UTF-8: '{'�' * 78}…. Fix: correct encoding, separator or quote, or deliver a CSV file",
            id="bytes that are no text",
        ),
        pytest.param(b"x" * 5000, {}, f"{NEEDED}'{'x' * 78}…{NAMES_FIX}", id="a long one is shortened"),
    ],
)
def test_what_can_not_be_a_header_makes_the_file_unreadable(
    tmp_path: Path, content: bytes, options: dict[str, Any], reason: str
) -> None:
    found = rows(tmp_path, content, **options)
    assert found["corrupt_reason"].to_list() == [reason]
    assert QUARANTINED[found[0, "payload"].decode()] == content
    assert found.select("preamble", "header").row(0) == (None, None)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param(b"other,user\n1,ann\n", {}, id="one of the needed fields is enough"),
        pytest.param(b"user,user\n1,ann\n", {}, id="a name twice: its rows say so"),
        pytest.param(b'"us\r\ner",user\n1,ann\n', {}, id="CR LF in quotes"),
        pytest.param(b"user,other\r1,ann\r", {"line_end": "auto"}, id="CR where it ends lines"),
        pytest.param(b"1,ann\n", {"header": ["id", "user"]}, id="listed names"),
        pytest.param(b"# export\nuser\n1\n", {"comment": "#"}, id="below comments"),
        pytest.param(b"user  other\n1  ann\n", {"separator": "whitespace"}, id="blanks"),
        pytest.param(b"us\\,er,user\n1,ann\n", {"escape": "\\"}, id="escapes"),
    ],
)  # fmt: skip
def test_other_headers_are_read(tmp_path: Path, content: bytes, options: dict[str, Any]) -> None:
    found = rows(tmp_path, content, **options)
    assert found["corrupt_reason"].null_count() == found.height > 0
    assert joined(found) == content


@pytest.mark.parametrize(("separator", "spelled"), [(";", "';'"), ("\t", "'\\t'"), ("|", "'|'")])
def test_another_separator_that_gives_the_names_is_told(tmp_path: Path, separator: str, spelled: str) -> None:
    content = f"id{separator}user{separator}ts\n1{separator}ann{separator}2\n".encode()
    (reason,) = rows(tmp_path, content)["corrupt_reason"]
    assert reason.endswith(f". Fix: write separator: {spelled}, with which it does")


def test_a_header_alone_is_a_file_without_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, b"id,user,ts,type\n").is_empty()


def test_columns_that_may_be_null_need_no_field(tmp_path: Path) -> None:
    of = stream(columns={**PLAIN["columns"], "event_id": {"from": "id", "nullable": True}})
    assert of.required_fields == {"user_id": ["user"], "event_timestamp": ["ts"], "event_type": ["type"]}
    assert rows(tmp_path, b"id,page\n1,x\n", of.required_fields)[0, "corrupt_reason"] is not None


def test_without_needed_fields_any_names_do(tmp_path: Path) -> None:
    assert rows(tmp_path, b"x\n1\n", None).height == 1


def test_many_needed_fields_are_shortened(tmp_path: Path) -> None:
    needed = {f"column_{n}": [f"a_field_{n}"] for n in range(50)}
    reason = rows(tmp_path, b"x\n", needed)[0, "corrupt_reason"]
    assert "a_field_0, a_field_1, a_field_10" in reason
    assert len(reason) < 400


def test_comments_above_a_header_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_format, "LONGEST_OPEN_RECORD", 300)
    content = b"#" * 40 + b"\n"
    assert rows(tmp_path, content * 7 + b"user\n1\n", comment="#")["payload"].to_list() == [b"1"]
    (reason,) = rows(tmp_path, content * 8 + b"user\n1\n", comment="#")["corrupt_reason"]
    assert "of comments" in reason


def test_the_files_of_a_stream_are_read_with_what_its_columns_need(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,ann,2026-01-01,view")
    of = stream(path=tmp_path / "web.yaml", source={"files": "*.csv", "format": "csv"})
    source = FileSource(of)
    (found,) = source.find()
    blocks = list(source.read(found, QUARANTINED.quarantine))
    assert [block["corrupt_reason"].to_list() for block in blocks] == [[f"{NEEDED}'1,ann,2026-01-01,view'{NAMES_FIX}"]]
