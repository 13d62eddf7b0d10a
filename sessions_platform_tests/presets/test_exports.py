"""Presets of exports whose tools write several forms: overruled where they differ, they make the same sessions."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.operations.preview import preview
from sessions_platform.settings import Settings
from sessions_platform_tests.presets.samples import FOLDER, expected_of, file_of, plain, sessions_of, values_of

Row = dict[str, Any]


def rows_of(name: str) -> list[Row]:
    return [json.loads(line) for line in file_of(name).read_text(encoding="utf-8").splitlines()]


def differs(name: str, folder: Path, file: Path, source: Row | None = None, **keys: Any) -> list[str]:
    """In what another form of a sample does not become what the sample does."""
    stated = {"name": name, "start": "2026-01-01", "source": {"preset": name, "files": str(file), **(source or {})}}
    path = folder / "stream.yaml"
    path.write_text(yaml.safe_dump({**stated, **keys}), encoding="utf-8")
    stream = load_stream(path, folder)
    made, expected = preview(stream, Settings(folder / "home", folder / "lake", ()), [file]), expected_of(name)
    found = sessions_of(stream, made)
    sessions = [
        {key: each[key] for key in map(str, stated)} for each, stated in zip(found, expected.sessions, strict=False)
    ]
    compared = {
        "events": (expected.events, made.events.height),
        "duplicates": (expected.duplicates, made.duplicates),
        "rejected": (expected.rejected, made.rejected_by_reason),
        "number of sessions": (len(expected.sessions), len(found)),
        "sessions": (list(map(plain, expected.sessions)), sessions),
        **{
            column: (values, values_of(made, column)[: len(values)])
            for column, values in (expected.values or {}).items()
            if column != "event_timestamp"
        },
    }
    return [f"{what}: expected {one}, found {other}" for what, (one, other) in compared.items() if one != other]


def clock_in_berlin(row: Row) -> Row:
    """The event as a project of before 2023 exports it: seconds as a clock in its timezone shows them."""
    time = row["properties"]["time"]
    moment = datetime.fromtimestamp(time / 1000 if time > 10**11 else time, ZoneInfo("Europe/Berlin"))
    row["properties"]["time"] = int(moment.replace(tzinfo=UTC).timestamp())
    return row


def test_mixpanels_older_projects_have_seconds_of_their_timezone(tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("".join(json.dumps(clock_in_berlin(row)) + "\n" for row in rows_of("mixpanel")))
    time = {"formats": ["epoch_s_local"], "timezone": "Europe/Berlin"}
    assert differs("mixpanel", tmp_path, file, columns={"event_timestamp": time}) == []


def test_amplitudes_answer_is_a_zip_of_packed_files(tmp_path: Path) -> None:
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w") as archive:
        lines = file_of("amplitude").read_bytes().splitlines(keepends=True)
        archive.writestr("123456/123456_2026-03-02_9#0.json.gz", gzip.compress(b"".join(lines[:4])))
        archive.writestr("123456/123456_2026-03-02_9#1.json.gz", gzip.compress(b"".join(lines[4:])))
    assert differs("amplitude", tmp_path, file) == []


def test_segments_warehouse_has_the_same_calls_in_snake_case(tmp_path: Path) -> None:
    rows = rows_of("segment")
    file = tmp_path / "calls.csv"
    with file.open("w", newline="", encoding="utf-8") as text:
        table = csv.writer(text)
        table.writerow(
            ["id", "anonymous_id", "user_id", "event", "name", "context_page_url", "timestamp", "received_at"]
        )
        for row in rows:
            url = row["context"]["page"]["url"]
            name = "page" if row["type"] == "page" else None
            ids = [row["messageId"], row["anonymousId"], row["userId"]]
            if row["type"] != "identify":  # those are a table of their own
                table.writerow([*ids, row.get("event"), name, url, row["timestamp"], row["receivedAt"]])
    columns: Row = {
        "event_id": {"from": "id"},
        "user_id": {"from": ["anonymous_id", "user_id"]},
        "event_type": {"from": ["event", "name"]},
        "account_id": {"from": "user_id"},
        "page_url": {"from": "context_page_url"},
        "call": None,
    }
    ignored = {"ignore": ["event_timestamp", "received_at"]}
    keys = {"columns": columns, "skip": None, "duplicates": ignored}
    assert differs("segment", tmp_path, file, {"format": "csv"}, **keys) == []


_VALUE = pa.struct(
    [
        ("string_value", pa.string()),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("double_value", pa.float64()),
    ]
)
_PARAMS = pa.list_(pa.struct([("key", pa.string()), ("value", _VALUE)]))
_COLUMNS: dict[str, pa.DataType] = {
    "event_date": pa.string(),
    "event_timestamp": pa.int64(),
    "event_name": pa.string(),
    "event_params": _PARAMS,
    "user_id": pa.string(),
    "user_pseudo_id": pa.string(),
    "stream_id": pa.string(),
    "batch_event_index": pa.int64(),
}


def _typed(value: Any) -> Any:
    """A value of BigQuery's JSON, in which whole numbers are text, as Parquet has it."""
    if isinstance(value, dict):
        return {key: int(text) if key == "int_value" else _typed(text) for key, text in value.items()}
    return [_typed(each) for each in value] if isinstance(value, list) else value


