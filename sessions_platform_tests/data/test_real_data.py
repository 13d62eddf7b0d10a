"""Recorded events of other people, against answers that the platform had no part in."""

import csv
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from sessions_platform_tests import oracle
from sessions_platform_tests.data.deployment import Deployed
from sessions_platform_tests.data.parts import shuffled_in_ten

pytestmark = pytest.mark.data

Row = dict[str, Any]

STREAM_OF = {
    "retentioneering_ecom/ecom.csv.gz": "retentioneering_ecom",
    "apache_access/apache_events.csv.gz": "apache_access",
    "git_history/commits.ndjson.gz by author_time": "git_by_author_time",
    "git_history/commits.ndjson.gz by commit_time": "git_by_commit_time",
    "github_events/events.ndjson": "github_events",
    "github_events/githubActivities.gz.parquet": "github_activities",
}
GAP_INCLUSIVE = {"longer_than_30_minutes_cuts": False, "30_minutes_and_more_cut": True}
EDGAR = [
    "InsightDataScience/test_1",
    "jmshi/test_1",
    "jmshi/test_2",
    "jmshi/test_3",
    "jmshi/test_4",
    "jmshi/test_5",
]

FIGURES = """
    select count(*) as sessions,
           count(distinct user_id) as users,
           sum(event_count)::bigint as events,
           sum(duration_seconds) as total_duration_s,
           percentile_cont(0.5) within group (order by duration_seconds) as median_duration_s,
           max(duration_seconds) as max_duration_s,
           count(*) filter (where event_count = 1) as single_event_sessions,
           max(event_count) as max_events
    from {schema}.sessions"""
ROWS = "select session_id, md5(s::text) as row from {schema}.sessions s order by session_id"


class Case(NamedTuple):
    """One file under one rule, both as expected.json names them."""

    file: str
    rule: str

    @property
    def stream(self) -> str:
        return STREAM_OF[self.file]

    @property
    def gap_inclusive(self) -> bool:
        return GAP_INCLUSIVE[self.rule]

    def path(self, data: Path) -> Path:
        return data / self.file.partition(" by ")[0]

    def deployed(self, home: Path, suffix: str) -> Deployed:
        name = f"{self.stream}_{'at' if self.gap_inclusive else 'beyond'}_{suffix}"
        return Deployed.copy(home, self.stream, name, gap_inclusive=self.gap_inclusive)

    def answer(self, expected: Row) -> Row:
        """What is expected of a stream that holds the file, and nothing else."""
        told = expected[self.file]
        nothing_left = {"landing": [], "session": []}
        taken_in = {"raw_rows": told["rows"], "accepted": told["rows"], "rejected_by_reason": told["rejected"]}
        copies = dict.fromkeys(("duplicates", "duplicates_across", "conflicts_across"), 0)
        return {**told[self.rule], **taken_in, **copies, "waiting": nothing_left}


CASES = [Case(file, rule) for file in STREAM_OF for rule in GAP_INCLUSIVE]
every_case = pytest.mark.parametrize("case", CASES, ids=" ".join)
every_edgar_case = pytest.mark.parametrize("name", EDGAR)


class Whole(NamedTuple):
    """A file's stream, after its first `ingest`."""

    stream: Deployed
    status: Row


@pytest.fixture(scope="module")
def whole(data: Path, home: Path) -> Callable[[Case], Whole]:
    """Ingests the file of a case, as it is, when first asked for."""

    @cache
    def ingested(case: Case) -> Whole:
        stream = case.deployed(home, "whole")
        return Whole(stream, stream.ingest(case.path(data)))

    return ingested


def test_every_recorded_file_has_its_cases(expected: Row) -> None:
    assert {**STREAM_OF, "edgar": EDGAR}.keys() == expected.keys()
    assert list(expected["edgar"]) == EDGAR


@every_case
def test_one_ingest_finds_the_known_sessions(case: Case, whole: Callable[[Case], Whole], expected: Row) -> None:
    stream, status = whole(case)
    assert found(stream, status) == case.answer(expected)


@every_case
def test_the_same_ingest_again_changes_nothing(case: Case, whole: Callable[[Case], Whole], data: Path) -> None:
    stream, status = whole(case)
    before = stream.query(ROWS)
    assert stream.ingest(case.path(data)) == status
    assert stream.query(ROWS) == before


@every_case
def test_shuffled_rows_in_ten_files_make_the_known_sessions(
    case: Case, data: Path, home: Path, tmp_path: Path, expected: Row
) -> None:
    stream = case.deployed(home, "shuffled")
    status = stream.ingest(*shuffled_in_ten(case.path(data), tmp_path))
    assert found(stream, status) == case.answer(expected)


@pytest.mark.parametrize("rule", GAP_INCLUSIVE)
def test_sessions_are_those_that_the_shop_itself_has_labelled(rule: str, whole: Callable[[Case], Whole]) -> None:
    stream, _ = whole(Case("retentioneering_ecom/ecom.csv.gz", rule))
    label = pl.col("properties").str.json_path_match("$.session_id")
    pairs = sessionized(stream).select("session_id", label=label)
    counted = {"pairs": pairs.unique().height, "ours": pairs["session_id"].n_unique(), "labels": pairs["label"].n_unique()}
    assert pairs["label"].null_count() == 0
    assert counted == dict.fromkeys(counted, 3605)


@every_edgar_case
def test_one_ingest_finds_the_sessions_of_another_programme(name: str, data: Path, home: Path) -> None:
    stream = edgar_stream(data, home, name, "whole")
    stream.ingest(data / "edgar" / name / "input" / "log.csv")
    assert visits(stream) == known_visits(data, name)


@every_edgar_case
def test_shuffled_rows_in_ten_files_make_the_sessions_of_another_programme(
    name: str, data: Path, home: Path, tmp_path: Path
) -> None:
    stream = edgar_stream(data, home, name, "shuffled")
    stream.ingest(*shuffled_in_ten(data / "edgar" / name / "input" / "log.csv", tmp_path))
    assert visits(stream) == known_visits(data, name)


def found(stream: Deployed, status: Row) -> Row:
    told = ("raw_rows", "accepted", "rejected_by_reason", "duplicates", "duplicates_across", "conflicts_across", "waiting")
    (figures,) = stream.query(FIGURES)
    return {**figures, **{name: status[name] for name in told}}
