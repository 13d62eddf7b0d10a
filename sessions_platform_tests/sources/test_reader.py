"""Which rows landing files become, and that no byte of them is lost."""

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.sources.files.reader import BLOCK_BYTES
from sessions_platform.sources.formats import csv as csv_format
from sessions_platform.sources.formats import text_records
from sessions_platform.sources.formats.csv import RecordSplitter
from sessions_platform.sources.formats.text_records import BLOCK_ROWS
from sessions_platform_tests.ingested import payloads, reading, reading_of, rows_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path for all: hypothesis forbids a fixture for each example."""
    return tmp_path_factory.mktemp("landing") / "file"


@pytest.mark.parametrize("block_bytes", [1, 2, BLOCK_BYTES])
@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"", [], id="an empty file has no rows"),
        pytest.param(b"a\nb\n", [b"a", b"b"], id="nothing follows the last newline"),
        pytest.param(b"a\nb", [b"a", b"b"], id="the last newline may be missing"),
        pytest.param(b"a\r\nb\r\n", [b"a", b"b"], id="CRLF ends a line too"),
        pytest.param(b"a\r\r\nb\rc\n", [b"a\r", b"b\rc"], id="other carriage returns are data"),
        pytest.param(b"a\r", [b"a\r"], id="one without its newline ends nothing"),
        pytest.param(b"\n\r\na\n\n", [b"", b"", b"a", b""], id="an empty line is a row"),
        pytest.param(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [b"a", b"\xef\xbb\xbfb"], id="a BOM belongs to the file"),
        pytest.param(b"\xef\xbb\xbf", [], id="a BOM alone is an empty file"),
        pytest.param(b"\xef\xbb", [b"\xef\xbb"], id="half of one is data"),
        pytest.param(b"\0\xff\n", [b"\0\xff"], id="any byte is data"),
    ],
)
def test_ndjson_is_divided_into_lines(place: Path, content: bytes, lines: list[bytes], block_bytes: int) -> None:
    assert payloads(reading(place, content, block_bytes)) == lines


LINES = st.lists(
    st.tuples(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), st.sampled_from([b"\n", b"\r\n"]))
)


@given(LINES, st.integers(1, 20))
def test_payloads_with_their_line_ends_are_the_file(
    place: Path, lines: list[tuple[bytes, bytes]], block_bytes: int
) -> None:
    lines = [(line.rstrip(b"\r"), end) for line, end in lines]
    content = b"\n" + b"".join(line + end for line, end in lines)
    assert payloads(reading(place, content, block_bytes)) == [b"", *(line for line, _ in lines)]


PARTS = st.lists(st.sampled_from([b"a", b",", b'"', b'""', b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff"]))


@given(PARTS.map(b"".join), st.integers(1, 20), st.sampled_from(["ndjson", "csv"]))
def test_the_size_of_blocks_changes_no_row(place: Path, content: bytes, block_bytes: int, kind: str) -> None:
    whole = rows_of(reading(place, content, format=kind))
    assert rows_of(reading(place, content, block_bytes, format=kind)).equals(whole)
    packed = rows_of(reading(place, gzip.compress(content, mtime=0), block_bytes, format=kind))
    apart = pl.col("corrupt_reason").is_null()  # the quarantined files are of other bytes
    assert packed.filter(apart).equals(whole.filter(apart))
    assert packed["corrupt_reason"].equals(whole["corrupt_reason"])


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"\xef\xbb\xbfa\r\nb\nc", [(b"\xef\xbb\xbf", b"a", b"\r\n"), (None, b"b", b"\n"), (None, b"c", b"")]),
        (b"a\r\r\n\n", [(None, b"a\r", b"\r\n"), (None, b"", b"\n")]),
    ],
)
def test_bytes_that_are_not_payload_are_in_columns_of_their_own(place: Path, content: bytes, rows: list[Any]) -> None:
    assert rows_of(reading(place, content)).select("preamble", "payload", "line_terminator").rows() == rows


def test_the_header_of_csv_is_not_a_row_and_not_lost(place: Path) -> None:
    rows = rows_of(reading(place, b'\xef\xbb\xbf"a\nb",c\r\n1,2\n3,4', format="csv"))
    found = rows.select("preamble", "payload", "line_terminator", "header").rows()
    header = b'"a\nb",c'
    assert found == [(b"\xef\xbb\xbf" + header + b"\r\n", b"1,2", b"\n", header), (None, b"3,4", b"", header)]


@pytest.mark.parametrize("block_bytes", [1, 3, 7])
@pytest.mark.parametrize("end", [b"", b"\nafter\n"])
def test_the_rest_of_a_file_begins_with_a_line_that_is_too_long(
    place: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, end: bytes
) -> None:
    monkeypatch.setattr(text_records, "LONGEST_LINE", 8)
    rows = rows_of(reading(place, b"12345678\nb\n123456789" + end, block_bytes))
    assert rows["payload"][:-1].to_list() == [b"12345678", b"b"]
    assert "begins with a line of more than" in rows[-1, "corrupt_reason"]


@pytest.mark.parametrize("block_bytes", [1, 7, BLOCK_BYTES])
def test_a_quote_that_stays_open_for_too_long_was_opened_by_mistake(
    place: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(csv_format, "LONGEST_OPEN_RECORD", 12)
    content = b'a,b\n1,"345\n789\n"\n1,"345\n7890123\n2,"x\ny"\n'
    assert payloads(reading(place, content, block_bytes, format="csv")) == [
        b'1,"345\n789\n"',
        b'1,"345',
        b"7890123",
        b'2,"x\ny"',
    ]


def test_a_compressed_text_is_read_up_to_its_limit(place: Path) -> None:
    packed = gzip.compress(b"12345678\n" * 200_000)
    rows = rows_of(reading(place, packed, max_unpacked="1MB"))
    assert rows[-1, "corrupt_reason"] == "it unpacks to more than max_unpacked, 1000000 bytes"
    assert rows.height == 1_000_000 // 9 + 1
    assert rows_of(reading(place, packed, max_unpacked="2MB"))["corrupt_reason"].null_count() == 200_000
    assert rows_of(reading(place, b"12345678\n" * 200_000, max_unpacked="1MB")).height == 200_000


def test_a_zstd_file_that_asks_for_two_gigabytes_of_window_is_corrupt(place: Path) -> None:
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(31 - 10) << 3]) + b"\x01\x00\x00"
    assert "no zstd data" in rows_of(reading(place, frame))[-1, "corrupt_reason"]


def test_a_block_repeats_a_long_csv_header_no_more_often_than_it_has_room_for(place: Path) -> None:
    """Each stored row has its header."""
    blocks = list(reading(place, b"h" * 1000 + b"\n" + b"1\n" * 100, 10_000, format="csv"))
    assert [block.height for block in blocks] == [10] * 10


def test_a_block_has_no_more_rows_than_memory_has_room_for(place: Path) -> None:
    blocks = list(reading(place, b"\n" * (BLOCK_ROWS + 1)))
    assert [block.height for block in blocks] == [BLOCK_ROWS // 2 + 1, BLOCK_ROWS // 2]
    assert blocks[1]["position"][-1] == BLOCK_ROWS + 1


def test_a_file_can_be_read_again(place: Path) -> None:
    again = reading(place, b"a\nb")
    assert rows_of(again).equals(rows_of(again))


# Compressed files

TEXT = b"".join(b'{"user_id": "%d", "n": %d}\n' % (n % 7, n * n) for n in range(50))
SKIPPED = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(gzip.compress(TEXT), id="gzip"),
        pytest.param(gzip.compress(TEXT[:99]) + gzip.compress(b"") + gzip.compress(TEXT[99:]), id="gzip members"),
        pytest.param(gzip.compress(TEXT) + bytes(2000), id="padded gzip"),
        pytest.param(zstandard.compress(TEXT), id="zstd"),
        pytest.param(zstandard.compress(TEXT[:99]) + zstandard.compress(TEXT[99:]), id="zstd frames"),
        pytest.param(SKIPPED + zstandard.compress(TEXT) + SKIPPED, id="zstd with frames to skip"),
    ],
)
def test_a_compressed_file_has_the_rows_of_its_text(place: Path, packed: bytes) -> None:
    assert payloads(reading(place, packed)) == TEXT.splitlines()


def test_every_cut_of_a_gzip_file_keeps_the_rows_before_it(place: Path) -> None:
    packed = gzip.compress(TEXT, mtime=0)
    kept = [0]
    for cut in range(2, len(packed)):
        rows = rows_of(reading(place, packed[:cut]))
        assert rows[-1, "corrupt_reason"] == "the file ends in the middle of its gzip data"
        assert TEXT.splitlines()[: rows.height - 1] == rows["payload"][:-1].to_list()
        kept.append(rows.height - 1)
    assert kept == sorted(kept)
    assert kept[-1] == 50


def test_a_cut_zstd_file_keeps_the_rows_before_it(place: Path) -> None:
    packed = zstandard.compress(TEXT) + zstandard.compress(TEXT)
    rows = rows_of(reading(place, packed[:-5]))
    assert rows["payload"][:50].to_list() == TEXT.splitlines()
    assert rows[-1, "corrupt_reason"] == "the file ends in the middle of its zstd data"


@pytest.mark.parametrize(
    ("packed", "rows_kept"),
    [
        pytest.param(gzip.compress(TEXT)[:-8] + bytes(8), 50, id="a wrong checksum"),
        pytest.param(gzip.compress(TEXT) + b"more", 50, id="something else behind it"),
        pytest.param(gzip.compress(TEXT) + b"more" * 9999, 50, id="a lot of it"),
        pytest.param(b"\x1f\x8b\x00 no gzip at all", 0, id="no more than its first bytes"),
        pytest.param(zstandard.compress(TEXT) + b"more", 50, id="something else behind zstd"),
    ],
)
def test_a_broken_compressed_file_ends_with_the_reason(place: Path, packed: bytes, rows_kept: int) -> None:
    rows = rows_of(reading(place, packed))
    assert rows.height == rows_kept + 1
    assert "the rest of the file is no" in rows[-1, "corrupt_reason"]


def test_where_gzip_is_broken_all_lines_before_the_broken_byte_are_rows(place: Path) -> None:
    """Not only those of the chunks before it, of which there are none in so small a file."""
    text = b"".join(b"%d\n" % n**9 for n in range(20_000))
    packed = bytearray(gzip.compress(text, mtime=0))
    at = len(packed) // 2
    packed[at : at + 99] = bytes(99)
    rows = rows_of(reading(place, bytes(packed)))
    whole = zlib.decompressobj(wbits=31).decompress(bytes(packed[:at])).count(b"\n")
    assert 8_000 < whole <= rows.height
    assert rows["payload"][:whole].to_list() == text.splitlines()[:whole]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compression_bomb_is_decompressed_block_by_block(place: Path, pack: Callable[[bytes], bytes]) -> None:
    line = bytes(1 << 20) + b"\n"
    blocks = list(reading(place, pack(line * 64)))
    assert sum(block.height for block in blocks) == 64
    assert max(block.height for block in blocks) <= 16 + 32 + 1


def test_a_vanished_file_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(reading_of(tmp_path / "in/a"))


# CSV


@pytest.mark.parametrize("block_bytes", [1, 3, BLOCK_BYTES])
@pytest.mark.parametrize(
    ("content", "records"),
    [
        pytest.param(b"a,b\n", [], id="a header alone has no rows"),
        pytest.param(b"a,b\r\n1,2\r\n3,4", [b"1,2", b"3,4"], id="records are lines"),
        pytest.param(b'a\n"1\n2",3\n4\n', [b'"1\n2",3', b"4"], id="a newline in quotes belongs to the record"),
        pytest.param(b'a\n"1\r\n\r\n2"\r\n4', [b'"1\r\n\r\n2"', b"4"], id="and so does a CRLF"),
        pytest.param(b'a\n"1""\n2"\n"",""\n', [b'"1""\n2"', b'"",""'], id="two quotes open nothing"),
        pytest.param(b'a\n1\n"2\n3\n', [b"1", b'"2', b"3"], id="a quote that never closes spans no other line"),
        pytest.param(b'a,b\n1,"x\n2,3\n4,"y\n5,6', [b'1,"x', b"2,3", b'4,"y', b"5,6"], id="nor do two of them"),
        pytest.param(b'a,b\n1,"x\n2,"y\nz"\n3,4', [b'1,"x', b'2,"y\nz"', b"3,4"], id="nor a whole record"),
        pytest.param(b'a,b\n1,"x\n"y\nz",2\n', [b'1,"x', b'"y\nz",2'], id="nor one that begins with a quote"),
        pytest.param(b'a,b\n1,5" wide\n2,3\n', [b'1,5" wide', b"2,3"], id="a quote amid a field opens nothing"),
        pytest.param(b'a,b\n"x"y"\n2,3\n', [b'"x"y"', b"2,3"], id="nor one behind a quoted field"),
        pytest.param(b'a,b\n"1\n",2,"3\n4",5\n', [b'"1\n",2,"3\n4",5'], id="a record may open again where it closes"),
        pytest.param(b'a,b\n1,"2\n""\n3",4\n', [b'1,"2\n""\n3",4'], id="doubled quotes close nothing"),
        pytest.param(b"a\n\n1\n", [b"", b"1"], id="an empty line is a row"),
    ],
)
def test_csv_is_divided_into_records(place: Path, content: bytes, records: list[bytes], block_bytes: int) -> None:
    assert payloads(reading(place, content, block_bytes, format="csv")) == records


def test_every_record_has_the_header_of_its_file(place: Path) -> None:
    rows = rows_of(reading(place, b'\xef\xbb\xbf"a\nb",c\r\n1,2\n3,4\n', 4, format="csv"))
    assert rows["header"].to_list() == [b'"a\nb",c'] * 2


def test_a_file_without_a_header_begins_with_a_row(place: Path) -> None:
    rows = rows_of(reading(place, b"1,2\n", format="csv", header=["a", "b"]))
    assert rows.select("payload", "header").rows() == [(b"1,2", None)]


def test_a_header_that_spans_the_file_makes_it_corrupt(place: Path) -> None:
    rows = rows_of(reading(place, b'"a,b\n1,2\n', format="csv"))
    assert rows["corrupt_reason"].to_list() == [
        "its first record, the header, is no CSV: a quote is open or stands amid a field"
    ]


@pytest.mark.parametrize(("quote", "records"), [(None, [b'"1', b'2"']), ("'", [b'"1', b'2"']), ('"', [b'"1\n2"'])])
def test_only_the_quote_of_the_stream_joins_lines(place: Path, quote: str | None, records: list[bytes]) -> None:
    assert payloads(reading(place, b'a\n"1\n2"\n', format="csv", quote=quote)) == records


def records_line_by_line(text: bytes, splitter: RecordSplitter) -> list[bytes]:
    """What RecordSplitter says, by a loop over lines."""
    found: list[bytes] = []
    opened: list[bytes] = []
    for line in re.findall(rb"[^\n]*\n|[^\n]+", text):
        closes = splitter._closes.fullmatch(line)
        stays = b'"' not in line or splitter._stays_open.fullmatch(line)
        if opened and not stays:
            found += [b"".join([*opened, line])] if closes else opened
            opened = []
            if closes:
                continue
        if opened or (line.count(b'"') % 2 and splitter._opens.fullmatch(line)):
            opened.append(line)
        else:
            found.append(line)
        if sum(map(len, opened)) > csv_format.LONGEST_OPEN_RECORD:
            found, opened = [*found, *opened], []
    return [*found, *opened]


CSV_PARTS = st.sampled_from([b"a", b",", b",", b'"', b'"', b'""', b'"a"', b"\r", b"\n", b"\n", b"\r\n", b'",', b'"\n'])


@given(st.lists(CSV_PARTS, max_size=40).map(b"".join), st.integers(1, 30), st.integers(2, 20))
@settings(max_examples=120)
def test_records_are_those_of_a_plain_loop(text: bytes, size: int, longest: int) -> None:
    splitter = RecordSplitter(b",", b'"')
    with pytest.MonkeyPatch.context() as bounded:
        bounded.setattr(csv_format, "LONGEST_OPEN_RECORD", longest)
        bounded.setattr(text_records, "BLOCK_ROWS", 3)
        chunks = [text[start : start + 2] for start in range(0, len(text), 2)]
        blocks = list(splitter.split(text_records.whole_lines(chunks, size)))
        found = [
            payload + terminator
            for payloads, terminators, *_ in blocks
            for payload, terminator in zip(payloads, () if terminators is None else terminators, strict=True)
        ]
        assert found == records_line_by_line(text, splitter)
    assert all(len(block.payloads) <= 3 for block in blocks)


FIELDS = st.lists(st.text("a\",'\r\n é", max_size=4), min_size=2, max_size=3)


WRITERS = [
    {"lineterminator": "\r\n"},
    {"lineterminator": "\n", "quoting": csv.QUOTE_ALL},
]


@given(st.lists(FIELDS), st.sampled_from(WRITERS), st.sampled_from([1, 5, BLOCK_BYTES]))
def test_what_a_csv_writer_wrote_is_cut_where_it_cut(
    place: Path, table: list[list[str]], how: dict[str, Any], block_bytes: int
) -> None:
    text = io.StringIO()
    csv.writer(text, **how).writerows([["a", "b"], *table])
    found = payloads(reading(place, text.getvalue().encode(), block_bytes, format="csv"))
    assert [next(csv.reader([record.decode()], strict=True)) for record in found] == table


# Parquet


def parquet(table: pa.Table, **how: Any) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content, **how)
    return content.getvalue()


def documents(path: Path, table: pa.Table) -> list[Any]:
    return [json.loads(payload) for payload in payloads(reading(path, parquet(table), format="parquet"))]


NESTED = pa.struct({"a": pa.int8(), "b": pa.struct({"c": pa.string()})})
ENTRY = {"key": "k", "value": 1}
NOON = datetime(2026, 1, 2, 12, 0, 0, 500, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        ([1, -(2**63)], pa.int64(), [1, -(2**63)]),
        ([2**64 - 1], pa.uint64(), [2**64 - 1]),
        ([1.5, math.nan, math.inf, -math.inf], pa.float64(), [1.5, "NaN", "Infinity", "-Infinity"]),
        ([Decimal("1.10"), Decimal("0E-10")], pa.decimal128(20, 10), ["1.1000000000", "0.0000000000"]),
        ([True, False], pa.bool_(), [True, False]),
        (["é", ""], pa.large_string(), ["é", ""]),
        (["a", "b", "a"], pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"]),
        ([b"\xff\x00"], pa.binary(), ["data:;base64,/wA="]),
        ([NOON], pa.timestamp("us", "Europe/Berlin"), ["2026-01-02T12:00:00.0005+00:00"]),
        ([NOON.replace(tzinfo=None)], pa.timestamp("us"), ["2026-01-02T12:00:00.0005"]),
        ([NOON.replace(microsecond=0)], pa.timestamp("ms", "UTC"), ["2026-01-02T12:00:00+00:00"]),
        ([1, 2**62], pa.timestamp("ns"), ["1970-01-01T00:00:00.000000001", "2116-02-20T23:53:38.427387904"]),
        ([2**62], pa.timestamp("us", "UTC"), ["<value out of range: 4611686018427387904>"]),
        ([date(2026, 1, 2)], pa.date32(), ["2026-01-02"]),
        ([time(1, 2, 3, 400)], pa.time64("us"), ["01:02:03.0004"]),
        ([5], pa.duration("us"), ["5"]),
        ([UUID(int=1).bytes], pa.uuid(), ["00000000-0000-0000-0000-000000000001"]),
        ([[1, None], []], pa.list_(pa.int8()), [[1, None], []]),
        ([[1, 2]], pa.list_(pa.int8(), 2), [[1, 2]]),
        ([{"a": 1, "b": {"c": "x"}}], NESTED, [{"a": 1, "b": {"c": "x"}}]),
        ([[("k", 1)], []], pa.map_(pa.string(), pa.int8()), [{"k": 1}, {}]),
        ([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()), [[ENTRY, {**ENTRY, "value": 2}]]),
        ([[(1, b"")]], pa.map_(pa.int8(), pa.binary()), [[{"key": 1, "value": "data:;base64,"}]]),
    ],
)
def test_a_parquet_value_is_written_as_json_with_nothing_lost(
    place: Path, values: list[Any], kind: pa.DataType, shown: list[Any]
) -> None:
    found = documents(place, pa.table({"v": pa.array([*values, None], kind)}))
    assert found == [{"v": value} for value in [*shown, None]]


def test_a_parquet_row_keeps_the_order_of_its_columns(place: Path) -> None:
    content = parquet(pa.table({"b": [1, 2], "a": ["x", None]}))
    rows = payloads(reading(place, content, format="parquet"))
    assert rows == [b'{"b":1,"a":"x"}', b'{"b":2,"a":null}']


def test_text_in_parquet_that_is_not_utf8_is_kept_as_lone_surrogates(place: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xe9t\xc3\xa9", b"fine"]).buffers())
    rows = payloads(reading(place, parquet(pa.table({"v": text})), format="parquet"))
    assert rows == [b'{"v":"\\udce9t\\u00e9"}', b'{"v":"fine"}']


def test_parquet_is_read_block_by_block(place: Path) -> None:
    content = parquet(pa.table({"v": ["x" * 1000] * 500}), use_dictionary=False, compression="zstd")
    blocks = list(reading(place, content, 100_000, format="parquet"))
    assert sum(block.height for block in blocks) == 500
    assert max(block["payload"].bin.size().sum() for block in blocks) < 200_000


def test_the_row_groups_before_a_broken_page_are_kept(place: Path) -> None:
    table = pa.table({"v": [f"row {n}" for n in range(30)]})
    how = {"use_dictionary": False, "compression": "none"}
    content = parquet(table, row_group_size=10, write_page_checksum=True, **how).replace(b"row 25", b"ROW 25", 1)
    rows = rows_of(reading(place, content, format="parquet"))
    assert rows["payload"][:-1].to_list() == [b'{"v":"row %d"}' % n for n in range(20)]
    assert "CRC checksum verification failed" in rows[-1, "corrupt_reason"]


BROKEN = parquet(pa.table({"v": ["a", "b", None], "w": [[1], [], None]}))


@given(st.binary(max_size=30) | st.integers(0, len(BROKEN) - 1).map(lambda cut: BROKEN[:cut]))
def test_a_file_that_is_not_parquet_is_one_corrupt_row(place: Path, content: bytes) -> None:
    rows = rows_of(reading(place, content, format="parquet"))
    assert rows["position"].to_list() == [1]
    assert rows[0, "corrupt_reason"].startswith("the rest of the file is no Parquet data: ")


def test_a_parquet_file_that_names_a_column_twice_is_corrupt(place: Path) -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    rows = rows_of(reading(place, parquet(table), format="parquet"))
    assert rows["corrupt_reason"].to_list() == ["the file names 'a' twice"]


def test_old_parquet_timestamps_may_lie_beyond_what_nanoseconds_reach(place: Path) -> None:
    table = pa.table(
        {"v": pa.array([datetime(3000, 1, 1, tzinfo=UTC), datetime(1000, 1, 1, tzinfo=UTC)], pa.timestamp("us"))}
    )
    rows = payloads(reading(place, parquet(table, use_deprecated_int96_timestamps=True), format="parquet"))
    assert rows == [b'{"v":"3000-01-01T00:00:00+00:00"}', b'{"v":"1000-01-01T00:00:00+00:00"}']


def test_old_parquet_timestamps_are_utc_also_where_they_are_nested(place: Path) -> None:
    kind = pa.timestamp("us")
    at = datetime(2026, 1, 1, 12)  # noqa: DTZ001  the type has no zone
    columns = {
        "n": pa.array([1]),
        "s": pa.array([{"t": at, "n": 1}], pa.struct([("t", kind), ("n", pa.int64())])),
        "l": pa.array([[at, None]], pa.list_(kind)),
        "m": pa.array([[("k", at)]], pa.map_(pa.string(), kind)),
    }
    file = parquet(pa.table(columns), use_deprecated_int96_timestamps=True)
    utc = "2026-01-01T12:00:00+00:00"
    (row,) = payloads(reading(place, file, format="parquet"))
    assert json.loads(row) == {"n": 1, "s": {"t": utc, "n": 1}, "l": [utc, None], "m": {"k": utc}}
