"""Edge cases of transforms: simultaneous events in another order, and rows that only look simple."""

import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import PLAIN, frame, stream, timeline

WEB = stream()


def test_simultaneous_events_in_reverse_order_make_the_same_session() -> None:
    rows = [{**row, "page_url": f"/{place}"} for place, row in enumerate(timeline("0 9 9"))]
    events = sessionize(frame(rows, WEB), WEB)
    reversed_ties = events[[0, 2, 1]]
    assert events["event_id"].to_list() == ["000", "001", "002"]
    assert summarize(reversed_ties, WEB).equals(summarize(events, WEB))
    assert summarize(events, WEB)["exit_page"].to_list() == ["/2"]


def test_a_session_whose_unknown_sequence_numbers_come_first_is_sorted() -> None:
    """Nulls of the sequence come last among simultaneous events; given the other way round, they are sorted."""
    columns = {**PLAIN["columns"], "seq": {"type": "integer", "nullable": True}}
    ordered = stream(columns=columns, sequence="seq")
    rows = [
        {**row, "page_url": f"/{at}", "seq": seq}
        for (at, row), seq in zip(enumerate(timeline("0 9 9")), (1, 2, None), strict=True)
    ]
    events = sessionize(frame(rows, ordered), ordered)
    nulls_first = events[[0, 2, 1]]
    assert events["seq"].to_list() == [1, 2, None]
    assert summarize(nulls_first, ordered).equals(summarize(events, ordered))


def parse_errors(payloads: list[bytes]) -> list[list[str]]:
    """The codes of each row's errors, of so many rows that they are parsed together where they can be."""
    place = ("2026-01-01", "a.ndjson")
    rows = [(*place, at, None, payload, b"\n", None, None) for at, payload in enumerate(payloads, 1)]
    raw = pl.DataFrame(rows, schema=RAW_EVENTS, orient="row")
    of = stream(columns={"a": {"nullable": True}})
    return [[error["code"] for error in errors] for errors in parse(raw, of)["parse_errors"].to_list()]


def test_a_control_character_in_a_row_as_long_as_a_string_view_is_no_json() -> None:
    """A row of twelve bytes is stored in its view, in no buffer, and has to be checked by itself."""
    payloads = [b'{"a":"abcd"}'] * 400 + [b'{"a":"a\tcd"}']
    assert {len(payload) for payload in payloads} == {12}
    assert parse_errors(payloads) == [[]] * 400 + [["malformed"]]


def test_rows_that_are_nested_too_deep_are_malformed_however_many_they_are() -> None:
    deep = b'{"a":"x","z":' + b"[" * 200 + b"]" * 200 + b"}"
    assert parse_errors([deep] * 300) == [["malformed"]] * 300
