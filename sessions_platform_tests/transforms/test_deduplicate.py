"""Of duplicates the first row is kept, and rows that conflict with it are rejected."""

import uuid
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.deduplicate import REPAIRS, Deduplicated, deduplicate
from sessions_platform.transforms.identifiers import uuids_of
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.streams import PLAIN, stream
from sessions_platform_tests.transforms.rows import DERIVED, LANDING, NOON, raw, row, with_columns


def deduplicated(
    of: Stream, *files: pl.DataFrame, digests: dict[str, str] | None = None, landing: str = LANDING
) -> Deduplicated:
    frames = [validate(parse(file, of), of, landing).events for file in files]
    uris = {file["source_uri"][0]: file["source_uri"][0] for file in files}
    return deduplicate(pl.concat(frames), of, digests or uris)


def kept(result: Deduplicated) -> list[tuple[str, int]]:
    """File and position of the kept events."""
    return sorted(result.events.select("source_uri", "position").rows())


def conflicts(result: Deduplicated) -> dict[tuple[str, int], set[tuple[str, str, str]]]:
    """By file and position, code, column and value of the conflicts' reasons."""
    return {
        (uri, at): {(reason["code"], reason["column"], reason["value"]) for reason in listed}
        for uri, at, listed in result.conflicts.rows()
    }


def test_the_first_of_duplicates_is_kept_and_the_others_are_counted() -> None:
    result = deduplicated(stream(), raw(row(), uri="b"), raw(row(id="2"), row(), row(), uri="a"))
    assert (kept(result), conflicts(result), result.duplicates) == ([("a", 1), ("a", 2)], {}, 2)


def test_a_row_of_the_same_id_and_other_content_is_a_conflict() -> None:
    result = deduplicated(stream(), raw(row(type="buy"), row(), uri="b"), raw(row(), uri="a"))
    assert (kept(result), result.duplicates) == ([("a", 1)], 1)
    assert conflicts(result) == {("b", 1): {("conflicting_duplicate", "event_id", "1")}}


@pytest.mark.parametrize(
    "other",
    [{"user": "bob"}, {"ts": "2026-01-01T12:00:00.000001Z"}, {"url": "x"}, {"extra": 1}],
)
def test_content_is_all_contract_columns_but_provenance(other: dict[str, Any]) -> None:
    result = deduplicated(stream(), raw(row(), row(**other)))
    assert (kept(result), set(conflicts(result)), result.duplicates) == ([("a.ndjson", 1)], {("a.ndjson", 2)}, 0)


NULLABLE = {**PLAIN["columns"], "event_id": {"from": "id", "nullable": True}}


def test_rows_without_an_id_have_one_derived_and_the_others_keep_theirs() -> None:
    of = stream(columns=NULLABLE)
    anonymous = row(id=None, n=1)
    result = deduplicated(of, raw(row(), anonymous, row(id=None, n=2), anonymous, row(), uri="a"))
    assert (kept(result), result.duplicates) == ([("a", 1), ("a", 2), ("a", 3), ("a", 4)], 1)
    without_ids = deduplicated(stream(columns=DERIVED), raw(row(id="x"), anonymous, row(id=None, n=2), anonymous))
    derived = set(without_ids.events["event_id"])
    assert len(derived - set(result.events["event_id"])) == 1  # that of the row that has an id
    assert set(result.events["event_id"]) - derived == {"1"}


def test_a_file_that_comes_twice_repeats_derived_ids_and_stated_ones() -> None:
    rows = raw(row(), row(id=None), uri="a"), raw(row(), row(id=None), uri="b")
    result = deduplicated(stream(columns=NULLABLE), *rows, digests={"a": "same", "b": "same"})
    assert (kept(result), conflicts(result), result.duplicates) == ([("a", 1), ("a", 2)], {}, 2)


RETRIED = [row(sent=1), row(sent=2)]


