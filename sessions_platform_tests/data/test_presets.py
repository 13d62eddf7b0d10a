"""Recorded exports of tools, read by their presets and held against plain loops over the same rows."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from sessions_platform_tests.data.deployment import Deployed
from sessions_platform_tests.data.test_real_data import csv_rows, moment

pytestmark = [pytest.mark.data, pytest.mark.slow]

Row = dict[str, Any]
Session = tuple[Any, ...]

SESSIONS = "select user_id, session_start, session_end, event_count from {schema}.sessions"
GAP = timedelta(minutes=30)


@pytest.fixture(scope="module")
def events(data: Path) -> list[Row]:
    """The events of a Snowplow tracker, the first of each id, by user and time; one has no device, but a user_id."""
    rows = csv_rows(data / "fueled_web" / "fueled_web_events.csv")
    first = {row["event_id"]: row for row in reversed(rows)}
    return sorted(first.values(), key=lambda row: (user_of(row), moment(row["derived_tstamp"])))


def test_copies_of_snowplows_events_with_one_fingerprint_are_duplicates(data: Path, home: Path) -> None:
    stream = Deployed.copy(home, "fueled_web_by_preset", "fueled_web_duplicates")
    status = stream.ingest(data / "fueled_web" / "fueled_web_events.csv")
    counted = ("raw_rows", "accepted", "duplicates", "rejected_by_reason")
    assert {name: status[name] for name in counted} == {
        "raw_rows": 159,
        "accepted": 156,
        "duplicates": 3,
        "rejected_by_reason": {},
    }


def test_snowplows_sessions_are_those_of_a_loop_by_its_rule_for_cookies(
    data: Path, home: Path, events: list[Row]
) -> None:
    stream = Deployed.copy(home, "fueled_web_by_preset", "fueled_web_by_rule", id=None)
    stream.ingest(data / "fueled_web" / "fueled_web_events.csv")
    assert stored(stream) == sorted(by_the_rule_for_cookies(events))


def test_sessions_of_snowplow_web_are_those_of_the_trackers_own_id(data: Path, home: Path, events: list[Row]) -> None:
    """Of its package's 18 sessions those of page views alone begin and end with ours: it leaves out other events."""
    stream = Deployed.copy(home, "fueled_web_by_preset", "fueled_web_by_id", id_within="366d")
    stream.ingest(data / "fueled_web" / "fueled_web_events.csv")
    assert stored(stream) == sorted(by_the_trackers_id(events))
    package = csv_rows(data / "fueled_web" / "fueled_web_sessions_expected.csv")
    theirs = {(user_of(row), moment(row["start_tstamp"]), moment(row["end_tstamp"])) for row in package}
    assert len(theirs & {session[:3] for session in stored(stream)}) == 7


def by_the_trackers_id(events: list[Row]) -> Iterable[Session]:
    """What has one id of one device; one event has no id."""
    for (user, _), rows in groupby(sorted(events, key=session_of), key=session_of):
        times = sorted(moment(row["derived_tstamp"]) for row in rows)
        yield user, times[0], times[-1], len(times)


def session_of(row: Row) -> tuple[str, str]:
    return user_of(row), row["domain_sessionid"]


def by_the_rule_for_cookies(events: list[Row]) -> Iterable[Session]:
    """A device's events until a silence of 30 minutes from the whole second of the last one."""
    for user, rows in groupby(events, key=user_of):
        times = [moment(row["derived_tstamp"]) for row in rows]
        cuts = [number + 1 for number, (last, next_) in enumerate(pairwise(times)) if next_ >= floored(last) + GAP]
        for start, end in pairwise([0, *cuts, len(times)]):
            yield user, times[start], times[end - 1], end - start


def user_of(row: Row) -> str:
    return row["domain_userid"] or row["user_id"]


def floored(time: Any) -> Any:
    return time.replace(microsecond=0)


def stored(stream: Deployed) -> list[Session]:
    return sorted(tuple(row.values()) for row in stream.query(SESSIONS))
