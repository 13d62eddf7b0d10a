"""Fields that are new, missing or of another type are drift; unchanged ones are not."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.parse.parse import parse_and_observe
from sessions_platform.transforms.schema_drift import (
    MOST_FIELDS,
    NOTHING_OBSERVED,
    ObservedSchema,
    drift,
    observed_schema_of,
    row_signatures,
)
from sessions_platform_tests.streams import PLAIN, stream

ROW = {"id": "1", "user": "ann", "ts": 1, "type": "view", "url": None}


def with_columns(**columns: Any) -> Stream:
    return stream(columns={**PLAIN["columns"], **columns})


NESTED = with_columns(user_id={"from": ["user.id", "anonymous_id"]}, amount={"type": "float", "nullable": True})
PERSON = {**ROW, "user": {"id": "ann"}, "amount": 1.5}


def observed_schema(rows: list[dict[str, Any]], of: Stream) -> ObservedSchema:
    return observed_schema_of(row_signatures(rows, of), of)


def drifts(of: Stream, now: list[dict[str, Any]], before: list[dict[str, Any]] | None = None) -> set[tuple[str, str]]:
    """Kind and field of each drift."""
    drifted = drift(observed_schema(now, of), observed_schema(before or [], of), of)
    assert len({(one.kind, one.field) for one in drifted}) == len(drifted)
    return {(one.kind.value, one.field) for one in drifted}


def test_an_observed_schema_counts_the_types_of_each_field() -> None:
    observed = observed_schema([PERSON, {**PERSON, "amount": 2, "more": [1]}, {"amount": None}, {}], NESTED)
    assert observed.rows == 3
    assert observed.fields["amount"] == {"number": 1, "integer": 1, "null": 1}
    assert observed.fields["user"] == {"object": 2}
    assert observed.fields["user.id"] == {"string": 2}
    assert observed.fields["more"] == {"array": 1}


def test_objects_that_no_path_leads_into_are_one_field() -> None:
    assert set(observed_schema([{**ROW, "query": {"a": 1, "b": 2}}], NESTED).fields) == {*ROW, "query"}


def test_an_object_whose_keys_are_data_does_not_fill_memory() -> None:
    rows = [{"user": {f"{part}-{n}": 1 for n in range(300)}} for part in range(5)]
    halves = observed_schema(rows[:2], NESTED) + observed_schema(rows[2:], NESTED)
    assert len(halves.fields) == MOST_FIELDS
    assert len(observed_schema(rows, NESTED).fields) == MOST_FIELDS


def test_field_names_that_cannot_be_stored_are_spelled_out() -> None:
    assert set(observed_schema([{"a\0": 1, "\ud800": 2}], NESTED).fields) == {"a\\u0000", "\\ud800"}


fields = st.dictionaries(
    st.sampled_from(["a", "b", "user"]),
    st.none() | st.integers() | st.dictionaries(st.sampled_from(["id", "x"]), st.text()),
)


@given(st.lists(fields), st.lists(fields))
def test_the_schemas_of_blocks_add_up_to_that_of_all_rows(first: list[dict], second: list[dict]) -> None:
    whole = observed_schema([*first, *second], NESTED)
    assert observed_schema(first, NESTED) + observed_schema(second, NESTED) == whole
    assert NOTHING_OBSERVED + whole == whole
    assert ObservedSchema(**json.loads(json.dumps({"rows": whole.rows, "fields": whole.fields}))) == whole


def test_unchanged_fields_are_no_drift() -> None:
    assert drifts(NESTED, [PERSON], [PERSON]) == set()
    assert drifts(NESTED, [{**PERSON, "ref": 1}], [{**PERSON, "ref": "x"}]) == set()
    assert drifts(NESTED, [], [PERSON]) == set()


def test_a_field_is_new_only_if_there_is_a_partition_before() -> None:
    more = {**PERSON, "ref": "x", "user": {"id": "ann", "plan": "pro"}}
    assert drifts(NESTED, [PERSON, more], [PERSON]) == {("new", "ref"), ("new", "user.plan")}
    assert drifts(NESTED, [PERSON, more], [more]) == set()
    assert drifts(NESTED, [more]) == set()


def test_the_rows_that_have_a_new_field_are_counted() -> None:
    (new,) = drift(
        observed_schema([PERSON, PERSON, {**PERSON, "ref": 1}], NESTED), observed_schema([PERSON], NESTED), NESTED
    )
    assert (new.types, new.rows, new.of) == ("integer", 1, 3)


def test_a_column_is_missing_where_no_row_has_it() -> None:
    without = {key: value for key, value in PERSON.items() if key != "amount"}
    assert drifts(NESTED, [without]) == {("missing", "amount")}
    assert drifts(NESTED, [without], [PERSON]) == {("missing", "amount")}
    assert drifts(NESTED, [without], [without]) == set()
    assert drifts(NESTED, [without, PERSON]) == set()
    assert drifts(NESTED, [{**PERSON, "amount": None}]) == set()


def test_a_missing_field_is_named_in_the_case_that_it_has() -> None:
    of = stream()
    (missing,) = (
        one
        for one in drift(observed_schema([row_of("USER")], of), observed_schema([row_of("user")], of), of)
        if one.field == "user"
    )
    assert (missing.kind.value, missing.types) == ("missing", "the file has USER")


def test_a_new_field_names_the_column_that_reads_another_case() -> None:
    of = stream()
    now = [row_of("user"), row_of("USER")]
    (new,) = drift(observed_schema(now, of), observed_schema([row_of("user")], of), of)
    assert (new.kind.value, new.field, new.types) == ("new", "USER", "string, a column reads user")


def test_drift_says_which_file_was_the_first_with_the_type() -> None:
    texts = [{**AS_TYPED, "n": "1"}, {**AS_TYPED, "n": "2", "more": 1}]
    files = [raw_file("a", [AS_TYPED]), raw_file("b", [AS_TYPED, *texts[:1]]), raw_file("c", texts)]
    for blocks in ([pl.concat(files)], files):
        observed = sum((parse_and_observe(block, TYPED)[1] for block in blocks), NOTHING_OBSERVED)
        drifted = drift(observed, observed_schema([AS_TYPED], TYPED), TYPED)
        assert [(one.kind.value, one.field, one.file) for one in drifted] == [
            ("new", "more", "c"),
            ("retyped", "n", "b"),
        ]


def raw_file(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """The raw rows of an NDJSON file."""
    return pl.DataFrame([{"source_uri": name, "payload": json.dumps(row).encode()} for row in rows], schema=RAW_EVENTS)


def row_of(user: str) -> dict[str, Any]:
    return {"id": "1", user: "ann", "ts": "2026-01-01T12:00:00Z", "type": "view", "url": None}


def test_a_fallback_is_missing_only_if_the_partition_before_had_it() -> None:
    unknown = {**PERSON, "user": None, "anonymous_id": "x"}
    assert drifts(NESTED, [PERSON]) == set()
    assert drifts(NESTED, [PERSON], [PERSON, unknown]) == {("missing", "anonymous_id")}
    nobody = {key: value for key, value in PERSON.items() if key != "user"}
    assert drifts(NESTED, [nobody]) == {("missing", "user.id"), ("missing", "anonymous_id")}


TYPED = with_columns(
    n={"type": "integer"}, x={"type": "float"}, yes={"type": "boolean"}, day={"type": "timestamp", "formats": ["%F"]}
)
AS_TYPED = {**ROW, "n": 1, "x": 1.5, "yes": True, "day": "2026-01-01"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", "1"),
        ("n", 1.0),
        ("x", "1.5"),
        ("x", [1]),
        ("yes", 1),
        ("yes", "true"),
        ("day", 1),
        ("type", {}),
        ("ts", True),
    ],
)
def test_values_of_another_type_are_drift(field: str, value: Any) -> None:
    assert drifts(TYPED, [{**AS_TYPED, field: value}]) == {("retyped", field)}
    assert drifts(TYPED, [{**AS_TYPED, field: value}], [AS_TYPED]) == {("retyped", field)}
    assert drifts(TYPED, [{**AS_TYPED, field: value}], [{**AS_TYPED, field: value}]) == set()


@pytest.mark.parametrize(("field", "value"), [("n", None), ("x", 1), ("ts", "2026-01-01T00:00:00Z"), ("ts", 1.5)])
def test_values_of_the_type_of_the_column_are_no_drift(field: str, value: Any) -> None:
    assert drifts(TYPED, [{**AS_TYPED, field: value}], [AS_TYPED]) == set()


def test_ids_may_be_numbers_from_the_first_partition_on_but_not_later() -> None:
    assert drifts(TYPED, [{**AS_TYPED, "user": 7}]) == set()
    assert drifts(TYPED, [{**AS_TYPED, "user": 7}], [AS_TYPED]) == {("retyped", "user")}


def test_a_type_of_less_than_a_hundredth_of_the_values_is_no_drift() -> None:
    odd = {**AS_TYPED, "n": "?"}
    assert drifts(TYPED, [*[AS_TYPED] * 99, odd], [AS_TYPED]) == {("retyped", "n")}
    assert drifts(TYPED, [*[AS_TYPED] * 100, odd], [AS_TYPED]) == set()


def test_csv_has_no_types() -> None:
    text = stream(source={"files": "*.csv", "format": "csv"}, columns={**PLAIN["columns"], "n": {"type": "integer"}})
    assert drifts(text, [{**ROW, "ts": "1", "n": "1"}], [{**ROW, "ts": "1", "n": None}]) == set()
    assert drifts(text, [{**ROW, "n": "1", "new": ""}], [{**ROW, "n": "1"}]) == {("new", "new")}
