"""Partitions divide time without gap or overlap, and Python, polars and Dagster divide it equally."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.calendar import Cadence, Calendar, Window, contiguous_runs, label
from sessions_platform.contracts.polars_types import in_window, key_expr
from sessions_platform.orchestration.partitions import partitions_definition

MICROSECOND = timedelta(microseconds=1)
YEAR_1990 = datetime(1990, 1, 1, tzinfo=UTC)

SKIPPED = date(2011, 12, 30)
# Moments at which each zone's clocks did something odd.
CROOKED = {
    "UTC": [datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2024, 2, 29, tzinfo=UTC)],
    "Europe/Berlin": [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)],
    # Summer time began at midnight, so that midnight did not exist, and ended at midnight, so that
    # the hour before was there twice.
    "America/Sao_Paulo": [datetime(2018, 11, 4, 3, tzinfo=UTC), datetime(2018, 2, 18, 2, tzinfo=UTC)],
    # Far from whole hours, and never odd in the years that are tried.
    "Asia/Kathmandu": [datetime(2026, 1, 31, 18, 15, tzinfo=UTC)],
    # The day SKIPPED did not exist.
    "Pacific/Apia": [datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2012, 3, 31, 14, tzinfo=UTC)],
    # Midnight was there twice.
    "America/Havana": [datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC)],
}
ZONES = sorted(CROOKED)

# Hours in a zone of its own are no stream's: they repeat at the end of summer time.
CUTS = [(Cadence.hourly, "UTC")] + [(cadence, zone) for cadence in list(Cadence)[1:] for zone in ZONES]
cuts = pytest.mark.parametrize(("cadence", "zone"), CUTS)


def calendar(cadence: Cadence, zone: str, start: date = date(1980, 1, 1), end: date | None = None) -> Calendar:
    return Calendar(cadence, midnight(start, zone), zone, midnight(end, zone) if end else None)


def midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


def moments(zone: str) -> st.SearchStrategy[datetime]:
    """Crowded around the zone's oddities, to the microsecond."""
    anywhere = st.integers(0, 40 * 366 * 24 * 3_600_000_000).map(lambda micros: YEAR_1990 + micros * MICROSECOND)
    near = st.builds(
        lambda turn, hours, micros: turn + timedelta(hours=hours, microseconds=micros),
        st.sampled_from(CROOKED[zone]),
        st.integers(-50, 50),
        st.integers(-2, 2),
    )
    return near | anywhere


