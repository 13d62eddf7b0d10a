"""Files made to break readers: each is read or rejected as a whole, and the run continues."""

import codecs
import csv
import io
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.rejections import payload_bytes
from sessions_platform_tests.ingested import DAY, assert_is_text, ingest_and_publish, open_folder, reading, rows_of
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.pipeline.steps import refresh
from sessions_platform_tests.streams import stream

pytestmark = [pytest.mark.data, pytest.mark.slow]

NOON = "2026-01-01T12:00:00Z"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Texts reach the warehouse as the first `said` of a session.
SAYING: dict[str, Any] = {
    "columns": {
        "user_id": {},
        "event_timestamp": {"formats": ["%+"]},
        "event_type": {},
        "said": {"nullable": True},
    },
    "session": {"columns": {"said": {"first": "said"}}},
}


@pytest.fixture(scope="module")
def malformed(data: Path) -> Path:
    return data / "malformed"


def land_copies(files: list[Path], folder: Path) -> None:
    (folder / DAY).mkdir()
    for file in files:
        (folder / DAY / file.name).write_bytes(file.read_bytes())


def rejected_bytes(context: StreamContext) -> dict[tuple[str, int], bytes]:
    """The payloads of the dead-letter queue, as the warehouse contains them, by file and position."""
    sql = f"select source_uri, position, rows, payload, payload_encoding from {context.stream.name}.rejected_events"
    rows = context.database.query(sql)
    return {
        (row["source_uri"], row["position"] + number): payload_bytes(row["payload"], row["payload_encoding"])
        for row in rows
        for number in range(row["rows"])
    }


# JSON


def json_texts(malformed: Path) -> list[Path]:
    return sorted((malformed / "JSONTestSuite" / "test_parsing").iterdir())


def codes_of(payload: bytes) -> list[str]:
    raw = pl.DataFrame([{"payload": payload}], schema={"payload": pl.Binary})
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in RAW_EVENTS.items() if name != "payload"]
    parse_errors = parse(raw.with_columns(absent), stream()).row(0, named=True)["parse_errors"]
    return [fault["code"] for fault in parse_errors]


def test_json_is_accepted_where_it_has_to_be_and_refused_where_it_must(malformed: Path) -> None:
    validations = {path.name: codes_of(path.read_bytes()) for path in json_texts(malformed)}
    assert {name[:2] for name in validations} == {"y_", "n_", "i_"}
    for path in json_texts(malformed):
        codes = validations[path.name]
        if path.name.startswith("n_"):
            assert codes == ["malformed"], path.name
        elif path.name.startswith("y_"):
            is_object = isinstance(json.loads(path.read_bytes()), dict)
            assert ("malformed" in codes) is not is_object, path.name


def test_texts_that_are_not_json_reach_the_dead_letter_queue_unchanged(
    malformed: Path, tmp_path: Path, settings: Settings
) -> None:
    files = [path for path in json_texts(malformed) if not path.name.startswith("y_")]
    land_copies(files, tmp_path)
    context = open_folder(tmp_path, settings)
    taken = ingest_and_publish(context)
    for file in files:
        uri = f"{DAY}/{file.name}"
        rows = taken.raw.filter(pl.col("source_uri") == uri)
        if file.read_bytes().startswith(UTF_16):
            assert "UTF-16" in rows["corrupt_reason"].item(), "one row, which names a copy of the file"
            continue
        assert_is_text(rows, file.read_bytes())
        if file.name.startswith("n_"):
            assert taken.rejected.filter(pl.col("source_uri") == uri)["rows"].sum() == rows.height
    kept = {(row["source_uri"], row["position"]): row["payload"] for row in taken.raw.to_dicts()}
    dead = rejected_bytes(context)
    assert len(dead) == taken.rejected.height > len(files)
    assert all(kept[place] == payload for place, payload in dead.items())


# CSV


def csv_text(path: Path) -> bytes:
    """Of the files with CRLF, the recorded copies may have lost the carriage returns that their names promise."""
    content = path.read_bytes().replace(b"\r\n", b"\n")
    return content.replace(b"\n", b"\r\n") if path.stem.endswith("_crlf") else content


def test_csv_is_read_as_its_spectrum_says(malformed: Path, tmp_path: Path) -> None:
    of = stream(columns={"no_such_field": {"nullable": True}}, source={"files": "*", "format": "csv"})
    for path in sorted((malformed / "csv_spectrum" / "csvs").iterdir()):
        expected = json.loads((malformed / "csv_spectrum" / "json" / f"{path.stem}.json").read_text())
        raw = rows_of(reading(tmp_path / "file", csv_text(path), format="csv"))
        placed = raw.with_columns(landing_partition=pl.lit(DAY), source_uri=pl.lit("a"))
        parsed = parse(placed, of)
        assert parsed["parse_errors"].list.len().sum() == 0
        listed = expected if isinstance(expected, list) else [expected]
        # An empty field is null, and nulls are left out.
        without_empty = [{name: value for name, value in row.items() if value != ""} for row in listed]
        found = [json.loads(text) for text in parsed["properties"]]
        for row in [*found, *without_empty]:
            row.pop("Contact Phone Number", None)  # the answer has another one than the file
        assert found == without_empty, path.name


