"""Avro files: every row with its exact values, and nothing that other readers pass over in silence."""

import io
import json
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.sources.formats.avro.container import blocks
from sessions_platform.sources.formats.avro.rows import avro_rows
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.reader_process import ParquetProcess
from sessions_platform_tests.ingested import reading, rows_of
from sessions_platform_tests.typed_rows import payloads_in

NODE = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "n", "type": "long"}, {"name": "next", "type": ["null", "Node"], "default": None}],
}


def record(**fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Event",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def fixed(size: int, **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": "Fixed", "size": size, **more}


def avro(schema: Any, rows: list[Any], **how: Any) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, schema, rows, **how)
    return out.getvalue()


def encoded(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def container(schema: Any, *records: tuple[int, bytes], codec: str = "null") -> bytes:
    """A file of blocks with these counts and bytes, which no writer would write."""
    whole = avro(schema, [])
    header = whole.replace(b"avro.codec\x08null", b"avro.codec" + encoded("bytes", codec.encode()))
    parts = (encoded("long", count) + encoded("bytes", block) + whole[-16:] for count, block in records)
    return header + b"".join(parts)


def rows_in(content: bytes) -> list[Any]:
    return [json.loads(row) for group in avro_rows(io.BytesIO(content), 1 << 20, 1000) for row in group]


def before_the_break(content: bytes) -> tuple[list[Any], str]:
    """The rows of a file, and why the rest of it can't be read; "" where there is none."""
    rows: list[Any] = []
    try:
        for group in avro_rows(io.BytesIO(content), 1 << 20, 1000):
            rows += map(json.loads, group)
    except CorruptDataError as corrupt:
        return rows, str(corrupt)
    return rows, ""


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("long", 2**63 - 1, 2**63 - 1),
        ("double", 0.1, 0.1),
        ("double", float("-inf"), "-Infinity"),
        ("float", float("nan"), "NaN"),
        ("boolean", True, True),
        ("bytes", b"42", "data:;base64,NDI="),
        (fixed(2), b"42", "data:;base64,NDI="),
        ({"type": "enum", "name": "E", "symbols": ["view", "buy"]}, "buy", "buy"),
        (logical("int", "date"), -719162, "0001-01-01"),
        (logical("int", "date"), -719163, "<value out of range: -719163>"),
        (logical("int", "time-millis"), 43_200_120, "12:00:00.12"),
        (logical("long", "time-micros"), 86_400_000_000, "<value out of range: 86400000000>"),
        (logical("long", "timestamp-millis"), 1_767_268_800_000, "2026-01-01T12:00:00+00:00"),
        (logical("long", "timestamp-millis"), 2**62, f"<value out of range: {2**62}>"),
        (logical("long", "timestamp-micros"), -1, "1969-12-31T23:59:59.999999+00:00"),
        (logical("long", "timestamp-nanos"), 1_767_268_800_123_456_789, "2026-01-01T12:00:00.123456789+00:00"),
        (logical("long", "local-timestamp-millis"), 1_767_268_800_500, "2026-01-01T12:00:00.5"),
        (logical("long", "local-timestamp-micros"), 1_767_268_800_000_001, "2026-01-01T12:00:00.000001"),
        (logical("long", "local-timestamp-nanos"), -1, "1969-12-31T23:59:59.999999999"),
        (logical("bytes", "decimal", precision=40, scale=2), Decimal("-1.10"), "-1.10"),
        (fixed(8, logicalType="decimal", precision=9, scale=9), Decimal("0.000000001"), "0.000000001"),
        (logical("bytes", "decimal", precision=60), Decimal(10**50), "1" + "0" * 50),
        (logical("string", "uuid"), UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (fixed(16, logicalType="uuid"), UUID(int=1).bytes, "00000000-0000-0000-0000-000000000001"),
        (fixed(12, logicalType="duration"), b"\1\0\0\0\2\0\0\0\x03\0\0\0", "P1M2DT0.003S"),
        (logical("string", "timestamp-millis"), "no timestamp", "no timestamp"),
        (logical("long", "sessions-date"), 7, 7),
        (["null", logical("long", "timestamp-millis"), "string"], None, None),
        (["null", logical("long", "timestamp-millis"), "string"], "x", "x"),
        ({"type": "map", "values": ["null", "bytes"]}, {"a": b"42", "b": None}, {"a": "data:;base64,NDI=", "b": None}),
        ({"type": "array", "items": logical("int", "date")}, [0, 1], ["1970-01-01", "1970-01-02"]),
        (NODE, {"n": 1, "next": {"n": 2, "next": None}}, {"n": 1, "next": {"n": 2, "next": None}}),
    ],
    ids=str,
)
def test_values_are_read_as_the_schema_means_them(kind: Any, value: Any, read: Any) -> None:
    as_written = {**kind, "logicalType": "none"} if isinstance(kind, dict) and "decimal" not in str(kind) else kind
    if isinstance(value, int | bytes):  # not by fastavro's logical types, which have no nanoseconds and fewer years
        row = encoded(record(v=as_written), {"v": value})
        assert rows_in(container(record(v=kind), (1, row))) == [{"v": read}]
    else:
        assert rows_in(avro(record(v=kind), [{"v": value}])) == [{"v": read}]


