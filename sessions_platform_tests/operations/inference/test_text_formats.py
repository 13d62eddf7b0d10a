"""The format of a text is told by its content: JSON in its layouts, logs of known patterns, CSV."""

import json
from typing import Any

import pytest

from sessions_platform.operations.inference.opened import encoding_of, typed_format_of
from sessions_platform.operations.inference.text_formats import text_format

EVENT = {"user": "ann", "ts": "2026-01-01T10:00:00Z", "type": "view"}
GA4 = {"event_timestamp": 1767225600000000, "event_params": [{"key": "page", "value": {"string_value": "/"}}]}
COMBINED = '1.2.3.4 - ann [01/Jan/2026:10:00:00 +0000] "GET /a?b=%20 HTTP/1.1" 200 12 "-" "Mozilla \\"5\\""'


def lines(*values: Any, times: int = 20) -> str:
    return "".join(f"{value if isinstance(value, str) else json.dumps(value)}\n" for value in values) * times


@pytest.mark.parametrize(
    ("text", "options"),
    [
        pytest.param(lines(EVENT), {"format": "ndjson"}, id="an event a line"),
        pytest.param(lines(EVENT, EVENT, EVENT, "broken {"), {"format": "ndjson"}, id="with broken lines"),
        pytest.param(lines(GA4), {"format": "ndjson"}, id="a list of parameters is no list of events"),
        pytest.param(lines({**EVENT, "items": [{"id": 1}]}), {"format": "ndjson"}, id="nor is one of goods"),
        pytest.param(lines([EVENT, EVENT]), {"format": "ndjson", "events": "[]"}, id="an array a line"),
        pytest.param(
            lines({"sentAt": "2026-01-01T10:00:00Z", "batch": [EVENT]}),
            {"format": "ndjson", "events": "batch"}, id="a batch a line, with a time of its own",
        ),
        pytest.param(json.dumps([EVENT] * 9), {"format": "json"}, id="an array in one line"),
        pytest.param(json.dumps([EVENT] * 9, indent=1), {"format": "json"}, id="an array in many lines"),
        pytest.param(
            json.dumps({"data": {"list": [EVENT] * 9}}, indent=1),
            {"format": "json", "events": "data.list"}, id="a document",
        ),
        pytest.param(
            json.dumps({"meta": {"x": [1]}, "data": {"list": [EVENT] * 99}})[:500],
            {"format": "json", "events": "data.list"}, id="the beginning of a long document",
        ),
        pytest.param(json.dumps(EVENT, indent=1) * 9, {"format": "json"}, id="objects one after the other"),
        pytest.param(lines("#Version: 1.0", "#Fields: date time c-ip", "a b c"), {"format": "w3c"}, id="W3C"),
        pytest.param(lines('ts=1 level=info msg="a b"', "ts=2 level=warn msg=c"), {"format": "logfmt"}, id="logfmt"),
        pytest.param("user,ts\n" + lines("ann,2026-01-01"), {"format": "csv"}, id="CSV"),
        pytest.param(lines("hello world"), None, id="none"),
    ],
)  # fmt: skip
def test_the_format_is_told_by_the_content(text: str, options: dict[str, Any] | None) -> None:
    found = text_format(text, is_whole=text.endswith(("\n", "}", "]")) and len(text) != 500)
    assert (found.options if found else None) == options


@pytest.mark.parametrize(
    ("line", "layout"),
    [
        (COMBINED, "the combined format"),
        (COMBINED.partition(' "-"')[0], "the common format"),
        (f"shop.example {COMBINED}", "the combined format with the virtual host"),
        (f"{COMBINED} 0.003 upstream", "the combined format, with more behind it"),
    ],
)
def test_access_logs_are_told_by_their_layout_though_some_requests_are_broken(line: str, layout: str) -> None:
    broken = line.replace("GET /a?b=%20 HTTP/1.1", "\\x16\\x03\\x01")
    found = text_format(lines(*[line] * 9, broken), is_whole=True)
    assert found
    assert found.options["format"] == "regex"
    assert layout in found.says


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        (b"PAR1\x15", b"\0\0PAR1", "parquet"),
        (b"PAR1,b\n", b"x,y\n", None),
        (b"ARROW1\0\0", b"", "arrow"),
        (b"\xff\xff\xff\xff\x10", b"", "arrow"),
        (b"ORC\n", b"..ORC\x17", "orc"),
        (b"ORC,b\n", b"x,y\n", None),
        (b"Obj\x01", b"", "avro"),
    ],
)
def test_formats_with_types_are_told_by_their_bytes(start: bytes, end: bytes, name: str | None) -> None:
    assert typed_format_of(start, end) == name


def test_a_character_that_is_cut_off_at_the_end_is_utf_8_and_one_amid_the_text_is_not() -> None:
    assert encoding_of("a é".encode()[:-1]) == "utf-8"
    assert encoding_of("é, é".encode("latin-1")) == "cp1252"
