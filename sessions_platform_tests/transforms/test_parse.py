"""From payloads to columns of text: what is read, what becomes properties, and what is rejected."""

import csv
import io
import json
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejection_reasons import VALUE_SHOWN
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.json_objects import DEEPEST
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.stretches import ROWS


def stream(columns: dict[str, Any], extra_columns: str = "keep", **source: Any) -> Stream:
    return Stream.model_validate(
        {
            "name": "web",
            "start": "2026-01-01",
            "source": {"files": "*", "format": "ndjson", **source},
            "columns": columns,
            "extra_columns": extra_columns,
        }
    )


A = stream({"a": {}})
CSV = stream({"a": {}}, format="csv")
FILE = ("2026-01-01", "a.ndjson")


def raw(*payloads: bytes | str, header: bytes | None = None, corrupt_reason: str | None = None) -> pl.DataFrame:
    rows = [
        (*FILE, position, None, text.encode() if isinstance(text, str) else text, b"\n", header, corrupt_reason)
        for position, text in enumerate(payloads, start=1)
    ]
    return pl.DataFrame(rows, schema=RAW_EVENTS, orient="row")


def parsed(payload: bytes | str, of: Stream, header: bytes | None = None) -> dict[str, Any]:
    """The columns of one row without parse errors, and its properties as an object."""
    row = parse(raw(payload, header=header), of).row(0, named=True)
    assert row["parse_errors"] == []
    return {
        **{name: row[name] for name in of.columns},
        **({"properties": json.loads(row["properties"])} if row["properties"] else {}),
    }


def parse_errors(payload: bytes | str, of: Stream, header: bytes | None = None) -> list[tuple[str, str, str]]:
    """Code, column and rule of each parse error of one row."""
    errors = parse(raw(payload, header=header), of).row(0, named=True)["parse_errors"]
    return [(error["code"], error["column"], error["rule"]) for error in errors]


def test_rows_keep_their_order_and_gain_columns() -> None:
    before = raw('{"a": "x", "b": 1}', "broken", "{}")
    after = parse(before, A)
    assert after.columns == [*RAW_EVENTS, ROWS, "a", "properties", "parse_errors"]
    assert after.select(*RAW_EVENTS).equals(before)
    assert after["a"].to_list() == ["x", None, None]
    assert after["parse_errors"].dtype == REASONS
    assert after["parse_errors"].list.len().to_list() == [0, 1, 0]


def test_no_rows_give_the_same_columns() -> None:
    assert parse(raw(), A).schema == parse(raw("{}"), A).schema


# JSON values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"x"', "x"),
        ('""', None),
        ('" \\t\\n"', None),
        ('" x "', " x "),
        ("null", None),
        ("true", "true"),
        ("false", "false"),
        ("12", "12"),
        ("-0", "0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9" * 4300, "9" * 4300),
        ("1.50", "1.50"),
        ("1E2", "1E2"),
        ("1e300", "1e300"),
        ("-0.0", "-0.0"),
        ("1e-400", "1e-400"),
        ("1234567890.1767225600", "1234567890.1767225600"),
        ("1234567890.17672256004", "1234567890.17672256004"),
        (r'"\u00e9\ud83d\ude00\/"', "é😀/"),
        (r'"\\u0000 \\ud800"', r"\u0000 \ud800"),
    ],
)
def test_a_json_value_becomes_text(value: str, text: str | None) -> None:
    assert parsed(f'{{"a": {value}}}', A) == {"a": text}


def test_of_a_key_that_occurs_twice_the_later_one_counts() -> None:
    assert parsed('{"a": "x", "a": "y"}', A) == {"a": "y"}


def test_another_encoding_is_read_as_the_stream_says() -> None:
    latin = stream({"a": {}}, encoding="latin-1")
    assert parsed('{"a": "é"}'.encode("latin-1"), latin) == {"a": "é"}
    ascii_only = stream({"a": {}}, encoding="ascii")
    assert parse_errors('{"a": "é"}', ascii_only) == [("malformed", "", "is not ASCII")]