def test_a_decimal_with_a_scale_of_its_own_is_read() -> None:
    by_java = encoded("bytes", (110).to_bytes(1, "big")) + encoded("int", 2)
    content = container(record(v=logical("bytes", "big-decimal")), (1, encoded("bytes", by_java)))
    assert rows_in(content) == [{"v": "1.10"}]


def test_a_name_stands_for_the_type_that_it_names() -> None:
    schema = record(a=fixed(2), b="Fixed", c=["null", "Fixed"])
    assert rows_in(avro(schema, [{"a": b"42", "b": b"42", "c": b"42"}])) == [dict.fromkeys("abc", "data:;base64,NDI=")]


def test_text_that_is_not_utf_8_is_kept(tmp_path: Path) -> None:
    content = container(record(v="string"), (1, encoded("bytes", b"a\xff")))
    (row,) = rows_of(reading(tmp_path / "file", content, format="avro"))["payload"]
    assert row == b'{"v":"a\\udcff"}'


ROWS = [{"n": number, "text": "x" * number} for number in range(50)]
SCHEMA = record(n="long", text="string")
SMALL_BLOCKS = avro(SCHEMA, ROWS, sync_interval=200, sync_marker=b"0123456789abcdef")


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_every_codec_of_the_specification_is_read(codec: str) -> None:
    assert rows_in(avro(SCHEMA, ROWS, codec=codec, sync_interval=200)) == ROWS


def snappy(records: bytes) -> bytes:
    return pa.compress(records, codec="snappy", asbytes=True) + zlib.crc32(records).to_bytes(4, "big")


def zstd(records: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor().compressobj()  # as Java does, without the size
    return compressor.compress(records) + compressor.flush()


RECORDS = b"".join(encoded(SCHEMA, row) for row in ROWS)


@pytest.mark.parametrize(("codec", "compress"), [("snappy", snappy), ("zstandard", zstd)])
def test_codecs_that_fastavro_needs_more_libraries_for_are_read(codec: str, compress: Any) -> None:
    assert rows_in(container(SCHEMA, (50, compress(RECORDS)), codec=codec)) == ROWS


@pytest.mark.parametrize(
    ("codec", "block", "reason"),
    [
        ("snappy", snappy(RECORDS)[:-4] + bytes(4), "a block does not have its checksum"),
        ("snappy", b"", "the rest of the file is no Avro data: "),
        ("zstandard", zstd(RECORDS)[:-9], "a compressed block is cut off"),
        ("deflate", b"\xff" * 9, "the rest of the file is no Avro data: "),
        ("lz4", RECORDS, "its codec is 'lz4'; read are null, deflate, snappy, zstandard, bzip2, xz"),
    ],
)
def test_a_block_that_is_not_what_its_codec_writes_is_corrupt(codec: str, block: bytes, reason: str) -> None:
    rows, why = before_the_break(container(SCHEMA, (50, block), codec=codec))
    assert rows == []
    assert why.startswith(reason)


def test_a_cut_file_is_noticed_unless_it_is_cut_between_two_blocks() -> None:
    """Of a file without an end marker nothing else can be known: what is there is a whole file of fewer rows."""
    borders = {len(avro(SCHEMA, [], sync_marker=b"0123456789abcdef"))}
    for block in fastavro.block_reader(io.BytesIO(SMALL_BLOCKS)):
        borders.add(block.offset + block.size)
    assert len(borders) > 3
    for length in range(len(SMALL_BLOCKS)):
        rows, reason = before_the_break(SMALL_BLOCKS[:length])
        assert rows == ROWS[: len(rows)]
        assert (reason == "") == (length in borders)


def test_a_second_file_in_the_file_is_read_by_its_own_schema() -> None:
    other = avro(record(n="string"), [{"n": "x"}], codec="deflate")
    assert rows_in(SMALL_BLOCKS + other) == [*ROWS, {"n": "x"}]


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (bytes(5000), "5000 zero bytes follow the last block"),
        (bytes(3), "3 zero bytes follow the last block"),
        (b"more bytes, for longer than a marker", "the file is truncated"),
        (encoded("long", -1) + encoded("bytes", b"") + bytes(16), "the rest of the file is no Avro data: a block is"),
        (b"\xff" * 40, "the rest of the file is no Avro data: a number has more than 64 bits"),
    ],
    ids=["zeros", "few zeros", "text", "no marker", "a long number"],
)
def test_what_follows_the_last_block_is_reported(rest: bytes, reason: str) -> None:
    rows, why = before_the_break(SMALL_BLOCKS + rest)
    assert rows == ROWS
    assert why.startswith(reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is no Avro data: it does not begin with Obj and 1"),
        (b'{"n": 1}\n', "the file is no Avro data: it does not begin with Obj and 1"),
        (avro("string", ["a"]), "its values are no records, so that they have no fields"),
        (container(SCHEMA, (1, encoded(SCHEMA, ROWS[0]) + b"x")), "the rest of the file is no Avro data: 1 bytes of"),
        (container(SCHEMA, (2, encoded(SCHEMA, ROWS[0]))), "the rest of the file is no Avro data: "),
    ],
    ids=["empty", "text", "no records", "too few rows", "too many rows"],
)
def test_what_is_no_avro_file_of_records_is_corrupt(content: bytes, reason: str) -> None:
    rows, why = before_the_break(content)
    assert rows == []
    assert why.startswith(reason)


