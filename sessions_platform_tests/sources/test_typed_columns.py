"""The JSON that is made of whole columns is, to the byte, that which is made of each value by itself."""

import math
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.columns import Columns, blocks, rows_of
from sessions_platform.sources.formats.typed.parquet import parquet_rows
from sessions_platform.sources.formats.typed.rows import json_rows
from sessions_platform_tests.typed_rows import KINDS, TEXTS, array_of, payloads_in, within


@st.composite
def batches(draw: Callable[..., Any]) -> pa.RecordBatch:
    """Batches of a few columns of any kinds, some of which begin within their arrays."""
    height, before = draw(within(1, 6)), draw(within(0, 2))
    chosen = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    names = draw(st.lists(TEXTS, min_size=len(chosen), max_size=len(chosen), unique=True))
    of_height = {"min_size": height + before, "max_size": height + before}
    arrays = [array_of(kind, draw(st.lists(st.none() | values, **of_height))) for kind, values in chosen]
    return pa.RecordBatch.from_arrays(arrays, names).slice(before)


def one_by_one(batch: pa.RecordBatch) -> list[bytes]:
    return json_rows(batch.schema.names, batch.columns, batch.num_rows)


@given(batches())
def test_the_rows_of_any_batch_are_the_same_to_the_byte(batch: pa.RecordBatch) -> None:
    assert payloads_in(rows_of(batch, batch.schema.types)) == one_by_one(batch)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.float64(), [1.5, 1e300, math.nan, -math.inf, -0.0, None]),
        (pa.string(), ['say "x"', "a\\b", "\n", "é", "", None]),
        (pa.timestamp("us", "Europe/Berlin"), [0, -1, 500_000, None]),
        (pa.timestamp("s"), [0, -62135596800, 253402300799]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"]),
        (pa.uint64(), [2**64 - 1]),
        (pa.null(), [None]),
        (pa.decimal128(9, 2), [Decimal("1.10"), None]),
        (pa.uuid(), [UUID(int=7).bytes]),
    ],
    ids=str,
)
def test_these_are_sent_as_columns(kind: pa.DataType, values: list[Any]) -> None:
    batch = pa.record_batch([array_of(kind, values)], ["v"])
    rows = rows_of(batch, batch.schema.types)
    assert isinstance(rows, Columns)
    assert payloads_in(rows) == one_by_one(batch)


def test_a_batch_with_text_that_is_not_utf8_is_sent_row_by_row() -> None:
    text = pa.array([b"\xff", b"a"]).cast(pa.string(), safe=False)
    texts = pa.record_batch([text, pa.array([1, 2])], ["v", "n"])
    inner = pa.record_batch([pa.ListArray.from_arrays([0, 1, 2], text)], ["v"])
    for batch in (texts, inner):
        rows = rows_of(batch, batch.schema.types)
        assert rows == one_by_one(batch)
        assert b"\\udcff" in one_by_one(batch)[0]


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("v", pa.string(), "\0"),
        ("v", pa.string_view(), "a text of more than twelve bytes\0"),
        ("v", pa.dictionary(pa.int8(), pa.string()), "a\0b"),
        ("v", pa.list_(pa.string()), ["\0"]),
        ("\0", pa.int64(), 1),
    ],
    ids=str,
)
def test_a_batch_with_text_that_can_not_be_stored_is_sent_row_by_row(name: str, kind: pa.DataType, value: Any) -> None:
    batch = pa.record_batch([array_of(kind, [None, value])], [name])
    assert rows_of(batch, batch.schema.types) == one_by_one(batch)


@given(st.lists(st.none() | TEXTS, max_size=4), st.lists(st.none() | within(0, 3)), within(0, 2))
def test_numbers_in_any_dictionary_stand_for_its_texts(texts: list[str | None], numbers: Any, before: int) -> None:
    """Of which some are null, or in no row; and which begins within its arrays."""
    numbers = [number for number in numbers if number is None or number < len(texts)]
    dictionary = pa.array(["", *texts], pa.string()).slice(1)
    column = pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), dictionary).slice(before)
    batch = pa.record_batch([column], ["v"])
    assert payloads_in(rows_of(batch, batch.schema.types)) == one_by_one(batch)


def test_a_number_that_is_not_in_its_dictionary_is_corrupt() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a"]), safe=False)
    batch = pa.record_batch([column], ["v"])
    with pytest.raises(CorruptDataError, match="not in its dictionary"):
        rows_of(batch, batch.schema.types)


@given(st.floats(-10, 10), within(-9, 18))
def test_floats_are_plain_or_spelled_one_by_one(value: float, exponent: int) -> None:
    batch = pa.record_batch([pa.array([value * 10.0**exponent])], ["v"])
    assert payloads_in(rows_of(batch, batch.schema.types)) == one_by_one(batch)


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(["", "é", "a text of more than twelve bytes", None]), min_size=1, max_size=300),
    st.lists(TEXTS, min_size=1, max_size=20),
    within(1, 100),
)
def test_texts_of_few_values_are_read_as_all_others(few: list[Any], many: list[str], group: int) -> None:
    table = pa.table({"few": few, "many": [f"{n}{many[n % len(many)]}" for n in range(len(few))]})
    file = BytesIO()
    pq.write_table(table, file, row_group_size=group, compression="none", dictionary_pagesize_limit=100)
    sent = [payload for rows in parquet_rows(file, 1000, 50) for payload in payloads_in(rows)]
    assert sent == json_rows(table.schema.names, [column.combine_chunks() for column in table.columns], len(few))


def test_rows_without_columns_are_empty_objects() -> None:
    batch = pa.record_batch([pa.array([1, 2])], ["a"]).select([])
    assert rows_of(batch, []) == [b"{}", b"{}"]


def test_a_name_that_occurs_twice_is_no_row() -> None:
    batch = pa.record_batch([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(CorruptDataError, match="names 'a' twice"):
        rows_of(batch, batch.schema.types)


def test_blocks_are_as_large_as_was_asked_for_in_memory_too() -> None:
    batch = pa.record_batch([pa.array(["x" * 1000] * 100)], ["v"])
    by_number = pa.record_batch([batch["v"].dictionary_encode()], ["v"])
    for each in (batch, by_number):
        sizes = [len(payloads_in(rows)) for rows in blocks(each, each.schema.types, 10_500, 1000)]
        assert sizes == [10] * 10
