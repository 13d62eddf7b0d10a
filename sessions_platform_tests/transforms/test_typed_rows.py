"""Rows of typed files give what their payloads give, to the last character, whether they have these or fields."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.raw_events import FIELD, JSON_FIELD, RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.typed.columns import rows_of
from sessions_platform.sources.formats.typed.payloads import with_payloads
from sessions_platform.transforms.parse import parse as parsing
from sessions_platform.transforms.parse.parse import parse, parse_and_observe
from sessions_platform.transforms.parse.templates import Slot
from sessions_platform.transforms.parse.typed_rows import TypedValues, read_typed, texts_of
from sessions_platform.transforms.stretches import ROWS
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.typed_rows import STORABLE_KINDS, STORABLE_TEXTS, array_of, fields_in


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "_PART_ROWS", 4)
        yield


COLUMNS: dict[str, dict[str, Any]] = {
    "event_id": {"from": "id", "nullable": True},
    "user_id": {"from": ["user.id", "b", "a"]},
    "event_type": {"from": "kind", "default": "view"},
    "event_timestamp": {"from": "at", "formats": ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "epoch_s"]},
    "page_url": {"join": ["b", "c"], "nullable": True},
    "amount": {"from": "n", "type": "float", "nullable": True, "ge": 0},
    "count": {"from": ["c", "n"], "type": "integer", "nullable": True, "nulls": ["0", "NaN"]},
    "flag": {"from": "a", "type": "boolean", "nullable": True, "trim": True, "case": "lower"},
    "item": {"from": "items[0].x", "nullable": True},
}
NAMES = ["id", "user.id", "user", "a", "b", "c", "kind", "at", "n", "items", 'say "x"', "é", "other", ""]
INSTANT = pl.Datetime("us", "UTC")


def stream(extra_columns: str = "keep", without: tuple[str, ...] = (), **more: Any) -> Stream:
    columns = {name: column for name, column in COLUMNS.items() if name not in without}
    source = {"files": "*", "format": "parquet"}
    plain = {"name": "web", "start": "2000-01-01", "source": source, "columns": columns}
    return Stream.model_validate({**plain, "extra_columns": extra_columns, **more})


def raw(fields: pl.DataFrame) -> pl.DataFrame:
    """Rows of a Parquet file that have these fields."""
    of_file = {"landing_partition": "2026-01-01", "source_uri": "a.parquet"}
    rows = [{**of_file, "position": position} for position in range(1, fields.height + 1)]
    absent = (pl.lit(None, dtype).alias(name) for name, dtype in RAW_EVENTS.items() if name not in rows[0])
    return pl.DataFrame(rows).with_columns(*absent).select(*RAW_EVENTS).hstack(fields)


def agrees(rows: pl.DataFrame, of: Stream) -> None:
    of_fields, of_payloads = parse_and_observe(rows, of), parse_and_observe(with_payloads(rows), of)
    parsed = texts_of(with_payloads(of_fields[0]), of.columns)
    assert parsed.rows() == of_payloads[0].rows()
    assert parsed.schema == of_payloads[0].schema
    assert of_fields[1] == of_payloads[1]
    assert list(of_fields[1].fields) == list(of_payloads[1].fields)
    validated, expected = (validate(parsed[0], of, "2026-01-01") for parsed in (of_fields, of_payloads))
    for found, wanted in ((validated.events, expected.events), (validated.rejected, expected.rejected)):
        assert found.rows() == wanted.rows()
        assert found.schema == wanted.schema
    assert validated.skipped == expected.skipped


@st.composite
def typed_rows(draw: Callable[..., Any]) -> pl.DataFrame:
    height = draw(st.integers(1, 9))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=7, unique=True))
    kinds = [draw(st.sampled_from(STORABLE_KINDS)) for _ in names]
    of_height = {"min_size": height, "max_size": height}
    arrays = [array_of(kind, draw(st.lists(st.none() | values, **of_height))) for kind, values in kinds]
    batch = pa.RecordBatch.from_arrays(arrays, names)
    return raw(fields_in(rows_of(batch, batch.schema.types)))


@settings(max_examples=30)
@given(
    typed_rows(),
    st.sampled_from(["keep", "drop", "reject"]),
    st.sets(st.sampled_from(["event_id", "item", "page_url"])),
    st.sampled_from([{}, {"skip": [{"column": "event_type", "isin": ["a", "view"]}]}, {"skip": [{"payload": "null"}]}]),
)
def test_fields_give_what_their_payloads_give(
    rows: pl.DataFrame, extra_columns: str, without: set[str], more: dict[str, Any]
) -> None:
    agrees(rows, stream(extra_columns, tuple(without), **more))


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(st.none() | STORABLE_TEXTS | st.sampled_from([" ", "", "-"]), min_size=1, max_size=9))
def test_texts_of_columns_and_of_properties_are_those_of_payloads(texts: list[str | None]) -> None:
    agrees(raw(pl.DataFrame({f"{FIELD}id": texts, f"{FIELD}other": texts[::-1]}, schema_overrides=TEXT)), stream())


TEXT = {f"{FIELD}id": pl.String, f"{FIELD}other": pl.String}


def test_rows_with_payloads_and_rows_with_fields_may_be_in_one_block() -> None:
    rows = raw(pl.DataFrame({f"{FIELD}id": ["a", "b", "c"], f"{FIELD}n": [1, 2, None]}))
    of_payloads = with_payloads(rows)
    mixed = rows.with_columns(payload=pl.when(pl.col("position") == 2).then(of_payloads["payload"]))
    blank = pl.when(pl.col("position") != 2)
    mixed = mixed.with_columns(blank.then(pl.col(f"{FIELD}id")), blank.then(pl.col(f"{FIELD}n")))
    assert with_payloads(mixed).equals(of_payloads)
    agrees(mixed, stream())


def read_in_bulk(rows: pl.DataFrame, of: Stream) -> list[int]:
    return [number for read in read_typed(rows, of) for number in read.rows.tolist()]


@pytest.mark.parametrize(
    ("field", "values", "read"),
    [
        ("field.id", ["a", 'say "x"', "\\", "\n", None], [0, 1, 2, 3, 4]),
        ("field.other", ['say "x"', "\n"], [0, 1]),
        ("field.n", [1.5, float("nan"), 1e300, -0.0], [0, 3]),
        ("json.other", ["[1]", '{"a":1.10}', None], [0, 1, 2]),
        ("json.items", ['[{"x":1}]'], []),
        ("field.items", ["x"], [0]),
    ],
)
def test_only_floats_that_are_spelled_otherwise_are_left_out(field: str, values: list[Any], read: list[int]) -> None:
    rows = raw(pl.DataFrame({field: values}))
    assert read_in_bulk(rows, stream()) == read
    agrees(rows, stream())


@pytest.mark.parametrize(
    ("column", "unit", "is_kept"),
    [
        ({}, "us", True),
        ({}, "ms", True),
        ({"floor": "1m"}, "us", True),
        ({}, "ns", False),
        ({"nulls": ["-"]}, "us", False),
        ({"trim": True}, "us", False),
        ({"formats": ["iso8601"]}, "us", False),
        ({"from": ["b", "at"]}, "us", True),
        ({"from": ["id", "at"], "nullable": True}, "us", False),
    ],
    ids=str,
)
@pytest.mark.parametrize("skip", [[], [{"column": "event_timestamp", "pattern": "^2026-01-01T00:00:00.5"}]], ids=str)
def test_an_instant_is_kept_where_nothing_else_is_read_of_its_text(
    column: dict[str, Any], unit: Any, is_kept: bool, skip: list[Any]
) -> None:
    instants = [0, 1_767_225_600_500_000, -1, None, 1_767_225_600_123_456]
    at = pl.Series("field.at", instants, pl.Datetime("us", "UTC")).cast(pl.Datetime(unit, "UTC"))
    rows = raw(pl.DataFrame([at, pl.Series("field.id", ["", None, "a", "b", ""])]))
    of = stream(columns={"user_id": {"from": "at"}, "event_timestamp": {"from": "at", **column}}, skip=skip)
    agrees(rows, of)
    assert (parse(rows, of).schema["event_timestamp"] == INSTANT) == is_kept


def test_instants_are_texts_where_some_rows_of_a_block_are_parsed_from_payloads() -> None:
    of = stream(columns={"user_id": {"from": "id"}, "event_timestamp": {"from": "at"}, "n": {}})
    at = pl.Series("field.at", [0, 1, 2, 3, 4, 5], INSTANT)
    ids, numbers = pl.Series("field.id", list("abcdef")), pl.Series("field.n", [1.0, 2.0, 3.0, 4.0, 5.0, 1e300])
    rows = raw(pl.DataFrame([at, ids, numbers]))
    assert parse(rows.head(4), of).schema["event_timestamp"] == INSTANT
    assert parse(rows, of).schema["event_timestamp"] == pl.String
    agrees(rows, of)


def test_fields_begin_as_no_column_of_raw_rows_does() -> None:
    assert not [name for name in RAW_EVENTS if name.startswith((FIELD, JSON_FIELD))]
    assert not ROWS.startswith((FIELD, JSON_FIELD))


@given(st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=9), st.sampled_from([3, 20]))
def test_combinations_of_nulls_are_counted_by_their_first_rows(patterns: list[int], columns: int) -> None:
    rows = np.arange(len(patterns)) * 2
    fields = [pl.Series(f"{FIELD}{n}", [n if bits >> n & 1 else None for bits in patterns]) for n in range(columns)]
    slots = [Slot(number, null="null") for number in range(columns)]
    combinations = TypedValues(rows, fields, set(), set()).type_combinations(slots)
    counts = Counter(bits % 2**columns for bits in patterns)
    first = {bits % 2**columns: 2 * row for row, bits in reversed(list(enumerate(patterns)))}
    assert sorted(combinations) == sorted((first[bits], count) for bits, count in counts.items())
