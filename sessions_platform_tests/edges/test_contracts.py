"""Edge cases of contracts: additional and missing columns, nulls, and equal thresholds."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from pandera.errors import SchemaError, SchemaErrors
from pydantic import ValidationError

from sessions_platform.contracts.calendar import contiguous_runs
from sessions_platform.contracts.columns import Reference
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.raw_events import raw_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.schemas.schema import Schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform_tests.streams import PLAIN, stream

NULLABLE = {"preamble", "line_terminator", "header", "corrupt_reason"}


@pytest.mark.parametrize(
    "schema_of",
    [raw_schema, events_schema, rejected_schema, sessionized_schema, sessions_schema],
    ids=lambda f: f.__name__,
)
def test_a_contract_allows_no_additional_and_no_missing_column(
    schema_of: Callable[[Stream], Schema],
) -> None:
    schema = schema_of(stream())
    frame = pl.DataFrame(schema={name: column.dtype for name, column in schema.columns.items()})
    schema.validate(frame)
    for wrong in (frame.with_columns(more=pl.lit(1)), frame.drop(frame.columns[0])):
        with pytest.raises((SchemaError, SchemaErrors)):
            schema.validate(wrong)


@pytest.mark.parametrize("name", list(RAW_EVENTS))
def test_only_columns_that_a_format_may_lack_are_nullable_in_raw_events(name: str) -> None:
    row = {
        column: {pl.String: "text", pl.Binary: b"bytes"}.get(dtype.base_type(), 1)
        for column, dtype in RAW_EVENTS.items()
    }
    frame = pl.DataFrame([row, {**row, name: None}], schema=RAW_EVENTS, orient="row")
    schema = raw_schema(stream())
    schema.validate(frame[:1])
    if name in NULLABLE:
        schema.validate(frame)
    else:
        with pytest.raises((SchemaError, SchemaErrors)):
            schema.validate(frame)


def test_fail_above_may_equal_warn_above_but_not_be_below_it(tmp_path: Path) -> None:
    def write(fail_above: str) -> None:
        rejected = {"warn_above": "5%", "fail_above": fail_above}
        (tmp_path / "web.yaml").write_text(json.dumps({**PLAIN, "rejected": rejected}))

    write("5%")
    loaded = load_stream(tmp_path / "web.yaml", tmp_path)
    assert loaded.name == "web"
    write("4.9%")
    with pytest.raises(StreamError, match="never warn"):
        load_stream(tmp_path / "web.yaml", tmp_path)


def test_runs_of_adjacent_partitions_begin_anew_after_each_gap() -> None:
    keys = ["2026-01-06", "2026-01-01", "2026-01-02", "2026-01-05", "2026-01-04", "2026-01-07"]
    runs = contiguous_runs(keys, stream().landing_calendar)
    assert runs == [keys[1:3], ["2026-01-04", "2026-01-05", "2026-01-06", "2026-01-07"]]


@pytest.mark.parametrize("schema_of", [events_schema, sessionized_schema, sessions_schema], ids=lambda f: f.__name__)
def test_the_platforms_own_columns_are_described(schema_of: Callable[[Stream], Schema]) -> None:
    columns = schema_of(stream()).columns
    assert [name for name, column in columns.items() if not column.description and name != "page_url"] == []


def test_a_reference_names_a_column() -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        Reference.model_validate({"file": "products.csv", "column": ""})


def test_a_year_of_two_digits_distinguishes_no_partitions_of_another_century(tmp_path: Path) -> None:
    source = {"files": "{partition:%y-%m-%d}/*.ndjson", "format": "ndjson"}
    for start, is_wrong in (("1950-01-01", True), ("2026-01-01", False)):
        (tmp_path / "web.yaml").write_text(json.dumps({**PLAIN, "start": start, "source": source}))
        if is_wrong:
            with pytest.raises(StreamError, match=r"source\.files"):
                load_stream(tmp_path / "web.yaml", tmp_path)
        else:
            load_stream(tmp_path / "web.yaml", tmp_path)
