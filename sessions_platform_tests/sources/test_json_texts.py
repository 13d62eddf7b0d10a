"""Batches in a text of each line: every element as it was written, and read as what it means."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.sources.files.told_by import Text
from sessions_platform.sources.formats.base import decode_all
from sessions_platform.sources.formats.envelopes import envelope_decoder
from sessions_platform.sources.formats.registry import open_format
from sessions_platform_tests.ingested import validate_file
from sessions_platform_tests.sources.test_access_logs import rules, values
from sessions_platform_tests.streams import stream

TEXTS = st.text(st.sampled_from('ab"\\/é\u2028\U0001f600{}[],:\n\t'), max_size=6)
EVENTS = st.lists(TEXTS | st.dictionaries(TEXTS, TEXTS | st.integers() | st.none(), max_size=3), max_size=4)


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, list[Any] | None, Any]:
    """A line, the events in the text of its body, and what else is in that; none where there is no array of events."""
    events, more = draw(EVENTS), draw(TEXTS)
    is_ascii = st.booleans()
    body = {"sentAt": more, "batch": events} if draw(st.booleans()) else {"batch": events, "sentAt": more}
    text = json.dumps(body, ensure_ascii=draw(is_ascii), indent=draw(st.none() | st.integers(0, 1)))
    kind = draw(st.sampled_from(["sound", "sound", "no text", "no array", "no JSON"]))
    value = {"no text": body, "no array": json.dumps({"sentAt": more}), "no JSON": "{" + more}.get(kind, text)
    line = {"at": 1, "meta": {"body": draw(TEXTS)}, "body": value, "more": draw(TEXTS)}
    keys = draw(st.permutations(list(line)))
    written = json.dumps({key: line[key] for key in keys}, ensure_ascii=draw(is_ascii))
    return written.encode(), events if kind == "sound" else None, more


@given(given_lines=st.lists(lines(), min_size=1, max_size=4), block_bytes=st.integers(1, 300))
@settings(max_examples=150, deadline=None)
def test_each_element_is_read_as_what_it_means_and_no_byte_is_lost(
    given_lines: list[tuple[bytes, list[Any] | None, Any]], block_bytes: int
) -> None:
    options = FormatOptions.model_validate({"format": "ndjson", "events": "json:body.batch"})
    opened, envelope = open_format(options), envelope_decoder(options)
    text = b"".join(line + b"\n" for line, _, _ in given_lines)
    together, found, around = b"", [], []
    for block in opened.records(Text(text), block_bytes):
        assert block.terminators is not None
        pairs = zip(block.payloads, block.terminators, strict=True)
        together += block.preamble + b"".join(payload + end for payload, end in pairs)
        headers = [None] * len(block.payloads) if block.header is None else list(block.header)
        decoded = decode_all(opened.decoder(), block.payloads.to_list(), headers)
        found += [
            fields if isinstance(fields, dict) else header and json.loads(json.loads(b'"%b"' % payload))
            for payload, header, fields in zip(block.payloads, headers, decoded, strict=True)
        ]
        around += [header and json.loads(envelope(header)["body"])["sentAt"] for header in headers]
    assert together == text
    expected = [(event, more) for _, events, more in given_lines for event in ([None] if events is None else events)]
    assert found == [event for event, _ in expected]
    assert around == [None if event is None else more for event, more in expected]


def logged(events: str = "json:body.batch", **source: Any) -> Stream:
    """A stream of bodies in the log of a proxy."""
    columns = {
        "event_id": {"from": "id"},
        "user_id": {"from": "user"},
        "event_timestamp": {"from": "ts", "formats": ["%+"]},
        "event_type": {"from": "type"},
        "sent_at": {"from": "^json:body.sentAt", "nullable": True},
        "ip": {"from": "^ip", "nullable": True},
    }
    return stream(source={"files": "*", "format": "ndjson", "events": events, **source}, columns=columns)


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "user": 'a"é', "ts": "2026-01-01T12:00:00Z", "type": "view", **more}


def logged_line(body: Any) -> bytes:
    return json.dumps({"ip": "1.2.3.4", "body": body}).encode()


def test_events_of_bodies_in_a_proxys_log(tmp_path: Path) -> None:
    batch = json.dumps({"batch": [event(1, exact=9007199254740993), event(2)], "sentAt": "s1"})
    broken = batch.replace('"type": "view"', '"type": NaN', 1)
    lines = [logged_line(batch), logged_line(None), logged_line(broken), b'{"body": "', logged_line('{"batch":[]}')]
    taken = validate_file(tmp_path / "log", b"\n".join(lines), logged())
    assert values(taken, "event_id", "user_id", "sent_at", "ip", "properties") == [
        ("1", 'a"é', "s1", "1.2.3.4", '{"exact":9007199254740993}'),
        ("2", 'a"é', "s1", "1.2.3.4", None),
    ]
    assert (taken.duplicates, [rule.partition(": ")[0] for _, _, rule in rules(taken)]) == (
        1,
        ["has no array at json:body.batch", "type is NaN, which JSON does not have", "is not one JSON object"],
    )


def test_a_text_that_is_the_array_itself(tmp_path: Path) -> None:
    lines = [logged_line(json.dumps([event(1), event(2)])), logged_line(json.dumps(event(3)))]
    taken = validate_file(tmp_path / "log", b"\n".join(lines), logged("json:body"))
    assert taken.events["event_id"].to_list() == ["1", "2"]
    assert [rule for _, _, rule in rules(taken)] == ["has no array at json:body"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("format: json, events: 'json:body.batch'", "leads into a text, which is done line by line"),
        ("format: ndjson, events: 'rows[].json:body.batch'", "does not lead to one text"),
        ("format: ndjson, events: 'json:a.json:b'", "does not lead to one text"),
        ("format: ndjson, events: 'json:body', encoding: latin-1", "read in UTF-8 alone"),
    ],
)
def test_texts_that_can_not_be_entered_are_refused(source: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    columns = "user_id: {}, event_type: {}, event_timestamp: {formats: ['%+']}"
    path.write_text(f"name: web\nstart: 2026-01-01\nsource: {{files: '*', {source}}}\ncolumns: {{{columns}}}\n")
    with pytest.raises(StreamError, match=reason):
        load_stream(path, tmp_path)