@pytest.mark.parametrize(
    ("duplicates", "rows", "conflicting"),
    [
        pytest.param({}, RETRIED, True, id="by default all content is compared"),
        pytest.param({"ignore": ["sent"]}, RETRIED, False, id="but what is ignored"),
        pytest.param({"ignore": ["sent"]}, [row(sent=1), row()], False, id="also where only one has it"),
        pytest.param({"ignore": ["sent"]}, [row(sent=1, n=1.50), row(n=1.51)], True, id="and nothing else"),
        pytest.param({"ignore": ["sent"]}, [row(n=2**53), row(n=2**53 + 1)], True, id="to the last digit"),
        pytest.param({"ignore": ["sent"]}, [row(n=1), row(n="1")], True, id="and by type"),
        pytest.param({"ignore": ["at.sent"]}, [row(at={"sent": 1}), row(at={"sent": 2})], False, id="in an object"),
        pytest.param({"ignore": ["at.sent"]}, [row(**{"at.sent": 1}), row()], False, id="a key with a dot"),
        pytest.param({"ignore": ["at.sent"]}, [row(at=1), row(at=2)], True, id="no object"),
        pytest.param({"ignore": ["page_url"]}, [row(url="/a"), row(url="/b")], False, id="a column"),
        pytest.param({"compare": "id"}, [row(), row(user="bob", ts="2026-01-01T13:00:00Z")], False, id="the id alone"),
        pytest.param({"compare": ["event_type"]}, [row(), row(url="/b", sent=1)], False, id="these columns agree"),
        pytest.param({"compare": ["event_type"]}, [row(), row(type="buy")], True, id="these columns differ"),
    ],
)
def test_a_stream_says_what_is_compared(duplicates: dict[str, Any], rows: list[bytes], conflicting: bool) -> None:
    result = deduplicated(stream(duplicates=duplicates), raw(*rows))
    assert kept(result) == [("a.ndjson", 1)]
    assert (result.duplicates, list(conflicts(result))) == ((0, [("a.ndjson", 2)]) if conflicting else (1, []))


def test_the_last_of_duplicates_may_be_the_one_that_is_kept() -> None:
    result = deduplicated(
        stream(duplicates={"keep": "last"}), raw(row(), uri="b"), raw(row(), row(type="buy"), uri="a")
    )
    assert (kept(result), list(conflicts(result)), result.duplicates) == ([("b", 1)], [("a", 2)], 1)


def test_the_same_content_in_another_spelling_is_a_duplicate() -> None:
    reworded = b'{"type": "view",  "user": "ann", "ts": 1767268800000, "url": null, "id": "1"}'
    result = deduplicated(stream(), raw(row(), reworded))
    assert (conflicts(result), result.duplicates) == ({}, 1)


def test_events_are_ordered_by_time_and_then_by_id() -> None:
    rows = [row(id="b"), row(id="c", ts="2026-01-01T11:00:00Z"), row(id="a")]
    assert deduplicated(stream(), raw(*rows)).events["event_id"].to_list() == ["c", "a", "b"]


def test_a_sequence_orders_simultaneous_events_and_nulls_come_last() -> None:
    ordered = stream(columns={**PLAIN["columns"], "step": {"type": "integer", "nullable": True}}, sequence="step")
    rows = [row(id="a", step=10), row(id="b", step=9), row(id="c"), row(id="d", step=-1)]
    assert deduplicated(ordered, raw(*rows)).events["event_id"].to_list() == ["d", "b", "a", "c"]


def test_identical_lines_stay_separate_events_with_derived_ids() -> None:
    result = deduplicated(stream(columns=DERIVED), raw(row(), row(), uri="a"), raw(row(), uri="b"))
    assert (len(kept(result)), conflicts(result), result.duplicates) == (3, {}, 0)
    assert result.events["event_id"].n_unique() == 3
    assert all(str(uuid.UUID(name)) == name for name in result.events["event_id"])
    assert result.repeated_lines == 2


def test_a_file_of_the_same_bytes_counts_once() -> None:
    derived = stream(columns=DERIVED)
    alone = deduplicated(derived, raw(row(), row(), uri="a"))
    same = {"a": "digest", "b": "digest", "c": "other"}
    with_a_copy = deduplicated(
        derived, raw(row(), row(), uri="a"), raw(row(), row(), uri="b"), raw(row(), uri="c"), digests=same
    )
    assert kept(with_a_copy) == [("a", 1), ("a", 2), ("c", 1)]
    assert with_a_copy.duplicates == 2
    assert set(alone.events["event_id"]) < set(with_a_copy.events["event_id"])


def test_across_landing_partitions_identical_lines_are_one_event() -> None:
    derived = stream(columns=DERIVED)
    first = deduplicated(derived, raw(row(), row(), uri="a"))
    second = deduplicated(derived, raw(row(), row(), uri="z", landing="2026-01-02"), landing="2026-01-02")
    assert first.events["event_id"].to_list() == second.events["event_id"].to_list()


def test_a_derived_id_does_not_depend_on_other_rows() -> None:
    derived = stream(columns=DERIVED)
    alone = deduplicated(derived, raw(row(), uri="b"))
    among = deduplicated(derived, raw(row(type="buy"), b"{", row(user="bob"), uri="a"), raw(row(), uri="b"))
    assert set(alone.events["event_id"]) < set(among.events["event_id"])


