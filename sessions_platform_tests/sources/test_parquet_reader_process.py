"""A Parquet file may crash the process that reads it, and does no other harm."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.sources.files.reader import BLOCK_BYTES, FileReading
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.sources.formats.typed.reader_process import ParquetProcess
from sessions_platform.sources.formats.typed.rows import json_rows
from sessions_platform_tests.ingested import QUARANTINED, reading, rows_of
from sessions_platform_tests.typed_rows import array_of, fields_in, payloads_in

pytestmark = pytest.mark.slow


@pytest.fixture
def process() -> Iterator[ParquetProcess]:
    process = ParquetProcess()
    yield process
    process.close()


def written(folder: Path, rows: int, value: str = "x", **how: Any) -> Path:
    path = folder / "file.parquet"
    pq.write_table(pa.table({"v": [value] * rows}), path, **how)
    return path


def rows_read(process: ParquetProcess, path: Path, block_rows: int = 1000) -> list[bytes]:
    with path.open("rb", buffering=0) as handle:
        return [row for rows in process.rows(handle, BLOCK_BYTES, block_rows) for row in payloads_in(rows)]


def child_of(process: ParquetProcess) -> int:
    assert process._child is not None
    return process._child.pid


def test_one_child_reads_file_after_file(process: ParquetProcess, tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    assert rows_read(process, path) == [b'{"v":"x"}'] * 3
    child = child_of(process)
    path.write_bytes(b"PAR1 is not enough PAR1")
    with pytest.raises(CorruptDataError, match="no Parquet data"):
        rows_read(process, path)
    assert rows_read(process, written(tmp_path, 2)) == [b'{"v":"x"}'] * 2
    assert child_of(process) == child


def test_a_crash_is_reported_and_another_child_reads_the_next_file(process: ParquetProcess, tmp_path: Path) -> None:
    path = written(tmp_path, 50_000, "x" * 100, row_group_size=1000)
    with path.open("rb", buffering=0) as handle:
        rows = process.rows(handle, BLOCK_BYTES, 1000)
        assert len(payloads_in(next(rows))) == 1000
        os.kill(child_of(process), signal.SIGSEGV)
        with pytest.raises(CorruptDataError, match=r"crashes the process that reads it \(signal SIGSEGV\)"):
            list(rows)
    assert len(rows_read(process, path)) == 50_000


def test_an_abandoned_reading_leaves_no_rows_for_the_next_file(process: ParquetProcess, tmp_path: Path) -> None:
    with written(tmp_path, 50_000).open("rb", buffering=0) as handle:
        rows = process.rows(handle, BLOCK_BYTES, 1000)
        next(rows)
        rows.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert rows_read(process, written(tmp_path, 1, "y")) == [b'{"v":"y"}']


def test_a_file_that_takes_all_memory_is_corrupt(tmp_path: Path) -> None:
    process = ParquetProcess(memory_bytes=512 << 20)
    bomb = written(tmp_path, 1, "x" * (160 << 20), compression="zstd")
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(CorruptDataError, match=r"more than 512 MiB of memory|crashes"):
        rows_read(process, bomb)
    assert rows_read(process, written(tmp_path, 1)) == [b'{"v":"x"}']
    process.close()


def test_a_file_that_never_ends_is_corrupt(tmp_path: Path) -> None:
    # Nested values take over a second, so that even the coarsest clock is sure to tell a millisecond.
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({"v": [[{"a": n, "b": str(n)}] for n in range(300_000)]}), path)
    process = ParquetProcess(cpu_seconds=0.001)
    with pytest.raises(CorruptDataError, match=r"takes more than 0\.001 seconds of computing"):
        rows_read(process, path, block_rows=300_000)
    process.close()


def test_a_child_that_does_not_start_is_not_the_files_fault(
    process: ParquetProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="does not start"):
        rows_read(process, written(tmp_path, 1))


def test_an_outage_is_not_a_corrupt_file(process: ParquetProcess, tmp_path: Path) -> None:
    handle = io.FileIO(os.open(written(tmp_path, 1), os.O_WRONLY), "rb")
    with handle, pytest.raises(OSError, match="Bad file descriptor"):
        list(process.rows(handle, BLOCK_BYTES, 1000))


def test_the_child_imports_no_library_that_it_does_not_need() -> None:
    """It is started anew after each crash, and what it imports counts towards its limit of memory."""
    script = """
import sys
import sessions_platform.sources.formats.typed.worker
print(sorted({"polars", "pandera", "pydantic", "psycopg"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_the_child_reads_all_types_without_numpy(process: ParquetProcess, tmp_path: Path) -> None:
    values: list[tuple[pa.DataType, Any]] = [
        (pa.float32(), 0.1),
        (pa.decimal128(9, 2), Decimal("1.10")),
        (pa.binary(), b"x"),
        (pa.uuid(), UUID(int=7).bytes),
        (pa.date32(), -800_000),
        (pa.time64("us"), 1),
        (pa.timestamp("ns", "Europe/Berlin"), 123_456_789),
        (pa.timestamp("us"), 2**62),
        (pa.dictionary(pa.int32(), pa.string()), "x"),
        (pa.list_(pa.float64(), 2), [1.5, None]),
        (pa.struct({"a": pa.timestamp("ns"), "b": pa.list_(pa.uint64())}), {"a": None, "b": [2**63]}),
        (pa.map_(pa.string(), pa.duration("us")), [("a", 7)]),
    ]
    table = pa.table({str(n): array_of(kind, [value, None]) for n, (kind, value) in enumerate(values)})
    pq.write_table(table, path := tmp_path / "file.parquet")
    [batch] = table.to_batches()
    assert rows_read(process, path) == json_rows(batch.schema.names, batch.columns, 2)


def test_blocks_are_not_changed_by_what_is_sent_after_them(process: ParquetProcess, tmp_path: Path) -> None:
    table = pa.table({"v": [f"a text of more than twelve bytes {n % 9}" for n in range(5000)]})
    pq.write_table(table, path := tmp_path / "file.parquet")
    with path.open("rb", buffering=0) as handle:
        blocks = [fields_in(rows) for rows in process.rows(handle, BLOCK_BYTES, 1000)]
    assert pl.concat(blocks)["field.v"].to_list() == table["v"].to_pylist()


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from sessions_platform.sources.formats.typed.reader_process import ParquetProcess
process = ParquetProcess()
with Path(sys.argv[1]).open("rb", buffering=0) as handle:
    rows = process.rows(handle, 1000, 10)
    assert next(rows)
    print(process._child.pid, flush=True)
    os._exit(0)
"""
    path = written(tmp_path, 1_000_000)
    ended = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    # It would not return before the child ends, which has the output open too.
    assert ended.stdout.strip().isdigit()


def test_a_parquet_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    content = written(tmp_path, 100_000, "x" * 1000).read_bytes()
    rows = rows_of(reading(tmp_path / "file", content, format="parquet", max_unpacked="1MB"))
    assert rows[-1, "corrupt_reason"] == "it unpacks to more than max_unpacked, 1000000 bytes"
    assert 1000 < rows.height < 100_000


def test_a_file_of_a_hundred_columns_and_no_rows_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({f"c{n}": pa.array([], pa.string()) for n in range(100)}), path)
    source = FilesSource.model_validate({"files": "*", "format": "parquet"})
    assert list(FileReading(path, source, open_format(source), QUARANTINED.quarantine)) == []