def test_a_parquet_row_is_utf8_whatever_the_encoding() -> None:
    assert parsed('{"a": "é"}', stream({"a": {}}, format="parquet", encoding="ascii")) == {"a": "é"}


HALF = "is not one JSON object: unexpected end of escaped utf-16 surrogate pair (byte 13)"


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"", "is an empty line"),
        (b" \t\r", "is an empty line"),
        (b"[1]", "is a JSON array, no object: set format: json"),
        (b'"a"', "is a JSON string, no object"),
        (b"1", "is a JSON number, no object"),
        (b"true", "is a JSON boolean, no object"),
        (b"null", "is a JSON null, no object"),
        (b'{"a": "x', "is not one JSON object: it ends too early"),
        (b'{"a": 1} {"a": 2}', "is not one JSON object: trailing characters (byte 10)"),
        (b'{"a": NaN}', "a is NaN, which JSON does not have: set non_finite: null"),
        (b'{"a": -Infinity}', "a is -Infinity, which JSON does not have: set non_finite: null"),
        (b"{'a': 1}", "is not one JSON object: object keys must be strings (byte 1)"),
        (b'{"a": 1,}', "is not one JSON object: trailing comma in object (byte 8)"),
        (b'{"a": 01}', "is not one JSON object: invalid number (byte 7)"),
        (b'{"a": "\x00"}', "is not one JSON object: invalid character (byte 7)"),
        (b'\xef\xbb\xbf{"a": 1}', "is not one JSON object: invalid character (byte 0)"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),
        (b'\xff{"a": 1}', "is not UTF-8"),
        (b'{"a": 1e999}', "holds a number that is out of range"),
        (b'{"a": "\\ud800", "b": 1e999}', HALF),
        (b'{"a": "\\ud800", "b": NaN}', "b is NaN, which JSON does not have: set non_finite: null"),
        (b'{"a": ' + b"9" * 4301 + b"}", "holds a number that is out of range"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", f"is nested more than {DEEPEST} deep"),
        (b"[" * 100_000, f"is nested more than {DEEPEST} deep"),
    ],
)
def test_what_is_not_one_json_object_is_malformed(payload: bytes, rule: str) -> None:
    assert parse_errors(payload, A) == [("malformed", "", rule)]


def test_how_deep_a_payload_may_be_does_not_depend_on_the_caller() -> None:
    def nested(depth: int) -> str:
        return '{"a":' * depth + "1" + "}" * depth

    wanted = stream({"b": {"nullable": True}})
    assert "a" in parsed(nested(DEEPEST), wanted)["properties"]
    assert parse_errors(nested(DEEPEST + 1), wanted) == [("malformed", "", f"is nested more than {DEEPEST} deep")]
    assert parse_errors('{"a": "%s"}' % ("{" * 1000), wanted) == []


def test_a_row_that_could_not_be_read_says_why() -> None:
    row = parse(raw(b"", corrupt_reason="the file is cut off"), A).row(0, named=True)
    assert row["parse_errors"] == [
        {"code": "unreadable_file", "column": "", "rule": "the file is cut off", "value": None}
    ]


# Where columns are looked up


