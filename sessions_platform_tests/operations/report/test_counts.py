"""What a report counts equals what is counted from scratch, in one bucket or in many, and from a day on."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.operations.report.data import DURATIONS, EVENTS, ReportData, report_data
from sessions_platform.operations.report.report import write_report
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.warehouses.postgres.report_queries import QUARTERS_SINCE
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform_tests.contexts import line
from sessions_platform_tests.operations.report.recomputed import sessions_by_gap
from sessions_platform_tests.pipeline.steps import put, run_pending, table
from sessions_platform_tests.streams import DAY_ONE

pytestmark = pytest.mark.slow

DAYS = 4
MICROSECOND = timedelta(microseconds=1)
GAPS = (5, 10, 15, 20, 30, 45, 60, 120)
AROUND_GAPS = [timedelta(minutes=gap) + n * MICROSECOND for gap in GAPS for n in (-999_999, -1, 0, 1)]
TIMEZONE = "America/New_York"


RULES = {
    "longer than the gap ends": {},
    "the gap itself ends": {"gap_inclusive": True},
    "passive events neither open nor extend": {"passive": ["ping"]},
    "from the second on, in milliseconds": {"precision": "ms", "gap_from": "second"},
}


@pytest.fixture(params=RULES)
def lived_in(request: pytest.FixtureRequest, open_context: Any) -> StreamContext:
    """Four landing days of twenty users: silences around each gap, ties, duplicates, late events, broken rows."""
    random = Random(7)
    context: StreamContext = open_context(session={**RULES[request.param], "timezone": TIMEZONE})
    files: dict[int, list[bytes]] = {day: [b"{broken"] for day in range(DAYS)}
    for user, at, number in moments(random):
        day = (at - DAY_ONE).days
        rows = [line(f"u{user}", at, f"e{number}", "view" if number % 4 else "ping", url=f"/{number % 3}")]
        landings = [min(DAYS - 1, day + (random.random() < 0.1) * random.randrange(1, 3))]
        landings += [min(DAYS - 1, day + 1)] * (random.random() < 0.05)  # lands again, at times within one partition
        for landing in landings:
            files[landing] += rows
    for day, rows in files.items():
        put(context, f"file{day}", rows, f"{DAY_ONE + timedelta(days=day):%Y-%m-%d}")
    run_pending(context)
    return context


def moments(random: Random) -> Iterator[tuple[int, datetime, int]]:
    number = 0
    for user in range(20):
        at = DAY_ONE + timedelta(minutes=random.randrange(600))
        while (at - DAY_ONE).days < DAYS:
            yield user, at, number
            number += 1
            at += random.choice([*AROUND_GAPS, timedelta(0), timedelta(seconds=40), timedelta(hours=9)])


def accepted(context: StreamContext) -> list[dict[str, Any]]:
    keys = [landing.landing_partition for landing in context.ledger.landings()]
    return context.events(keys).scan().collect().to_dicts()


def test_sessions_at_each_gap_equal_a_full_recomputation(lived_in: StreamContext) -> None:
    counted = report_data(lived_in).silences
    events = accepted(lived_in)
    gaps = counted.sessions["gap"].to_list()
    assert len(gaps) == 8
    assert dict(counted.sessions.iter_rows()) == sessions_by_gap(events, gaps, lived_in.stream)
    passive = lived_in.stream.session.passive or []
    active = [event for event in events if event["event_type"] not in passive]
    assert counted.events == len(active)
    assert counted.histogram["silences"].sum() == len(active) - 20
    current = counted.sessions.filter(gap=lived_in.stream.session.gap)["sessions"].item()
    assert current == len(table(lived_in))


def test_in_buckets_the_counts_are_the_same(lived_in: StreamContext) -> None:
    for since in (None, date(2026, 1, 3)):
        at_once = report_data(lived_in, since).silences
        in_buckets = report_data(replace(lived_in, memory=MemoryBudget(500, 500)), since).silences
        assert in_buckets.sessions.equals(at_once.sessions)
        assert in_buckets.histogram.equals(at_once.histogram)
        assert in_buckets[2:] == at_once[2:]


def test_sessions_are_counted_as_the_table_has_them(lived_in: StreamContext) -> None:
    counted, rows = report_data(lived_in), table(lived_in)
    assert counted.totals.sessions == len(rows)
    assert counted.totals.users == len({row["user_id"] for row in rows})
    zone = lived_in.stream.session_calendar.zone
    local = [row["session_start"].astimezone(zone) for row in rows]
    by_day = Counter(start.date() for start in local)
    assert {period.first_day: period.sessions for period in counted.periods if period.sessions} == by_day
    users = {day: len({r["user_id"] for r, s in zip(rows, local, strict=True) if s.date() == day}) for day in by_day}
    assert {period.first_day: period.users for period in counted.periods if period.users} == users
    assert counted.distributions.by_hour == Counter((start.isoweekday(), start.hour) for start in local)
    durations = Counter(sum(row["duration_seconds"] >= bound for bound in DURATIONS) for row in rows)
    assert counted.distributions.by_duration == durations
    assert counted.distributions.by_events == Counter(sum(row["event_count"] >= n for n in EVENTS) for row in rows)
    entries = Counter(row["entry_page"] for row in rows)
    assert dict(counted.most_frequent["entry_page"].values) == entries


def test_late_events_are_those_older_than_their_landing_partition(lived_in: StreamContext) -> None:
    delays = report_data(lived_in).delays
    calendar = lived_in.stream.landing_calendar
    expected: Counter[int] = Counter()
    for event in (events := accepted(lived_in)):
        window = calendar.window(event["landing_partition"])
        if event["event_timestamp"] < window.start:
            days = (window.end - event["event_timestamp"]).days  # of one to four
            expected[{1: 3, 2: 4, 3: 5, 4: 5}[days]] += 1
    assert expected
    assert (delays.events, delays.late) == (len(events), expected)


def test_since_a_day_nothing_of_before_is_counted(lived_in: StreamContext) -> None:
    since = date(2026, 1, 3)
    counted = report_data(lived_in, since)
    moment = datetime(2026, 1, 3, 5, tzinfo=UTC)  # midnight in New York
    rows = [row for row in table(lived_in) if row["session_start"] >= moment]
    events = [event for event in accepted(lived_in) if event["event_timestamp"] >= moment]
    assert 0 < counted.totals.sessions == len(rows)
    assert dict(counted.silences.sessions.iter_rows()) == sessions_by_gap(
        events, counted.silences.sessions["gap"].to_list(), lived_in.stream
    )
    assert counted.delays.events == len(events)
    assert [each.first_day for each in counted.arrivals] == [date(2026, 1, 3), date(2026, 1, 4)]


def test_what_waits_is_named(lived_in: StreamContext) -> None:
    put(lived_in, "more", [line("ann", DAY_ONE, "new")], "2026-01-04")
    assert report_data(lived_in).pending_landing == ("2026-01-04",)


def test_a_stream_without_rows_has_a_report(context: StreamContext, tmp_path: Any) -> None:
    data: ReportData = report_data(context)
    assert (data.totals.sessions, data.silences.events, data.periods) == (0, 0, ())
    written = write_report(context, tmp_path / "reports" / "a.html")
    assert written.file.stat().st_size == written.size
    assert written.file.stat().st_mode & 0o777 == 0o600
    assert list(written.file.parent.iterdir()) == [written.file]


def test_the_reference_knows_silences_of_exactly_the_gap() -> None:
    """The oracle of this file is not indifferent where it matters."""
    events = [
        {"user_id": "ann", "event_timestamp": DAY_ONE + at, "event_id": str(n), **PLACES}
        for n, at in enumerate((timedelta(0), timedelta(minutes=30)))
    ]
    cut = reference.Rule(gap=timedelta(minutes=30), gap_inclusive=True)
    assert (len(reference.sessions_of(events)), len(reference.sessions_of(events, cut))) == (1, 2)


PLACES = {"landing_partition": "", "source_uri": "", "position": 1}


def test_hours_of_a_clock_that_differs_by_seconds_are_right(open_context: Any) -> None:
    context: StreamContext = open_context(
        start="1960-01-01", end="1960-02-01", session={"timezone": "Africa/Monrovia"}, landing={"start": "1960-01-01"}
    )  # 44 minutes and 30 seconds behind UTC
    moments = ["1960-01-02T01:44:29Z", "1960-01-02T03:44:30Z"]
    put(context, "file", [line("ann", at, str(n)) for n, at in enumerate(moments)], "1960-01-02")
    run_pending(context)
    assert report_data(context).distributions.by_hour == {(6, 0): 1, (6, 3): 1}


def test_since_some_day_all_hours_begin_at_a_quarter_of_an_hour() -> None:
    days = [QUARTERS_SINCE + timedelta(days=n) for n in range(0, 366 * 60, 20)]
    for zone in map(ZoneInfo, available_timezones()):
        assert {(day.astimezone(zone).utcoffset() or timedelta()) % timedelta(minutes=15) for day in days} == {
            timedelta(0)
        }, zone
