"""Recorded events of other projects, compared with results that were computed without the platform."""

import csv
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform_tests.data.deployment import Deployed
from sessions_platform_tests.data.figures import FIGURES_AND_SPAN
from sessions_platform_tests.data.parts import shuffled_in_ten

# Slow, so that the quick tests are the same whether or not the data are there.
pytestmark = [pytest.mark.data, pytest.mark.slow]

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

ACCOUNTED_FOR = (
    "raw_rows",
    "accepted",
    "rejected_by_reason",
    "duplicates",
    "duplicates_across",
    "conflicts_across",
    "pending",
)
VISITS = """
    select concat_ws(',', user_id, session_start::timestamp, session_end::timestamp,
                     duration_seconds + 1, event_count) as line
    from {schema}.sessions"""
PAGES_OF_ONE_TRACKER_SESSION = """
    select user_id, session_start, session_end, entry_page, exit_page
    from {schema}.sessions where tracker_sessions = 1"""
REJECTED = """
    select reasons -> 0 ->> 'code' as code, jsonb_array_length(reasons) as reasons, position, payload
    from {schema}.rejected_events"""
ROWS = "select session_id, md5(s::text) as row from {schema}.sessions s order by session_id"
PARTITIONS = "select distinct session_partition from {schema}.sessions"


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
        """What is known of a stream that contains only this file."""
        known = expected[self.file]
        span = {end: datetime.fromisoformat(known[end]) for end in ("time_min", "time_max")}
        return {
            **known[self.rule],
            **span,
            "raw_rows": known["rows"],
            "accepted": known["rows"],
            "rejected_by_reason": known["rejected"],
            "duplicates": 0,
            "duplicates_across": 0,
            "conflicts_across": 0,
            "pending": {"landing": [], "session": []},
        }


CASES = [Case(file, rule) for file in STREAM_OF for rule in GAP_INCLUSIVE]
# What lands how doesn't depend on the rule that sessions end by: one rule of each file will do.
every_case = pytest.mark.parametrize("case", CASES, ids=" ".join)
every_case_of_one_rule = pytest.mark.parametrize("case", CASES[::2], ids=" ".join)
every_case_of_the_other = pytest.mark.parametrize("case", CASES[1::2], ids=" ".join)
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


@every_case_of_one_rule
def test_the_same_ingest_again_changes_nothing(case: Case, whole: Callable[[Case], Whole], data: Path) -> None:
    stream, status = whole(case)
    before = stream.query(ROWS)
    assert stream.ingest(case.path(data)) == status
    assert stream.query(ROWS) == before


@every_case_of_the_other
def test_shuffled_rows_in_ten_files_make_the_known_sessions(
    case: Case, data: Path, home: Path, tmp_path: Path, expected: Row
) -> None:
    stream = case.deployed(home, "shuffled")
    status = stream.ingest(*shuffled_in_ten(case.path(data), tmp_path))
    assert found(stream, status) == case.answer(expected)


@pytest.mark.parametrize("rule", GAP_INCLUSIVE)
def test_sessions_equal_those_that_the_shop_has_labelled(rule: str, whole: Callable[[Case], Whole]) -> None:
    stream, _ = whole(Case("retentioneering_ecom/ecom.csv.gz", rule))
    label = pl.col("properties").str.json_path_match("$.session_id")
    pairs = sessionized(stream).select("session_id", label=label)
    assert pairs["label"].null_count() == 0
    assert pairs.unique().height == pairs["session_id"].n_unique() == pairs["label"].n_unique() == 3605


@every_edgar_case
def test_one_ingest_finds_the_sessions_of_another_program(name: str, data: Path, home: Path) -> None:
    stream = edgar_stream(data, home, name, "whole")
    stream.ingest(data / "edgar" / name / "input" / "log.csv")
    assert visits(stream) == known_visits(data, name)


@every_edgar_case
def test_shuffled_rows_in_ten_files_make_the_sessions_of_another_program(
    name: str, data: Path, home: Path, tmp_path: Path
) -> None:
    stream = edgar_stream(data, home, name, "shuffled")
    stream.ingest(*shuffled_in_ten(data / "edgar" / name / "input" / "log.csv", tmp_path))
    assert visits(stream) == known_visits(data, name)


