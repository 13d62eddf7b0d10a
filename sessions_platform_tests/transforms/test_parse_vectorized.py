"""The vectorized parser gives what the row parser gives, to the last character."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.text_records import lines as cut_lines
from sessions_platform.transforms.parse import cut_lines as cutting
from sessions_platform.transforms.parse import parse as parsing
from sessions_platform.transforms.parse import tokens, vectorized
from sessions_platform.transforms.parse.parse import parse_and_observe
from sessions_platform.transforms.parse.row_parser import parse_rows
from sessions_platform.transforms.parse.vectorized import read_vectorized
from sessions_platform.transforms.schema_drift import RowSignature, observed_schema_of
from sessions_platform.transforms.stretches import ROWS


@pytest.fixture(autouse=True, scope="module")
def small_blocks_too() -> Iterator[None]:
    """No block is too small to be vectorized, or to be divided into parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectorized, "MIN_ROWS", 1)
        patch.setattr(parsing, "_PART_ROWS", 5)
        yield


COLUMNS: dict[str, dict[str, Any]] = {
    "a": {},
    "user_id": {"from": ["user.id", "b", "a"]},
    "both": {"join": ["b", "c"]},
    "below": {"from": ["user.more.x", "c.d", "e"]},
}


def stream(columns: dict[str, Any], extra_columns: str = "keep", **source: Any) -> Stream:
    options = {"files": "*", "format": "ndjson", **source}
    return Stream.model_validate(
        {"name": "web", "start": "2026-01-01", "source": options, "columns": columns, "extra_columns": extra_columns}
    )


def raw(payloads: list[bytes], header: bytes | None = None) -> pl.DataFrame:
    file = ("2026-01-01", "a.ndjson")
    rows = [(*file, n, None, payload, b"\n", header, None) for n, payload in enumerate(payloads, start=1)]
    return pl.DataFrame(rows, schema=RAW_EVENTS, orient="row")