def test_ga4_in_parquet_is_the_same_events(tmp_path: Path) -> None:
    rows = [_typed(row) for row in rows_of("ga4_bigquery")]
    for row in rows:
        row |= {key: int(row[key]) for key in ("event_timestamp", "batch_event_index")}
    columns = [pa.array([row.get(name) for row in rows], kind) for name, kind in _COLUMNS.items()]
    file = tmp_path / "events.parquet"
    pq.write_table(pa.table(columns, names=list(_COLUMNS)), file, compression="gzip")
    assert differs("ga4_bigquery", tmp_path, file, {"format": "parquet"}) == []


CLIENT_SESSION = "iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2"


def test_snowplows_mobile_devices_are_in_a_context(tmp_path: Path) -> None:
    file, (of_contexts, of_device) = tmp_path / "enriched.tsv", (52, 15)  # places in the header that Snowplow documents
    with file.open("w", encoding="utf-8") as text:
        for line in file_of("snowplow_enriched").read_text(encoding="utf-8").splitlines():
            fields = line.split("\t")
            session = {"schema": CLIENT_SESSION, "data": {"userId": fields[of_device] or None}}
            other = {"schema": "iglu:com.acme/screen/jsonschema/1-0-0", "data": {"userId": "another"}}
            fields[of_contexts], fields[of_device] = json.dumps({"schema": "…", "data": [other, session]}), ""
            text.write("\t".join(fields) + "\n")
    path = f"json:contexts.data[schema={CLIENT_SESSION}].data.userId"
    columns = {"user_id": {"from": [path, "user_id"]}}
    assert differs("snowplow_enriched", tmp_path, file, columns=columns) == []


@pytest.mark.parametrize("name", ["segment", "mixpanel", "gharchive"])
def test_what_firehose_joins_without_line_ends_is_read_as_json(name: str, tmp_path: Path) -> None:
    file = tmp_path / "firehose"
    file.write_bytes(gzip.compress(file_of(name).read_bytes().replace(b"}\n", b"}")))
    assert differs(name, tmp_path, file, {"format": "json"}) == []


@pytest.mark.parametrize("name", ["matomo_live", "otel_logs"])
def test_answers_that_are_printed_over_several_lines_are_the_same_events(name: str, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text("\n".join(json.dumps(row, indent=1) for row in rows_of(name)))
    assert differs(name, tmp_path, file, {"format": "json"}) == []


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(lambda names: list(reversed(names)), id="in another order"),
        pytest.param(lambda names: [*names[2:], "post_evar250"], id="without hitid and with another variable"),
        pytest.param(lambda names: [each for each in names if each != "post_campaign"], id="without a campaign"),
    ],
)
def test_the_columns_of_an_adobe_feed_are_those_that_its_file_names(
    ordered: Callable[[list[str]], list[str]], tmp_path: Path
) -> None:
    names = (FOLDER / "adobe_data_feed" / "column_headers.tsv").read_text().strip().split("\t")
    feed = file_of("adobe_data_feed").read_text().replace("\\\t", "\0").replace("\\\n", "\1")
    fields = [dict(zip(names, line.split("\t"), strict=True)) for line in feed.splitlines()]
    text = io.StringIO()
    for row in fields:
        text.write("\t".join(row.get(name, "") for name in ordered(names)) + "\n")
    (tmp_path / "column_headers.tsv").write_text("\t".join(ordered(names)) + "\n")
    file = tmp_path / "hit_data.tsv"
    file.write_text(text.getvalue().replace("\0", "\\\t").replace("\1", "\\\n"))
    assert differs("adobe_data_feed", tmp_path, file) == []
