"""Stretches of rejected rows stand for the rows that a reading row by row rejects: all of them, and no others."""

from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms import stretches
from sessions_platform.transforms.parse.parse import parse_and_observe
from sessions_platform.transforms.rejections import rejection_ids, rejections
from sessions_platform.transforms.schema_drift import ObservedSchema
from sessions_platform.transforms.stretches import NO_BREAKS, ROWS, collapsed, joined, places_of, spread
from sessions_platform.transforms.validate import ValidationResult, validate
from sessions_platform_tests.streams import PLAIN, stream
from sessions_platform_tests.transforms.rows import LANDING, raw, row

LINES = [b"", b"", b"{", row(), row(id="2"), row(user=None), row(type="", id=None)]
DERIVED = stream(columns={name: column for name, column in PLAIN["columns"].items() if name != "event_id"})
SKIPPING = stream(skip=[{"column": "event_type", "isin": ["view"]}])

# Each line some times over, as a broken writer has it.
repeated_lines = st.lists(st.tuples(st.sampled_from(LINES), st.integers(1, 5)), max_size=8).map(
    lambda lines: [line for line, times in lines for _ in range(times)]
)


def in_blocks(rows: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    ends = [0, *sorted(min(cut, rows.height) for cut in cuts), rows.height]
    return [rows[start:end] for start, end in pairwise(ends)]


def read(blocks: list[pl.DataFrame], of: Stream, breaks: pl.DataFrame) -> tuple[list[ValidationResult], ObservedSchema]:
    parsed = [parse_and_observe(collapsed(block, breaks), of) for block in blocks]
    observed = parsed[0][1]
    for _, more in parsed[1:]:
        observed += more
    return [validate(columns, of, LANDING) for columns, _ in parsed], observed


def plain(rows: pl.DataFrame, of: Stream) -> tuple[ValidationResult, ObservedSchema]:
    """All rows, each by itself."""
    parsed, observed = parse_and_observe(rows, of)
    return validate(parsed, of, LANDING), observed


def expanded(rejected: pl.DataFrame) -> list[dict[str, Any]]:
    return places_of(rejected).drop(ROWS).to_dicts()


@pytest.mark.parametrize("of", [stream(), DERIVED, SKIPPING], ids=["ids", "derived ids", "skipping"])
@given(lines=repeated_lines, cuts=st.lists(st.integers(0, 30), max_size=3), at=st.sets(st.integers(1, 30), max_size=2))
@settings(max_examples=15)
def test_stretches_expand_to_the_rows_that_are_rejected_one_by_one(
    of: Stream, lines: list[Any], cuts: list[int], at: set[int]
) -> None:
    rows = raw(*lines)
    breaks = pl.DataFrame([("a.ndjson", position) for position in at], schema=NO_BREAKS.schema, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "SHORTEST_COLLAPSED", 2)
        validations, observed = read(in_blocks(rows, cuts), of, breaks)
    expected, expected_schema = plain(rows, of)
    rejected = pl.concat(joined((validation.rejected for validation in validations), breaks))
    assert expanded(rejected) == expected.rejected.drop(ROWS).to_dicts()
    assert pl.concat([validation.events for validation in validations]).to_dicts() == expected.events.to_dicts()
    assert sum(validation.skipped for validation in validations) == expected.skipped
    assert observed == expected_schema
    assert_stretches_are_longest(rejected, at)


def assert_stretches_are_longest(rejected: pl.DataFrame, breaks: set[int]) -> None:
    for before, after in pairwise(rejected.to_dicts()):
        is_alike = (before["payload"], before["reasons"]) == (after["payload"], after["reasons"])
        is_next = before["position"] + before[ROWS] == after["position"]
        assert not (is_alike and is_next) or after["position"] in breaks


def test_a_million_empty_lines_are_one_rejected_row() -> None:
    rows = (
        raw(b"")
        .select(pl.all().repeat_by(1_000_000).explode())
        .with_columns(position=pl.int_range(1, 1_000_001, dtype=pl.Int64))
    )
    block = collapsed(rows.select(list(RAW_EVENTS)))
    assert (block.height, block[ROWS].to_list()) == (1, [1_000_000])
    validation, observed = plain(block, stream())
    (stored,) = rejections(pl.concat(joined([validation.rejected])), stream()).to_dicts()
    assert (stored["position"], stored["rows"], observed.rows) == (1, 1_000_000, 0)


def test_rows_with_another_envelope_are_parsed_by_themselves() -> None:
    rows = raw(*[b"{}"] * 40).with_columns(header=pl.Series([b"a"] * 20 + [b"b"] * 20))
    assert collapsed(rows)[ROWS].to_list() == [20, 20]


def test_a_gap_in_the_positions_ends_a_stretch() -> None:
    validation, _ = plain(raw(b"", b"", b"", b""), stream())
    left = validation.rejected.filter(pl.col("position") != 2)
    assert pl.concat(joined([left])).select("position", ROWS).rows() == [(1, 1), (3, 2)]


def test_the_same_line_at_the_end_and_at_the_beginning_of_two_files_is_two_rows() -> None:
    files = pl.concat([raw(b"", uri="a"), raw(b"", uri="b").with_columns(position=pl.lit(2, pl.Int64))])
    validation, _ = plain(files, stream())
    assert pl.concat(joined([validation.rejected]))[ROWS].to_list() == [1, 1]


def test_a_stretch_has_an_id_of_its_own_and_a_single_row_the_one_it_always_had() -> None:
    validation, _ = plain(raw(b""), stream())
    ids = [
        rejection_ids(validation.rejected.with_columns(pl.lit(rows, pl.Int64).alias(ROWS)), stream()).item()
        for rows in (1, 2, 3)
    ]
    assert len(set(ids)) == 3
    assert ids[0] == rejection_ids(validation.rejected.drop(ROWS), stream()).item()


def test_a_stretch_keeps_the_contract_of_rejected_events() -> None:
    validation, _ = plain(raw(b"", b"", b"{"), stream())
    stored = rejections(pl.concat(joined([validation.rejected])), stream())
    rejected_schema(stream()).validate(stored, lazy=True)
    assert stored.select("position", "rows").rows() == [(1, 2), (3, 1)]


def test_events_are_spread_over_their_positions() -> None:
    events = pl.DataFrame({"id": ["a", "b"], "position": [1, 5]})
    assert spread(events, pl.Series([2, 1])).rows() == [("a", 1), ("a", 2), ("b", 5)]
