"""Timestamp formats are found by reading texts as the platform does."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.operations.inference.times import is_clock, time_guess

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AT = [datetime(2026, 3, 13, 9, 5, 7, tzinfo=UTC) + timedelta(hours=7 * n) for n in range(40)]


def formats(texts: list[str]) -> tuple[str, ...] | None:
    guess = time_guess(texts, NOW)
    return guess.formats if guess else None


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("%Y-%m-%dT%H:%M:%SZ", "iso8601"),
        ("%Y-%m-%d %H:%M:%S", "iso8601"),
        ("%Y-%m-%dT%H:%M:%S+0200", "iso8601"),
        ("%d/%b/%Y:%H:%M:%S +0000", "%d/%b/%Y:%H:%M:%S %z"),
        ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S%.f"),
        ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p"),
        ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M"),
        ("%Y%m%d%H%M%S", "%Y%m%d%H%M%S"),
        ("%Y%m%d", "%Y%m%d"),
        ("%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S GMT"),
        ("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S%.f UTC"),
        ("%b %d, %Y", "%b %d, %Y"),
    ],
)
def test_a_spelling_is_found(spelling: str, expected: str) -> None:
    assert formats([at.strftime(spelling) for at in AT]) == (expected,)


@given(st.sampled_from([(1, "epoch_s"), (10**3, "epoch_ms"), (10**6, "epoch_us"), (10**9, "epoch_ns")]))
def test_an_epoch_is_found_by_its_size(unit: tuple[int, str]) -> None:
    assert formats([str(int(at.timestamp()) * unit[0]) for at in AT]) == (unit[1],)


def test_mixed_spellings_become_several_formats_with_epochs_in_their_order() -> None:
    texts = [f"{int(at.timestamp() * 1000)}" for at in AT[:20]]
    texts += [f"{int(at.timestamp())}" for at in AT[20:30]] + [at.isoformat() for at in AT[30:]]
    assert formats(texts) == ("iso8601", "epoch_s", "epoch_ms")


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "2", "42"], ["12345678", "23456789"], ["/a/2026/01/02", "/b"], ["view", "buy"], ["1.5", "20.25"],
        ["10.0.0.1", "10.0.0.2"], ["a-1-2-3", "b-4-5-6"],
    ],
)  # fmt: skip
def test_what_no_event_can_have_as_its_time_is_none(texts: list[str]) -> None:
    assert formats(texts) is None


def test_of_day_and_month_the_order_that_all_texts_allow_counts() -> None:
    assert formats(["03/25/2026 10:00:00", "04/02/2026 10:00:00"]) == ("%m/%d/%Y %H:%M:%S%.f",)
    assert formats(["25/03/2026 10:00:00", "02/04/2026 10:00:00"]) == ("%d/%m/%Y %H:%M:%S%.f",)


def test_where_both_orders_are_possible_the_shorter_range_counts_and_the_doubt_is_told() -> None:
    guess = time_guess([f"03/0{day}/2026 10:00:00" for day in range(1, 8)], NOW)
    assert guess
    assert guess.formats == ("%m/%d/%Y %H:%M:%S%.f",)
    assert "if that is wrong, write '%d/%m/%Y %H:%M:%S%.f'" in guess.note


def test_whether_a_zone_is_stated_is_told() -> None:
    stated = [time_guess([at.strftime(spelling) for at in AT], NOW) for spelling in
              ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%d/%b/%Y:%H:%M:%S +0000", "%d.%m.%Y %H:%M")]  # fmt: skip
    assert [guess.states_zone for guess in stated if guess] == [True, False, True, False]


def test_times_of_a_day_are_no_timestamps() -> None:
    assert is_clock(["10:00:00", "9:05", "11:00 PM"])
    assert not is_clock(["10:00:00", "2026-01-01"])