# Parquet


def broken(malformed: Path) -> dict[str, bytes]:
    """Those that others have found, and each whole one cut short, and with a bit turned here and there."""
    folder = malformed / "parquet_testing"
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("*/*.parquet"))}
    cut = {f"cut_{name}": content[:-1] for name, content in found.items()}
    small = {name: content for name, content in found.items() if len(content) < 3000}
    turned = {
        f"turned_{at}_{name}": turned_at(content, at)
        for name, content in small.items()
        for at in range(5, len(content), len(content) // 4)
    }
    return {**found, **cut, **turned}


def turned_at(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]


def test_broken_parquet_is_read_or_rejected_and_the_rest_of_the_partition_goes_on(
    malformed: Path, tmp_path: Path, settings: Settings
) -> None:
    files = broken(malformed)
    (tmp_path / DAY).mkdir()
    for name, content in files.items():
        (tmp_path / DAY / name).write_bytes(content)
    good = pa.table({"id": ["1"], "user": ["ann"], "ts": [NOON], "type": ["view"]})
    pq.write_table(good, tmp_path / DAY / "zzz.parquet")
    context = open_folder(tmp_path, settings, source={"format": "parquet"})
    taken = ingest_and_publish(context)
    assert taken.events["source_uri"].to_list() == [f"{DAY}/zzz.parquet"]
    corrupt_reason = taken.raw.filter(pl.col("corrupt_reason").is_not_null())
    copies = dict(corrupt_reason.select("source_uri", "payload").rows())
    assert len(copies) == corrupt_reason.height
    for uri, place in copies.items():
        assert (folder_of(context.lake) / place.decode()).read_bytes() == files[Path(uri).name]
    assert {f"{DAY}/{name}" for name in files if name.startswith("cut_")} <= set(copies)
    named = {Path(uri).name for uri in copies}
    assert {path.name for path in (malformed / "parquet_testing/bad_data").glob("*.parquet")} & named
    assert not named & {"alltypes_plain.parquet", "binary.parquet", "nulls.snappy.parquet"}


# Texts, from the file to the warehouse and back


def as_ndjson(rows: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), content)
    return content.getvalue()


@pytest.mark.parametrize(("kind", "written"), [("ndjson", as_ndjson), ("csv", as_csv), ("parquet", as_parquet)])
def test_naughty_strings_survive(
    malformed: Path,
    tmp_path: Path,
    settings: Settings,
    kind: str,
    written: Callable[[list[dict[str, str]]], bytes],
) -> None:
    strings: list[str] = json.loads((malformed / "naughty_strings" / "blns.json").read_text())
    assert len(strings) > 500
    said = {f"{place} {text}": text for place, text in enumerate(strings)}
    rows = [
        {"user_id": user, "event_timestamp": NOON, "event_type": "say", "said": text} for user, text in said.items()
    ]
    rows.append({**rows[-1], "event_timestamp": "never", "said": "".join(strings)})
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "strings").write_bytes(written(rows))
    context = open_folder(tmp_path, settings, source={"format": kind}, **SAYING)
    taken = ingest_and_publish(context)
    refresh(context)
    sessions = context.database.query(f"select user_id, said from {context.stream.name}.sessions")
    came_back = {row["user_id"]: row["said"] for row in sessions}
    assert came_back == {user: text if text.strip(string.whitespace) else None for user, text in said.items()}
    assert list(rejected_bytes(context).values()) == [taken.raw[-1, "payload"]]


def utf8_cases(malformed: Path) -> list[tuple[bool, bytes]]:
    """Whether a test says that its bytes are valid, and the bytes."""
    lines = (malformed / "utf8tests" / "utf8tests.bin").read_bytes().splitlines()
    found = [line.split(b":", 2) for line in lines if line.count(b":") > 1]
    return [(validity == b"valid", text) for _, validity, text in found]


def test_valid_utf8_survives_and_the_rest_is_rejected_whole(
    malformed: Path, tmp_path: Path, settings: Settings
) -> None:
    cases = utf8_cases(malformed)
    line = b'{"user_id":"%d","event_timestamp":"%s","event_type":"say","said":"%s"}'
    lines = [line % (place, NOON.encode(), text) for place, (_, text) in enumerate(cases)]
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "texts").write_bytes(b"\n".join(lines))
    context = open_folder(tmp_path, settings, **SAYING)
    ingest_and_publish(context)
    refresh(context)
    sessions = context.database.query(f"select user_id, said from {context.stream.name}.sessions")
    came_back = {int(row["user_id"]): row["said"].encode() for row in sessions}
    valid = {place: text for place, (is_valid, text) in enumerate(cases) if is_valid and not holds_control(text)}
    assert came_back == valid
    assert len(valid) > 20
    invalid = {place + 1: text for place, text in enumerate(lines) if place not in valid}
    assert {position: payload for (_, position), payload in rejected_bytes(context).items()} == invalid
    assert len(invalid) > 20


def holds_control(text: bytes) -> bool:
    """JSON has no bare control characters; nor have quotes and backslashes a place of their own."""
    return any(byte < 32 or byte in b'"\\' for byte in text)
