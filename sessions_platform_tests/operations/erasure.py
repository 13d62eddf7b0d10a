"""A stream of three days with a user to be erased, and a search for what is left of that user."""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.filesystem import LocalFilesystem
from sessions_platform_tests.contexts import line
from sessions_platform_tests.ingested import open_folder
from sessions_platform_tests.pipeline.steps import run_pending, table
from sessions_platform_tests.streams import PLAIN

ANN = "ann@example.com"
ALL = {"rewrite_on_erasure": "all"}
NO_IDS = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}


def at(day: int, minute: int) -> str:
    return f"2026-01-0{day}T{minute // 60:02}:{minute % 60:02}:00Z"


def write(folder: Path, name: str, lines: Iterable[bytes], day: int = 1) -> Path:
    file = folder / f"2026-01-0{day}" / name
    file.parent.mkdir(exist_ok=True)
    text = b"".join(text + b"\n" for text in lines)
    file.write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    return file


def land(folder: Path) -> None:
    """Three days of two users, with rows that are rejected, repeated and malformed."""
    for day in (1, 2, 3):
        lines = [line("bob", at(day, 10 * n), f"b{day}{n}") for n in range(5)]
        lines[2:2] = [line(ANN, at(day, 7 * n), f"a{day}{n}") for n in range(4)]
        lines += [lines[2], lines[0], line(None, at(day, 3), f"n{day}"), b"{broken " + ANN.encode()]
        lines += [line(ANN, "never", f"w{day}"), b"{broken", line("bob", "never", f"v{day}", friend=ANN)]
        write(folder, "a.ndjson.gz" if day == 2 else "a.ndjson", lines, day)


def contents(context: StreamContext) -> dict[str, Any]:
    """The rows of everybody but ann, as they are stored, but for when and by which run."""
    changing = {"loaded_at", "changed_at", "run_id", "rejected_at", "decided_at", "decision_id"}
    tables = {
        name: [{key: value for key, value in row.items() if key not in changing} for row in table(context, name)]
        for name in ("sessions", "rejected_events", "rejection_decisions")
    }
    stored = status(context)["partitions"]["landing"]
    days = [landing.landing_partition for landing in context.ledger.landings()]
    assert len(days) == stored
    frames = [context.raw_events(days), context.events(days), context.rejected_events(days)]
    order = ["landing_partition", "source_uri", "position"]
    lake = [frame.scan().sort(order).collect().to_dicts() for frame in frames]
    return {**tables, "lake": lake}


def without_ann(rows: Any) -> Any:
    if isinstance(rows, dict):
        return {key: without_ann(value) for key, value in rows.items()}
    if rows and isinstance(rows[0], list):
        return [without_ann(each) for each in rows]
    return [row for row in rows if ANN not in str(row)]


def holding(root: Path, word: str = ANN) -> list[str]:
    """The files below a folder that contain the word: in bytes, decompressed, or as Parquet."""
    found = []
    for file in filter(Path.is_file, root.rglob("*")):
        content = file.read_bytes()
        texts = [content]
        if file.suffix == ".gz":
            texts.append(gzip.decompress(content))
        if content.startswith(b"PAR1"):
            frame = pl.read_parquet(file)
            binary = [name for name, dtype in frame.schema.items() if dtype == pl.Binary]
            texts += [b"\n".join(value or b"" for value in frame[name]) for name in binary]
            texts.append(frame.drop(binary).write_ndjson().encode())
        if any(word.encode() in text for text in texts):
            found.append(str(file.relative_to(root)))
    return found


def lake_of(context: StreamContext) -> Path:
    assert isinstance(context.lake.filesystem, LocalFilesystem)
    return context.lake.filesystem.root / context.stream.name


def in_tables(context: StreamContext, word: str = ANN) -> list[str]:
    """The tables of the stream and the ledger that contain the word."""
    found = []
    for schema in (context.stream.name, "sessions_platform"):
        names = context.database.query(
            "select table_name, bool_or(column_name = 'stream') as of_streams from information_schema.columns "
            f"where table_schema = '{schema}' group by table_name"
        )
        for row in names:
            is_shared = schema == "sessions_platform" and row["of_streams"]
            of_stream = f"where stream = '{context.stream.name}'" if is_shared else ""
            if row["table_name"] in ("schema_version", "run_heartbeats"):
                continue
            rows = context.database.query(f"select t::text from {schema}.{row['table_name']} t {of_stream}")
            if any(word in each["t"] for each in rows):
                found.append(f"{schema}.{row['table_name']}")
    return found


@pytest.fixture
def open_landed(tmp_path: Path, settings: Settings) -> Callable[..., StreamContext]:
    def make(name: str = "landing", **changes: Any) -> StreamContext:
        folder = tmp_path / name
        folder.mkdir()
        land(folder)
        context = open_folder(folder, settings, source=ALL, **changes)
        run_pending(context)
        return context

    return make
