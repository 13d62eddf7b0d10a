"""JSON arrays and batches are split into their elements, each with its own bytes, and no byte is lost."""

import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.sources.formats import json_documents
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.json_batches import BatchSplitter
from sessions_platform.sources.formats.json_documents import DocumentSplitter
from sessions_platform.sources.formats.text_records import whole_lines
from sessions_platform_tests.ingested import validate_file
from sessions_platform_tests.streams import stream

Record = tuple[bytes, bytes | None]
Split = Callable[[bytes, list[str], int], tuple[list[Record], str]]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab\\"{}[],:é \n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"]', max_size=2), inner, max_size=3),
    max_leaves=5,
)
elements = values | st.dictionaries(st.sampled_from(["id", "a", 'b"', "{"]), values, max_size=3)
sizes = st.sampled_from([5, 64, 1_000])
spaces = st.text(" \n\t", max_size=2)


def blocks_joined(blocks: Iterator[Any], text: bytes) -> tuple[list[Record], str]:
    """All records with their headers, and why the text broke off; its parts are the text again if it did not."""
    records: list[Record] = []
    joined, reason = [], ""
    try:
        for block in blocks:
            headers = [None] * len(block.payloads) if block.header is None else block.header
            records += zip(block.payloads, headers, strict=True)
            joined += [block.preamble, *chain.from_iterable(zip(block.payloads, block.terminators, strict=True))]
    except CorruptDataError as corrupt:
        reason = str(corrupt)
    whole = b"".join(joined)
    assert not records or (text.startswith(whole) if reason else whole == text)
    return records, reason


def chunks(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


def documents(text: bytes, keys: list[str], size: int) -> tuple[list[Record], str]:
    return blocks_joined(DocumentSplitter(keys, size).split(chunks(text, size)), text)


def batches(text: bytes, keys: list[str], size: int) -> tuple[list[Record], str]:
    return blocks_joined(BatchSplitter(keys).split(whole_lines(chunks(text, size), size)), text)


def payloads(found: tuple[list[Record], str]) -> list[bytes]:
    assert not found[1]
    return [payload for payload, _ in found[0]]


@st.composite
def arrays(draw: st.DrawFn, space: st.SearchStrategy[str] = spaces) -> tuple[bytes, list[bytes]]:
    """An array as text, and its elements as they are written in it."""
    indent = draw(st.sampled_from([None, 1]))
    written = [json.dumps(each, indent=indent, ensure_ascii=draw(st.booleans())) for each in draw(st.lists(elements))]
    between = [f"{draw(space)}{each}{draw(space)}" for each in written]
    return f"[{','.join(between) or draw(space)}]".encode(), [each.encode() for each in written]


@settings(max_examples=40)
@given(st.lists(st.tuples(arrays(), spaces), max_size=4), sizes)
def test_an_array_is_its_elements_with_their_own_bytes(
    parts: list[tuple[tuple[bytes, list[bytes]], str]], size: int
) -> None:
    text = b"".join(array + space.encode() for (array, _), space in parts)
    assert payloads(documents(text, [], size)) == list(chain.from_iterable(written for (_, written), _ in parts))


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.text("ab{"), values, max_size=3), max_size=5), spaces, sizes)
def test_objects_that_follow_each_other_are_records(objects: list[dict[str, Any]], space: str, size: int) -> None:
    written = [json.dumps(each, indent=1).encode() for each in objects]
    assert payloads(documents(space.encode().join(written), [], size)) == written


@st.composite
def envelopes(draw: st.DrawFn, space: st.SearchStrategy[str]) -> tuple[bytes, list[Record]]:
    """An object with an array at data.batch, fields around it, and its records with their envelope."""
    array, written = draw(arrays(space))
    before, after = (draw(st.dictionaries(st.sampled_from(["x", "batch", "y"]), values, max_size=2)) for _ in "12")
    parts = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in before.items()]
    parts += [f'"data"{draw(space)}:{{"n":{json.dumps(after)},"batch" :\0, "z":0}}']
    parts += [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in after.items()]
    start, end = f"{{{','.join(parts)}}}".encode().split(b"\0")
    return start + array + end, [(each, start + b"[]" + end) for each in written]


def one_line(text: bytes) -> bytes:
    return text.replace(b"\n", b"").replace(b"\t", b"")


@settings(max_examples=40)
@given(st.lists(envelopes(spaces), max_size=4))
def test_an_element_has_the_envelope_of_its_document(parts: list[tuple[bytes, list[Record]]]) -> None:
    found, reason = documents(b"\n".join(text for text, _ in parts), ["data", "batch"], 100_000)
    expected = list(chain.from_iterable(records for _, records in parts))
    assert (reason, [(each, _envelope(header)) for each, header in found]) == (
        "",
        [(each, _envelope(header)) for each, header in expected],
    )


def _envelope(header: bytes | None) -> Any:
    return json.loads(header or b"null")


