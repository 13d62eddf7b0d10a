"""Landing files read in tests, and what has to hold of whatever was in them."""

import gzip
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from sessions_platform.contracts.raw import RAW_EVENTS
from sessions_platform.contracts.stream import Source
from sessions_platform.sources.parquet_process import ParquetProcess
from sessions_platform.sources.reading import BLOCK_BYTES, FileReading
from sessions_platform.sources.unpacking import packing_of

PARQUET = ParquetProcess()  # one for all tests: it takes half a second to start
BLOCK = {name: dtype for name, dtype in RAW_EVENTS.items() if name not in ("landing_partition", "source_uri")}


class Copies(dict[str, bytes]):
    """A place for the bytes of unreadable files."""

    def keep(self, pieces: Iterable[bytes]) -> str:
        content = b"".join(pieces)
        place = hashlib.sha256(content).hexdigest()
        self[place] = content
        return place


COPIES = Copies()


def reading(path: Path, content: bytes, block_bytes: int = BLOCK_BYTES, **described: Any) -> FileReading:
    path.write_bytes(content)
    return reading_of(path, block_bytes, **described)


def reading_of(path: Path, block_bytes: int = BLOCK_BYTES, **described: Any) -> FileReading:
    source = Source.model_validate({"files": "*", "format": "ndjson", **described})
    return FileReading(path, source, COPIES.keep, PARQUET, block_bytes)


def rows_of(file: FileReading) -> pl.DataFrame:
    """All rows of a file that nobody writes to, having looked that they are what any source promises."""
    content = file._path.read_bytes()
    blocks = list(file)
    assert all(block.schema == BLOCK and block.height for block in blocks)
    rows = pl.concat([pl.DataFrame(schema=BLOCK), *blocks])
    assert rows["position"].to_list() == list(range(1, rows.height + 1))
    assert rows["unreadable"][:-1].null_count() == max(0, rows.height - 1)
    assert file.digest == hashlib.sha256(content).hexdigest()
    if rows["unreadable"].null_count() < rows.height:
        assert COPIES[rows[-1, "payload"].decode()] == content
        assert file.text_bytes is None
    elif file._source.format != "parquet" and (packed := packing_of(content)) in (None, packing_of(b"\x1f\x8b")):
        text = gzip.decompress(content) if packed else content
        assert_is_text(rows, text)
        assert file.text_bytes == len(text) - len(rows[0, "preamble"] or b"" if rows.height else text)
    return rows


def payloads(file: FileReading) -> list[bytes]:
    rows = rows_of(file)
    assert rows["unreadable"].null_count() == rows.height
    return rows["payload"].to_list()


def assert_is_text(raw: pl.DataFrame, text: bytes) -> None:
    """The raw rows of a file, in order, are its text; one without rows holds a BOM or a header at most."""
    assert raw["preamble"][1:].null_count() == max(0, raw.height - 1)
    pieces = [piece for row in raw.select("preamble", "payload", "line_end").rows() for piece in row]
    assert not pieces or b"".join(piece or b"" for piece in pieces) == text


def assert_each_once(raw: pl.DataFrame, events: pl.DataFrame, rejected: pl.DataFrame, duplicates: int) -> None:
    """Every raw row is found once: as an event, a rejected row, or (by their number) a duplicate."""
    place = ["source_uri", "position"]
    raw_places = raw.select(place).rows()
    found = [*events.select(place).rows(), *rejected.select(place).rows()]
    assert len(set(raw_places)) == len(raw_places)
    assert len(set(found)) == len(found)
    assert set(found) <= set(raw_places)
    assert len(found) + duplicates == len(raw_places)
