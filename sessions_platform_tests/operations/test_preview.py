"""A preview shows what ingestion makes of the same rows, in every format, and stores nothing."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.cli.preview import preview_lines
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.preview import preview
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.validate import ValidatedPartition, validate_partition
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY, open_folder
from sessions_platform_tests.sources.format_samples import COLUMNS, SAMPLES, Sample
from sessions_platform_tests.streams import stream

EVERY_SAMPLE = [
    pytest.param(sample, id=f"{name} {number}")
    for name in sorted(SAMPLES)
    for number, sample in enumerate(SAMPLES[name])
]


def sorted_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.sort("source_uri", "position").to_dicts()


@pytest.mark.slow
@pytest.mark.parametrize("sample", EVERY_SAMPLE)
def test_a_preview_of_landing_files_is_what_ingestion_makes_of_them(
    tmp_path: Path, settings: Settings, sample: Sample
) -> None:
    """The same file twice, so that whole files are duplicates where ids are derived, and the newest without naming."""
    columns = {name: column for name, column in COLUMNS.items() if name != "event_id"}
    for of in ({**COLUMNS, **sample.columns}, {**columns, **sample.columns}):
        folder = tmp_path / str(len(of))
        skip = [{"column": "event_type", "isin": ["health"]}]
        context = open_folder(folder, settings, source=sample.source, columns=of, skip=skip)
        (folder / DAY).mkdir(parents=True)
        for name in ("a", "b"):
            (folder / DAY / name).write_bytes(sample.content)
        seen = preview(context.stream, settings)
        events, rejected, validated = ingested(context)
        assert sorted_rows(seen.events) == sorted_rows(events)
        assert sorted_rows(seen.rejected) == sorted_rows(rejected)
        assert (seen.duplicates, seen.skipped) == (validated.duplicates, validated.skipped)
        assert seen.raw_rows == events.height + seen.rejected_rows + seen.duplicates + seen.skipped


def ingested(context: StreamContext) -> tuple[pl.DataFrame, pl.DataFrame, ValidatedPartition]:
    """The events and rejected rows that the pipeline makes of a stream's only landing partition."""
    ingest(context, [DAY], "a-run")
    validated = validate_partition(context, DAY, context.raw_events([DAY]))
    events = context.lake.scan([validated.events.path], context.event_columns).collect()
    return events, context.lake.scan([validated.rejected.path], REJECTED_EVENTS).collect(), validated


def of_file(tmp_path: Path) -> tuple[Stream, Settings]:
    path = tmp_path / "streams" / "web.yaml"
    return stream(path=path, home=tmp_path / "home"), Settings(tmp_path / "home", tmp_path / "lake", ())


def written(path: Path, *events: dict[str, Any] | str) -> Path:
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


GOOD = {"id": "e1", "user": "ann", "ts": "2026-01-01T10:00:00Z", "type": "view", "url": "/"}


def test_a_file_elsewhere_has_the_place_that_ingest_would_give_it_and_nothing_is_written(tmp_path: Path) -> None:
    named, settings = of_file(tmp_path)
    file = written(tmp_path / "export.ndjson", GOOD, {**GOOD, "user": None}, "no JSON", GOOD)
    before = sorted(tmp_path.rglob("*"))
    seen = preview(named, settings, [file])
    first, second, third, fourth = seen.rows()
    assert first["file"].startswith("landing/")
    assert first["file"].endswith("/export.ndjson")
    assert first["values"]["event_timestamp"] == "2026-01-01T10:00:00+00:00"
    assert [reason["code"] for reason in second["reasons"]] == ["missing_identity"]
    assert [reason["code"] for reason in third["reasons"]] == ["malformed"]
    assert fourth["outcome"] == "duplicate"
    assert seen.rejected_by_reason == {"missing_identity": 1, "malformed": 1}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("sequence", "told"), [(None, ["2 of 4 events are at the moment"]), ("position", [])])
def test_many_events_of_one_moment_are_told_where_only_their_ids_order_them(
    tmp_path: Path, sequence: str | None, told: list[str]
) -> None:
    named, settings = of_file(tmp_path)
    at = ["10:00:00", "10:00:00", "10:00:01", "10:00:02"]
    rows = [{**GOOD, "id": str(number), "ts": f"2026-01-01T{time}Z"} for number, time in enumerate(at)]
    file = written(tmp_path / "export.ndjson", *rows)
    notes = preview(named.model_copy(update={"sequence": sequence}), settings, [file]).notes
    assert [note[:31] for note in notes if "moment" in note] == told


def test_a_limit_is_shared_by_the_files_and_each_is_read_from_its_beginning(tmp_path: Path) -> None:
    named, settings = of_file(tmp_path)
    files = [written(tmp_path / f"{name}.ndjson", *({**GOOD, "id": f"{name}{n}"} for n in range(9))) for name in "ab"]
    seen = preview(named, settings, files, limit=4)
    assert sorted(seen.events["event_id"]) == ["a0", "a1", "b0", "b1"]


def test_rows_that_are_alike_are_told_one_by_one(tmp_path: Path) -> None:
    named, settings = of_file(tmp_path)
    seen = preview(named, settings, [written(tmp_path / "a.ndjson", *[""] * 40, GOOD)])
    assert [row["outcome"] for row in seen.rows()] == ["rejected"] * 40 + ["accepted"]


def test_a_file_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    named, settings = of_file(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        preview(named, settings, [tmp_path / "nowhere"])
    with pytest.raises(UserError, match="there is no landing file at landing/"):
        preview(named, settings)


@pytest.mark.parametrize("width", [40, 80])
def test_lines_are_no_wider_than_the_terminal_and_obey_no_escape(tmp_path: Path, width: int) -> None:
    named, settings = of_file(tmp_path)
    file = written(tmp_path / "a.ndjson", {**GOOD, "url": "/" + "x" * 200 + "\x1b[31m"}, {**GOOD, "ts": "\x1b[31m"})
    lines = list(preview_lines(preview(named, settings, [file]).document, width))
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    assert lines[0] == "a.ndjson:1  accepted"
    assert any(line.startswith("  bad_timestamp  event_timestamp:") for line in lines)