def test_the_row_without_a_user_is_rejected_and_kept_unchanged(data: Path, home: Path) -> None:
    file = data / "fueled_web" / "fueled_web_events.csv"
    stream = Deployed.copy(home, "fueled_web", "fueled_web_derived_ids", without=["event_id"])
    status = stream.ingest(file)
    (rejected,) = stream.query(REJECTED)
    assert {name: status[name] for name in ("raw_rows", "accepted", "duplicates", "events_in_sessions")} == {
        "raw_rows": 159,
        "accepted": 158,
        "duplicates": 0,
        "events_in_sessions": 158,
    }
    assert rejected == {
        "code": "missing_identity",
        "reasons": 1,
        "position": 1 + [row["domain_userid"] for row in csv_rows(file)].index(""),
        "payload": file.read_bytes().split(b"\r\n")[rejected["position"]].decode(),
    }


def test_rows_that_repeat_an_event_id_at_another_time_are_rejected(fueled_web: Deployed, data: Path) -> None:
    codes = Counter(row["code"] for row in fueled_web.query(REJECTED))
    assert codes == {"missing_identity": 1, "conflicting_duplicate": 3}
    assert fueled_web.query(FIGURES_AND_SPAN)[0]["events"] == len(web_events(data)) == 155


def test_sessions_and_their_pages_equal_those_of_a_plain_loop(fueled_web: Deployed, data: Path) -> None:
    known = [reference.summary(session) for session in reference.sessions_of(web_events(data))]
    columns = ", ".join(known[0])
    stored = fueled_web.query(f"select {columns} from {{schema}}.sessions order by session_id")
    assert stored == sorted(known, key=lambda session: session["session_id"])


def test_entry_and_exit_pages_are_those_of_the_trackers_own_sessions(fueled_web: Deployed, data: Path) -> None:
    """Where the tracker's sessions, which know no gap, begin and end with ours, and don't overlap."""
    ours = {tuple(row.values()) for row in fueled_web.query(PAGES_OF_ONE_TRACKER_SESSION)}
    spans = {session[:3] for session in ours}
    theirs = map(tracked, csv_rows(data / "fueled_web" / "fueled_web_sessions_expected.csv"))
    comparable = {session for session in theirs if session[:3] in spans}
    assert len(comparable) == 4
    assert comparable <= ours


@pytest.fixture(scope="module")
def fueled_web(data: Path, home: Path) -> Deployed:
    stream = Deployed.copy(home, "fueled_web", "fueled_web_given_ids")
    stream.ingest(data / "fueled_web" / "fueled_web_events.csv")
    return stream


def found(stream: Deployed, status: Row) -> Row:
    """What the warehouse and the status say, in the words of `Case.answer`."""
    (figures,) = stream.query(FIGURES_AND_SPAN)
    return {**figures, **{name: status[name] for name in ACCOUNTED_FOR}}


def sessionized(stream: Deployed) -> pl.DataFrame:
    """Every event in the lake, with its session."""
    context = stream.context
    partitions = [row["session_partition"] for row in stream.query(PARTITIONS)]
    return context.sessionized_events(partitions).scan().collect()


def edgar_stream(data: Path, home: Path, name: str, suffix: str) -> Deployed:
    seconds = (data / "edgar" / name / "input" / "inactivity_period.txt").read_text().strip()
    return Deployed.copy(home, "edgar", f"edgar_{name.replace('/', '_').lower()}_{suffix}", gap=f"{seconds}s")


def visits(stream: Deployed) -> Counter[str]:
    """Sessions as EDGAR's own programme writes them: with both ends counted in the duration."""
    return Counter(row["line"] for row in stream.query(VISITS))


def known_visits(data: Path, name: str) -> Counter[str]:
    """A blank may stand at a line's end."""
    lines = (data / "edgar" / name / "output" / "sessionization.txt").read_text().splitlines()
    return Counter(line.strip() for line in lines)


def csv_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def web_events(data: Path) -> list[Row]:
    """The events to be accepted: those with a user, and the first of each id."""
    events: dict[str, Row] = {}
    for position, row in enumerate(csv_rows(data / "fueled_web" / "fueled_web_events.csv"), start=1):
        if row["domain_userid"]:
            events.setdefault(row["event_id"], as_event(row, position))
    return list(events.values())


def as_event(row: dict[str, str], position: int) -> Row:
    return {
        "event_id": row["event_id"],
        "user_id": row["domain_userid"],
        "event_timestamp": moment(row["derived_tstamp"]),
        "event_type": row["event"],
        "page_url": row["page_url"] or None,
        "landing_partition": "",
        "source_uri": "",
        "position": position,
    }


def tracked(row: dict[str, str]) -> tuple[Any, ...]:
    span = (moment(row["start_tstamp"]), moment(row["end_tstamp"]))
    return (row["domain_userid"], *span, row["first_page_url"], row["last_page_url"])


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