def test_rows_come_in_blocks_of_the_size_that_was_asked_for_also_before_a_break() -> None:
    groups: list[int] = []
    with pytest.raises(CorruptDataError):
        groups.extend(len(group) for group in avro_rows(io.BytesIO(SMALL_BLOCKS + b"x"), 1 << 20, 40))
    assert groups == [40, 10]
    assert [len(group) for group in avro_rows(io.BytesIO(SMALL_BLOCKS), 1, 40)] == [1] * 50


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    assert rows_of(reading(tmp_path / "file", avro(SCHEMA, []), format="avro")).height == 0


@pytest.mark.slow
def test_a_hostile_file_costs_itself_alone(tmp_path: Path) -> None:
    """A block of a few bytes may stand for any number of values, and for values as deep as it is long."""
    process = ParquetProcess(memory_bytes=512 << 20, cpu_seconds=1, file_format="avro")
    endless = container(record(v={"type": "array", "items": "null"}), (1, encoded("long", 2**40)))
    empty_rows = container(record(), (2**40, b""))
    deep = container(NODE, (1, b"\0\x02" * 500_000 + b"\0\0"))
    for content in (endless, empty_rows, deep):
        with pytest.raises(CorruptDataError, match=r"seconds of computing|MiB of memory|crashes the process"):
            of_process(process, tmp_path, content)
    assert of_process(process, tmp_path, SMALL_BLOCKS) == ROWS
    process.close()


def of_process(process: ParquetProcess, folder: Path, content: bytes) -> list[Any]:
    path = folder / "file.avro"
    path.write_bytes(content)
    with path.open("rb", buffering=0) as handle:
        return [json.loads(row) for rows in process.rows(handle, 1 << 20, 1000) for row in payloads_in(rows)]


integers = st.integers(-(2**63), 2**63 - 1)
values = st.none() | integers | st.text() | st.lists(st.booleans(), max_size=3) | st.dictionaries(st.text(), integers)
UNION = ["null", "long", "string", {"type": "array", "items": "boolean"}, {"type": "map", "values": "long"}]


@settings(max_examples=50)
@given(st.lists(values, max_size=20), st.integers(1, 200), st.sampled_from(["null", "deflate"]))
def test_any_values_of_unions_are_what_fastavro_reads(written: list[Any], interval: int, codec: str) -> None:
    content = avro(record(v=UNION), [{"v": value} for value in written], sync_interval=interval, codec=codec)
    assert rows_in(content) == list(fastavro.reader(io.BytesIO(content)))
    assert sum(block.rows for block in blocks(io.BytesIO(content))) == len(written)


@settings(max_examples=80)
@given(st.integers(0, len(SMALL_BLOCKS) - 1), st.integers(1, 255))
def test_a_changed_byte_is_an_error_or_other_rows_and_never_a_crash(place: int, by: int) -> None:
    changed = bytearray(SMALL_BLOCKS)
    changed[place] ^= by
    before_the_break(bytes(changed))
