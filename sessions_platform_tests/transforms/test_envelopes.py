"""Columns that are read from the envelope of a batch, by both parsers with the same result."""

import json
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.parse.vectorized import read_vectorized
from sessions_platform_tests.ingested import validate_file
from sessions_platform_tests.streams import PLAIN
from sessions_platform_tests.streams import stream as stream_of
from sessions_platform_tests.transforms.test_parse_vectorized import agrees, small_blocks_too, stream

__all__ = ["small_blocks_too"]

BATCHES = stream(
    {
        "user_id": {"from": ["u", "^user.id", "^s"]},
        "sent": {"from": "^s"},
        "both": {"join": ["a", "^s"]},
        "a": {},
    },
    events="batch",
)

values = st.sampled_from(
    ["null", "1", "2.50", '"x"', '""', '"null"', "true", "[]", "{}", '{"id":"y"}', r'"\u0000"', "NaN"]
)
envelopes = st.dictionaries(st.sampled_from(["s", "user", "a"]), values, max_size=2).map(
    lambda fields: "{" + "".join(f'"{key}":{value},' for key, value in fields.items()) + '"batch":[]}'
)
rows = st.dictionaries(st.sampled_from(["u", "a", "s"]), values, max_size=2).map(
    lambda fields: "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}"
)


def raw(batches: list[tuple[str | None, list[str]]]) -> pl.DataFrame:
    file = ("2026-01-01", "a.ndjson")
    found = [(row, header) for header, elements in batches for row in elements]
    table = [
        (*file, number, None, row.encode(), b"", header and header.encode(), None)
        for number, (row, header) in enumerate(found, start=1)
    ]
    return pl.DataFrame(table, schema=RAW_EVENTS, orient="row")


@given(st.lists(st.tuples(envelopes | st.none(), st.lists(rows, max_size=4)), max_size=6))
def test_both_parsers_read_the_same_of_an_envelope(batches: list[tuple[str | None, list[str]]]) -> None:
    agrees(raw(batches), BATCHES)


def test_the_rows_of_sound_batches_are_read_vectorized() -> None:
    batches: list[tuple[str | None, list[str]]] = [
        ('{"s":"1","batch":[]}', ['{"u":"ann","a":"x"}', '{"u":"bob","a":"y"}']),
        ('{"s":null,"user":{"id":5},"batch":[]}', ['{"u":"","a":"z"}']),
    ]
    assert sum(len(part.rows) for part in read_vectorized(raw(batches), BATCHES)) == 3
    parsed = parse(raw(batches), BATCHES)
    assert parsed.select("user_id", "sent", "both", "properties").rows() == [
        ("ann", "1", "x 1", None),
        ("bob", "1", "y 1", None),
        ("5", None, None, None),
    ]


def test_a_batch_is_read_from_a_file_to_its_events(tmp_path: Path) -> None:
    """Long numbers and spellings stay as they came, and a broken element costs itself alone."""
    columns = {**PLAIN["columns"], "sent_at": {"from": "^sentAt"}, "writer": {"from": "^context.key", "nullable": True}}
    of = stream_of(columns=columns, source={"files": "*", "format": "ndjson", "events": "batch"})
    event = {"user": "ann", "ts": "2026-01-01T12:00:00Z", "type": "view"}
    elements = [json.dumps({"id": str(n), **event, "n": 2**53 + 1 + n}) for n in range(4)]
    elements[2] = elements[2][:-1] + ', "broken": }'
    lines = [
        f'{{"sentAt":"s1","batch":[{elements[0]},{elements[1]}],"context":{{"key":"k"}}}}',
        f'{{"batch":[{elements[2]},{elements[3]}],"sentAt":"s2"}}',
    ]
    taken = validate_file(tmp_path / "file", "\n".join(lines).encode(), of)
    assert taken.events.sort("event_id").select("event_id", "sent_at", "writer", "properties").rows() == [
        ("0", "s1", "k", '{"n":9007199254740993}'),
        ("1", "s1", "k", '{"n":9007199254740994}'),
        ("3", "s2", None, '{"n":9007199254740996}'),
    ]
    assert taken.rejected["payload"].to_list() == [elements[2]]
    assert taken.rejected["position"].to_list() == [3]


def test_an_envelope_that_is_read_and_broken_makes_its_rows_malformed() -> None:
    parsed = parse(raw([('{"s":tru,"batch":[]}', ['{"a":1}'])]), BATCHES)
    reason: dict[str, Any] = parsed["parse_errors"].to_list()[0][0]
    assert reason["rule"].startswith("its envelope is not one JSON object")
