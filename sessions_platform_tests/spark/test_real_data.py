"""Recorded events of other projects, whose sessions Sail computes: the known figures, and the rows of polars."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform_tests.data.conftest import data, expected, home
from sessions_platform_tests.data.deployment import Deployed
from sessions_platform_tests.data.figures import FIGURES_AND_SPAN
from sessions_platform_tests.data.test_real_data import EDGAR, GAP_INCLUSIVE, STREAM_OF, known_visits, visits
from sessions_platform_tests.pipeline.steps import RUN, load, refresh

__all__ = ["data", "expected", "home"]

pytestmark = [pytest.mark.spark, pytest.mark.data]

ROWS = "select md5(s::text) as row from {schema}.sessions s order by session_id"
Row = dict[str, Any]


@pytest.fixture
def deployed(home: Path, sail: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Deployed]:
    """Makes a copy of a stream whose sessions Sail computes, in another session time zone than UTC."""
    monkeypatch.setenv("SESSIONS_ENGINE", "spark")
    monkeypatch.setenv("SESSIONS_SPARK", sail)

    def copy(template: str, name: str, **session: Any) -> Deployed:
        return Deployed.copy(home, template, f"{name}_on_spark".replace("/", "_").lower(), **session)

    return copy


@pytest.mark.parametrize("file", STREAM_OF)
def test_the_known_sessions_are_found_and_are_those_of_polars(
    file: str, data: Path, expected: Row, deployed: Callable[..., Deployed]
) -> None:
    stream = deployed(STREAM_OF[file], STREAM_OF[file], gap_inclusive=False)
    stream.ingest(data / file.partition(" by ")[0])
    known = expected[file]
    span = {end: datetime.fromisoformat(known[end]) for end in ("time_min", "time_max")}
    for rule, gap_inclusive in GAP_INCLUSIVE.items():
        context = with_rule(stream.context, gap_inclusive=gap_inclusive)
        refresh(context)
        assert stream.query(FIGURES_AND_SPAN) == [{**known[rule], **span}]
        assert_rows_are_those_of_polars(stream, context)


@pytest.mark.parametrize("name", EDGAR)
def test_the_sessions_of_another_program_are_found(name: str, data: Path, deployed: Callable[..., Deployed]) -> None:
    folder = data / "edgar" / name
    seconds = (folder / "input" / "inactivity_period.txt").read_text().strip()
    stream = deployed("edgar", f"edgar_{name}", gap=f"{seconds}s")
    stream.ingest(folder / "input" / "log.csv")
    assert visits(stream) == known_visits(data, name)
    assert_rows_are_those_of_polars(stream, stream.context)


def test_sessions_of_a_tracker_are_those_of_polars(data: Path, deployed: Callable[..., Deployed]) -> None:
    stream = deployed("fueled_web", "fueled_web")
    status = stream.ingest(data / "fueled_web" / "fueled_web_events.csv")
    assert status["events_in_sessions"] == 155
    assert_rows_are_those_of_polars(stream, stream.context)


def test_with_enrichment_identity_and_all_rules_the_rows_are_those_of_polars(
    data: Path, deployed: Callable[..., Deployed]
) -> None:
    """Of users, and of people: addresses that one browser has are one person's."""
    stream = deployed("apache_access_in_full", "apache_access_in_full")
    status = stream.ingest(data / "apache_access" / "apache_events.csv.gz")
    assert status["events_in_sessions"] == 10_000
    of_users = assert_rows_are_those_of_polars(stream, stream.context)
    people = with_rule(stream.context, by="person")
    refresh(people)
    assert 0 < assert_rows_are_those_of_polars(stream, people) < of_users


def with_rule(context: StreamContext, **session: Any) -> StreamContext:
    """The same stream and its data, with keys of its session rule changed."""
    rule = context.stream.session.model_copy(update=session)
    return replace(context, stream=context.stream.model_copy(update={"session": rule}))


def assert_rows_are_those_of_polars(stream: Deployed, context: StreamContext) -> int:
    """Compute again by polars what Spark has stored; how many sessions there are. Text has floats to the last bit."""
    assert context.engine == "spark"
    partitions = sorted(version.session_partition for version in context.ledger.newest_sessions())
    events, rows = _events(context, partitions), stream.query(ROWS)
    by_polars = replace(context, engine="polars")
    sessionize_partitions(by_polars, partitions, RUN)
    assert load(by_polars, *partitions).changed.changed == 0
    assert stream.query(ROWS) == rows
    assert _events(context, partitions) == events
    return len(rows)


def _events(context: StreamContext, partitions: list[str]) -> str:
    events = context.sessionized_events(partitions).scan().sort("user_id", "event_timestamp", "event_id", "position")
    return events.collect().write_ndjson()
