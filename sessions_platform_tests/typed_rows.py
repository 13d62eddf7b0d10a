"""Batches of typed files, and what is made of them: fields, and rows of JSON."""

import struct
from datetime import date
from typing import Any

import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

from sessions_platform.sources.formats.typed.columns import Columns, Rows
from sessions_platform.sources.formats.typed.format import block_of
from sessions_platform.sources.formats.typed.payloads import payloads_of
from sessions_platform.sources.formats.typed.reader_process import SentColumns

FLOATS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]) | st.sampled_from(
    [0.0, -0.0, 1e15, 1e16, -1e16, 1e17, 1e-4, 1e-5, 1e-6, 1e-7, 5e-324, 0.1, 123456789012345680.0, 2.0**53]
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['"', "\\", "\x00", "\x1f", "\x7f", "null"]
)
DAYS = st.integers((date.min - date(1970, 1, 1)).days - 2, (date.max - date(1970, 1, 1)).days + 2)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
# The seconds of the years 1 to 9999, and a few beyond either end.
SECONDS = st.integers(-62135596800 - 2, 253402300799 + 2)


def instants(per_second: int) -> st.SearchStrategy[int]:
    """Of all years, and often with zeros at the end of their fraction."""
    fractions = st.sampled_from([0, per_second // 2, per_second // 10, 1, per_second - 1])
    near = st.builds(lambda second, fraction: second * per_second + fraction, SECONDS, fractions)
    return (near | INTEGERS).filter(lambda value: -(2**63) <= value < 2**63)


def within(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def kinds(texts: st.SearchStrategy[str]) -> list[tuple[pa.DataType, st.SearchStrategy[Any]]]:
    """Types of Arrow, and their values, some of which are these texts."""
    return [
        *[(getattr(pa, f"int{bits}")(), within(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)) for bits in (8, 16, 32, 64)],
        *[(getattr(pa, f"uint{bits}")(), within(0, 2**bits - 1)) for bits in (8, 16, 32, 64)],
        (pa.float64(), FLOATS),
        (pa.float32(), st.floats(width=32)),
        (pa.float16(), st.floats(width=16)),
        (pa.bool_(), st.booleans()),
        (pa.null(), st.none()),
        *[(kind, texts) for kind in (pa.string(), pa.large_string(), pa.string_view())],
        (pa.dictionary(pa.int8(), pa.string()), texts),
        (pa.dictionary(pa.int32(), pa.int64()), INTEGERS),
        (pa.date32(), DAYS),
        (pa.date64(), DAYS.map(lambda day: day * 86_400_000)),
        *[
            (pa.timestamp(unit, zone), instants(per_second))
            for unit, per_second in {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}.items()
            for zone in (None, "UTC", "Europe/Berlin", "-07:30")
        ],
        (pa.time32("ms"), within(0, 86_399_999)),
        (pa.time64("us"), within(0, 86_399_999_999)),
        (pa.duration("us"), INTEGERS),
        (pa.decimal128(20, 5), st.decimals(-(10**14), 10**14, places=5)),
        (pa.decimal256(60, 5), st.decimals(-(10**14), 10**14, places=5)),
        *[(kind, st.binary(max_size=6)) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())],
        (pa.binary(4), st.binary(min_size=4, max_size=4)),
        (pa.uuid(), st.uuids().map(lambda value: value.bytes)),
        (pa.json_(), texts),
        (pa.list_(pa.string()), st.lists(texts, max_size=3)),
        (pa.list_(pa.float64(), 2), st.lists(FLOATS, min_size=2, max_size=2)),
        (
            pa.struct({"a": pa.int8(), "b": pa.string()}),
            st.fixed_dictionaries({"a": st.none() | within(0, 9), "b": texts}),
        ),
        (pa.map_(pa.string(), pa.int8()), st.lists(st.tuples(texts, within(0, 9)), max_size=3)),
    ]


KINDS = kinds(TEXTS)
# Texts with U+0000 are sent row by row.
STORABLE_TEXTS = TEXTS.map(lambda text: text.replace("\0", "0"))
STORABLE_KINDS = kinds(STORABLE_TEXTS)


def array_of(kind: Any, values: list[Any]) -> Any:
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(pa.array(values, kind.storage_type))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date64(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_date32(kind):
        return pa.array(values, pa.int32()).cast(kind)
    return pa.array(values, kind)


def fields_in(rows: Rows | SentColumns) -> pl.DataFrame:
    """The fields of a block that was sent as columns."""
    assert not isinstance(rows, list)
    sent = rows if isinstance(rows, SentColumns) else _sent(rows)
    fields = block_of(sent).fields
    assert fields is not None
    return fields


def _sent(columns: Columns) -> SentColumns:
    stream = pa.BufferOutputStream()
    columns.write_to(stream)
    return SentColumns(columns.names, columns.as_json, stream.getvalue().to_pybytes())


def payloads_in(rows: Rows | SentColumns) -> list[bytes]:
    """The rows of a block, whether it was sent as rows or as columns."""
    return rows if isinstance(rows, list) else payloads_of(fields_in(rows)).to_list()
