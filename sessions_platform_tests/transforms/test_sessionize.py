"""Sessions are cut by the session rule, in any window, as the reference sessionizer cuts them."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.activity import point_columns
from sessions_platform.transforms.sessionize import (
    affected_partitions,
    sessionize,
    sessionize_in_parts,
    sessionize_window,
)
from sessions_platform.transforms.sort_events import sort_events
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.exactness.stream_variant import PRECISIONS
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, reader, stream, timeline

GAP = timedelta(minutes=30)


def drawn(events: list[dict[str, Any]], of: Stream) -> str:
    """The minutes of the events in time order, with a bar between two sessions."""
    cut = sessionize(frame(events, of), of).sort("event_timestamp", "event_id")
    parts = []
    for row in cut.iter_rows(named=True):
        minute = f"{(row['event_timestamp'] - DAY_ONE) / timedelta(minutes=1):g}"
        parts += ["|", minute] if row["is_new_session"] and parts else [minute]
    return " ".join(parts)


@pytest.mark.parametrize(
    ("minutes", "sessions"),
    [
        pytest.param("0 30", "0 30", id="a silence of exactly the gap does not cut"),
        pytest.param("0 31", "0 | 31", id="a longer one does"),
        pytest.param("0 20 40 60", "0 20 40 60", id="a session may outlast the gap"),
        pytest.param("60 0", "0 | 60", id="the order of arrival does not matter"),
        pytest.param("0 0 0", "0 0 0", id="simultaneous events share a session"),
        pytest.param("0 31 31 62.5", "0 | 31 31 | 62.5", id="and may begin with them"),
        pytest.param("1430 1450 1470", "1430 1450 1470", id="midnight does not cut"),
    ],
)
def test_silence_cuts_sessions(minutes: str, sessions: str) -> None:
    assert drawn(timeline(minutes), stream()) == sessions


def test_a_silence_of_one_microsecond_more_than_the_gap_cuts() -> None:
    at = [DAY_ONE, DAY_ONE + GAP, DAY_ONE + 2 * GAP + timedelta(microseconds=1)]
    cut = sessionize(frame([event("ann", moment, str(n)) for n, moment in enumerate(at)], stream()), stream())
    assert cut["is_new_session"].to_list() == [True, False, True]


def reasons(events: list[dict[str, Any]], **session: Any) -> list[str | None]:
    web = stream(session=session)
    return sessionize(frame(events, web), web)["boundary_reason"].to_list()


def test_midnight_splits_in_the_streams_timezone_also_on_the_day_that_clocks_change() -> None:
    # In Berlin the 29th of March 2026 begins at 23:00 UTC and ends at 22:00 UTC.
    moments = [datetime(2026, 3, day, hour, 50, tzinfo=UTC) for day, hour in [(28, 22), (28, 23), (29, 21), (29, 22)]]
    ingested = [event("ann", moment, str(n)) for n, moment in enumerate(moments)]
    expected = ["inactivity", "midnight", None, "midnight"]
    assert reasons(ingested, gap="24h", split_at_midnight=True, timezone="Europe/Berlin") == expected


def test_another_campaign_splits_and_a_null_does_not() -> None:
    sources = [None, "mail", None, "mail", "ads", None, "mail"]
    ingested = [event("ann", DAY_ONE + n * timedelta(minutes=1), str(n), page_url=s) for n, s in enumerate(sources)]
    expected = ["inactivity", None, None, None, "campaign", None, "campaign"]
    assert reasons(ingested, campaign="page_url") == expected


@pytest.mark.parametrize(
    ("when", "openers"),
    [
        pytest.param(["changes"], "0 4 6", id="from one user to another, as RudderStack's identify"),
        pytest.param(["leaves"], "0 2 5", id="from a user to none, as a reset"),
        pytest.param(["changes", "leaves"], "0 2 5", id="either; who comes after a user has left is no change"),
        pytest.param(["changes", "leaves"], "0 2 5 7", id="but who comes after a user is"),
    ],
)
def test_turns_of_a_column_split(when: list[str], openers: str) -> None:
    users = [None, "u1", None, None, "u2", None, "u1", *(["u3"] if openers.endswith("7") else [])]
    ingested = [event("ann", DAY_ONE + n * timedelta(minutes=1), str(n), page_url=u) for n, u in enumerate(users)]
    found = reasons(ingested, cut_on={"column": "page_url", "when": when})
    expected = ["cut_on" if str(n) in openers.split() else None for n in range(len(users))]
    assert found == ["inactivity", *expected[1:]]


def test_a_silence_resets_the_campaign() -> None:
    ingested = [event("ann", DAY_ONE, "0", page_url="mail"), event("ann", DAY_ONE + 2 * GAP, "1", page_url="ads")]
    assert reasons(ingested, campaign="page_url") == ["inactivity", "inactivity"]


def test_a_session_is_cut_when_it_lasts_longer_than_it_may_and_nothing_is_dropped() -> None:
    expected = ["inactivity", None, None, None, "max_length", None, None, None, "max_length"]
    assert reasons(timeline("0 20 40 60 80 100 120 140 160"), max_length="1h") == expected


def test_of_several_boundary_reasons_the_first_rule_counts() -> None:
    ingested = [event("ann", DAY_ONE - timedelta(minutes=1), "0"), event("ann", DAY_ONE, "1", page_url="ads")]
    assert reasons(ingested, split_at_midnight=True, max_length="1ms") == ["inactivity", "midnight"]


def test_simultaneous_events_are_in_the_order_of_their_sequence_then_of_their_ids() -> None:
    columns = {**PLAIN["columns"], "seq": {"type": "integer", "nullable": True}}
    web = stream(columns=columns, sequence="seq")
    ingested = [event("ann", DAY_ONE, name, seq=seq) for name, seq in [("a", None), ("b", 2), ("c", 1), ("d", 2)]]
    assert sessionize(frame(ingested, web), web)["event_id"].to_list() == ["c", "b", "d", "a"]


def test_by_position_simultaneous_events_are_in_the_order_of_the_file() -> None:
    """Six page views of one second: by their ids, which are as good as random, the session would begin with /step2."""
    steps = [event("ann", DAY_ONE, name, position=n, page_url=f"/step{n}") for n, name in enumerate("babcde", start=1)]
    steps[0]["event_id"] = "f"
    (by_id,), (by_position,) = (
        summarize(sessionize(frame(steps, web), web), web).to_dicts() for web in (stream(), stream(sequence="position"))
    )
    assert (by_id["entry_page"], by_id["exit_page"]) == ("/step2", "/step1")
    assert (by_position["entry_page"], by_position["exit_page"]) == ("/step1", "/step6")


def test_an_inclusive_gap_cuts_at_equality() -> None:
    assert drawn(timeline("0 30 59"), stream(session={"gap_inclusive": True})) == "0 | 30 59"


# The time of an event, and how much later the next one has to be to open a session: one microsecond less does not.
@pytest.mark.parametrize(
    ("rule", "at", "cuts_after"),
    [
        pytest.param({}, "00:00:00.000000", "30:00.000001", id="by default in microseconds"),
        pytest.param({"precision": "ms"}, "00:00:00.000000", "30:00.001000", id="in milliseconds"),
        pytest.param({"precision": "ms"}, "00:00:00.000999", "30:00.000001", id="between the floored times"),
        pytest.param({"precision": "s"}, "00:00:00.400000", "30:00.600000", id="in seconds"),
        pytest.param({"precision": "s", "gap_inclusive": True}, "00:00:00.400000", "29:59.600000", id="or at equality"),
        pytest.param({"gap_from": "second"}, "00:00:00.400000", "29:59.600001", id="from the whole second"),
        pytest.param({"gap_from": "second", "gap_inclusive": True}, "00:00:00.999000", "29:59.001000", id="or before"),
    ],
)
@pytest.mark.parametrize("day", ["1960-02-29", "1969-12-31", "2026-03-29"])
def test_silences_are_measured_in_the_stated_unit(day: str, rule: dict[str, Any], at: str, cuts_after: str) -> None:
    first = datetime.fromisoformat(f"{day}T{at}+00:00")
    minutes, seconds = cuts_after.split(":")
    cuts = first + timedelta(minutes=int(minutes), microseconds=round(float(seconds) * 1_000_000))
    for moment, expected in [(cuts, True), (cuts - timedelta(microseconds=1), False)]:
        web = stream(session=rule)
        cut = sessionize(frame([event("ann", first, "a"), event("ann", moment, "b")], web), web)
        assert cut["is_new_session"].to_list() == [True, expected]
        assert cut["event_timestamp"].to_list() == [first, moment]


def test_users_do_not_share_sessions() -> None:
    both = timeline("0 10", "ann") + timeline("5 15", "bob")
    cut = sessionize(frame(both, stream()), stream())
    assert cut.group_by("session_id").agg(pl.col("user_id").n_unique())["user_id"].to_list() == [1, 1]


def test_time_diff_is_the_silence_within_the_session() -> None:
    cut = sessionize(frame(timeline("0 1.5 60"), stream()), stream())
    assert cut["time_diff_seconds"].to_list() == [None, 90.0, None]


@pytest.mark.parametrize("key", ["2026-01-01", "2026-01-02"])
def test_a_session_over_midnights_belongs_to_the_day_it_started_in(key: str) -> None:
    web = stream()
    every_20_minutes = " ".join(str(minute) for minute in range(1400, 3 * 1440, 20))
    result = sessionize_window(web.session_calendar.window(key), reader(frame(timeline(every_20_minutes), web)), web)
    assert result.events.height == (len(every_20_minutes.split()) if key == "2026-01-01" else 0)


@pytest.mark.parametrize(
    ("minutes", "of_day_one"),
    [
        pytest.param("1410 1440", "1410 1440", id="exactly the gap before midnight, and at midnight"),
        pytest.param("1410 1440 1470", "1410 1440 1470", id="and exactly at the end of what is read next"),
        pytest.param("1410 1440 1470 1500 1530", "1410 1440 1470 1500 1530", id="and so on"),
        pytest.param("1409 1440", "1409", id="a minute more is another session"),
        pytest.param("1439 1440", "1439 1440", id="the last minute and midnight"),
        pytest.param("1440", "", id="midnight alone is the next day's"),
    ],
)
def test_a_session_continues_over_midnight_after_a_silence_of_exactly_the_gap(minutes: str, of_day_one: str) -> None:
    web = stream()
    events = frame(timeline(minutes), web)
    inside = sessionize_window(web.session_calendar.window("2026-01-01"), reader(events), web).events
    at = [(moment - DAY_ONE) / timedelta(minutes=1) for moment in inside["event_timestamp"]]
    assert at == [float(minute) for minute in of_day_one.split()]


def test_duplicates_on_other_days_are_left_out_and_counted() -> None:
    web = stream()
    first = event("ann", DAY_ONE, "a")
    again = {**first, "landing_partition": "2026-01-02"}
    other = {**first, "landing_partition": "2026-01-03", "event_type": "buy"}
    result = sessionize_window(
        web.session_calendar.window("2026-01-01"), reader(frame([other, again, first], web)), web
    )
    assert result.events["landing_partition"].to_list() == ["2026-01-01"]
    assert result.left_out.to_dicts() == [
        {"session_partition": "2026-01-01", "duplicates_across": 1, "conflicts_across": 1}
    ]


# Most times are near exact gaps and midnights, where errors are likely.
moments = st.builds(
    lambda days, gaps, micros: DAY_ONE + timedelta(days=days, microseconds=micros) + gaps * GAP,
    st.integers(0, 3),
    st.integers(-2, 5),
    st.sampled_from([-1_000_001, -400_000, -1000, -1, 0, 0, 0, 1, 999, 1000, 999_999, 1_000_000]),
).filter(lambda moment: moment >= DAY_ONE)
events = st.lists(
    st.builds(
        lambda user, at, name, kind, page, landing, position: event(
            user, at, name, event_type=kind, landing_partition=landing, position=position, page_url=page
        ),
        st.sampled_from(["ann", "bob"]),
        moments,
        st.sampled_from("abcd"),
        st.sampled_from(["view", "buy"]),
        st.sampled_from(["/", "/a", None]),
        st.sampled_from(["2026-01-01", "2026-01-02"]),
        st.integers(1, 9),
    ),
    max_size=16,
    # two rows of a file can't have the same position
    unique_by=lambda e: (e["landing_partition"], e["position"]),
)
DAYS = [f"2026-01-0{day}" for day in range(1, 6)]


PRECISION = st.sampled_from([timedelta(microseconds=1), timedelta(milliseconds=1), timedelta(seconds=1)])
rules = st.builds(
    reference.Rule,
    gap=st.just(GAP),
    sequence=st.sampled_from([None, "position"]),
    gap_inclusive=st.booleans(),
    precision=PRECISION,
    gap_from_second=st.booleans(),
    cut_on=st.sampled_from([None, "page_url"]),
    changes_cut=st.booleans(),
    leaves_cut=st.booleans(),
    midnight_in=st.sampled_from([None, "UTC", "Europe/Berlin", "America/Los_Angeles"]),
    campaign=st.sampled_from([None, "page_url"]),
    max_length=st.sampled_from([None, GAP, timedelta(minutes=70), timedelta(hours=26)]),
    passive=st.sampled_from([(), ("buy",)]),
    id=st.sampled_from([None, "page_url"]),
    id_within=st.sampled_from([GAP, timedelta(hours=26)]),
)


def cut_on(rule: reference.Rule) -> dict[str, Any] | None:
    turns = {"changes": rule.changes_cut, "leaves": rule.leaves_cut}
    when = [turn for turn, cuts in turns.items() if cuts]
    return {"column": rule.cut_on, "when": when} if rule.cut_on and when else None


def as_stream(rule: reference.Rule) -> Stream:
    return stream(
        sequence=rule.sequence,
        duplicates={"keep": "last" if rule.keeps_last else "first"},
        session={
            "gap_inclusive": rule.gap_inclusive,
            "precision": next(name for name, unit in PRECISIONS.items() if unit == rule.precision),
            "gap_from": "second" if rule.gap_from_second else "event",
            "split_at_midnight": rule.midnight_in is not None,
            "timezone": rule.midnight_in or "UTC",
            "campaign": rule.campaign,
            "cut_on": cut_on(rule),
            "max_length": rule.max_length,
            "passive": list(rule.passive) or None,
            **({"id": rule.id, "id_within": rule.id_within} if rule.id else {}),
        },
    )


GAP_RULE = reference.Rule()
EVERY_RULE = reference.Rule(GAP, True, "UTC", "page_url", timedelta(minutes=70))
OVER_MIDNIGHT = timeline("1380 1410 1440 1470 2880")
TIED = [event("ann", DAY_ONE, name, position=position) for position, name in enumerate("ba", start=1)]
TWICE = [event("ann", DAY_ONE, "a"), event("ann", DAY_ONE, "a", landing_partition="2026-01-02", event_type="buy")]
# Single days and several consecutive days, which are computed in one pass.
WINDOWS = [(0, 0), (1, 1), (2, 2), (0, 4), (1, 3)]


@settings(max_examples=60)
@example(TWICE, GAP_RULE, (0, 0), 1)
@given(events, rules, st.sampled_from(WINDOWS), st.integers(1, 9))
def test_in_parts_of_users_a_window_has_the_same_rows_and_counts_as_at_once(
    ingested: list[dict[str, Any]], rule: reference.Rule, days: tuple[int, int], length: int
) -> None:
    web = as_stream(rule)
    calendar, read = web.session_calendar, reader(frame(ingested, web))
    window = Window(calendar.window(DAYS[days[0]]).start, calendar.window(DAYS[days[1]]).end)
    whole = sessionize_window(window, read, web)
    parts = [compute() for compute in sessionize_in_parts(window, read, web, length)]
    assert pl.concat([part.events for part in parts]).equals(whole.events)
    key, left_out = "session_partition", pl.concat([part.left_out for part in parts])
    assert left_out.group_by(key).sum().sort(key).equals(whole.left_out.sort(key))
    longest = pl.concat([part.longest_chains for part in parts]).group_by(key).max()
    assert longest.sort(key).equals(whole.longest_chains.sort(key))


@settings(max_examples=80)
@example(OVER_MIDNIGHT, GAP_RULE, (0, 0))
@example(OVER_MIDNIGHT, GAP_RULE, (1, 1))
@example(OVER_MIDNIGHT, EVERY_RULE, (0, 4))
@example(timeline("1380 1410 1440 1470 1501"), reference.Rule(max_length=timedelta(minutes=70)), (1, 1))
@example(timeline("0 30 61"), GAP_RULE, (0, 0))
@example(TIED, GAP_RULE, (0, 0))
@example(TWICE, GAP_RULE, (0, 0))
@given(events, rules, st.sampled_from(WINDOWS))
def test_any_window_contains_just_the_reference_sessions_that_started_in_it(
    ingested: list[dict[str, Any]], rule: reference.Rule, days: tuple[int, int]
) -> None:
    is_as_the_reference_has_it(ingested, rule, days)


def is_as_the_reference_has_it(ingested: list[dict[str, Any]], rule: reference.Rule, days: tuple[int, int]) -> None:
    web = as_stream(rule)
    calendar = web.session_calendar
    window = Window(calendar.window(DAYS[days[0]]).start, calendar.window(DAYS[days[1]]).end)
    found = sessionize_window(window, reader(frame(ingested, web)), web).events
    rows = summarize(found, web).drop("session_partition", "session_rule_version").sort("session_id")
    expected = [
        reference.summary(session, rule=rule)
        for session in reference.sessions_of(ingested, rule)
        if window.start <= session[0]["event_timestamp"] < window.end
    ]
    assert rows.to_dicts() == sorted(expected, key=lambda row: row["session_id"])
    outside = [e for e in reference.outside(ingested, rule) if window.start <= e["event_timestamp"] < window.end]
    of_none = found.filter(pl.col("session_id").is_null())
    assert sorted(map(reference.identity, of_none.to_dicts())) == sorted(map(reference.identity, outside))


# By these rules only silences cut; they are of the gap and a little more or less, and begin anywhere in a second.
MICROSECONDS = [-1_000_001, -1_000_000, -999_999, -600_000, -1000, -999, -1, 0, 1, 999, 1000, 600_000, 999_999]
gap_rules = st.tuples(st.booleans(), PRECISION, st.booleans()).map(
    lambda drawn: reference.Rule(GAP, gap_inclusive=drawn[0], precision=drawn[1], gap_from_second=drawn[2])
)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(MICROSECONDS), min_size=2, max_size=12), st.sampled_from([0, 400_000, 999_999]), gap_rules
)
def test_silences_near_the_gap_cut_as_in_the_reference(more: list[int], first: int, rule: reference.Rule) -> None:
    silences = [timedelta(microseconds=first), *(GAP + timedelta(microseconds=few) for few in more)]
    since_start = accumulate(silences, initial=timedelta())
    ingested = [
        event("ann", DAY_ONE + since, str(number), position=number) for number, since in enumerate(since_start, 1)
    ]
    is_as_the_reference_has_it(ingested, rule, (0, 4))


@settings(max_examples=60)
@example(timeline("1410"), [event("ann", DAY_ONE + timedelta(minutes=1440), "late", position=9)], GAP_RULE)
@example(timeline("1410 1470"), [event("ann", DAY_ONE + timedelta(minutes=1440), "late", position=9)], GAP_RULE)
@example(
    timeline("1410 1440 1470 1500 1530"),
    [event("ann", DAY_ONE + timedelta(minutes=1380), "early", position=9)],
    reference.Rule(max_length=timedelta(minutes=70)),
)
@example(
    timeline("1441.015"),
    [event("ann", DAY_ONE + timedelta(minutes=1411.004), "early", position=9)],
    reference.Rule(precision=timedelta(seconds=1)),
)
@given(events, events, rules)
def test_what_a_change_affects_includes_every_partition_that_changes(
    before: list[dict[str, Any]], added: list[dict[str, Any]], rule: reference.Rule
) -> None:
    web = as_stream(rule)
    late = [{**e, "landing_partition": "2026-01-09"} for e in added]
    old, new = frame(before, web), frame(before + late, web)
    affected = affected_partitions(frame(late, web).select(*point_columns(web)), reader(new), web)
    every_day = Window(web.session_calendar.window(DAYS[0]).start, web.session_calendar.window(DAYS[-1]).end)
    found = (sessionize_window(every_day, reader(events), web).events for events in (old, new))
    earlier, later = (events.sort("user_id", "event_timestamp", "event_id") for events in found)
    for day in DAYS:
        of_day = pl.col("session_partition") == day
        assert day in affected or earlier.filter(of_day).equals(later.filter(of_day))


def test_a_passive_event_joins_the_session_that_goes_on_then_and_neither_opens_nor_extends_one() -> None:
    ingested = timeline("0 10 30 31 70 100 100.1 200", "ann")
    for place in (1, 3, 5, 6, 7):
        ingested[place]["event_type"] = "beat"
    web = stream(session={"passive": ["beat"]})
    cut = sessionize(frame(ingested, web), web)
    of_session = cut.group_by("session_id", maintain_order=True).agg("event_id")["event_id"].to_list()
    assert of_session == [["000", "001", "002", "003"], ["004", "005"], ["006", "007"]]
    assert cut["session_id"].null_count() == 2
    first, second = summarize(cut, web).sort("session_start").to_dicts()
    assert (first["event_count"], first["duration_seconds"], second["duration_seconds"]) == (4, 1800.0, 0.0)


def test_of_one_moment_active_events_come_before_passive_ones() -> None:
    web = stream(session={"passive": ["beat"]})
    ingested = [event("ann", DAY_ONE, "a", event_type="beat"), event("ann", DAY_ONE, "b")]
    cut = sessionize(frame(ingested, web), web)
    assert cut.select("event_id", "is_new_session").rows() == [("b", True), ("a", False)]
    assert cut["session_id"].n_unique() == 1


def test_pages_and_the_primary_action_are_those_of_active_events_and_own_columns_of_all() -> None:
    web = stream(session={"passive": ["beat"], "columns": {"pages": {"count": "page_url"}}})
    at = [("view", "/a"), ("beat", "/server"), ("beat", "/server"), ("view", "/b"), ("beat", "/end")]
    ingested = [
        event("ann", DAY_ONE + n * timedelta(minutes=1), str(n), event_type=kind, page_url=page)
        for n, (kind, page) in enumerate(at)
    ]
    (row,) = summarize(sessionize(frame(ingested, web), web), web).to_dicts()
    assert (row["entry_page"], row["exit_page"], row["primary_action"]) == ("/a", "/b", "view")
    assert (row["event_count"], row["pages"], row["duration_seconds"]) == (5, 5, 180.0)


def test_the_tools_ids_are_sessions_that_may_interleave_and_events_without_one_are_cut_by_the_rule() -> None:
    web = stream(session={"id": "page_url"})
    ids = ["a", "b", "a", None, "b", None, "a"]
    minutes = [0, 1, 50, 51, 52, 82, 60 * 24 + 50]
    ingested = [
        event("ann", DAY_ONE + minute * timedelta(minutes=1), str(n), page_url=tool)
        for n, (minute, tool) in enumerate(zip(minutes, ids, strict=True))
    ]
    cut = sessionize(frame(ingested, web), web)
    of_session = cut.group_by("session_id", maintain_order=True).agg("event_id")["event_id"].to_list()
    assert of_session == [["0", "2", "6"], ["1", "4"], ["3"], ["5"]]
    assert cut["boundary_reason"].drop_nulls().to_list() == ["tool", "tool", "inactivity", "inactivity"]
    assert set(summarize(cut, web)["tool_session_id"]) == {"a", "b", None}


def test_an_id_that_comes_back_later_than_it_may_is_another_session() -> None:
    web = stream(session={"id": "page_url", "id_within": "1h"})
    moments = [DAY_ONE, DAY_ONE + timedelta(hours=1), DAY_ONE + timedelta(hours=2, microseconds=1)]
    ingested = [event("ann", moment, str(n), page_url="a") for n, moment in enumerate(moments)]
    assert reasons(ingested, id="page_url", id_within="1h") == ["tool", None, "tool"]
    assert sessionize(frame(ingested, web), web)["session_id"].n_unique() == 2


def test_the_same_id_of_two_users_is_two_sessions() -> None:
    both = [event(user, DAY_ONE, user, page_url="1772355600000") for user in ("ann", "bob")]
    web = stream(session={"id": "page_url"})
    assert sessionize(frame(both, web), web)["session_id"].n_unique() == 2


def test_a_copy_with_another_id_of_the_tool_moves_the_event_however_far_that_session_began() -> None:
    """The copy that counts may be read beyond the window only because its user is."""
    web = stream(session={"id": "page_url"})
    opener = event("ann", DAY_ONE + timedelta(hours=23), "open", page_url="a")
    kept = event("ann", DAY_ONE + timedelta(hours=25), "x", page_url="b")
    copy = {**kept, "page_url": "a", "landing_partition": "2026-01-02"}
    window = web.session_calendar.window("2026-01-01")
    found = sessionize_window(window, reader(frame([opener, kept, copy], web)), web).events
    assert found["event_id"].to_list() == ["open"]


@settings(max_examples=50)
@given(events)
def test_the_first_landed_of_each_event_is_kept_and_the_others_are_duplicates(ingested: list[dict[str, Any]]) -> None:
    web = stream()
    kept, duplicates = sort_events(frame(ingested, web), web)
    assert kept.height + duplicates.height == len(ingested)
    assert kept.height == len({(e["user_id"], e["event_timestamp"], e["event_id"]) for e in ingested})