def test_ids_are_made_of_md5_over_parts() -> None:
    """As PostgreSQL has it: md5(concat_ws(U+001F, 'ann', 'é'))::uuid."""
    assert uuids_of(pl.DataFrame({"0": ["ann"], "1": ["é"]})).to_list() == ["7f42a325-b5bc-aa85-49bd-68a5185b6a7d"]


def test_the_first_row_of_a_unique_value_is_kept_and_the_others_are_rejected() -> None:
    once = with_columns(order={"nullable": True, "unique": True})
    rows = [row(order="x"), row(id="2", order="y"), row(id="3"), row(id="4"), row(id="5", order="x")]
    result = deduplicated(once, raw(*rows))
    assert [at for _, at in kept(result)] == [1, 2, 3, 4]
    assert conflicts(result) == {("a.ndjson", 5): {("conflicting_duplicate", "order", "x")}}


def test_duplicates_do_not_conflict_over_a_unique_column() -> None:
    once = with_columns(order={"nullable": True, "unique": True})
    result = deduplicated(once, raw(row(order="x"), row(order="x")))
    assert (len(kept(result)), conflicts(result), result.duplicates) == (1, {}, 1)


def test_a_row_that_repeats_two_unique_values_has_both_reasons() -> None:
    twice = with_columns(order={"unique": True}, basket={"unique": True})
    result = deduplicated(twice, raw(row(order="x", basket="y"), row(id="2", order="x", basket="y")))
    assert {column for _, column, _ in conflicts(result)["a.ndjson", 2]} == {"order", "basket"}


def test_a_repeated_timestamp_is_quoted_as_text() -> None:
    once = with_columns(seen={"type": "timestamp", "formats": ["%+"], "unique": True})
    result = deduplicated(once, raw(row(seen=NOON), row(id="2", seen=NOON)))
    ((_, _, value),) = conflicts(result)["a.ndjson", 2]
    assert value.startswith("2026-01-01 12:00:00")


def test_a_replaced_row_that_conflicts_in_two_columns_is_one_conflict() -> None:
    """It is one row: were its conflicts counted instead, the duplicates would be -1."""
    twice = with_columns(order={"unique": True}, basket={"unique": True})
    original = raw(row(order="x", basket="y"), uri="a")
    other = raw(row(id="2", order="x", basket="y"), uri="b")
    repaired = raw(row(id="3", order="z", basket="w"), uri="replay:1")
    frames = [validate(parse(rows, twice), twice, LANDING).events for rows in (original, other, repaired)]
    repairs = pl.DataFrame([("replay:1", 1, "a", 1, 1)], schema=REPAIRS, orient="row")
    result = deduplicate(pl.concat(frames), twice, {}, repairs)
    assert kept(result) == [("b", 1), ("replay:1", 1)]
    assert conflicts(result) == {
        ("a", 1): {("conflicting_duplicate", "order", "x"), ("conflicting_duplicate", "basket", "y")}
    }
    assert result.duplicates == 0


@pytest.mark.parametrize(("sequence", "place"), [(None, ("replay:1", 1)), ("position", ("a", 1))])
def test_by_position_a_repaired_row_takes_the_place_of_its_original(
    sequence: str | None, place: tuple[str, int]
) -> None:
    of = stream(sequence=sequence)
    file, repaired = raw(row(id="1", user=None), row(id="2"), uri="a"), raw(row(id="3"), uri="replay:1")
    frames = [validate(parse(rows, of), of, LANDING).events for rows in (file, repaired)]
    repairs = pl.DataFrame([("replay:1", 1, "a", 1, 1)], schema=REPAIRS, orient="row")
    result = deduplicate(pl.concat(frames), of, {}, repairs)
    by_id, by_position = [("a", 2), place], [place, ("a", 2)]
    assert result.events.select("source_uri", "position").rows() == (by_position if sequence else by_id)


def test_ids_are_derived_over_blocks_of_any_size() -> None:
    of, rows = stream(columns=DERIVED), 30_000
    one = validate(parse(raw(row()), of), of, LANDING).events
    numbers = pl.int_range(1, rows + 1, dtype=pl.Int64, eager=True)
    same = [one[name].new_from_index(0, rows) for name in one.columns]
    events = pl.DataFrame(same).with_columns(position=numbers, _payload_digest=numbers.cast(pl.String))
    result = deduplicate(events, of, {"a.ndjson": "1"})
    assert result.events["event_id"].n_unique() == result.events.height == rows
