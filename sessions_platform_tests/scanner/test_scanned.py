"""The scanner reads plain rows as the row parser does, and no other row; what it can't read, others read as before."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.stream import Stream
from sessions_platform.scanner import library
from sessions_platform.scanner.library import MOST_FIELDS, Scanner
from sessions_platform.sources.formats.text_records import lines as cut_lines
from sessions_platform.transforms.parse import parse as parsing
from sessions_platform.transforms.parse import vectorized
from sessions_platform.transforms.parse.scanned import keys_of, scanned_objects, scanned_records
from sessions_platform.transforms.parse.template_reader import TemplateReader
from sessions_platform_tests.scanner.corpus import ODD, PLAIN
from sessions_platform_tests.transforms.test_parse_vectorized import agrees, raw, stream

COLUMNS: dict[str, Any] = {
    "a": {"nullable": True},
    "b": {"from": ["b", "é"], "default": "none", "nulls": ["1"]},
    "user_id": {},
    "event_timestamp": {"trim": True},
    "both": {"join": ["a", "user_id"]},
}
STREAM = stream(COLUMNS)


@pytest.fixture(autouse=True, scope="module")
def scanned_and_small(scanner: Scanner) -> Iterator[None]:
    """The scanner compiled here is used, and no block is too small for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "_loaded", lambda: scanner)
        patch.setattr(vectorized, "MIN_ROWS", 1)
        patch.setattr(parsing, "_PART_ROWS", 7)
        yield


def scanned_rows(rows: pl.DataFrame, of: Stream = STREAM) -> list[int]:
    read = scanned_records if of.source.format == "csv" else scanned_objects
    found = read(rows, of, TemplateReader(rows, of))
    return found.rows.tolist() if found else []


def cut(text: bytes) -> pl.DataFrame:
    """The lines of a text as the reader makes them: views of one buffer."""
    blocks = list(cut_lines(text))
    payloads = pl.concat([block.payloads for block in blocks]) if blocks else pl.Series(dtype=pl.Binary)
    return raw([b""] * len(payloads)).with_columns(payload=payloads)


def test_plain_rows_are_read_and_odd_ones_are_not() -> None:
    every = [line for odd in ODD for line in (odd, *PLAIN)]
    rows = cut(b"\n".join(every))
    assert scanned_rows(rows) == [row for row, line in enumerate(every) if line in PLAIN]
    agrees(rows, STREAM)