@pytest.mark.parametrize(
    ("column", "payload", "text"),
    [
        pytest.param({"from": "x.y"}, '{"x": {"y": 1}}', "1", id="a dot goes down"),
        pytest.param({"from": "x.y.z"}, '{"x": {"y": {"z": "deep"}}}', "deep", id="as far as it takes"),
        pytest.param({"from": "x.y"}, '{"x": {"y": 1}, "x.y": 2}', "2", id="a key with a dot in it takes precedence"),
        pytest.param({"from": "x.y"}, '{"x": {"y": 1}, "x.y": null}', None, id="even where it is null"),
        pytest.param({"from": "x.y"}, '{"x": "y"}', None, id="a scalar contains no fields"),
        pytest.param({"from": "x.0"}, '{"x": ["y"]}', None, id="nor does a list"),
        pytest.param({"from": "x[0]"}, '{"x": ["y", "z"]}', "y", id="an item of a list"),
        pytest.param({"from": "x[-1]"}, '{"x": ["y", "z"]}', "z", id="its last"),
        pytest.param({"from": "x[2]"}, '{"x": ["y", "z"]}', None, id="no item"),
        pytest.param({"from": "x[-3]"}, '{"x": ["y", "z"]}', None, id="no item from the end"),
        pytest.param({"from": "x[0]"}, '{"x": {"0": "y"}}', None, id="an object has no items"),
        pytest.param({"from": "x[0][1].y"}, '{"x": [[0, {"y": 7}]]}', "7", id="lists in lists"),
        pytest.param({"from": 'x."y.z"'}, '{"x": {"y.z": 1, "y": {"z": 2}}}', "1", id="a quoted key with a dot"),
        pytest.param({"from": '"x [0]"'}, '{"x [0]": 1}', "1", id="a quoted key with brackets"),
        pytest.param({"from": "x[0]"}, '{"x[0]": 1, "x": [2]}', "1", id="a key that is the path takes precedence"),
        pytest.param(
            {"from": "x[key=page].value"},
            '{"x": [1, {"key": "ref", "value": "r"}, {"key": "page", "value": "p"}, {"key": "page"}]}',
            "p",
            id="the first item with the text",
        ),
        pytest.param({"from": "x[k=7].v"}, '{"x": [{"k": 7, "v": 1.5}]}', "1.5", id="a number, by its text"),
        pytest.param(
            {"from": "x[key=n].value.(string|int|double)_value"},
            '{"x": [{"key": "n", "value": {"string_value": null, "int_value": 0, "double_value": 1.0}}]}',
            "0",
            id="the first of the typed values that is not null",
        ),
        pytest.param({"from": "x.y"}, '{"x": null}', None, id="nor null"),
        pytest.param({"from": ["x", "y"]}, '{"x": null, "y": 0}', "0", id="the first that is not null"),
        pytest.param({"from": ["x", "y"]}, '{"x": "", "y": "z"}', "z", id="empty text is null"),
        pytest.param({"from": ["x", "y", "z.a"]}, '{"z": {"a": "b"}}', "b", id="fallbacks may be nested"),
        pytest.param({"join": ["x", "y"]}, '{"x": "2026-01-01", "y": 10}', "2026-01-01 10", id="two are joined"),
        pytest.param({"join": ["x", "y"]}, '{"x": "2026-01-01"}', None, id="but only if both are there"),
    ],
)
def test_a_column_is_found_by_its_paths(column: dict[str, Any], payload: str, text: str | None) -> None:
    assert parsed(payload, stream({"a": column}, "drop")) == {"a": text}


@pytest.mark.parametrize(
    ("column", "payload", "user"),
    [
        pytest.param({}, '{"user_id": ""}', None, id="an empty text is null"),
        pytest.param(
            {"from": ["user.id", "cookie"]}, '{"user": {"id": ""}, "cookie": "c"}', "c", id="the next path is used"
        ),
        pytest.param({"from": ["user.id", "cookie"]}, '{"user": {"id": ""}, "cookie": ""}', None, id="to the last"),
        pytest.param({"from": ["id", "cookie"]}, '{"id": 0, "cookie": "c"}', "0", id="zero is a number"),
        pytest.param({"from": ["id", "cookie"]}, '{"id": " ", "cookie": "c"}', "c", id="a space is no user"),
        pytest.param({"join": ["site", "id"]}, '{"site": "", "id": "7"}', None, id="an empty part makes all null"),
        pytest.param({"join": ["site", "id"]}, '{"site": "a", "id": "7"}', "a 7", id="complete parts are joined"),
    ],
)
def test_an_empty_user_id_is_null(column: dict[str, Any], payload: str, user: str | None) -> None:
    assert parsed(payload, stream({"user_id": column}, "drop")) == {"user_id": user}


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        pytest.param({"nulls": ["-", r"\N"]}, '"-"', None, id="a text that means null"),
        pytest.param({"nulls": ["-", r"\N"]}, r'"\\N"', None, id="with a backslash"),
        pytest.param({"nulls": ["-"]}, '"--"', "--", id="only as a whole"),
        pytest.param({"nulls": [0, "1.0"]}, "0", None, id="a number, by its text"),
        pytest.param({"nulls": [0, "1.0"]}, "1.0", None, id="a number with a point"),
        pytest.param({"nulls": [0]}, "0.0", "0.0", id="not by its value"),
        pytest.param({"nulls": ["a"], "case": "lower"}, '"A"', "a", id="as it is spelled in the source"),
        pytest.param({"nulls": ["-"], "trim": True}, '" - "', None, id="trimmed"),
        pytest.param({"trim": True}, '" a\u00a0 b\u3000 "', "a\u00a0 b", id="white space around it goes"),
        pytest.param({"trim": True}, '"\u2003"', None, id="to the last of it"),
        pytest.param({}, '"\u2003"', "\u2003", id="which is no blank by itself"),
        pytest.param({"case": "lower"}, '"ÀΣ"', "àς", id="lower case"),
        pytest.param({"unicode": "NFC"}, '"e\u0301"', "\u00e9", id="one form of a letter"),
        pytest.param({"case": "lower", "unicode": "NFC"}, '"E\u0301"', "\u00e9", id="both"),
    ],
)
def test_a_text_is_cleaned(column: dict[str, Any], value: str, text: str | None) -> None:
    assert parsed(f'{{"a": {value}}}', stream({"a": column}, "drop")) == {"a": text}


