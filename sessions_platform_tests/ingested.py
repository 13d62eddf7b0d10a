"""Landing files read and ingested in tests, with the invariants that hold whatever they contain."""

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from sessions_platform.contracts.events import PROVENANCE
from sessions_platform.contracts.formats import FORMATS
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.validate import validate_partition
from sessions_platform.settings import Settings
from sessions_platform.sources.files.reader import BLOCK_BYTES, FileReading
from sessions_platform.sources.formats.base import Format
from sessions_platform.sources.formats.compression import codec_of, decompressed
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.transforms.deduplicate import deduplicate
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.rejections import payload_bytes, rejections
from sessions_platform.transforms.stretches import ROWS, places_of
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.streams import stream

DAY = "2026-01-01"
_numbers = itertools.count()
BLOCK = {name: dtype for name, dtype in RAW_EVENTS.items() if name not in ("landing_partition", "source_uri")}


class QuarantinedFiles(dict[str, bytes]):
    """The bytes of files that could not be read, by their digest."""

    def quarantine(self, chunks: Iterable[bytes]) -> str:
        content = b"".join(chunks)
        digest = hashlib.sha256(content).hexdigest()
        self[digest] = content
        return digest


QUARANTINED = QuarantinedFiles()


def reading(path: Path, content: bytes, block_bytes: int = BLOCK_BYTES, **described: Any) -> FileReading:
    path.write_bytes(content)
    return reading_of(path, block_bytes, **described)


def reading_of(path: Path, block_bytes: int = BLOCK_BYTES, **described: Any) -> FileReading:
    source = FilesSource.model_validate({"files": "*", "format": "ndjson", **described})
    file_format = open_format(source) if FORMATS[source.format].is_text else _with_process(source.format)
    return FileReading(path, source, file_format, QUARANTINED.quarantine, block_bytes)


@cache
def _with_process(name: str) -> Format:
    """One for all tests: its process takes half a second to start."""
    return open_format(FilesSource.model_validate({"files": "*", "format": name}))


def rows_of(file: FileReading) -> pl.DataFrame:
    """All rows of a file that nobody writes to, checked against what every source promises."""
    content = file._path.read_bytes()
    blocks = list(file)
    assert all(block.schema == BLOCK and block.height for block in blocks)
    rows = pl.concat([pl.DataFrame(schema=BLOCK), *blocks])
    assert rows["position"].to_list() == list(range(1, rows.height + 1))
    assert rows["corrupt_reason"][:-1].null_count() == max(0, rows.height - 1)
    assert file.digest == hashlib.sha256(content).hexdigest()
    if content and not rows.height:
        assert content in QUARANTINED.values()
    is_corrupt = rows["corrupt_reason"].null_count() < rows.height
    if is_corrupt:
        assert QUARANTINED[rows[-1, "payload"].decode()] == content
    text, is_whole = text_of(content)
    if not FORMATS[file._source.format].is_text:
        return rows
    if is_corrupt:
        assert_begins(rows[:-1], text, in_lines=file._source.format != "json")
    else:
        assert is_whole
        assert_is_text(rows, text)
        assert file.text_bytes == len(text) - len(rows[0, "preamble"] or b"" if rows.height else text)
    return rows


def payloads(file: FileReading) -> list[bytes]:
    rows = rows_of(file)
    assert rows["corrupt_reason"].null_count() == rows.height
    return rows["payload"].to_list()


def text_of(content: bytes) -> tuple[bytes, bool]:
    """The text of a file, and whether it is complete."""
    codec = codec_of(content)
    if codec is None:
        return content, True
    texts: list[bytes] = []
    try:
        texts.extend(decompressed(lambda _: [content], codec, 1 << 30))
    except CorruptDataError:
        return b"".join(texts), False
    return b"".join(texts), True


def assert_is_text(raw: pl.DataFrame, text: bytes) -> None:
    """The raw rows of a file, in order, are its text; one without rows contains a BOM or a header at most."""
    assert joined(raw) == text or raw.height == 0


def assert_begins(raw: pl.DataFrame, text: bytes, *, in_lines: bool) -> None:
    """The rows before a break begin the text, and are whole lines."""
    assert text.startswith(joined(raw))
    assert joined(raw).endswith(b"\n") or raw.height == 0 or not in_lines


