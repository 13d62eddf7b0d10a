"""Rows of typed landing files are stored as fields, and everything that is asked of their payloads is as before."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sessions_platform.contracts.raw_events import RAW_EVENTS, fields_among
from sessions_platform.operations.dead_letters import Filter, find_rejected_records
from sessions_platform.operations.erase import erase
from sessions_platform.operations.repaired_rows import RepairedRow
from sessions_platform.operations.replay import replay
from sessions_platform.pipeline import raw_files
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.checksums import column_chunks
from sessions_platform.storage.lake.errors import DamagedFileError
from sessions_platform.storage.lake.parquet_files import read_footer
from sessions_platform_tests.ingested import DAY, PartitionContents, ingest_and_publish, open_folder
from sessions_platform_tests.lakes import folder_of, local_lake
from sessions_platform_tests.operations.erasure import ANN, contents, holding, lake_of, without_ann
from sessions_platform_tests.pipeline.steps import run_pending
from sessions_platform_tests.streams import PLAIN

pytestmark = pytest.mark.slow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COLUMNS = {**PLAIN["columns"], "amount": {"type": "float", "nullable": True}}
NO_UTF8 = pa.array([b"\xff"] * 2).cast(pa.string(), safe=False)


def events(first: int, users: list[str | None], **more: Any) -> pa.Table:
    rows = len(users)
    columns = {
        "id": pa.array([f"{first + number}" for number in range(rows)]),
        "user": pa.array(users, pa.string()),
        "ts": pa.array([NOON] * rows, pa.timestamp("us", "UTC")),
        "type": pa.array(["view"] * rows).dictionary_encode(),
        "amount": pa.array([1.5, None, *[1e300] * rows][:rows], pa.float64()),
        "price": pa.array([Decimal("1.10")] * rows, pa.decimal128(9, 2)),
        "tags": pa.array([["a", 'say "x"'], []] * rows, pa.list_(pa.string()))[:rows],
    }
    return pa.table({**columns, **more})


# A row without a user, one twice, one twice with other content; and texts that are no UTF-8 in the last row group.
ROWS = [
    events(1, ["ann", None, "bob"]),
    pa.concat_tables([events(9, ["ann"]), events(9, ["ann"]), events(20, ["bob"]), events(20, ["cleo"])]),
    events(30, ["dora", "dora"], note=NO_UTF8),
]


def put(folder: Path, tables: list[pa.Table]) -> None:
    """Write a file with a row group for each table; a column that one lacks is null there."""
    path = folder / DAY / "a.parquet"
    path.parent.mkdir(parents=True)
    schema = pa.unify_schemas([table.schema for table in tables])
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            nulls = {field.name: pa.nulls(table.num_rows, field.type) for field in schema}
            writer.write_table(pa.table({**nulls, **dict(zip(table.column_names, table.columns, strict=True))}))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """No landing file is small, so that none shares a raw file."""
    monkeypatch.setattr(raw_files, "_SMALL_BYTES", 0)


def opened(folder: Path, settings: Settings, **more: Any) -> StreamContext:
    return open_folder(folder, settings, source={"format": "parquet"}, columns=COLUMNS, **more)


def stored_columns(context: StreamContext) -> list[str]:
    (path,) = {file.path for file in context.ledger.files() if file.path}
    return list(context.lake.columns(path))


def outcome(taken: PartitionContents) -> list[Any]:
    rejected = taken.rejected.drop("rejection_id", strict=False)
    return [frame.sort("source_uri", "position").rows() for frame in (taken.raw, taken.events, rejected)]


@pytest.mark.parametrize("more", [{}, {"extra_columns": "drop"}, {"extra_columns": "reject"}], ids=str)
def test_a_stream_of_fields_has_the_rows_of_one_of_payloads(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    put(tmp_path, ROWS)
    of_payloads = opened(tmp_path, settings, **more)
    expected = ingest_and_publish(of_payloads)
    assert fields_among(stored_columns(of_payloads)) == []
    monkeypatch.setattr(raw_files, "_SMALL_BYTES", 0)
    of_fields = opened(tmp_path, settings, **more)
    found = ingest_and_publish(of_fields)
    assert fields_among(stored_columns(of_fields))[-2:] == ["json.tags", "field.note"]
    assert outcome(found) == outcome(expected)
    assert found.duplicates == expected.duplicates
    assert found.rejected.height


@pytest.mark.usefixtures("large")
def test_derived_ids_are_those_of_payloads(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, ROWS[:2])
    columns = {name: column for name, column in COLUMNS.items() if name != "event_id"}
    context = open_folder(tmp_path, settings, source={"format": "parquet"}, columns=columns)
    found = ingest_and_publish(context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_files, "_SMALL_BYTES", 1 << 20)
        expected = ingest_and_publish(open_folder(tmp_path, settings, source={"format": "parquet"}, columns=columns))
    assert found.events["event_id"].to_list() == expected.events["event_id"].to_list()


@pytest.mark.usefixtures("large")
def test_a_stored_payload_is_null_and_its_fields_are_of_plain_types(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, ROWS[:2])
    context = opened(tmp_path, settings)
    ingest(context, [DAY], "a-run")
    (path,) = {file.path for file in context.ledger.files()}
    stored = folder_of(context.lake) / str(path)
    types = {field.name: str(field.type) for field in pq.read_schema(stored)}
    assert types["field.ts"] == "timestamp[us, tz=UTC]"
    assert types["field.amount"] == "double"
    assert types["field.price"] == types["json.tags"] == types["field.type"] == "large_string"
    with duckdb.connect() as connection:
        query = f"select count(payload), count(\"field.user\") from read_parquet('{stored}')"
        counts = connection.execute(query).fetchone()
    assert counts == (0, 6)


@pytest.mark.usefixtures("large")
def test_a_rejected_row_is_whole_and_is_repaired_at_its_position(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, ROWS[:1])
    context = opened(tmp_path, settings)
    run_pending(context)
    (rejected,) = find_rejected_records(context, Filter())
    assert rejected["payload"] == (
        '{"id":"2","user":null,"ts":"2026-01-01T12:00:00+00:00","type":"view","amount":null,"price":"1.10","tags":[]}'
    )
    payload = rejected["payload"].replace("null", '"eve"', 1).encode()
    replay(context, [RepairedRow(rejected["rejection_id"], payload, "fixed:1")], "a-replay")
    run_pending(context)
    events_now = context.events([DAY]).scan().select("event_id", "user_id").sort("event_id").collect().rows()
    assert events_now == [("1", "ann"), ("2", "eve"), ("3", "bob")]


@pytest.mark.usefixtures("large")
def test_an_erased_user_is_in_no_field(tmp_path: Path, settings: Settings) -> None:
    landing = tmp_path / "landing"
    put(landing, [events(1, ["bob", ANN, "cleo", ANN])])
    source = {"format": "parquet", "rewrite_on_erasure": "all"}
    context = open_folder(landing, settings, source=source, columns=COLUMNS)
    run_pending(context)
    assert holding(lake_of(context))
    should = without_ann(contents(context))
    erase(context, [ANN])
    assert contents(context) == should
    assert holding(lake_of(context)) == []


@pytest.mark.usefixtures("large")
def test_a_damaged_field_is_noticed_where_its_payload_is_read(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, ROWS[:1])
    context = opened(tmp_path, settings)
    ingest(context, [DAY], "a-run")
    (path,) = (str(file.path) for file in context.ledger.files())
    stored = folder_of(context.lake) / path
    ((start, _),) = column_chunks(read_footer(stored), [0], ["field.user"])
    content = bytearray(stored.read_bytes())
    content[start] ^= 1
    stored.write_bytes(content)
    lake = local_lake(folder_of(context.lake))
    assert lake.scan([path], {"position": pl.Int64()}).collect().height == 3
    for read in (lambda: lake.scan([path], RAW_EVENTS), lambda: list(lake.blocks([path], RAW_EVENTS))):
        with pytest.raises(DamagedFileError):
            read()
