"""Memory stays bounded while large files are read, and none of their bytes is lost."""

import gzip
import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY, ingest_and_publish, open_folder

pytestmark = pytest.mark.slow

LINES = 2_000_000  # 240 MB of text; as Python objects, or copied in a frame, they would exceed the bound
BOUND_MB = 512

# Reads a file into a lake as a run does, in a process of its own; then says how much memory that took,
# and what the rows in the lake add up to.
READ = """
import hashlib, json, sys
from contextlib import closing
from functools import partial
from pathlib import Path

import polars as pl
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.pipeline.raw_files import blocks_of
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.storage.lake.filesystem import LocalFilesystem
from sessions_platform.storage.lake.lake import Lake

path, kind = Path(sys.argv[1]), sys.argv[2]
lake = Lake(LocalFilesystem(path.parent / "lake"), path.parent / "scratch")
block_bytes = int(sys.argv[3]) << 20
source = FilesSource.model_validate({"files": "*", "format": kind})
quarantine = partial(lake.quarantine, "quarantined_files")
reading = FileReading(path, source, open_format(source), quarantine, block_bytes)
with closing(prefetch(blocks_of(reading, "2026-01-01", "a"))) as blocks:
    stored = lake.write("raw", blocks, RAW_EVENTS)
# not ru_maxrss, which begins with what the process that started this one takes
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
text = hashlib.sha256()
for block in lake.blocks([stored.path], RAW_EVENTS):
    parts = block.select(pl.col("preamble", "payload", "line_terminator").fill_null(b"")).rows()
    text.update(b"".join(part for row in parts for part in row))
print(json.dumps({"rows": stored.rows, "peak_mb": peak // 1024, "sha256": text.hexdigest()}))
"""


def line(number: int) -> bytes:
    """Every two hundredth is broken."""
    whole = b'{"id":"%d","user":"u%d","ts":"2026-01-01T12:00:00+00:00","type":"view","url":"https://shop.example/%d"}'
    written = whole % (number, number % 5000, number % 777)
    return (written[: 5 + number % 90] if number % 200 == 0 else written) + b"\n"


def csv_with_an_open_quote() -> Iterator[bytes]:
    yield b"id,user,ts,type\n"
    yield b'0,"ann,2026-01-01T12:00:00Z,view\n'
    yield from (b"%d,ann,2026-01-01T12:00:00Z,view_of_a_page_of_the_shop\n" % number for number in range(LINES))


def json_array() -> Iterator[bytes]:
    yield b"[" + line(1)
    yield from (b"," + line(1 + number % 199) for number in range(LINES - 1))
    yield b"]"


def read(path: Path, kind: str, block_mb: int = 16) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", READ, path, kind, str(block_mb)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("kind", "texts", "opened"),
    [
        pytest.param("ndjson", lambda: map(line, range(LINES)), Path.open, id="plain"),
        pytest.param("ndjson", lambda: map(line, range(LINES)), gzip.open, id="gzip"),
        pytest.param("ndjson", lambda: map(line, range(LINES)), zstandard.open, id="zstd"),
        pytest.param("json", json_array, Path.open, id="a JSON array"),
        pytest.param("csv", csv_with_an_open_quote, Path.open, id="a quote that is open from the first row on"),
    ],
)
def test_a_large_file_takes_bounded_memory_and_loses_no_byte(
    tmp_path: Path, kind: str, texts: Callable[[], Iterable[bytes]], opened: Callable[..., object]
) -> None:
    path, text = tmp_path / "file", hashlib.sha256()
    rest = iter(texts())
    with opened(path, "wb") as file:  # type: ignore[attr-defined]
        while chunk := b"".join(itertools.islice(rest, 10_000)):
            text.update(chunk)
            file.write(chunk)
    found = read(path, kind)
    assert found["sha256"] == text.hexdigest()
    assert found["rows"] == LINES + (kind == "csv")
    assert int(found["peak_mb"]) < BOUND_MB


@pytest.mark.parametrize(("line", "lines"), [(b"\n", 20_000_000), (b"12345\n", 6_000_000)])
def test_a_file_of_the_shortest_rows_takes_bounded_memory(tmp_path: Path, line: bytes, lines: int) -> None:
    """A row takes far more than such a line does."""
    path = tmp_path / "file"
    path.write_bytes(line * lines)
    found = read(path, "ndjson")
    assert found["rows"] == lines
    assert found["peak_mb"] < BOUND_MB


def test_the_block_bounds_the_memory(tmp_path: Path) -> None:
    """The memory of a process that has read nothing is subtracted."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    idle = read(path, "ndjson")["peak_mb"]
    path.write_bytes(b"".join(map(line, range(LINES // 2))))
    peaks = {block_mb: read(path, "ndjson", block_mb)["peak_mb"] - idle for block_mb in (1, 8)}
    assert peaks[1] < 100
    assert peaks[1] < peaks[8] < 250


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compression_bomb_of_one_line_takes_bounded_memory(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(pack(bytes(200 << 20)) * 8)  # members, or frames, of one text
    found = read(path, "ndjson")
    assert found["rows"] == 1
    assert int(found["peak_mb"]) < BOUND_MB


def test_a_line_of_100_mb_is_validated_like_any_other(tmp_path: Path, settings: Settings) -> None:
    good = b'{"id":"1","user":"ann","ts":"2026-01-01T12:00:00Z","type":"view","more":"' + b"x" * 100_000_000 + b'"}'
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "file").write_bytes(good + b"\n" + good[:-1] + b"\n" + b"[" * 100_000_000)
    taken = ingest_and_publish(open_folder(tmp_path, settings))
    assert taken.events.height == 1
    assert len(taken.events[0, "properties"]) > 100_000_000
    assert taken.codes() == ["malformed"] * 2