def joined(raw: pl.DataFrame) -> bytes:
    assert raw["preamble"][1:].null_count() == max(0, raw.height - 1)
    parts = [part for row in raw.select("preamble", "payload", "line_terminator").rows() for part in row]
    return b"".join(part or b"" for part in parts)


def assert_each_once(raw: pl.DataFrame, events: pl.DataFrame, rejected: pl.DataFrame, uncounted: int) -> None:
    """Every raw row is once an event, a rejected row, or (by their number) a duplicate or skipped."""
    place = ["source_uri", "position"]
    raw_places = raw.select(place).rows()
    found = [*events.select(place).rows(), *places_of(rejected.rename({"rows": ROWS})).select(place).rows()]
    assert len(set(raw_places)) == len(raw_places)
    assert len(set(found)) == len(found)
    assert set(found) <= set(raw_places)
    assert len(found) + uncounted == len(raw_places)


# Through the pipeline


def open_folder(folder: Path, settings: Settings, **changes: Any) -> StreamContext:
    """An empty stream of a name of its own, whose landing files are in `folder`, one landing partition a day."""
    source = {"files": "{partition:%Y-%m-%d}/**/*", "format": "ndjson", **changes.pop("source", {})}
    named = stream(**{"name": f"folder{next(_numbers)}", "path": folder / "web.yaml", "source": source, **changes})
    return StreamContext.open(named, settings)


@dataclass(frozen=True)
class PartitionContents:
    """The rows of one landing partition, by what became of them."""

    raw: pl.DataFrame
    events: pl.DataFrame
    rejected: pl.DataFrame
    duplicates: int
    skipped: int = 0

    def codes(self) -> list[str]:
        return self.rejected["reasons"].list.eval(pl.element().struct.field("code")).explode().to_list()


def ingest_and_publish(context: StreamContext, partition: str = DAY) -> PartitionContents:
    """Ingest, validate and publish a partition, and check that its rows add up."""
    ingest(context, [partition], "a-run")
    dataset = context.raw_events([partition])
    validated = validate_partition(context, partition, dataset)
    lake = context.lake
    events = lake.scan([validated.events.path], context.event_columns).collect()
    rejected = lake.scan([validated.rejected.path], REJECTED_EVENTS).collect()
    found = PartitionContents(dataset.scan().collect(), events, rejected, validated.duplicates)
    assert_each_once(found.raw, events, rejected, validated.duplicates)
    assert_payloads_kept(found.raw, rejected)
    events_schema(context.stream, partition).validate(events, lazy=True)
    rejected_schema(context.stream).validate(rejected, lazy=True)
    publish(context, validated, "a-run")
    return found


def assert_payloads_kept(raw: pl.DataFrame, rejected: pl.DataFrame) -> None:
    """A rejected row keeps its payload byte for byte."""
    place = ["source_uri", "position"]
    pairs = rejected.join(raw, on=place, suffix="_raw").select("payload", "payload_encoding", "payload_raw")
    assert pairs.height == rejected.height
    assert all(payload_bytes(payload, encoding) == raw_payload for payload, encoding, raw_payload in pairs.iter_rows())


# Without a lake or a ledger, so that many files can be tried


def validate_file(path: Path, content: bytes, of: Stream, partition: str = DAY) -> PartitionContents:
    """Read and validate one file; check that no byte and no row of it was lost, and the contracts."""
    described = of.source.model_dump(exclude={"max_unpacked"})
    raw = rows_of(reading(path, content, block_bytes=64, **described))
    raw = raw.select(pl.lit(partition).alias("landing_partition"), pl.lit("a").alias("source_uri"), pl.all())
    validation = validate(parse(raw, of), of, partition)
    events, conflicting, duplicates, _ = deduplicate(validation.events, of, {"a": ""})
    place = ["source_uri", "position"]
    conflicts = raw.select(*PROVENANCE, "payload", pl.lit(1, pl.Int64).alias(ROWS)).join(conflicting, on=place)
    rejected = rejections(pl.concat([validation.rejected, conflicts]).sort(place), of)
    assert_each_once(raw, events, rejected, duplicates + validation.skipped)
    assert_payloads_kept(raw, rejected)
    events_schema(of, partition).validate(events, lazy=True)
    rejected_schema(of).validate(rejected, lazy=True)
    return PartitionContents(raw, events, rejected, duplicates, validation.skipped)