@settings(max_examples=40)
@given(st.lists(envelopes(st.text(" ", max_size=1)), max_size=4), sizes)
def test_each_line_is_an_envelope_of_its_own(parts: list[tuple[bytes, list[Record]]], size: int) -> None:
    text = b"\n".join(one_line(text) for text, _ in parts)
    found, reason = batches(text, ["data", "batch"], size)
    expected = [one_line(each) for _, records in parts for each, _ in records]
    assert (reason, [payload for payload, _ in found]) == ("", expected)


items = st.fixed_dictionaries({"n": values}, optional={"actions": st.lists(elements, max_size=3), "z": values})


@settings(max_examples=40)
@given(st.lists(st.lists(items, max_size=3), max_size=4), sizes)
def test_arrays_in_items_of_an_array_are_each_in_the_envelope_of_its_item(
    pages: list[list[dict[str, Any]]], size: int
) -> None:
    found, reason = batches(b"".join(json.dumps(page).encode() + b"\n" for page in pages), ["[]", "actions"], size)
    expected = [
        [(action, {**visit, "actions": []}) for visit in page for action in visit.get("actions", [])]
        if any("actions" in visit for visit in page) or not page
        else [(page, None)]  # a line without such an array is malformed
        for page in pages
    ]
    read = [(json.loads(payload), _envelope(header)) for payload, header in found]
    assert (reason, read) == ("", list(chain.from_iterable(expected)))


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("[]", []),
        ("data.items", ["data", "items"]),
        ("[].a", ["[]", "a"]),
        ("a[].b[].c", ["a", "[]", "b", "[]", "c"]),
    ],
)
def test_a_path_to_events_is_keys_and_items(path: str, keys: list[str]) -> None:
    assert stream(source={"files": "*", "format": "ndjson", "events": path}).source.event_keys == keys


@pytest.mark.parametrize("path", ["", "a[]", "a..b", "[]a", "a.[]", "a.[].b", "a[0].b"])
def test_what_is_no_path_to_events_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no path to an array"):
        stream(source={"files": "*", "format": "ndjson", "events": path})


def test_several_arrays_are_led_through_and_the_envelope_has_one_item_of_each() -> None:
    text = (
        b'{"r": [{"of": 1, "s": [{"in": 1, "l": [{"a":1}, {"a":2}]}, {"in": 2, "l": [{"a":3}]}], "u": "x"},\t'
        b'{"of": [2], "s": [{"l": [{"a":4}], "in": 3}]}], "v": 0}\n{"r": []}\n{"r": [{"s": []}]}\n'
    )
    found, reason = batches(text, ["r", "[]", "s", "[]", "l"], 1000)
    assert (reason, [(payload, _envelope(header)) for payload, header in found]) == (
        "",
        [
            (b'{"a":1}', {"r": {"of": 1, "s": {"in": 1, "l": []}, "u": "x"}, "v": 0}),
            (b'{"a":2}', {"r": {"of": 1, "s": {"in": 1, "l": []}, "u": "x"}, "v": 0}),
            (b'{"a":3}', {"r": {"of": 1, "s": {"in": 2, "l": []}, "u": "x"}, "v": 0}),
            (b'{"a":4}', {"r": {"of": [2], "s": {"l": [], "in": 3}}, "v": 0}),
            (b'{"r": [{"s": []}]}', None),
        ],
    )


def test_a_broken_line_with_arrays_in_items_is_one_record_and_costs_no_other() -> None:
    text = b'[{"v":1,"actions":[{"a":1},{"a":2]},{"v":2,"actions":[{"a":3}]}]\n[{"v":3,"actions":[{"a":4}]}]\n'
    found, reason = batches(text, ["[]", "actions"], 1000)
    whole = text.split(b"\n")[0]
    assert (reason, [payload for payload, _ in found]) == ("", [whole, b'{"a":4}'])


HOSTILE = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b" ", b"1", b"a", b"\xff", b'{"batch":[{'])
    | arrays().map(lambda array: array[0]),
    max_size=12,
).map(b"".join)


@given(HOSTILE | st.binary(max_size=30), st.sampled_from([["[]", "batch"], ["batch", "[]", "batch"]]), sizes)
def test_whatever_the_bytes_none_is_lost_where_keys_lead_through_arrays(
    text: bytes, keys: list[str], size: int
) -> None:
    records, _ = batches(text, keys, size)
    assert all(payload.strip() == payload != b"" for payload, _ in records)


@given(HOSTILE | st.binary(max_size=30), st.sampled_from([[], ["batch"]]), sizes, st.sampled_from([documents, batches]))
def test_whatever_the_bytes_none_is_lost(text: bytes, keys: list[str], size: int, split: Split) -> None:
    records, reason = split(text, keys, size)
    assert all(payload.strip() == payload != b"" for payload, _ in records)
    assert records or reason or not text.strip(b" \t\r\n,\x1e[]{}") or b'"batch"' in text