@pytest.mark.parametrize(
    ("extra_columns", "kept"), [("keep", {"x": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}), ("reject", None)]
)
def test_a_list_that_a_path_enters_is_kept_and_expected(extra_columns: str, kept: Any) -> None:
    of = stream({"a": {"from": "x[k=a].v"}}, extra_columns)
    row = parsed('{"x": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}', of)
    assert (row["a"], row.get("properties")) == ("1", kept)


def test_nulls_of_the_source_apply_where_a_column_states_none() -> None:
    of = stream({"user_id": {"from": ["user", "ip"]}, "agent": {"nulls": []}}, "drop", nulls=["-", "(not set)"])
    assert parsed('{"user": "-", "ip": "::1", "agent": "-"}', of) == {"user_id": "::1", "agent": "-"}
    assert parsed('{"user": "-", "ip": "(not set)"}', of) == {"user_id": None, "agent": None}


def test_a_null_part_makes_a_joined_text_null() -> None:
    of = stream({"a": {"join": ["x", "y"], "nulls": ["-"]}}, "drop")
    assert parsed('{"x": "2026-01-01", "y": "-"}', of) == {"a": None}


@pytest.mark.parametrize(
    ("column", "payload", "rule"),
    [
        ({}, '{"a": {"b": 1}}', "a JSON object is no string"),
        ({"type": "float"}, '{"a": []}', "a JSON array is no float"),
        ({"from": ["b", "a"]}, '{"b": {}, "a": "x"}', "a JSON object is no string"),
        ({"join": ["b", "c"]}, '{"b": "x", "c": [1]}', "a JSON array is no string"),
    ],
)
def test_an_object_or_list_is_rejected(column: dict[str, Any], payload: str, rule: str) -> None:
    assert parse_errors(payload, stream({"a": column})) == [("wrong_type", "a", rule)]


NUL_IN_A = ("bad_text", "a", "holds U+0000")


def test_a_parse_error_quotes_the_value_and_leaves_its_column_null() -> None:
    value = {"é": ["\0\ud800", "x" * VALUE_SHOWN]}
    row = parse(raw(json.dumps({"a": value, "b": "fine"})), stream({"a": {}, "b": {}})).row(0, named=True)
    (error,) = row["parse_errors"]
    assert error["value"].startswith('{"é": ["\\u0000\\ud800", "xxx')
    assert len(error["value"]) == VALUE_SHOWN
    assert (row["a"], row["b"]) == (None, "fine")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (r'{"a": "x\u0000y"}', [NUL_IN_A]),
        (r'{"a": "\ud83d"}', [("bad_text", "a", "holds half of a character, U+D83D")]),
        (r'{"a": "\uDE00\uD83D"}', [("bad_text", "a", "holds half of a character, U+DE00")]),
        (r'{"a": 1, "b": ["\u0000"]}', [("bad_text", "properties", "holds U+0000")]),
        (r'{"a": 1, "b": {"\ud800": 1}}', [("bad_text", "properties", "holds half of a character, U+D800")]),
        (r'{"\u0000": 1}', [("bad_text", "properties", "holds U+0000")]),
        (
            r'{"a": "\u0000", "b": "\ud800"}',
            [NUL_IN_A, ("bad_text", "properties", "holds half of a character, U+D800")],
        ),
        (r'{"a": "\ud800", "a": "fine"}', []),
        (r'{"a": "\ud83d\ude00", "b": "\ud83d\ude00"}', []),
    ],
)
def test_text_that_cannot_be_stored_is_an_error_of_its_column(
    payload: str, expected: list[tuple[str, str, str]]
) -> None:
    assert parse_errors(payload, A) == expected


