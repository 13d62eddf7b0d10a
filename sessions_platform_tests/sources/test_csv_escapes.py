"""Escapes, comments and CR in whole texts give the records that a loop over characters gives."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.files.reader import BLOCK_BYTES
from sessions_platform.sources.formats import csv_escapes, text_records
from sessions_platform.sources.formats.csv import RecordSplitter
from sessions_platform.sources.formats.csv_escapes import Escapes, line_end_of
from sessions_platform.sources.formats.csv_fields import field_splitter
from sessions_platform_tests.ingested import joined, payloads, reading, rows_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("landing") / "file"


# Records


def lines_of(text: bytes, comment: bytes, line_end: bytes) -> list[tuple[bytes, bytes]]:
    """Each line, joined where its end is escaped, and the same with x for what is escaped."""
    found, line, masked, at = [], b"", b"", 0
    begin = 0
    while at < len(text):
        step = 1
        if text[at : at + 1] == b"\\":
            crlf = line_end == b"\n" and text[at + 1 : at + 3] == b"\r\n"
            step = 3 if crlf else 2
            pair = text[at : at + step]
            if pair.endswith(line_end) and comment and text[begin:].startswith(comment):
                masked += b"x" * (len(pair) - 1) + line_end
            else:
                masked += b"x" * len(pair)
        else:
            masked += text[at : at + 1]
        line += text[at : at + step]
        at += step
        if line.endswith(line_end):
            begin = at
        if masked.endswith(line_end):
            found.append((line, masked))
            line = masked = b""
    return [*found, (line, masked)] if line else found


def records_of(text: bytes, splitter: RecordSplitter, comment: bytes, line_end: bytes) -> list[bytes]:
    """The records, by a loop over lines."""
    found: list[bytes] = []
    opened: list[bytes] = []
    for line, masked in lines_of(text, comment, line_end):
        closes = splitter._closes.fullmatch(masked)
        stays = b'"' not in masked or splitter._stays_open.fullmatch(masked)
        if opened and not stays:
            found += [b"".join([*opened, line])] if closes else opened
            opened = []
            if closes:
                continue
        if opened or (masked.count(b'"') % 2 and splitter._opens.fullmatch(masked)):
            opened.append(line)
        else:
            found.append(line)
    return [*found, *opened]


PARTS = st.sampled_from(
    [b"a", b",", b",", b'"', b'"', b'""', b"\\", b"\\", b"\r", b"\n", b"\n", b"\r\n", b'",', b'"\n', b"#", b"\n#"]
)


@given(
    st.lists(PARTS, max_size=40).map(b"".join),
    st.integers(1, 30),
    st.sampled_from([b"", b"#"]),
    st.sampled_from([b"\n", b"\n", b"\r"]),
)
@settings(max_examples=80)
def test_records_with_escapes_are_those_of_a_plain_loop(
    text: bytes, size: int, comment: bytes, line_end: bytes
) -> None:
    escapes = Escapes(b"\\", b',"' + comment, comment or None, line_end)
    splitter = RecordSplitter(b",", b'"', escapes=escapes, comment=comment or None, line_end=line_end)
    chunks = [text[start : start + 2] for start in range(0, len(text), 2)]
    found = [
        payload + terminator
        for block in splitter.split(text_records.whole_lines(chunks, size, line_end))
        for payload, terminator in zip(block.payloads, block.terminators, strict=True)  # type: ignore[arg-type]
    ]
    assert found == records_of(text, splitter, comment, line_end)
    assert b"".join(found) == text


OPTIONS: Sequence[dict[str, Any]] = (
    {"escape": "\\"},
    {"escape": "\\", "quote": None, "separator": "\t"},
    {"escape": "\\", "comment": "#"},
    {"comment": "#"},
    {"line_end": "auto"},
    {"line_end": "auto", "escape": "\\", "comment": "#"},
    {"separator": "whitespace"},
    {"separator": "whitespace", "escape": "\\", "quote": None},
)


@given(
    st.lists(PARTS | st.sampled_from([b"\t", b" ", b"\xff", b"\0"]), max_size=30).map(b"".join),
    st.integers(1, 20),
    st.sampled_from(OPTIONS),
    st.booleans(),
)
@settings(max_examples=60)
def test_no_byte_is_lost_and_the_size_of_blocks_changes_no_row(
    place: Path, content: bytes, block_bytes: int, options: dict[str, Any], named: bool
) -> None:
    options = {**options, "format": "csv", **({"header": ["a", "b"]} if named else {})}
    whole = rows_of(reading(place, content, **options))
    assert rows_of(reading(place, content, block_bytes, **options)).equals(whole)


def test_lines_that_escapes_join_are_bounded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_escapes, "LONGEST_LINE", 100)
    content = b"a\n1\n" + b"x\\\n" * 99 + b"2\n"
    rows = rows_of(reading(place, content, 16, format="csv", escape="\\"))
    assert rows["payload"].to_list()[:-1] == [b"1"]
    assert "begins with a line of more than" in rows[-1, "corrupt_reason"]


# Values, as their writers have them

TEXTS = st.text("ab\\\"',\t #\r\nN é", max_size=5)


def outfile(rows: list[list[str | None]], quote: str) -> bytes:
    """As MySQL's SELECT … INTO OUTFILE writes rows: \\N is null, and what has a meaning is escaped."""

    def field(value: str | None) -> str:
        if value is None:
            return "\\N"
        special = {"\\", quote or "\t", "\n"}
        return quote + "".join("\\" + letter if letter in special else letter for letter in value) + quote

    return "".join("\t".join(map(field, row)) + "\n" for row in rows).encode()