def as_polars_has_it(times: list[datetime], of: Calendar) -> list[str]:
    frame = pl.DataFrame({"event_timestamp": times}, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    return frame.select(key_expr(of)).to_series().to_list()


@cuts
@settings(max_examples=25)
@given(data=st.data())
def test_every_moment_lies_in_the_one_window_of_its_key(cadence: Cadence, zone: str, data: st.DataObject) -> None:
    cal = calendar(cadence, zone)
    times = data.draw(st.lists(moments(zone), min_size=1, max_size=40))
    for moment in times:
        key = cal.key_of(moment)
        window = cal.window(key)
        assert window.start <= moment < window.end
        assert cal.key_of(window.start) == key
        assert cal.key_of(window.end - MICROSECOND) == key
        assert cal.key_of(window.end) > key
    assert as_polars_has_it(times, cal) == [cal.key_of(moment) for moment in times]
    in_time = [cal.key_of(moment) for moment in sorted(times)]
    assert in_time == sorted(in_time)


@cuts
def test_windows_tile_time_around_the_odd_moments(cadence: Cadence, zone: str) -> None:
    cal = calendar(cadence, zone)
    for turn in CROOKED[zone]:
        keys = cal.keys_between(cal.key_of(turn - timedelta(days=70)), cal.key_of(turn + timedelta(days=70)))
        windows = [cal.window(key) for key in keys]
        assert [earlier.end for earlier in windows[:-1]] == [later.start for later in windows[1:]]
        assert all(window.start < window.end for window in windows)
        assert keys == sorted(set(keys))


@pytest.mark.parametrize("cadence", ["daily", "weekly", "monthly"])
def test_the_midnight_that_begins_a_partition_may_be_left_out(cadence: str) -> None:
    """In Lima summer time began with 1990, on a Monday: there was no hour from 0:00 on."""
    lima = calendar(Cadence(cadence), "America/Lima")
    moved = datetime(1990, 1, 1, 5, tzinfo=UTC)
    before, after = as_polars_has_it([moved - MICROSECOND, moved], lima)
    assert (before, after) == (lima.key_of(moved - MICROSECOND), "1990-01-01")
    assert lima.window(before).end == lima.window(after).start == moved


@pytest.mark.parametrize(
    ("zone", "since", "torn"),
    [
        ("America/St_Johns", "2010-01-01", "2010-11-07"),
        ("America/St_Johns", "2010-11-08", None),
        ("America/Toronto", "1919-01-01", "1919-03-31"),
        ("Antarctica/Casey", "2010-01-01", "2010-03-05"),
        *((zone, "1990-01-01", None) for zone in ZONES),
    ],
)
def test_a_midnight_amid_an_hour_that_was_skipped_or_repeated_is_found(zone: str, since: str, torn: str | None) -> None:
    """All other days of these zones begin as the ones before them end."""
    found = calendar(Cadence.daily, zone, date.fromisoformat(since)).torn_midnight(date(2038, 1, 1))
    assert found == (date.fromisoformat(torn) if torn else None)


def test_a_zone_may_have_moved_for_good_at_midnight() -> None:
    """Kathmandu went from 5:30 to 5:45 as 1986 began, and had no first quarter of an hour of it."""
    kathmandu = calendar(Cadence.daily, "Asia/Kathmandu")
    moved = datetime(1985, 12, 31, 18, 30, tzinfo=UTC)
    assert as_polars_has_it([moved - MICROSECOND, moved], kathmandu) == ["1985-12-31", "1986-01-01"]


@pytest.mark.parametrize(
    ("cadence", "moment", "key"),
    [
        ("hourly", "2026-01-01T23:59:59.999999+00:00", "2026-01-01T23"),
        ("daily", "2026-01-01T23:59:59.999999+00:00", "2026-01-01"),
        ("weekly", "2026-01-04T23:59:59.999999+00:00", "2025-12-29"),
        ("weekly", "2026-01-05T00:00:00+00:00", "2026-01-05"),
        ("monthly", "2026-02-28T23:59:59.999999+00:00", "2026-02-01"),
    ],
)
def test_a_key_is_the_start_of_its_window(cadence: str, moment: str, key: str) -> None:
    assert calendar(Cadence(cadence), "UTC").key_of(datetime.fromisoformat(moment)) == key


def test_a_local_day_is_as_long_as_the_clocks_make_it() -> None:
    berlin = calendar(Cadence.daily, "Europe/Berlin")
    hours = {key: (berlin.window(key).end - berlin.window(key).start) / timedelta(hours=1) for key in DST_DAYS}
    assert hours == DST_DAYS


DST_DAYS = {"2026-03-28": 24, "2026-03-29": 23, "2026-10-24": 24, "2026-10-25": 25}


@given(st.sampled_from(CUTS), st.dates(date(2000, 1, 1), date(2030, 1, 1)).filter(lambda day: day != SKIPPED))
def test_the_first_partition_contains_the_start(cut: tuple[Cadence, str], start: date) -> None:
    cal = calendar(*cut, start=start)
    first = cal.window(cal.key_of(cal.first_start))
    # In UTC, for a local time that was there twice or not at all equals no other (PEP 495).
    assert first.start == cal.first_start.astimezone(UTC)
    assert first.start <= cal.start.astimezone(UTC) < first.end


# As Dagster has it ---------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 15, 12, 34, 56, tzinfo=UTC)
# On boundaries. Summer time began in America/Sao_Paulo in November 2018, at a midnight that was left out.
ENDS = [
    ("daily", date(2026, 10, 7)),
    ("daily", date(2018, 11, 4)),
    ("daily", date(2018, 11, 5)),
    ("weekly", date(2026, 10, 5)),
    ("weekly", date(2018, 11, 12)),
    ("monthly", date(2026, 10, 1)),
    ("monthly", date(2018, 12, 1)),
]


def assert_dagster_agrees(cal: Calendar) -> None:
    last = min(NOW, cal.end - MICROSECOND) if cal.end else NOW
    keys = cal.keys_between(cal.key_of(cal.start), cal.key_of(last))
    definition = partitions_definition(cal)
    assert list(definition.get_partition_keys(current_time=NOW)) == keys
    for key in keys:
        window = definition.time_window_for_partition_key(key)
        assert (window.start.astimezone(UTC), window.end.astimezone(UTC)) == (
            cal.window(key).start,
            cal.window(key).end,
        )


@cuts
@pytest.mark.parametrize("start", [date(2026, 8, 12), date(2026, 8, 1), date(2026, 11, 15)], ids=str)
def test_dagster_has_the_same_partitions_up_to_the_current_one(cadence: Cadence, zone: str, start: date) -> None:
    assert_dagster_agrees(calendar(cadence, zone, start))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("cadence", "end"), ENDS)