def test_text_that_is_dropped_may_be_anything() -> None:
    assert parsed(r'{"a": "x", "b": "\u0000"}', stream({"a": {}}, "drop")) == {"a": "x"}
    assert parsed(r'{"a": "x", "b": "\ud800"}', stream({"a": {}}, "drop")) == {"a": "x"}


# Fields that no column names


@pytest.mark.parametrize(
    ("paths", "payload", "properties"),
    [
        pytest.param(["a"], '{"z": 1, "a": 2, "b": [1.5, "é"]}', '{"z":1,"b":[1.5,"é"]}', id="in their order"),
        pytest.param(["a"], '{"a": 1, "b": null}', None, id="null is left out"),
        pytest.param(["a"], '{"a": 1, "b": 123456789012345678901}', '{"b":123456789012345678901}', id="exactly"),
        pytest.param(["a.x"], '{"a": {"x": 1, "y": 2}}', '{"a":{"y":2}}', id="what is left beside a path"),
        pytest.param(["a.x"], '{"a": {"x": 1}}', None, id="nothing is left"),
        pytest.param(["a.x", "a.y.z"], '{"a": {"y": {"z": 1, "w": 2}}}', '{"a":{"y":{"w":2}}}', id="two paths"),
        pytest.param(["a.x", "a"], '{"a": {"x": "1", "y": 2}, "b": 3}', '{"b":3}', id="one path contains the other"),
        pytest.param(["a.x"], '{"a": "text"}', '{"a":"text"}', id="the path leads nowhere"),
        pytest.param(["a.x"], '{"a.x": 1, "a": {"x": 2}}', '{"a":{"x":2}}', id="a key with a dot is the path"),
        pytest.param(["a", "b"], '{"a": 1, "b": 2}', None, id="a fallback is named, though not used"),
    ],
)
def test_what_no_path_names_is_kept_as_properties(paths: list[str], payload: str, properties: str | None) -> None:
    wanted = stream({f"c{number}": {"from": path} for number, path in enumerate(paths)})
    assert parse(raw(payload), wanted)["properties"].to_list() == [properties]


def test_the_stream_may_drop_them() -> None:
    assert parse(raw('{"a": 1, "b": 2}'), stream({"a": {}}, "drop"))["properties"].to_list() == [None]


def test_the_stream_may_reject_them_one_by_one() -> None:
    payload = r'{"a": {"x": 1, "y": 2}, "b": null, "c": "text", "\u0000\ud800": 0}'
    row = parse(raw(payload), stream({"a": {"from": "a.x"}}, "reject")).row(0, named=True)
    assert [(error["column"], error["value"]) for error in row["parse_errors"]] == [
        ("a", '{"y": 2}'),
        ("c", '"text"'),
        ("\\u0000\\ud800", "0"),
    ]
    assert {error["code"] for error in row["parse_errors"]} == {"unexpected_column"}
    assert (row["a"], row["properties"]) == ("1", None)


# CSV


