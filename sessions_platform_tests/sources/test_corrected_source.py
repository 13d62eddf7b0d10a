"""Files that were divided into rows by keys that were wrong are divided anew once the stream's file is corrected."""

import hashlib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.streams import PLAIN, stream

DAY = "2026-01-01"
ARRAY = (
    b'[\n{"id": "a", "user": "ann", "ts": "2026-01-01T12:00:00Z", "type": "view"},\n'
    b'{"id": "b", "user": "ann", "ts": "2026-01-01T12:05:00Z", "type": "view"}\n]\n'
)
TABLE = b"id;user;ts;type\na;ann;2026-01-01T12:00:00Z;view\nb;ann;2026-01-01T12:05:00Z;view\n"
# The content of a file; the keys of its source that are wrong, those that are right, and how many rows each makes.
CORRECTED: dict[str, tuple[bytes, dict[str, Any], dict[str, Any], int, int]] = {
    "format": (ARRAY, {"format": "ndjson"}, {"format": "json"}, 1, 2),
    "separator": (TABLE, {"format": "csv"}, {"format": "csv", "separator": ";"}, 1, 2),
    "header": (
        TABLE.split(b"\n", 1)[1],
        {"format": "csv", "separator": ";"},
        {"format": "csv", "separator": ";", "header": ["id", "user", "ts", "type"]},
        1,
        2,
    ),
    "events": (
        b'{"batch": ' + ARRAY.replace(b"\n", b"") + b"}\n",
        {"format": "ndjson"},
        {"format": "ndjson", "events": "batch"},
        1,
        2,
    ),
}


def opened(folder: Path, settings: Settings, source: dict[str, Any], **more: Any) -> StreamContext:
    name = f"corrected_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    made = stream(name=name, source={"files": "{partition:%Y-%m-%d}/*", **source}, **more)
    return StreamContext.open(made.model_copy(update={"path": folder / "web.yaml", "home": folder}), settings)


def put(folder: Path, content: bytes) -> None:
    (folder / DAY).mkdir(exist_ok=True)
    (folder / DAY / "file").write_bytes(content)


def rows(context: StreamContext) -> int:
    return ingest(context, [DAY], "run")[DAY].rows


@pytest.mark.parametrize("name", CORRECTED)
def test_files_are_divided_anew_by_corrected_keys(tmp_path: Path, settings: Settings, name: str) -> None:
    content, wrong, right, before, after = CORRECTED[name]
    put(tmp_path, content)
    first = opened(tmp_path, settings, wrong)
    assert rows(first) == before
    ingest_and_publish(first, DAY)
    corrected = opened(tmp_path, settings, right)
    assert pending_landing_partitions(corrected, DAY) == [DAY]
    ingest_and_publish(corrected, DAY)
    refresh(corrected)
    assert rows(corrected) == after
    assert [row["event_count"] for row in table(corrected)] == [2]


def test_a_header_is_held_against_corrected_columns(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, TABLE)
    source = {"format": "csv", "separator": ";"}
    wrong = {name: {**column, "from": f"my_{column['from']}"} for name, column in PLAIN["columns"].items()}
    refused = opened(tmp_path, settings, source, columns=wrong)
    assert rows(refused) == 1
    assert rows(opened(tmp_path, settings, source)) == 2


def test_what_does_not_divide_files_leaves_their_rows(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, ARRAY)
    rows(opened(tmp_path, settings, {"format": "json"}))
    other = opened(tmp_path, settings, {"format": "json", "nulls": ["-"], "non_finite": "null"})
    assert ingest(other, [DAY], "again")[DAY].read == 0


def test_a_file_that_was_read_before_this_was_recorded_keeps_its_rows(
    tmp_path: Path, settings: Settings, administrator: Any
) -> None:
    put(tmp_path, ARRAY)
    context = opened(tmp_path, settings, {"format": "json"})
    rows(context)
    (path,) = [file.path for file in context.ledger.files()]
    with administrator.transaction() as connection:
        assert isinstance(connection, psycopg.Connection)
        connection.execute(
            "update sessions_platform.landing_files set fingerprint = split_part(fingerprint, ':', 1)"
            " where stream = %s",
            [context.stream.name],
        )
    assert ingest(context, [DAY], "again")[DAY].read == 0
    assert [file.path for file in context.ledger.files()] == [path]
