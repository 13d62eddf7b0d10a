"""Query strings: a request's target, line or query alone gives the pairs that its sender meant."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.files.told_by import Text
from sessions_platform.sources.formats.envelopes import envelope_decoder
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.query import QueryFormat
from sessions_platform_tests.sources.test_json_documents import blocks_joined, elements


def decoded(line: bytes, **options: Any) -> dict[str, Any]:
    return QueryFormat(FormatOptions.model_validate({"format": "query", **options})).decoder()(line, None)


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        pytest.param(b"a=1&b=x%20y+z", {"a": "1", "b": "x y z"}, id="query"),
        pytest.param(b"?a=1", {"a": "1"}, id="with its mark"),
        pytest.param(b"/m.php?u=https%3A%2F%2Fx%2F%3Fq%3D1", {"u": "https://x/?q=1"}, id="target"),
        pytest.param(b"GET /m.php?a=1 HTTP/1.1", {"a": "1"}, id="request line"),
        pytest.param(b"/m?a=1?b=2&c=%26#top", {"a": "1?b=2", "c": "&"}, id="later marks"),
        pytest.param(b"a=1&a=2&b=&c", {"a": "2", "b": None, "c": None}, id="repeated and empty"),
        pytest.param("ü=%C3%BC".encode(), {"ü": "ü"}, id="UTF-8"),
        pytest.param(b"a=50%&b=%zz", {"a": "50%", "b": "%zz"}, id="no escapes"),
    ],
)
def test_pairs(line: bytes, fields: dict[str, Any]) -> None:
    assert decoded(line) == fields


@pytest.mark.parametrize(
    "line", [b"", b"a", b"/index.html", b"?", b'{"requests":["?a=1"]}', b'["?a=1"]', b"\xff=1", b"a=%FF"]
)
def test_a_line_without_pairs_is_malformed(line: bytes) -> None:
    with pytest.raises(MalformedError):
        decoded(line)


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1))
def test_what_a_library_writes_is_read_as_the_same_library_reads_it(pairs: dict[str, str]) -> None:
    try:
        text = urlencode(pairs)
    except UnicodeEncodeError:
        return
    read = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=None))
    assert decoded(text.encode()) == {name: value or None for name, value in read.items()}


# Arrays of events in a pair -----------------------------------------------------------------------------

ARRAYS = QueryFormat(FormatOptions.model_validate({"format": "query", "events": "events"}))
objects = st.dictionaries(st.text(), elements, max_size=3)
pairs = st.fixed_dictionaries({"device_id": st.text()}, optional={"app": st.text()})


def records(text: bytes, block_bytes: int = 1) -> list[tuple[bytes, bytes | None]]:
    """The records with their headers; that no byte of the text is lost is checked."""
    return blocks_joined(ARRAYS.records(Text(text), block_bytes), text)[0]


def fields_of(text: bytes) -> list[dict[str, Any]]:
    decode = ARRAYS.decoder()
    return [decode(*record) for record in records(text)]


@given(st.lists(st.tuples(pairs, st.lists(objects, min_size=1, max_size=3)), max_size=4), st.sampled_from([None, 1]))
def test_each_element_of_each_array_is_a_record_as_it_was_sent(
    requests: list[tuple[dict[str, str], list[dict[str, Any]]]], indent: int | None
) -> None:
    try:
        lines = [f"/i?{urlencode({'events': json.dumps(each, indent=indent)} | more)}\n" for more, each in requests]
    except UnicodeEncodeError:
        return
    found = fields_of("".join(lines).encode())
    assert [json.loads(json.dumps(each, default=float)) for each in found] == [
        event for _, events in requests for event in json.loads(json.dumps(events))
    ]


WORDS = ["events", "=", "&", "%5B", "[", "]", "{", "}", "%7B", "%22", '"', ",", "%2C", "%0A", "a", "?", "+", "%", "1"]
PIECES = [*WORDS, "\xff", " ", "\n", "\r\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=30), st.integers(1, 20))
def test_no_byte_of_any_text_is_lost(parts: list[str], block_bytes: int) -> None:
    text = "".join(parts).encode("latin-1")
    records(text, block_bytes)


def test_the_envelope_is_the_query_string_without_the_array() -> None:
    line = b'/i?device_id=d&events=%5B%7B%22a%22%3A1%7D%2C{"b":2}%5D&app=x'
    assert records(line) == [
        (b"%7B%22a%22%3A1%7D", b"/i?device_id=d&events=&app=x"),
        (b'{"b":2}', b"/i?device_id=d&events=&app=x"),
    ]
    envelope = envelope_decoder(FormatOptions.model_validate({"format": "query", "events": "events"}))
    assert envelope(b"/i?device_id=d&events=&app=x") == {"device_id": "d", "events": None, "app": "x"}


def test_a_line_without_the_array_is_malformed_and_an_empty_array_has_no_row() -> None:
    (record,) = records(b"begin_session=1&device_id=d\nevents=%5B%5D&device_id=d\n")
    with pytest.raises(MalformedError, match="no array at events"):
        ARRAYS.decoder()(*record)


def test_an_event_that_is_broken_costs_no_other() -> None:
    found = records(b"events=%5B%7B%22a%22%3A1%7D%2C%7B%22a%22%3A%2C%7B%22a%22%3A3%7D%5D\nevents=[{}]\n")
    assert [payload for payload, _ in found] == [b"%7B%22a%22%3A1%7D", b"%7B%22a%22%3A", b"%7B%22a%22%3A3%7D", b"{}"]
