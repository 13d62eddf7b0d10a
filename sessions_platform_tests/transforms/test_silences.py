"""The silences between events, and the sessions that each gap would give, are those of a full recomputation."""

from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.silences import BOUNDS, GAPS, silences
from sessions_platform_tests.streams import DAY_ONE

SCHEMA = {"user_id": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")}
MICROSECOND = timedelta(microseconds=1)


def at_a_gap() -> st.SearchStrategy[timedelta]:
    """Silences around each gap and bound: exactly it, and one microsecond less or more; also none at all."""
    near = st.builds(lambda length, n: length + n * MICROSECOND, st.sampled_from(BOUNDS), st.integers(-1, 1))
    return st.just(timedelta(0)) | near | st.timedeltas(timedelta(0), timedelta(days=8))


def events_of(user: str) -> st.SearchStrategy[list[tuple[str, timedelta]]]:
    def as_events(steps: list[timedelta]) -> list[tuple[str, timedelta]]:
        return [(user, sum(steps[: n + 1], timedelta(0))) for n in range(len(steps))]

    return st.lists(at_a_gap(), max_size=8).map(as_events)


some_events = (
    st.tuples(events_of("ann"), events_of("bob"), events_of("cy"))
    .map(lambda users: [event for events in users for event in events])
    .flatmap(st.permutations)
)


def frame(events: list[tuple[str, timedelta]]) -> pl.DataFrame:
    return pl.DataFrame([(user, DAY_ONE + at) for user, at in events], SCHEMA, orient="row")


rules = st.builds(
    lambda inclusive, precision, from_second: SessionRule.model_validate(
        {"gap_inclusive": inclusive, "precision": precision, "gap_from": "second" if from_second else "event"}
    ),
    st.booleans(),
    st.sampled_from(["us", "ms", "s"]),
    st.booleans(),
)
UNITS = {"us": MICROSECOND, "ms": timedelta(milliseconds=1), "s": timedelta(seconds=1)}


@given(some_events, rules)
def test_the_sessions_of_each_gap_are_those_that_the_reference_cuts(
    events: list[tuple[str, timedelta]], rule: SessionRule
) -> None:
    rows = [
        {"user_id": user, "event_timestamp": DAY_ONE + at, "event_id": str(n), "event_type": "view",
         "landing_partition": "2026-03-01", "source_uri": "a", "position": n}
        for n, (user, at) in enumerate(events)
    ]  # fmt: skip
    same = reference.Rule(
        gap_inclusive=rule.gap_inclusive,
        precision=UNITS[rule.precision],
        gap_from_second=rule.gap_from == "second",
    )
    counted = silences(
        frame(events).lazy(),
        gap_inclusive=rule.gap_inclusive,
        precision=rule.precision,
        silence_begins=rule.silence_begins,
    )
    expected = [len(reference.cut(rows, same._replace(gap=gap))) for gap in GAPS]
    assert counted.sessions.rows() == list(zip(GAPS, expected, strict=True))
    assert (counted.events, counted.users) == (len(events), len({user for user, _ in events}))


@given(some_events, st.booleans())
def test_every_silence_is_counted_in_the_one_class_whose_bounds_contain_it(
    events: list[tuple[str, timedelta]], inclusive: bool
) -> None:
    in_order = sorted(events)
    lengths = [after[1] - before[1] for before, after in pairwise(in_order) if before[0] == after[0]]
    lower, upper = [None, *BOUNDS], [*BOUNDS, None]

    def contains(low: timedelta | None, high: timedelta | None, length: timedelta) -> bool:
        if inclusive:
            return (low is None or length >= low) and (high is None or length < high)
        return (low is None or length > low) and (high is None or length <= high)

    expected = [
        (low, high, sum(contains(low, high, length) for length in lengths))
        for low, high in zip(lower, upper, strict=True)
    ]
    assert silences(frame(events), gap_inclusive=inclusive).histogram.rows() == expected


@pytest.mark.parametrize(
    ("silence", "inclusive", "sessions"),
    [
        pytest.param(GAPS[4], False, 1, id="a silence of exactly the gap continues the session"),
        pytest.param(GAPS[4] + MICROSECOND, False, 2, id="one microsecond more ends it"),
        pytest.param(GAPS[4], True, 2, id="an inclusive gap ends it at equality"),
        pytest.param(GAPS[4] - MICROSECOND, True, 1, id="and one microsecond less continues it"),
    ],
)
def test_the_gap_itself_is_decided_as_the_session_rule_says(silence: timedelta, inclusive: bool, sessions: int) -> None:
    counted = silences(frame([("ann", timedelta(0)), ("ann", silence)]), [GAPS[4]], gap_inclusive=inclusive)
    assert counted.sessions["sessions"].to_list() == [sessions]


def test_no_events_have_no_silences_and_no_sessions() -> None:
    counted = silences(frame([]))
    assert counted.histogram["silences"].sum() == counted.sessions["sessions"].sum() == counted.users == 0


def test_where_users_and_times_do_not_fit_into_one_number_the_counts_are_the_same() -> None:
    years = [timedelta(days=365 * n) for n in (-2000, 0, 7000)]  # 40 users of nine thousand years need 64 bits
    events = [(f"user {n}", at + later) for n in range(40) for at in years for later in (timedelta(0), MICROSECOND)]
    of_all, of_one = silences(frame(events[::-1])), silences(frame(events[:6]))
    assert of_all.sessions["sessions"].to_list() == [40 * n for n in of_one.sessions["sessions"]] == [120] * len(GAPS)
    assert of_all.histogram["silences"].to_list() == [40 * n for n in of_one.histogram["silences"]]