@given(
    st.lists(st.lists(TEXTS.map(lambda text: text.replace("\r", "")) | st.none(), min_size=2, max_size=2), min_size=1),
    st.sampled_from(["", '"']),
    st.sampled_from([1, 5, BLOCK_BYTES]),
)
def test_what_mysql_writes_is_read_back(
    place: Path, rows: list[list[str | None]], quote: str, block_bytes: int
) -> None:
    options = {"format": "csv", "header": ["a", "b"], "separator": "\t", "quote": quote or None, "escape": "\\"}
    content = outfile(rows, quote)
    found = rows_of(reading(place, content, block_bytes, **options))
    assert joined(found) == content
    split = field_splitter(FormatOptions.model_validate(options))
    assert [split(payload) for payload in found["payload"]] == [
        ["\\N" if value is None else value for value in row] for row in rows
    ]


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=3)), st.sampled_from([1, 5, BLOCK_BYTES]))
def test_what_pythons_writer_escapes_is_read_back(place: Path, rows: list[list[str]], block_bytes: int) -> None:
    text = io.StringIO()
    csv.writer(text, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    options = {"format": "csv", "header": ["a", "b"], "escape": "\\"}
    split = field_splitter(FormatOptions.model_validate(options))
    found = payloads(reading(place, text.getvalue().encode(), block_bytes, **options))
    assert [split(payload) for payload in found] == rows


WORDS = st.text("ab\"'é\\", min_size=1, max_size=4).filter(lambda word: not word.startswith('"'))


@given(st.lists(st.lists(WORDS, min_size=2, max_size=2), min_size=1), st.sampled_from([" ", "  ", "\t", " \t "]))
def test_words_between_blanks_are_fields(rows: list[list[str]], blanks: str) -> None:
    split = field_splitter(FormatOptions.model_validate({"format": "csv", "separator": "whitespace"}))
    for row in rows:
        assert split((blanks + blanks.join(row) + blanks).encode()) == row
        assert split(blanks.join(f'"{word.replace(chr(34), chr(34) * 2)}"' for word in row).encode()) == row


# Line ends


def first_line_end(text: str) -> bytes:
    """By the first line end outside of quotes; quotes are those of whole fields."""
    outside = re.sub(r'(?:(?<=^)|(?<=,))"[^"]*"?', "", text)
    found = re.search(r"\r+\n?|\n", outside)
    return b"\r" if found and not found[0].endswith("\n") else b"\n"


@given(st.lists(st.sampled_from(["a", ",", "\r", "\n", "\r\n", '"a"', '"\r"', '"\n"', '"\r\n"'])), st.integers(1, 5))
def test_how_lines_end_is_told_by_the_first_one(parts: list[str], size: int) -> None:
    text = ",".join(parts).replace(",\r", "\r").replace(",\n", "\n")
    chunks = [text[start : start + size].encode() for start in range(0, len(text), size)]
    line_end, same = line_end_of(iter(chunks), b",", b'"', None)
    assert b"".join(same) == text.encode()
    assert line_end == first_line_end(text)