@pytest.mark.parametrize(
    ("header", "record", "columns"),
    [
        pytest.param("a,b", "1,2", {"a": "1", "properties": {"b": "2"}}, id="a header names the fields"),
        pytest.param("b,a", "1,2", {"a": "2", "properties": {"b": "1"}}, id="in any order"),
        pytest.param('"a","b"', '"x, ""y""\n",', {"a": 'x, "y"\n'}, id="quotes enclose anything"),
        pytest.param("a,b", ',""', {"a": None}, id="an empty field is null, quoted or not"),
        pytest.param("a.b,b", "1,2", {"a": None, "properties": {"a.b": "1", "b": "2"}}, id="a dot is a letter"),
        pytest.param("a", 'say "x"', {"a": 'say "x"'}, id="a quote within is a letter"),
        pytest.param("é,a", "1,2", {"a": "2", "properties": {"é": "1"}}, id="names are text"),
    ],
)
def test_csv_records(header: str, record: str, columns: dict[str, Any]) -> None:
    assert parsed(record, CSV, header.encode()) == columns


@pytest.mark.parametrize(
    ("source", "record", "value"),
    [
        pytest.param({"separator": ";"}, "x;y", "x", id="another separator"),
        pytest.param({"separator": "\t", "quote": None}, '"x\ty', '"x', id="no quotes"),
        pytest.param({"quote": "'"}, "'x,''',y", "x,'", id="another quote"),
        pytest.param({"encoding": "latin-1"}, b"\xe9,y", "é", id="another encoding"),
    ],
)
def test_csv_is_read_as_the_stream_says(source: dict[str, Any], record: bytes | str, value: str) -> None:
    wanted = stream({"a": {}}, "drop", format="csv", header=["a", "b"], **source)
    assert parsed(record, wanted) == {"a": value}


@pytest.mark.parametrize(
    ("header", "record", "rule"),
    [
        (b"a,b", b"", "is an empty line"),
        (b"a,b", b"1", "the row has 1 fields, the header names 2"),
        (b"a,b", b"1,2,3", "the row has 3 fields, the header names 2"),
        (b"a,b", b'1,"2', "is not one CSV record: unexpected end of data"),
        (b"a,b", b'1,"2"3', "is not one CSV record: ',' expected after '\"'"),
        (b"a,b", b"1\r2,3", "is not one CSV record: new-line character seen in unquoted field"),
        (b"a,b", b"1,\xff", "is not UTF-8"),
        (b"a,\xff", b"1,2", "is not UTF-8"),
        (b"a,a", b"1,2", "the header names 'a' twice"),
        (b'a,"b', b"1,2", "is not one CSV record: unexpected end of data"),
    ],
)
def test_what_is_not_one_csv_record_is_malformed(header: bytes, record: bytes, rule: str) -> None:
    assert parse_errors(record, CSV, header) == [("malformed", "", rule)]


def test_a_nul_in_csv_is_bad_text() -> None:
    assert parse_errors(b"x\0,y\0", CSV, b"a,b") == [
        NUL_IN_A,
        ("bad_text", "properties", "holds U+0000"),
    ]


@pytest.mark.parametrize(
    ("of", "line", "header"),
    [
        (A, b'{"a": "x"}', None),
        (CSV, b"x", b"a"),
        (CSV, b'"x"', b"a"),
        (stream({"a": {}}, format="regex", pattern="^(?<a>[a-z]+)$"), b"x", None),
        (stream({"a": {}}, format="logfmt"), b"a=x", None),
        (stream({"a": {}}, format="w3c"), b"x", b"#Fields: a"),
    ],
)
def test_nuls_before_a_line_are_the_hole_of_a_truncated_log(of: Stream, line: bytes, header: bytes | None) -> None:
    payloads = [line, bytes(95_410) + line, *[line] * 200]  # enough for the vectorized parser
    rows = parse(raw(*payloads, header=header), of)
    assert rows["a"].to_list() == ["x"] * len(payloads)
    assert rows["parse_errors"].list.len().sum() == 0
    assert rows["payload"].to_list() == payloads


def test_a_hole_without_a_line_is_an_empty_line() -> None:
    assert parse_errors(bytes(9), CSV, b"a") == [("malformed", "", "is an empty line")]


def test_a_csv_field_may_be_long() -> None:
    assert parsed('"' + "x" * 1_000_000 + '"', CSV, b"a") == {"a": "x" * 1_000_000}


