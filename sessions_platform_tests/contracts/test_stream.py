"""What a stream derives from its keys: calendars, moments, versions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sessions_platform.contracts.calendar import Calendar
from sessions_platform.contracts.columns import Column, Reference
from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.settings import DEMO_STREAMS
from sessions_platform_tests.streams import stream

MICROSECOND = timedelta(microseconds=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("keys", "landing_partition", "latest"),
    [
        pytest.param({}, "2026-01-01", "2026-01-02T00:05", id="five minutes after the partition"),
        pytest.param({"session": {"max_future": "0s"}}, "2026-01-01", "2026-01-02", id="its end"),
        pytest.param({"session": {"max_future": "366d"}}, "2026-01-01", "2027-01-03", id="a year after it"),
        pytest.param({"end": "2026-01-03"}, "2026-01-01", "2026-01-02T00:05", id="before the stream's end"),
        pytest.param({"end": "2026-01-02"}, "2026-01-01", "2026-01-01T23:59:59.999999", id="the stream's end"),
        pytest.param(
            {"end": "2026-01-03", "session": {"max_future": "1d"}},
            "2026-01-01",
            "2026-01-02T23:59:59.999999",
            id="just the stream's end",
        ),
        pytest.param(
            {"end": "2026-01-02", "session": {"timezone": "Asia/Tokyo"}},
            "2026-01-01",
            "2026-01-01T14:59:59.999999",
            id="the end in the zone of the sessions",
        ),
        pytest.param({"landing": {"partition": "hourly"}}, "2026-01-01T10", "2026-01-01T11:05", id="hours"),
    ],
)
def test_the_latest_moment_is_in_the_future_of_its_partition_but_not_after_the_end(
    keys: dict[str, Any], landing_partition: str, latest: str
) -> None:
    found = stream(**keys).latest_moment(landing_partition)
    assert found == moment(latest)
    assert found.tzinfo is UTC  # or polars could not compare it with events


@pytest.mark.parametrize(
    ("session", "first"),
    [
        ({}, "2026-01-01T00:00"),
        ({"timezone": "Asia/Tokyo"}, "2025-12-31T15:00"),
        ({"partition": "weekly"}, "2025-12-29T00:00"),
        ({"partition": "monthly"}, "2026-01-01T00:00"),
    ],
)
def test_the_first_moment_is_the_start_of_the_first_session_partition(session: dict[str, str], first: str) -> None:
    assert stream(session=session).first_moment == moment(first)


def test_landing_partitions_begin_with_the_stream_or_on_a_day_of_their_own() -> None:
    assert stream().landing_calendar.start == moment("2026-01-01")
    own = stream(landing={"start": "2026-02-01"}, end="2026-03-01", session={"timezone": "Asia/Tokyo"})
    assert (own.landing_calendar.start, own.landing_calendar.end) == (moment("2026-02-01"), moment("2026-03-01"))
    assert own.landing_calendar.timezone == "UTC"
    assert own.session_calendar.end == moment("2026-02-28T15:00")


def test_the_calendars_of_a_stream_are_recorded_by_key() -> None:
    keys = {"landing": {"partition": "hourly"}, "session": {"partition": "weekly", "timezone": "Europe/Berlin"}}
    assert stream(**keys).calendars == {
        "landing.partition": "hourly",
        "session.partition": "weekly",
        "session.timezone": "Europe/Berlin",
    }
    assert isinstance(stream().session_calendar, Calendar)


def test_the_versions_of_the_demo_are_those_that_stored_data_has() -> None:
    """Another digest for the same file would make every partition of every home stale."""
    demo = load_stream(DEMO_STREAMS / "web_shop.yaml", home=Path("/home"))
    assert (demo.contract_version, demo.session_rule_version) == ("1b56d5275a8e", "848c88a3e3d5")


def test_a_column_is_read_from_its_paths() -> None:
    joined, aliased, plain = (
        Column.model_validate(keys) for keys in ({"join": ["day", "time"]}, {"from": ["a", "b"]}, {})
    )
    assert [column.paths("at") for column in (joined, aliased, plain)] == [["day", "time"], ["a", "b"], ["at"]]


def test_bounds_are_those_that_are_stated_even_if_zero() -> None:
    column = Column.model_validate({"type": "float", "ge": 0, "lt": 5})
    assert column.bounds == {"ge": 0.0, "lt": 5.0}


def test_a_reference_is_shown_by_its_file_or_table() -> None:
    file, table = (
        Reference.model_validate({**keys, "column": "id"}) for keys in ({"file": "a.csv.GZ"}, {"table": "public.a"})
    )
    assert (str(file), file.format) == ("a.csv.GZ, column id", "csv")
    assert (str(table), table.format) == ("public.a, column id", None)


def test_an_aggregate_has_the_one_function_that_is_stated() -> None:
    aggregate = Aggregate.model_validate({"count_distinct": "page_url"})
    assert (aggregate.function, aggregate.column) == ("count_distinct", "page_url")


def test_defaults_of_a_session_rule() -> None:
    session = stream().session
    assert (session.gap, session.max_future, session.max_length) == (timedelta(minutes=30), timedelta(minutes=5), None)
    assert (session.gap_inclusive, session.split_at_midnight, session.timezone) == (False, False, "UTC")
    assert session.primary_action == "most_frequent"


@pytest.mark.parametrize("upstream", ["landing/web", "web/landed", "lake/web/landed", "web2/sessions", "sessions"])
def test_an_asset_that_only_has_the_streams_name_in_its_key_may_land_its_files(upstream: str) -> None:
    assert stream(key_prefix="analytics", upstream=[upstream]).upstream == [upstream]


@pytest.mark.parametrize(
    "upstream", ["analytics/web", "web/sessions", "analytics/web/raw_events", "web/sessions__lake"]
)
def test_an_asset_of_the_stream_itself_lands_no_files(upstream: str) -> None:
    with pytest.raises(ValidationError, match="is an asset of this stream"):
        stream(key_prefix="analytics", upstream=[upstream])