BROKEN = [
    b'{"id":2,"u":"x}',
    b'{"id":2,"u":["x"}',
    b'{"id":2,"u":{"v":1}',
    b'{"id":2,"u":"\\"}',
    b'{"id":2,"u":tru}',
    b'{"id":2,"u":NaN}',
    b'{"id":2]',
    b'{"id":2,"u":"a"b"}',
    b'{"id":2,"u":[{"v":1},{"v":"2}]}',
    b'{"id":2 "u":1}',
    b"2",
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("comma", [b",", b", ", b",\n"])
@pytest.mark.parametrize("split", [documents, batches])
def test_a_broken_element_costs_itself_alone(broken: bytes, comma: bytes, split: Split) -> None:
    if split is batches:
        comma = comma.strip()
    good = [b'{"id":%d,"u":"x"}' % number for number in range(3)]
    expected = [good[0], broken, *good[1:], good[0]]
    text = b"[" + comma.join(expected[:-1]) + b"]\n[" + good[0] + b"]"
    for size in (4, 16, 1_000):
        assert payloads(split(text, [], size)) == expected
    envelope = b'{"sent":1,"batch":' + text.replace(b"\n[", b'}\n{"batch":[') + b"}"
    assert payloads(split(envelope, ["batch"], 1_000)) == expected


def test_the_last_element_may_be_broken_too() -> None:
    assert payloads(documents(b'[{"a":1},{"a":2]', [], 4)) == [b'{"a":1}', b'{"a":2']
    assert documents(b'[{"a":1},{"a":2', [], 4) == (
        [(b'{"a":1}', None)],
        "it ends in the middle of a JSON document",
    )
    assert documents(b'[{"a":1},', [], 4)[1]


def test_many_broken_elements_are_found_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_documents, "_AFTER_BROKEN", 64)
    elements = [b'{"id":%d,"u":"x%s}' % (number, b'"' * (number % 3 > 0)) for number in range(500)]
    assert payloads(documents(b"[" + b",".join(elements) + b"]", [], 4_000)) == elements


def test_a_document_without_the_array_is_a_record_without_a_header() -> None:
    text = b'{"a":1}\n{"batch":[{"b":2}]}\n{"batch":null}\n{"x":{"batch":[3]}}\n[{"batch":[3]}]\n'
    expected = [
        (b'{"a":1}', None),
        (b'{"b":2}', b'{"batch":[]}'),
        (b'{"batch":null}', None),
        (b'{"x":{"batch":[3]}}', None),
        (b'[{"batch":[3]}]', None),
    ]
    assert batches(text, ["batch"], 10) == (expected, "")
    assert documents(text, ["batch"], 1_000) == (expected, "")


EVENT = '{"id":"%d","user":"ann","ts":"2026-01-01T12:00:00Z","type":"view"}'
EVENTS = [EVENT % number for number in range(3)]


@pytest.mark.parametrize(
    ("text", "source", "reasons"),
    [
        pytest.param("[%s,%s,%s]", {"format": "json"}, [], id="array"),
        pytest.param("[\n  %s,\n  %s,\n  %s\n]\n", {"format": "json"}, [], id="a row a line"),
        pytest.param("%s%s\n%s", {"format": "json"}, [], id="concatenated"),
        pytest.param('{"d":{"e":[%s,%s,%s]}}', {"format": "json", "events": "d.e"}, [], id="path"),
        pytest.param('{"e":[%s,%s]}\n{"e":[%s]}\n', {"format": "ndjson", "events": "e"}, [], id="batches"),
        pytest.param("[%s,%s]\n%s\n", {"format": "ndjson", "events": []}, [], id="bare arrays and objects"),
        pytest.param('{"e":[%s]}\n{"f":[%s,%s]}', {"events": "e"}, ["has no array at e"], id="another key"),
        pytest.param("[%s,%s,%s]", {}, ["is a JSON array, no object: set format: json"], id="a line is an array"),
        pytest.param(
            "[%s,\n%s,\n%s]", {}, ["it is JSON in several lines, an array or an object: set format: json"], id="lines"
        ),
    ],
)
def test_a_file_is_its_events(tmp_path: Path, text: str, source: dict[str, Any], reasons: list[str]) -> None:
    of = stream(source={"files": "*", "format": "ndjson", **source})
    taken = validate_file(tmp_path / "file", (text % tuple(EVENTS)).encode(), of)
    rules = [reason["rule"] for row in taken.rejected["reasons"].to_list() for reason in row]
    assert rules == reasons
    assert taken.events.height == (3 if not reasons else 1 if "has no" in reasons[0] else 0)


def test_an_array_may_be_longer_than_a_block() -> None:
    size = 1 << 16
    rows = [(EVENT % number).encode() for number in range(5_000)]
    splitter = DocumentSplitter(["e"], size)
    longest = 0
    text = b'{"sent":1,"e":[' + b",".join(rows) + b'],"after":1}'
    found = []
    for block in splitter.split(chunks(text, size)):
        longest = max(longest, len(splitter._rest))
        assert block.header is not None
        assert set(block.header) == {b'{"sent":1,"e":[]}'}
        found += block.payloads.to_list()
    assert found == rows
    assert longest < 4 * size