FIELDS = st.text("ab\"',;\r\n \té\0", max_size=5)


@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1), st.sampled_from(",;\t"), st.sampled_from("\"'"))
def test_what_a_csv_writer_wrote_is_read_back(rows: list[tuple[str, str]], separator: str, quote: str) -> None:
    def record(row: tuple[str, str]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=separator, quotechar=quote, quoting=csv.QUOTE_ALL, lineterminator="").writerow(row)
        return text.getvalue()

    wanted = stream({"a": {}, "b": {}}, format="csv", header=["a", "b"], separator=separator, quote=quote)
    read_back = parse(raw(*map(record, rows)), wanted)
    assert read_back.select("a", "b").rows() == [
        tuple(None if "\0" in field else text_of(field) for field in row) for row in rows
    ]


# Anything

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab é😀")
)
KEYS = st.sampled_from(["a", "b", "a.b", "c", "é"])
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(KEYS, SCALARS, max_size=2)


def text_of(value: Any) -> str | None:
    if isinstance(value, str) and not value.strip(" \t\n\v\f\r"):
        return None  # blank
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@given(st.dictionaries(KEYS, VALUES), st.booleans())
def test_every_field_of_an_object_is_a_column_or_a_property(document: dict[str, Any], escaped: bool) -> None:
    payload = json.dumps(document, ensure_ascii=escaped)
    row = parse(raw(payload), stream({"a": {}, "b": {"from": ["b", "c"]}})).row(0, named=True)
    first = next((document[key] for key in ("b", "c") if text_of(document.get(key)) not in (None, "null")), None)
    chosen = {"a": document.get("a"), "b": first}
    composed = {name for name, value in chosen.items() if isinstance(value, dict | list)}
    assert {error["column"] for error in row["parse_errors"]} == composed
    assert {name: row[name] for name in chosen} == {
        name: None if name in composed else text_of(value) for name, value in chosen.items()
    }
    rest = {key: value for key, value in document.items() if key not in {"a", "b", "c"} and value is not None}
    assert json.loads(row["properties"] or "{}") == rest


TOKENS = st.sampled_from(
    [*'{}[]:,".-0129eE\\"', '"a"', r"\ud800", r"\u0000", "null", "true", "NaN", "1e999", " ", "é", "\0", "\r"]
)
MESS = st.binary() | st.lists(TOKENS).map(lambda tokens: ('{"a":' + "".join(tokens) + "}").encode())


@given(st.lists(MESS), st.sampled_from(["keep", "reject", "drop"]), st.sampled_from([A, CSV]))
def test_no_payload_raises_and_every_row_stays(payloads: list[bytes], extra_columns: str, like: Stream) -> None:
    wanted = like.model_copy(update={"extra_columns": extra_columns})
    before = raw(*payloads, header=b"a")
    after = parse(before, wanted)
    assert after.select(*RAW_EVENTS).equals(before)
    stored = after.select(pl.col("a", "properties")).to_dict(as_series=False)
    assert not any("\0" in text for texts in stored.values() for text in texts if text)


def is_json_object(payload: bytes) -> bool:
    """As the standard library has it, made strict."""

    def number(text: str) -> float:
        if not math.isfinite(float(text)):
            raise ValueError(text)
        return float(text)

    try:
        document = json.loads(payload.decode(), parse_float=number, parse_constant=number)
        return isinstance(document, dict)
    except ValueError:
        return False


@given(MESS)
def test_only_json_objects_are_not_malformed(payload: bytes) -> None:
    malformed = any(code == "malformed" for code, _, _ in parse_errors(payload, A))
    assert malformed != is_json_object(payload)


def test_numbers_keep_their_spelling_in_properties_and_in_times() -> None:
    of = stream({"a": {"type": "timestamp", "formats": ["epoch_s"]}})
    (row,) = parse(raw(b'{"a": 1.7723556e9, "b": [1.10, {"c": 1E2}], "d": 0.1234567890123456789}'), of).to_dicts()
    assert row["a"] == "1772355600.0"
    assert row["properties"] == '{"b":[1.10,{"c":1E2}],"d":0.1234567890123456789}'
