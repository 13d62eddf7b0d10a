"""Arrow and ORC files: every row, and nothing that the libraries pass over in silence."""

import io
import json
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import orc

from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.arrow_and_orc import arrow_rows
from sessions_platform_tests.ingested import payloads, reading, rows_of
from sessions_platform_tests.typed_rows import payloads_in

TABLE = pa.table(
    {
        "n": pa.array([1, None, 2**53 + 1], pa.int64()),
        "at": pa.array([datetime(2026, 1, 1, 12, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
        "local": pa.array([datetime(2026, 1, 1, 12)] * 3, pa.timestamp("ms")),  # noqa: DTZ001  as the type is
        "kind": pa.array(["a", "b", "a"], pa.dictionary(pa.int8(), pa.string())),
        "id": pa.array([b"42"] * 3, pa.binary()),
    }
)
ROWS = [
    {
        "n": number,
        "at": "2026-01-01T12:00:00+00:00",
        "local": "2026-01-01T12:00:00",
        "kind": kind,
        "id": "data:;base64,NDI=",
    }
    for number, kind in ((1, "a"), (None, "b"), (2**53 + 1, "a"))
]


def arrow_stream(table: pa.Table = TABLE, **how: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, **how) as writer:
        writer.write_table(table)
    return out.getvalue()


def arrow_file() -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=2)
    return out.getvalue()


def orc_file(table: pa.Table) -> bytes:
    out = io.BytesIO()
    orc.write_table(table, out)
    return out.getvalue()


def read(path: Path, content: bytes, file_format: str = "arrow") -> tuple[list[Any], list[str]]:
    """The documents of a file, and why the rest of it can't be read."""
    rows = rows_of(reading(path, content, format=file_format))
    corrupt = rows["corrupt_reason"]
    whole = rows.filter(corrupt.is_null())
    return [json.loads(payload) for payload in whole["payload"]], corrupt.drop_nulls().to_list()


@pytest.mark.parametrize("content", [arrow_stream(), arrow_file()], ids=["stream", "file"])
def test_an_arrow_stream_and_an_arrow_file_are_read(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path / "file", content) == (ROWS, [])


def test_a_compressed_batch_is_read(tmp_path: Path) -> None:
    content = arrow_stream(options=pa.ipc.IpcWriteOptions(compression="zstd"))
    assert read(tmp_path / "file", content) == (ROWS, [])


def test_a_second_stream_in_a_file_is_read_too(tmp_path: Path) -> None:
    other = pa.table({"n": [7]})
    assert read(tmp_path / "file", arrow_stream() + arrow_stream(other)) == ([*ROWS, {"n": 7}], [])


def test_a_stream_without_its_end_is_truncated(tmp_path: Path) -> None:
    rows, reasons = read(tmp_path / "file", arrow_stream()[:-8])
    assert (rows, reasons) == (ROWS, ["the stream has no end: the file is truncated"])


def test_bytes_after_the_end_are_reported(tmp_path: Path) -> None:
    rows, reasons = read(tmp_path / "file", arrow_stream() + b"more bytes")
    assert rows == ROWS
    assert [reason.startswith("the rest of the file is no Arrow data: ") for reason in reasons] == [True]


@pytest.mark.parametrize("whole", [arrow_stream(), arrow_file()], ids=["stream", "file"])
def test_an_arrow_file_cut_anywhere_is_never_taken_for_whole(whole: bytes) -> None:
    for length in range(len(whole)):
        rows: list[Any] = []
        with pytest.raises(CorruptDataError):
            rows.extend(chain.from_iterable(map(payloads_in, arrow_rows(io.BytesIO(whole[:length]), 1 << 20, 1000))))
        assert [json.loads(payload) for payload in rows] == ROWS[: len(rows)]


def test_rows_come_in_blocks_of_the_size_that_was_asked_for() -> None:
    table = pa.table({"n": range(10)})
    blocks = list(arrow_rows(io.BytesIO(arrow_stream(table)), 1 << 20, 4))
    assert [len(payloads_in(block)) for block in blocks] == [4, 4, 2]


def test_an_orc_file_is_read_and_its_local_times_stay_local(tmp_path: Path) -> None:
    table = TABLE.set_column(3, "kind", TABLE["kind"].cast(pa.string()))
    assert read(tmp_path / "file", orc_file(table), "orc") == (ROWS, [])


def test_a_truncated_orc_file_is_corrupt(tmp_path: Path) -> None:
    rows, reasons = read(tmp_path / "file", orc_file(pa.table({"n": [1]}))[:-3], "orc")
    assert (rows, len(reasons)) == ([], 1)
    assert reasons[0].startswith("the rest of the file is no ORC data: ")


def test_another_format_is_no_arrow(tmp_path: Path) -> None:
    assert payloads(reading(tmp_path / "file", arrow_file(), format="arrow"))
    rows, reasons = read(tmp_path / "file", b'{"n": 1}\n')
    assert (rows, len(reasons)) == ([], 1)