TEXT = st.text("abé😀/\x7f :,{}[]'", max_size=14) | st.just(" ") | st.just("x" * 12) | st.just("x" * 13)
NUMBER = st.integers(-(10**18), 10**18).map(str) | st.floats(allow_nan=False).map(str) | st.just("-0")
ESCAPE = st.sampled_from(
    ["\\n", "\\/", "\\u00e4", "\\ud83d\\ude00", "\\ud83d", "\\u0000", "\\u0020", "\\x", "é", "x" * 11]
)
VALUE = (
    (TEXT | st.lists(ESCAPE, max_size=4).map("".join)).map('"{}"'.format)
    | NUMBER
    | st.sampled_from(["null", "true", "false"])
)
NAME = st.sampled_from(["a", "b", "é", "user_id", "event_timestamp", "event_timestam", "c"])
BLANK = st.sampled_from(["", "", " ", "\t", "\r"])
FIELD = st.builds('{1}"{0}"{1}:{1}{2}{1}'.format, NAME, BLANK, VALUE)
OBJECT = st.lists(FIELD, max_size=5).map(lambda fields: f"{{{','.join(fields)}}}".encode())
BYTES = st.sampled_from(
    [b'"', b"\\", b"\x00", b"\x1f", b"\xff", b"\xc3", b"\xed\xa0\x80", b"}", b"{", b",", b"\r", b"1"]
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A plain row that was cut off, or had something put in, at any place."""
    line = draw(st.sampled_from(PLAIN) | OBJECT)
    at = draw(st.integers(0, len(line)))
    return line[:at] + draw(BYTES) + line[at:] if draw(st.booleans()) else line[:at]


LINE = st.sampled_from(PLAIN) | OBJECT | st.sampled_from(ODD) | spoiled()


@pytest.mark.slow
@settings(max_examples=120)
@given(st.lists(st.tuples(LINE, st.sampled_from([b"\n", b"\r\n"])).map(b"".join), max_size=20), LINE)
def test_with_the_scanner_rows_are_parsed_as_without(ended: list[bytes], last: bytes) -> None:
    agrees(cut(b"".join(ended) + last), STREAM)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(LINE, min_size=1, max_size=12), st.integers(0, 11), st.integers(0, 12))
def test_rows_that_are_a_slice_or_scattered_are_read_alike(lines: list[bytes], start: int, end: int) -> None:
    rows = cut(b"\n".join(lines))
    agrees(rows[start:end], STREAM)
    agrees(rows.reverse(), STREAM)
    agrees(pl.concat([rows, raw(lines)]), STREAM)


def test_a_row_of_a_corrupt_file_is_not_read() -> None:
    rows = raw([PLAIN[0]] * 3).with_columns(corrupt_reason=pl.Series([None, "it ends too early", None]))
    assert scanned_rows(rows) == [0, 2]
    agrees(rows, STREAM)


def test_many_orders_of_fields_are_read_and_too_many_are_left() -> None:
    of = stream({f"c{number}": {"nullable": True} for number in range(9)})
    orders = [
        b"{%s}" % b",".join(b'"c%d":%d' % (n, n) for n in range(9) if number >> n & 1) for number in range(1, 512)
    ]
    assert scanned_rows(raw(orders), of) == list(range(255))
    agrees(raw(orders), of)


def test_as_many_keys_as_the_scanner_knows_are_read_and_no_more() -> None:
    line = b'{"c0":1}'
    for count in (MOST_FIELDS, MOST_FIELDS + 1):
        of = stream({f"c{number}": {"nullable": True} for number in range(count)})
        assert len(keys_of(of)) == (count if count == MOST_FIELDS else 0)
        agrees(raw([line]), of)


@pytest.mark.parametrize(
    ("columns", "source"),
    [
        pytest.param({"a": {"from": "json:a.b"}, "b": {"from": "a"}}, {}, id="text that holds JSON"),
        pytest.param({"a": {"from": "^sent"}}, {"events": "batch"}, id="an envelope"),
    ],
)
def test_rows_of_which_more_has_to_be_known_are_left(columns: dict[str, Any], source: dict[str, Any]) -> None:
    assert keys_of(stream(columns, **source)) == []


def test_elements_of_batches_are_read_and_a_record_outside_of_any_is_not() -> None:
    of = stream({"a": {}}, events="batch")
    rows = raw([b'{"a":1}'] * 4).with_columns(header=pl.Series([b"{}", None, b"", b'{"sent":1}'], dtype=pl.Binary))
    assert scanned_rows(rows, of) == [0, 2, 3]
    agrees(rows, of)
    agrees(rows.with_columns(corrupt_reason=pl.Series(["it ends too early", None, None, None])), of)


@settings(max_examples=30)
@given(st.lists(st.tuples(LINE, st.sampled_from([None, b"{}", b'{"b":1}'])), max_size=20))
def test_elements_of_batches_are_parsed_as_without_the_scanner(records: list[tuple[bytes, bytes | None]]) -> None:
    headers = pl.Series("header", [header for _, header in records], pl.Binary)
    agrees(raw([line for line, _ in records]).with_columns(headers), stream(COLUMNS, events="batch"))


def test_a_key_that_has_to_be_escaped_is_not_sought() -> None:
    of = stream({"a": {"from": ['a"b', "b"]}})
    assert keys_of(of) == ["b"]
    agrees(raw([b'{"a"b":1}', b'{"a\\"b":1}', b'{"b":1}', b'{"b":1,"a\\"b":2}']), of)


def test_a_path_is_a_key_too() -> None:
    of = stream({"a": {"from": ["user.id", "b[0]"]}, "b": {"from": "user"}, "c": {"from": "b"}})
    lines = [b'{"user.id":1}', b'{"user":1}', b'{"b[0]":1}', b'{"b":1}', b'{"user":{"id":2}}', b'{"b":[3]}']
    assert scanned_rows(raw(lines), of) == [0, 1, 2, 3]
    agrees(raw(lines), of)


# CSV

PLAIN_RECORDS = (
    b"x,y,z",
    b'"x, y",,"z"',
    b'"",,',
    b",,",
    'é,"😀 and more than twelve",€'.encode(),
    b"{}, ,'",
)
ODD_RECORDS = (
    b"",
    b"x",
    b"x,y",
    b"x,y,z,more",
    b'"x"",y,z',
    b'"x""y",y,z',
    b'x"y,y,z',
    b'"x"y,y,z',
    b'"x,y,z',
    b'x,y,"',
    b"x,\x00,z",
    b"x,\xff,z",
    b"x,\r,z",
    b"x,\xed\xa0\x80,z",
)
CSV_COLUMNS: dict[str, Any] = {
    "a": {"nullable": True},
    "both": {"join": ["a", "b"], "nulls": ["x"]},
    "c": {"from": ["c", "a"], "trim": True},
}
HEADER = b"a,b,c"


@pytest.mark.parametrize("extra_columns", ["keep", "drop", "reject"])
def test_plain_records_are_read_and_odd_ones_are_not(extra_columns: str) -> None:
    every = [line for odd in ODD_RECORDS for line in (odd, *PLAIN_RECORDS)]
    rows, of = raw(every, HEADER), stream(CSV_COLUMNS, extra_columns, format="csv")
    assert scanned_rows(rows, of) == [row for row, line in enumerate(every) if line in PLAIN_RECORDS]
    agrees(rows, of)


CELL = st.text("abé😀\\ '\"{}\t;\x7f", max_size=14) | st.sampled_from(["", " ", "x" * 12, "x" * 13])
CELLS = (CELL | CELL.map('"{}"'.format) | st.just('","') | st.just('"\t"')).map(str.encode)
OPTIONS: dict[str, dict[str, Any]] = {
    "commas": {},
    "semicolons": {"separator": ";"},
    "tabs": {"separator": "\t"},
    "other quotes": {"quote": "'"},
    "no quotes": {"quote": None},
    "more fields": {"extra_fields": "keep", "missing_fields": "null"},
    "any line end": {"line_end": "auto"},
    "escapes": {"escape": "\\"},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("extra_columns", ["keep", "drop"])
@settings(max_examples=40)
@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=12), st.sampled_from([*ODD_RECORDS, *PLAIN_RECORDS]))
def test_with_the_scanner_records_are_parsed_as_without(
    name: str, extra_columns: str, cells: list[list[bytes]], odd: bytes
) -> None:
    of = stream({"a": CSV_COLUMNS["a"], "c": CSV_COLUMNS["c"]}, extra_columns, format="csv", **OPTIONS[name])
    separator = str(of.source.separator).encode()
    payloads = [separator.join(each) for each in cells] + [odd.replace(b",", separator)]
    agrees(raw(payloads, separator.join([b"a", b"b", b"c"])), of)


def test_records_under_several_headers_or_a_wrong_one_are_left() -> None:
    of = stream(CSV_COLUMNS, format="csv")
    rows = pl.concat([raw([b"x,y,z"], HEADER), raw([b"x,y,z"], b"c,b,a")])
    assert scanned_rows(rows, of) == []
    agrees(rows, of)
    assert scanned_rows(raw([b"x,y"], b"a,a"), of) == []
    agrees(raw([b"x,y"], b"a,a"), of)