def test_dagster_has_the_same_partitions_of_an_ended_stream(cadence: str, end: date, zone: str) -> None:
    assert_dagster_agrees(calendar(Cadence(cadence), zone, date(end.year, 8, 12), end))


@pytest.mark.parametrize("cadence", ["weekly", "monthly"])
def test_the_last_partition_contains_the_end(cadence: str) -> None:
    """Events up to the end are accepted, so that their session partition has to be there."""
    assert_dagster_agrees(calendar(Cadence(cadence), "UTC", date(2026, 8, 12), date(2026, 10, 8)))


def test_a_day_that_a_country_skipped_is_a_partition_to_dagster_and_empty_to_us() -> None:
    apia = calendar(Cadence.daily, "Pacific/Apia", date(2011, 12, 28), date(2012, 1, 3))
    skipped = str(SKIPPED)
    assert skipped in partitions_definition(apia).get_partition_keys(current_time=NOW)
    assert skipped not in apia.keys_between("2011-12-28", "2012-01-02")
    assert apia.window(skipped).start == apia.window(skipped).end == apia.window("2011-12-31").start


def test_equal_calendars_have_equal_partitions_definitions() -> None:
    """A run over both axes asks for that."""
    one, two = calendar(Cadence.daily, "UTC"), calendar(Cadence.daily, "UTC")
    assert partitions_definition(one) == partitions_definition(two)
    assert partitions_definition(one) != partitions_definition(calendar(Cadence.daily, "Europe/Berlin"))


# Runs of neighbours --------------------------------------------------------------------------------------


@cuts
@settings(max_examples=15)
@given(chosen=st.sets(st.integers(0, 39)))
def test_runs_contain_exactly_the_keys_and_are_contiguous_and_separate(
    cadence: Cadence, zone: str, chosen: set[int]
) -> None:
    cal = calendar(cadence, zone)
    every = [cal.key_of(CROOKED[zone][0] - timedelta(days=20))]
    while len(every) < 40:
        every.append(cal.key_of(cal.window(every[-1]).end))
    runs = contiguous_runs([every[n] for n in chosen], cal)
    assert [key for run in runs for key in run] == [every[n] for n in sorted(chosen)]
    for run in runs:
        assert run == cal.keys_between(run[0], run[-1])
    for earlier, later in pairwise(runs):
        assert cal.window(earlier[-1]).end < cal.window(later[0]).start


# Edges ---------------------------------------------------------------------------------------------------

EDGES = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


def test_a_window_contains_its_start_and_not_its_end() -> None:
    times = [EDGES.start - MICROSECOND, EDGES.start, EDGES.end - MICROSECOND, EDGES.end]
    frame = pl.DataFrame({"event_timestamp": times, "at": times[::-1]})
    assert frame.select(in_window(EDGES)).to_series().to_list() == [False, True, True, False]
    assert frame.select(in_window(EDGES, "at")).to_series().to_list() == [False, True, True, False]


@pytest.mark.parametrize(
    ("first", "last", "overlaps"),
    [
        pytest.param(-2, -1, False, id="before"),
        pytest.param(-1, 0, True, id="up to the first moment"),
        pytest.param(0, 0, True, id="the first moment alone"),
        pytest.param(23, 23, True, id="in between"),
        pytest.param(24, 25, False, id="from the end on"),
        pytest.param(-1, 25, True, id="all around"),
        pytest.param(None, 1, False, id="no first"),
        pytest.param(1, None, False, id="no last"),
        pytest.param(None, None, False, id="none"),
    ],
)
def test_a_window_overlaps_what_reaches_into_it(first: int | None, last: int | None, overlaps: bool) -> None:
    moments = (None if hours is None else EDGES.start + timedelta(hours=hours) for hours in (first, last))
    assert EDGES.overlaps(*moments) is overlaps


def test_a_window_overlaps_what_begins_at_its_last_microsecond() -> None:
    assert EDGES.overlaps(EDGES.end - MICROSECOND, EDGES.end)
    assert not EDGES.overlaps(EDGES.end, EDGES.end)
    assert not EDGES.overlaps(EDGES.start - MICROSECOND, EDGES.start - MICROSECOND)