def agrees(rows: pl.DataFrame, of: Stream) -> None:
    columns, signatures = parse_rows(rows, of)
    for scanner in ("on", "off"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SESSIONS_SCANNER", scanner)
            _agrees(rows, of, columns, signatures)


def _agrees(rows: pl.DataFrame, of: Stream, columns: pl.DataFrame, signatures: list[RowSignature]) -> None:
    parsed, observed = parse_and_observe(rows, of)
    expected = observed_schema_of(signatures, of)
    assert parsed.select(*RAW_EVENTS).equals(rows)
    assert parsed.drop(*RAW_EVENTS, ROWS).schema == columns.schema
    assert parsed.drop(*RAW_EVENTS, ROWS).rows() == columns.rows()
    assert observed == expected
    assert [(path, list(types)) for path, types in observed.fields.items()] == [
        (path, list(types)) for path, types in expected.fields.items()
    ]


def vectorized_rows(payloads: list[bytes], of: Stream, header: bytes | None = None) -> list[int]:
    """The numbers of the rows that templates read, and that are not left to the row parser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SESSIONS_SCANNER", "off")
        return sorted(chain.from_iterable(part.rows.tolist() for part in read_vectorized(raw(payloads, header), of)))


# JSON

NUMBERS = re.split(
    " ",
    "0 -0 1 -1 10 01 1.0 -1.0 0.0 -0.0 1.10 1.1 0.1 0.10 10.5 100.0 1e5 1E2 1e-7 1e400 -1e400 0.0001 0.00001 0.00012 "
    "123456789012345678 1234567890123456789 12345678901234567890 99999999999999.9 999999999999999.9 0.12345678901234 "
    "0.1234567890123456 1234567890123456.5 "
    "9.62345678901234 9.631701701925027 9.912381323017539 .5 5. +1 - 1_0 NaN Infinity nul nulll TRUE True 0x1 1.5.5",
)
texts = st.text('aé😀/\x7f\u2028 \0\t\n\r"\\:,{}[]null01.', max_size=5) | st.sampled_from(["x" * 12, "x" * 13, "é" * 9])
plain_texts = st.text("abé😀/\x7f :,{}[]", max_size=14)
scalars = st.sampled_from(["null", "true", "false", *NUMBERS, *["0", "1", "-7", "2.5", "0.25", "100.75"]])
keys = st.sampled_from(["a", "b", "c", "c.d", "e", "user", "user.id", "id", "more", "x", "é", "", "a b"])


def dumped(text: str, ascii_only: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)


spelled_out = st.builds(dumped, plain_texts, st.just(False))
strings = spelled_out | st.builds(dumped, texts, st.booleans())
raw_strings = st.builds('"{}"'.format, texts)  # mostly with characters that JSON forbids
values = st.recursive(
    strings | scalars | raw_strings,
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: ("[", "]", items))
        | st.lists(st.tuples(keys, inner), max_size=3).map(lambda items: ("{", "}", items))
    ),
    max_leaves=4,
)


def written(value: Any, comma: str, colon: str) -> str:
    if isinstance(value, str):
        return value
    opening, closing, items = value
    parts = [
        written(item, comma, colon)
        if opening == "["
        else f"{dumped(item[0], False)}{colon}{written(item[1], comma, colon)}"
        for item in items
    ]
    return f"{opening}{comma.join(parts)}{closing}"


@st.composite
def json_lines(draw: st.DrawFn) -> list[bytes]:
    """Rows of a few structures, several of each with other values, some of them broken somewhere."""
    lines: list[bytes] = []
    for _ in range(draw(st.integers(1, 3))):
        comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",", ":\t")]))
        start, end = draw(st.sampled_from([("", ""), ("", ""), (" ", ""), ("", " "), ("", "\r"), ("\ufeff", "")]))
        names = draw(st.lists(keys, max_size=5, unique=draw(st.booleans())))
        strategies = [draw(st.sampled_from([spelled_out, scalars, strings, values])) for _ in names]
        for _ in range(draw(st.integers(1, 5))):
            fields = [(name, draw(strategy)) for name, strategy in zip(names, strategies, strict=True)]
            lines.append(f"{start}{written(('{', '}', fields), comma, colon)}{end}".encode())
    return draw(st.permutations([*lines, *(draw(broken(line)) for line in lines[: draw(st.integers(0, 3))])]))


@st.composite
def broken(draw: st.DrawFn, line: bytes) -> bytes:
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(start + 3, len(line))))
    return (
        line[:start]
        + draw(st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b",", b"{", b"}", b":", b"1"]))
        + line[end:]
    )


@given(json_lines(), st.sampled_from(["keep", "drop", "reject"]), st.sampled_from(["ndjson", "parquet"]))
def test_json_rows(lines: list[bytes], extra_columns: str, form: str) -> None:
    agrees(raw(lines), stream(COLUMNS, extra_columns, format=form))


@given(json_lines(), st.sampled_from(["latin-1", "ascii"]))
def test_json_rows_of_other_encodings(lines: list[bytes], encoding: str) -> None:
    agrees(raw(lines), stream(COLUMNS, encoding=encoding))


@given(
    st.lists(scalars | strings, min_size=1, max_size=6),
    st.sampled_from(['{{"a":{}}}', '{{"user": {{"id": {}, "z": 1}}}}']),
)
def test_each_value_alone(written_values: list[str], line: str) -> None:
    agrees(raw([line.format(value).encode() for value in written_values]), stream(COLUMNS))


_BYTES = [bytes([byte]) for byte in b'"\\{}[]:, \t\0\r019.-eEnx\x7f\xc3\xa9']


def with_one_byte_changed(line: bytes) -> list[bytes]:
    """The line, and all lines that one deletion, insertion or replacement of a byte makes of it."""
    at_each = range(len(line) + 1)
    deletions = [line[:at] + line[at + 1 :] for at in at_each]
    insertions = [line[:at] + byte + line[at:] for at in at_each for byte in _BYTES]
    replacements = [line[:at] + byte + line[at + 1 :] for at in at_each for byte in _BYTES]
    return [line, *deletions, *insertions, *replacements]


@pytest.mark.parametrize(
    "line",
    [
        '{"a":"x","b":12}',
        '{"b": 1.5 , "a": "é" }',
        '{"user":{"id":"","z":0.001},"c":true}',
        '{"z":["q",{"y":null}],"e":"longer than twelve"}',
        '{"longer than twelve":"é","x":[{"id":7}],"c.d":null}',
    ],
)
def test_lines_that_differ_in_one_byte(line: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_PART_ROWS", 10_000)
        agrees(raw(with_one_byte_changed(line.encode())), stream(COLUMNS))


@pytest.mark.parametrize(
    ("number", "is_vectorized"),
    [
        pytest.param("9.63170170192502", True, id="fifteen digits and a point, which any double preserves"),
        pytest.param("9.631701701925027", True, id="sixteen, of which a double changes the last"),
        pytest.param("-0.1234567890123456789012345", True, id="more than a double has"),
        pytest.param("1.10", True, id="a trailing zero"),
        pytest.param("1e5", False, id="an exponent"),
        pytest.param(f"0.{255 * '1'}", False, id="too many digits to be searched"),
        pytest.param("123456789012345678", True, id="a whole number of eighteen digits"),
        pytest.param("1234567890123456789", False, id="and one more"),
    ],
)
def test_a_number_is_read_vectorized_if_the_row_parser_writes_the_same(number: str, is_vectorized: bool) -> None:
    of = stream(COLUMNS)
    line = f'{{"a":{number}}}'.encode()
    assert vectorized_rows([line], of) == ([0] if is_vectorized else [])
    agrees(raw([line, b'{"a":1}', line]), of)


# Paths

PATHS: dict[str, dict[str, Any]] = {
    "a": {"from": ["a[0]", "a[-1].b", 'a."c.d"']},
    "b": {"from": ["b[a=x].c", "b[1][0]", "user.(id|a)"]},
    "c": {"join": ["c[0]", "c[1]"]},
}


@given(json_lines(), st.sampled_from(["keep", "drop", "reject"]), st.booleans())
def test_paths_into_lists(lines: list[bytes], extra_columns: str, matches: bool) -> None:
    columns = PATHS if matches else {**PATHS, "b": {}}
    agrees(raw(lines), stream(columns, extra_columns))


def test_an_item_of_a_list_is_vectorized_and_a_match_is_not() -> None:
    lines = [b'{"a":["%d","x"],"b":"y"}' % n for n in range(3)]
    assert vectorized_rows(lines, stream({"a": {"from": "a[0]"}})) == [0, 1, 2]
    assert vectorized_rows(lines, stream({"a": {"from": "a[b=x].c"}})) == []


# JSON within texts

WITHIN: dict[str, dict[str, Any]] = {
    "a": {"from": ["json:a.b", "json:a[0]", "c"]},
    "b": {"from": "user.json:b.json:a"},
    "c": {"join": ["json:c", "b"], "trim": True},
}
json_texts = st.one_of(values.map(lambda value: written(value, ",", ":")), st.text('{}[]"ab:,1 ', max_size=6))


@given(st.lists(st.tuples(json_texts, values), max_size=6), st.sampled_from(["keep", "drop", "reject"]))
def test_paths_into_json_within_texts(rows: list[tuple[str, Any]], extra_columns: str) -> None:
    lines = []
    for text, value in rows:
        inner = dumped(f'{{"a":{text},"b":{text}}}', True)
        lines.append(f'{{"a":{inner},"c":{written(value, ",", ":")},"user":{{"b":{dumped(text, False)}}}}}'.encode())
    agrees(raw(lines), stream(WITHIN, extra_columns))


@given(st.lists(st.tuples(json_texts, plain_texts), max_size=6))
def test_paths_into_json_within_csv_fields(rows: list[tuple[str, str]]) -> None:
    agrees(raw(["\t".join(row).encode() for row in rows], b"a\tc"), stream(WITHIN, format="csv", separator="\t"))


# Cleaned texts

CLEANED: dict[str, dict[str, Any]] = {
    "a": {"trim": True, "nulls": ["-", "true", "7"]},
    "user_id": {"from": ["b", "a", "c"], "case": "lower"},
    "both": {"join": ["b", "c"], "nulls": ["0", "x"]},
    "other": {"from": ["c", "a"], "trim": True, "case": "lower", "unicode": "NFC", "nulls": []},
}
# The texts are those that rules look at: white space of several kinds, letters of several spellings, texts in `nulls`.
cleaned_texts = st.text(" \u00a0\u3000\u1680\x85aAÉéΣİ\u0301-x", max_size=4) | st.sampled_from(
    ["", " ", "-", "x", "- ", "data:;base64,QQ=="]
)
cleaned_values = st.builds(dumped, cleaned_texts, st.just(False)) | st.sampled_from(["0", "7", "1.5", "true", "null"])
rows_to_clean = st.lists(st.lists(cleaned_values, min_size=3, max_size=3), min_size=1, max_size=8)


@given(rows_to_clean, st.booleans())
def test_cleaned_json_rows(rows: list[list[str]], has_all: bool) -> None:
    names = ["a", "b", "c"][: 3 if has_all else 2]
    lines = [written(("{", "}", list(zip(names, row, strict=False))), ",", ":").encode() for row in rows]
    of = stream(CLEANED, nulls=["-", "(not set)"])
    assert vectorized_rows(lines, of) == list(range(len(lines)))
    agrees(raw(lines), of)


@given(st.lists(st.tuples(cleaned_texts, cleaned_texts, cleaned_texts), max_size=8))
def test_cleaned_csv_records(rows: list[tuple[str, str, str]]) -> None:
    agrees(raw([",".join(row).encode() for row in rows], b"a,b,c"), stream(CLEANED, format="csv", nulls=["-"]))


# Texts that are decoded, split and extracted from

PARTS: dict[str, dict[str, Any]] = {
    "a": {"decode": "percent", "nulls": ["-"], "trim": True},
    "user_id": {"from": ["b", "a"], "decode": "haproxy", "split": {"separator": "|", "part": 1}},
    "both": {"join": ["a", "b"], "decode": "nginx"},
    "twice": {"from": ["a", "b"], "decode": "percent_twice", "extract": "[a-c%]+"},
    "form": {"from": "b", "decode": "plus", "split": {"separator": ",", "part": -1}, "case": "lower"},
    "last": {"from": ["b", "a"], "decode": "backslash", "split": {"separator": "b", "part": 0}, "extract": "a(.)"},
    "spelled": {"from": ["b", "a"], "decode": "morgan", "nulls": ["-"], "default": "none"},
    "agent": {"from": "b", "decode": "gunicorn", "default": "none"},
    "quoted": {"from": "b", "decode": "quotes"},
    "plain": {"from": "a", "default": "none"},
    "absent": {"default": "none"},
}
part_pieces = r"a b C , | - + é %41 %C3%A9 %C3 %00 %25 %2 %zz #7C #23 #E9 { } \ \xC3 \xA9 \x00 \n \0 %%34%31 \" Ã ©"
part_texts = st.lists(st.sampled_from([*part_pieces.split(" "), " ", "data:;base64,"]), max_size=4).map("".join)
LATIN = {"invalid_utf8": "latin-1"}


@given(st.lists(st.tuples(part_texts, part_texts), max_size=8), st.sampled_from([{}, LATIN]))
def test_parts_of_csv_fields(rows: list[tuple[str, str]], source: dict[str, str]) -> None:
    agrees(
        raw(["\t".join(row).encode() for row in rows], b"a\tb"), stream(PARTS, format="csv", separator="\t", **source)
    )


@given(st.lists(st.tuples(part_texts, part_texts), max_size=8))
def test_parts_of_json_strings(rows: list[tuple[str, str]]) -> None:
    agrees(raw([f'{{"a":{dumped(a, False)},"b":{dumped(b, True)}}}'.encode() for a, b in rows]), stream(PARTS))


def test_a_row_whose_escapes_are_no_text_is_left_to_the_row_parser_and_no_other() -> None:
    lines = [b'{"a":"%41"}', b'{"a":"%C3%A9"}', b'{"a":"%C3"}', b'{"a":"x"}', b'{"a":"%00"}']
    assert vectorized_rows(lines, stream({"a": PARTS["a"]})) == [0, 1, 3]


def test_a_column_leaves_the_texts_of_others_as_they_are() -> None:
    columns: dict[str, Any] = {"a": {"unicode": "NFC"}, "b": {"from": "a"}, "c": {"from": "a", "decode": "plus"}}
    agrees(raw(['{"a":"e\u0301+"}'.encode()] * 2), stream({**columns, "d": {"from": "a"}}))


# Which rows are vectorized


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"a":"x","b":1,"c":2.5,"e":null,"more":true}', id="values"),
        pytest.param('{"a": "é😀", "b": -7}', id="spaces"),
        pytest.param('{"user":{"id":"u","more":{"x":0.0001},"plan":null},"z":{"q":[{"a":""}],"r":{}}}', id="objects"),
        pytest.param('{"b":123456789012345678,"c":99999999999999.9}', id="long numbers"),
    ],
)
@pytest.mark.parametrize("extra_columns", ["keep", "drop"])
def test_simple_json_is_vectorized(line: str, extra_columns: str) -> None:
    of = stream(COLUMNS, extra_columns)
    assert vectorized_rows([line.encode(), b"{", line.encode()], of) == [0, 2]
    agrees(raw([line.encode()] * 3), of)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(rb'{"a":"\/"}', id="an escape"),
        pytest.param(b'{"a":"x\x1fy"}', id="a control character"),
        pytest.param(b'{"a":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"a":"x","a":"y"}', id="a key that occurs twice"),
        pytest.param(b'{"z":{"y":1,"y":2}}', id="also below"),
        pytest.param(b'{"a":1.0e2}', id="a number with an exponent"),
        pytest.param(b'{"a":-0}', id="a negative zero, which is read as 0"),
        pytest.param(b'{"a":%s}' % (b"9" * 4301), id="a number of too many digits"),
        pytest.param(b'{"a":{"b":1}}', id="a column with an error"),
        pytest.param(b'{"a":[],"b":"x"}', id="an error in one of several columns"),
        pytest.param(b"{}", id="no fields"),
        pytest.param(b"[1]", id="no object"),
    ],
)
def test_what_is_not_simple_is_left_to_the_row_parser(line: bytes) -> None:
    of = stream(COLUMNS)
    assert vectorized_rows([line], of) == []
    agrees(raw([line, b'{"a":"x"}', b'{"a":1}', line]), of)


@pytest.mark.parametrize("lines", [[b"a,b,c", b"a"], [b"a", b"a,b,c"], [b"a,b,c", b"a", b"a,b"]])
def test_records_of_other_lengths_are_not_confused(lines: list[bytes]) -> None:
    of = stream(COLUMNS, format="csv")
    assert vectorized_rows(lines, of, b"a,b") == [at for at, line in enumerate(lines) if line == b"a,b"]
    agrees(raw(lines, b"a,b"), of)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b'{"a":"\xff, and longer than twelve"}', id="no UTF-8"),
        pytest.param(b'{"a":"\xc3', id="half a character"),
        pytest.param(b'{"a":"\x01, and longer than twelve"}', id="a control character"),
        pytest.param(b'{"a":"\x01"}', id="one in a short row"),
        pytest.param(b'{"a":"one\nmore"}', id="a newline"),
        pytest.param(b'{"a":"\n"}', id="one in a short row too"),
        pytest.param(rb'{"a":"x\\"}', id="a backslash"),
        pytest.param(b'{"a":"x"', id="a missing end"),
        pytest.param(b'{"a":x"}', id="a missing quote"),
        pytest.param(b'{"a":"x""}', id="an additional quote"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_one_bad_row_does_not_keep_the_others_from_being_vectorized(bad: bytes) -> None:
    good = [b'{"a":"%s"}' % (b"\xc3\xa9" * n) for n in range(12)]
    lines = [*good[:7], bad, *good[7:]]
    assert vectorized_rows(lines, stream(COLUMNS)) == [row for row, line in enumerate(lines) if line != bad]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_PART_ROWS", 10_000)
        agrees(raw(lines), stream(COLUMNS))


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_long_rows_are_left_to_the_row_parser(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("SESSIONS_SCANNER", "off")
    monkeypatch.setattr(tokens, "LONGEST_ROW", 12)
    lines = [b'{"a":"1234"}', b'{"a":"12345"}'] if form == "ndjson" else [b"1234567890,2", b"1234567890,23"]
    assert vectorized_rows(lines, stream(COLUMNS, format=form), b"a,b") == [0]
    agrees(raw(lines, b"a,b"), stream(COLUMNS, format=form))


def test_rows_that_are_views_of_one_buffer_are_read_like_separate_ones() -> None:
    """As the reader makes them, with line terminators between the rows; also a slice of them."""
    good = [b'{"a":"%d","b":%s}' % (n, [b"null", b"1", b"2.50"][n % 3]) for n in range(30)]
    for end in (b"\n", b"\r\n", b"\x01\n", b"\xff\n"):
        payloads = next(cut_lines(b"".join(line + end for line in good))).payloads
        rows = raw([b""] * len(payloads)).with_columns(payload=payloads)
        agrees(rows, stream(COLUMNS))
        agrees(rows[7:21], stream(COLUMNS))


def test_a_scalar_does_not_share_characters_with_its_literals() -> None:
    lines = [b'{"b": 1 , "a":"x"}', b'{"b": , "a":"x"}']
    assert vectorized_rows(lines, stream(COLUMNS)) == [0]
    agrees(raw(lines), stream(COLUMNS))


def test_another_encoding_is_not_taken_for_utf8() -> None:
    lines = ['{"a":"é"}'.encode()] * 3
    assert vectorized_rows(lines, stream(COLUMNS, encoding="latin-1")) == []
    assert vectorized_rows(lines, stream(COLUMNS, encoding="latin-1", format="parquet")) == [0, 1, 2]
    agrees(raw(lines), stream(COLUMNS, encoding="latin-1"))


def test_rows_of_several_structures_keep_their_order() -> None:
    lines = [b'{"a":"%d","b":%s}' % (n, [b"1", b"null", b'"x"', b"2.5"][n % 4]) for n in range(40)]
    assert vectorized_rows(lines, stream(COLUMNS)) == list(range(40))
    agrees(raw(lines), stream(COLUMNS))


def test_a_slice_of_a_frame_is_read_like_a_frame() -> None:
    rows = raw([b'{"a":"%s"}' % (b"x" * n) for n in range(40)])
    agrees(rows[7:31], stream(COLUMNS))
    agrees(pl.concat([rows[7:9], rows[20:25], rows[:3]]), stream(COLUMNS))


# CSV

fields = st.text('ab;,"\r\n\0\\\t é😀\x7f', max_size=4) | st.sampled_from(
    ["", "", "x" * 13, '"a,b"', '"x"', '""', '"a""b"', '"', "1"]
)


@st.composite
def records(draw: st.DrawFn) -> tuple[list[bytes], bytes | None]:
    names = draw(st.lists(st.sampled_from(["a", "b", "c", "c.d", "user.id", "é", "x y"]), min_size=1, max_size=5))
    lines = [
        draw(st.sampled_from([",", ",", ",", ";", " ", "\t "])).join(
            draw(st.lists(fields, min_size=width, max_size=width))
        )
        for width in draw(st.lists(st.sampled_from([len(names)] * 5 + [0, 1, len(names) + 1]), max_size=12))
    ]
    header = draw(st.sampled_from([",".join(names).encode()] * 6 + [None, b"", b"a,b\xff", b'"a","b"', b"a,a"]))
    return [draw(st.sampled_from([line.encode()] * 9 + [line.encode("latin-1", "replace")])) for line in lines], header


CSV_OPTIONS: list[dict[str, Any]] = [
    {},
    {"quote": None},
    {"separator": ";"},
    {"quote": "'"},
    {"separator": "é"},
    {"quote": ","},
    {"escape": "\\"},
    {"escape": "\\", "quote": None, "line_end": "auto"},
    {"separator": "whitespace"},
    {"separator": "whitespace", "quote": None, "escape": "a"},
    {"line_end": "auto"},
    {"extra_fields": "keep"},
    {"missing_fields": "null"},
    {"extra_fields": "keep", "missing_fields": "null", "separator": "whitespace"},
]


@given(
    records(),
    st.sampled_from(["keep", "drop", "reject"]),
    st.sampled_from(CSV_OPTIONS),
    st.sampled_from(["utf-8", "utf-8", "latin-1"]),
)
def test_csv_records(
    drawn: tuple[list[bytes], bytes | None], extra_columns: str, source: dict[str, Any], encoding: str
) -> None:
    agrees(raw(*drawn), stream(COLUMNS, extra_columns, format="csv", encoding=encoding, **source))


@given(st.lists(records(), min_size=2, max_size=3))
def test_records_under_several_headers(files: list[tuple[list[bytes], bytes | None]]) -> None:
    rows = pl.concat([raw(lines, header) for lines, header in [*files, files[0]]])
    agrees(rows, stream(COLUMNS, format="csv"))


@given(records(), st.sampled_from([["a", "b"], ["b"], ["user.id", "c.d", "é"]]))
def test_records_of_listed_names(drawn: tuple[list[bytes], bytes | None], names: list[str]) -> None:
    agrees(raw(drawn[0]), stream(COLUMNS, format="csv", header=names))


@given(records(), st.sampled_from(["\t", "\x01", "\x1f"]), st.sampled_from(['"', None]))
def test_records_between_control_characters(
    drawn: tuple[list[bytes], bytes | None], separator: str, quote: Any
) -> None:
    header, *lines = [line.replace(b",", separator.encode()) for line in (drawn[1] or b"a", *drawn[0])]
    agrees(raw(lines, header), stream(COLUMNS, format="csv", separator=separator, quote=quote))


def test_tsv_is_vectorized_where_fields_become_properties() -> None:
    lines = [b"1\t2\t3", b'"1"\t"2"\t3', b"1\t2\x01\t3", b'1\t2\t"3\t3"']
    assert vectorized_rows(lines, stream(COLUMNS, format="csv", separator="\t"), b"a\tb\tz") == [0, 1]
    agrees(raw(lines, b"a\tb\tz"), stream(COLUMNS, format="csv", separator="\t"))


def test_simple_csv_is_vectorized() -> None:
    lines = [b"x,,1", b"", b"1,2", b'"x",y,z', b"\xff,,", b"a,b,c", b"a\0,b,c", b"a\r,b,c", b"\\,\t,\x01"]
    assert vectorized_rows(lines, stream(COLUMNS, format="csv"), b"a,user.id,b") == [0, 3, 5, 8]
    assert vectorized_rows(lines, stream(COLUMNS, format="csv"), b"a,b,z") == [0, 3, 5]
    agrees(raw(lines, b"a,user.id,b"), stream(COLUMNS, format="csv"))
    agrees(raw(lines, b"a,b,z"), stream(COLUMNS, format="csv"))


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"escape": "\\"}, [0, 1]),
        ({"extra_fields": "keep"}, [0, 1, 2, 6]),
        ({"missing_fields": "null"}, [0, 1, 3, 4, 5]),
        ({"separator": "whitespace"}, [5]),
        ({"line_end": "auto"}, [0, 1, 4]),
    ],
)
def test_what_is_vectorized_of_other_kinds_of_csv(options: dict[str, Any], rows: list[int]) -> None:
    lines = [b"x,y", b'"x","y"', b"x,y,z", b"x", b"\\,y", b" x  y ", b"x,y,", b'"x" y', b"x\n,y"]
    of = stream(COLUMNS, format="csv", **options)
    header = b"a b" if "separator" in options else b"a,b"
    lines = lines if "line_end" in options else lines[:-1]
    assert vectorized_rows(lines, of, header) == rows
    agrees(raw(lines, header), of)


@pytest.mark.parametrize(
    ("line", "is_vectorized"),
    [
        (b'"a","b"', True),
        (b'"",""', True),
        (b'x,"y"', True),
        (b'"x,y",', True),
        (b',"x,,y"', True),
        (b'x",y"', False),
        (b'"x"y,z', False),
        (b'y,"x"z', False),
        (b'"x" ,z', False),
        (b'"x""y",z', False),
        (b'"x,y', False),
        (b'"x\ny",z', False),
        (b'"x",z\n', False),
        (b'"x\0y",z', False),
        (b'"x\r",z', False),
        (b'"x"",z"', False),
    ],
)
@pytest.mark.parametrize("names", [b"a,b", b"a,z"])
def test_quotes_around_whole_fields_are_vectorized(line: bytes, is_vectorized: bool, names: bytes) -> None:
    of = stream(COLUMNS, format="csv")
    assert vectorized_rows([b"x,y", line], of, names) == [0, 1][: 1 + is_vectorized]
    agrees(raw([b"x,y", line, line], names), of)


def test_the_row_that_stands_for_a_corrupt_rest_is_not_parsed() -> None:
    rows = raw([b'{"a":"x"}', b'{"a":"y"}']).with_columns(corrupt_reason=pl.Series([None, "cut off"]))
    agrees(rows, stream(COLUMNS))
    agrees(rows.with_columns(header=pl.lit(b"a")), stream(COLUMNS, format="csv"))


@pytest.mark.parametrize("quote", ['"', None])
def test_records_that_differ_in_one_byte(quote: str | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_PART_ROWS", 10_000)
        for line in ("é,longer than twelve,,x", 'é,"longer, than",,"x"'):
            lines = with_one_byte_changed(line.encode())
            agrees(raw(lines, b"a,b,c,user.id"), stream(COLUMNS, format="csv", quote=quote))


def test_a_character_does_not_begin_in_one_row_and_end_in_the_next() -> None:
    lines = [b"a,x\xc3", b"\xa9,x", b"a,b"]
    assert vectorized_rows(lines, stream(COLUMNS, format="csv"), b"a,b") == [2]
    agrees(raw(lines, b"a,b"), stream(COLUMNS, format="csv"))


# Lines with named groups

PATTERN = r'(?P<a>[^ ]*) (?P<b>\S+)? "(?P<c>(?:[^"\\]|\\.)*)"(?: (?P<e>.*))?'
line_parts = st.sampled_from(
    [
        b"x",
        b" ",
        b'"',
        b"\\",
        b"-",
        b"\0",
        b"\t",
        b"\r",
        b"\xff",
        b"\xc3\xa9",
        b"\xf4\x8f\xbe\x81",
        b'a b "c" e',
        b'- x "" ',
    ]
)
log_lines = st.lists(st.lists(line_parts, max_size=5).map(b"".join), max_size=8)
GROUPS: dict[str, dict[str, Any]] = {
    "of_file": {"type": "timestamp", "formats": ["%Y%m%d"], "from_file_name": "(x)"},
    "a": {"nulls": ["-"]},
    "user_id": {"from": ["b", "a"]},
    "both": {"join": ["a", "c"]},
}


@given(log_lines, st.sampled_from(["keep", "drop", "reject"]), st.sampled_from(["reject", "latin-1"]))
def test_lines_with_named_groups(lines: list[bytes], extra_columns: str, invalid_utf8: str) -> None:
    of = stream(GROUPS, extra_columns, format="regex", pattern=PATTERN, invalid_utf8=invalid_utf8)
    agrees(raw(lines), of)


def test_lines_that_the_pattern_matches_are_vectorized() -> None:
    lines = [
        b'a b "c" e',
        b'a  "c"',
        b"",
        b"a b",
        b'a\0 b "c"',
        b'\xff b "c"',
        b'" b "c" e',
        b'a b "c" "',
        b'a b "c" \\',
    ]
    of = {name: stream(GROUPS, name, format="regex", pattern=PATTERN) for name in ("keep", "drop")}
    assert vectorized_rows(lines, of["drop"]) == [0, 1, 6, 7, 8]
    assert vectorized_rows(lines, of["keep"]) == [0, 1, 6]
    for each in of.values():
        agrees(raw(lines * 3), each)


# W3C

w3c_fields = st.sampled_from(["-", "", "x", "é", '"a', '"a b"', '""', "\\", "\x01", "x" * 13, "#", "\0", '"-"'])


@st.composite
def w3c_rows(draw: st.DrawFn) -> pl.DataFrame:
    """Rows under one of several directives, or none."""
    parts = []
    for names in draw(
        st.lists(st.sampled_from([b" a b c", b" a user.id b", b"", b" a a", b" \xff", None]), min_size=1, max_size=3)
    ):
        lines = [
            draw(st.sampled_from(["\t", " ", " "])).join(draw(st.lists(w3c_fields, min_size=width, max_size=width)))
            for width in draw(st.lists(st.sampled_from([3, 3, 3, 0, 1, 4]), max_size=5))
        ]
        parts.append(raw([line.encode() for line in lines], None if names is None else b"#Fields:" + names))
    return pl.concat(parts)


@settings(max_examples=40)
@given(w3c_rows(), st.sampled_from(["keep", "drop", "reject"]))
def test_w3c_rows(rows: pl.DataFrame, extra_columns: str) -> None:
    agrees(rows, stream(COLUMNS, extra_columns, format="w3c"))


def test_w3c_lines_without_quotes_are_vectorized() -> None:
    lines = [b"x - 1", b"x\t\ty z", b'x "y" z', b"#x y z", b"x y", b"", b"x y \\", b"x\0y z a"]
    of = {name: stream(COLUMNS, name, format="w3c") for name in ("keep", "drop")}
    header = b"#Fields: a b z"
    assert vectorized_rows(lines, of["drop"], header) == [0, 1, 6]
    assert vectorized_rows(lines, of["keep"], header) == [0, 1]
    for each in of.values():
        agrees(raw(lines * 3, header), each)


def test_lines_under_many_directives_are_left_to_the_row_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_MOST_DIRECTIVES", 2)
    rows = pl.concat([raw([b"x y"], b"#Fields: a b%d" % number) for number in (1, 2, 1, 3)])
    of = stream(COLUMNS, format="w3c")
    assert sorted(chain.from_iterable(part.rows.tolist() for part in read_vectorized(rows, of))) == [0, 1, 2]
    agrees(rows, of)