@pytest.mark.parametrize(
    ("cadence", "key", "start", "end"),
    [
        ("hourly", "2026-01-31T23", "2026-01-31T23:00", "2026-02-01T00:00"),
        ("daily", "2026-02-28", "2026-02-28", "2026-03-01"),
        ("weekly", "2026-12-28", "2026-12-28", "2027-01-04"),
        ("monthly", "2026-01-01", "2026-01-01", "2026-02-01"),
        ("monthly", "2026-12-01", "2026-12-01", "2027-01-01"),
        ("monthly", "2024-02-01", "2024-02-01", "2024-03-01"),
    ],
)
def test_the_window_of_a_key(cadence: str, key: str, start: str, end: str) -> None:
    cal = calendar(Cadence(cadence), "UTC")
    expected = Window(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)))
    assert cal.window(key) == expected
    assert cal.key_of(expected.start) == cal.key_of(expected.end - MICROSECOND) == key


def test_the_window_of_a_run_goes_from_its_first_start_to_its_last_end() -> None:
    cal = calendar(Cadence.daily, "UTC")
    run = ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert cal.window_of(run) == Window(cal.window(run[0]).start, cal.window(run[2]).end)
    assert cal.window_of(run[:1]) == cal.window(run[0])


@pytest.mark.parametrize(("end", "last_end"), [(8, 12), (5, 5), (6, 12), (None, None)])
def test_the_last_end_is_that_of_the_partition_before_the_end(end: int | None, last_end: int | None) -> None:
    """Weeks end on the 5th and the 12th of October 2026."""
    cal = calendar(Cadence.weekly, "UTC", date(2026, 8, 12), date(2026, 10, end) if end else None)
    assert cal.last_end == (midnight(date(2026, 10, last_end), "UTC") if last_end else None)


def test_keys_between_two_keys_are_those_and_all_in_between() -> None:
    cal = calendar(Cadence.daily, "UTC")
    assert cal.keys_between("2026-02-28", "2026-03-02") == ["2026-02-28", "2026-03-01", "2026-03-02"]
    assert cal.keys_between("2026-03-02", "2026-03-02") == ["2026-03-02"]
    assert cal.keys_between("2026-03-02", "2026-03-01") == []


@pytest.mark.parametrize("start", [6, 7])
@pytest.mark.parametrize(("before", "torn"), [("2010-11-07", None), ("2010-11-08", "2010-11-07")])
def test_torn_midnights_are_looked_for_up_to_a_day(start: int, before: str, torn: str | None) -> None:
    found = calendar(Cadence.daily, "America/St_Johns", date(2010, 11, start)).torn_midnight(date.fromisoformat(before))
    assert found == (date.fromisoformat(torn) if torn else None)


@pytest.mark.parametrize(
    ("cadence", "first_start"), [("hourly", (8, 12)), ("daily", (8, 12)), ("weekly", (8, 10)), ("monthly", (8, 1))]
)
def test_the_first_partition_starts_at_or_before_the_start(cadence: str, first_start: tuple[int, int]) -> None:
    cal = calendar(Cadence(cadence), "UTC", date(2026, 8, 12))
    assert cal.first_start == datetime(2026, *first_start, tzinfo=UTC)
    assert cal.first_key == cal.key_of(cal.first_start)


@pytest.mark.parametrize(
    ("keys", "runs"),
    [
        ([], []),
        (["2026-01-01"], [["2026-01-01"]]),
        (["2026-01-02", "2026-01-01"], [["2026-01-01", "2026-01-02"]]),
        (["2026-01-01", "2026-01-03"], [["2026-01-01"], ["2026-01-03"]]),
        (
            ["2026-01-05", "2026-01-01", "2026-01-02", "2026-01-04"],
            [["2026-01-01", "2026-01-02"], ["2026-01-04", "2026-01-05"]],
        ),
    ],
)
def test_runs_are_cut_where_a_partition_is_missing(keys: list[str], runs: list[list[str]]) -> None:
    assert contiguous_runs(keys, calendar(Cadence.daily, "UTC")) == runs


def test_partitions_are_labelled_by_the_first_and_the_last() -> None:
    assert label(["2026-01-01"]) == "2026-01-01"
    assert label(["2026-01-03", "2026-01-01", "2026-01-02"]) == "2026-01-01...2026-01-03"
