"""Texts become values of their column's type exactly, or are rejected."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.streams import DAY_ONE, stream
from sessions_platform_tests.transforms.rows import NOON, raw, reasons, row, validated, with_columns

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def times(text: Any, *formats: str, timezone: str = "UTC", of: str = "seen") -> datetime | str:
    """What a timestamp is read as, or the code that it is rejected with. The column `seen` has no bounds."""
    column = {"from": of, "formats": formats, "timezone": timezone}
    timed = with_columns(**{of: {"type": "timestamp", **column}})
    validation = validated(timed, row(**{of: text, "ts": NOON} if of == "seen" else {of: text}))
    if validation.events.height:
        return validation.events[of][0]
    ((code, blamed),) = reasons(validation)[0]
    assert blamed == of
    return code


@pytest.mark.parametrize(
    ("text", "fmt", "expected"),
    [
        (NOON, "%+", "2026-01-01T12:00:00"),
        ("2026-01-01 12:00:00+00:00", "%+", "2026-01-01T12:00:00"),
        ("2026-01-01T12:00:00.123456789-05:30", "%+", "2026-01-01T17:30:00.123456"),
        ("2026-01-01T12:00:00+0100", "%Y-%m-%dT%H:%M:%S%z", "2026-01-01T11:00:00"),
        ("2026-01-01T12:00:00+01:00", "%Y-%m-%dT%H:%M:%S%:z", "2026-01-01T11:00:00"),
        ("2026-01-01", "%Y-%m-%d", "2026-01-01T00:00:00"),
        ("01/12/25 7:05 PM", "%d/%m/%y %I:%M %p", "2025-12-01T19:05:00"),
        (1767268800, "epoch_s", "2026-01-01T12:00:00"),
        ("1767268800", "epoch_s", "2026-01-01T12:00:00"),
        (1767268800.123456, "epoch_s", "2026-01-01T12:00:00.123456"),
        ("1767268800.1234567", "epoch_s", "2026-01-01T12:00:00.123457"),
        (1767268800123, "epoch_ms", "2026-01-01T12:00:00.123"),
        (1767268800123.456, "epoch_ms", "2026-01-01T12:00:00.123456"),
        (1767268800123456, "epoch_us", "2026-01-01T12:00:00.123456"),
        (1.7672688e9, "epoch_s", "2026-01-01T12:00:00"),
        ("1.7672688e9", "epoch_s", "2026-01-01T12:00:00"),
        (0, "epoch_ms", "1970-01-01T00:00:00"),
        (-1, "epoch_ms", "1969-12-31T23:59:59.999"),
        (-1.5, "epoch_s", "1969-12-31T23:59:58.5"),
    ],
)  # fmt: skip
def test_a_timestamp_of_a_known_format_is_read_to_the_microsecond(text: Any, fmt: str, expected: str) -> None:
    assert times(text, fmt) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("2026-01-01T12:00:00", "%+"),
        ("2026-02-30T12:00:00Z", "%+"),
        ("2026-01-01T24:00:00Z", "%+"),
        ("2026-01-01 12:00:00.5", "%Y-%m-%d %H:%M:%S"),
        ("0x10", "epoch_ms"),
        ("NaN", "epoch_ms"),
        ("inf", "epoch_ms"),
        (True, "epoch_ms"),
        (2**63 - 1, "epoch_us"),
        (-(2**63), "epoch_us"),
        (2**63 - 1, "epoch_ms"),
        (2**63 // 1000 + 1, "epoch_ms"),
        (2**64 // 1000 + 1_767_268_800_000, "epoch_ms"),  # would be noon, if it wrapped
        (2**64 // 10**6 + 1_767_268_800, "epoch_s"),
        (-(2**63), "epoch_s"),
        (10**30, "epoch_s"),
        (1e300, "epoch_s"),
        (-1e300, "epoch_s"),
    ],
)  # fmt: skip
def test_what_no_format_reads_is_a_bad_timestamp(text: Any, fmt: str) -> None:
    assert times(text, fmt) == "bad_timestamp"


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        pytest.param(253_402_300_800_000, "epoch_ms", id="the first moment of the year 10000"),
        pytest.param(253_402_300_800, "epoch_s", id="the same in seconds"),
        pytest.param(-62_135_596_800_001, "epoch_ms", id="the last moment before the year 1"),
        pytest.param(-200_000_000_000, "epoch_s", id="some 6000 years ago"),
        pytest.param("+10000-01-01T00:00:00Z", "%+", id="a year of five digits"),
        pytest.param("-0001-01-01T00:00:00Z", "%+", id="a year below zero"),
        pytest.param("0000-12-31T23:59:59Z", "%+", id="the year 0"),
        pytest.param("9999-12-31T23:59:59-01:00", "%+", id="in UTC the year 10000"),
    ],
)
def test_a_time_outside_of_the_years_1_to_9999_is_a_bad_timestamp(text: Any, fmt: str) -> None:
    """It is neither too late nor too early: Python, and most that reads the table, has no value for it."""
    assert times(text, fmt, of="event_timestamp") == "bad_timestamp"
    assert times(text, fmt) == "bad_timestamp"


def test_the_first_format_that_reads_it_wins() -> None:
    assert times("03/04/2025", "%d/%m/%Y", "%m/%d/%Y") == datetime(2025, 4, 3, tzinfo=UTC)
    assert times("03/04/2025", "%m/%d/%Y", "%d/%m/%Y") == datetime(2025, 3, 4, tzinfo=UTC)


def test_each_row_may_have_a_format_of_its_own() -> None:
    validation = validated(stream(), row(), row(id="2", ts=1767268800000), row(id="3", ts="noon"), row(id="4", ts=NOON))
    assert validation.events["event_timestamp"].to_list() == [DAY_ONE + timedelta(hours=12)] * 3


def by_zoneinfo(naive: datetime, timezone: str) -> datetime | None:
    """The earlier of two moments; None where the clocks never showed that time."""
    moment = naive.replace(tzinfo=ZoneInfo(timezone), fold=0).astimezone(UTC)
    return moment if moment.astimezone(ZoneInfo(timezone)).replace(tzinfo=None) == naive else None


TURNS = {
    "Europe/Berlin": ["2025-03-30 02:00:00", "2025-10-26 02:00:00", "2025-10-26 03:00:00"],
    "America/Sao_Paulo": ["2018-11-04 00:00:00", "2018-02-17 23:00:00", "2018-02-18 00:00:00"],
    "Asia/Kathmandu": ["2025-07-01 00:00:00"],
    "Pacific/Apia": ["2011-12-30 00:00:00", "2011-12-31 00:00:00"],
    "Australia/Lord_Howe": ["2025-04-06 01:30:00", "2025-10-05 02:00:00"],
}
CLOCK = "%Y-%m-%d %H:%M:%S%.6f"
local_times = st.sampled_from([(zone, turn) for zone, turns in TURNS.items() for turn in turns])


@settings(max_examples=80)
@given(local_times, st.integers(-4 * 3600, 4 * 3600), st.integers(-1, 1))
@example(("Europe/Berlin", "2025-03-30 02:00:00"), 0, 0)
@example(("Europe/Berlin", "2025-03-30 02:00:00"), 3600, -1)
@example(("Europe/Berlin", "2025-10-26 02:00:00"), 0, 0)
@example(("America/Sao_Paulo", "2018-11-04 00:00:00"), 0, 0)
@example(("Pacific/Apia", "2011-12-30 00:00:00"), 3600, 0)
def test_a_local_time_is_the_earlier_moment_or_none_at_all(turn: tuple[str, str], seconds: int, micros: int) -> None:
    zone, text = turn
    local = datetime.fromisoformat(text) + timedelta(seconds=seconds, microseconds=micros)
    read = times(local.isoformat(" ", "microseconds"), CLOCK, timezone=zone)
    assert read == (by_zoneinfo(local, zone) or "bad_timestamp")


def test_a_nonexistent_local_time_is_rejected_and_of_an_ambiguous_one_the_earlier_counts() -> None:
    berlin = ("%Y-%m-%d %H:%M:%S",)
    assert times("2025-03-30 02:30:00", *berlin, timezone="Europe/Berlin") == "bad_timestamp"
    assert times("2025-10-26 02:30:00", *berlin, timezone="Europe/Berlin") == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)


FIRST_MOMENT = -62_135_596_800 * 10**6  # of Python's calendar, in microseconds
AFTER_THE_LAST = 253_402_300_800 * 10**6
INT64 = st.integers(-(2**63), 2**63 - 1)
AROUND_NOW = st.integers(-(10**13), 10**13)


@settings(max_examples=80)
@given(st.sampled_from([("epoch_s", 10**6), ("epoch_ms", 1000), ("epoch_us", 1)]), INT64 | AROUND_NOW)
def test_an_epoch_is_exact_or_rejected_and_never_wraps(unit: tuple[str, int], number: int) -> None:
    fmt, microseconds = unit
    exact = number * microseconds
    if FIRST_MOMENT <= exact < AFTER_THE_LAST:
        assert times(number, fmt) == EPOCH + exact * MICROSECOND
    elif abs(exact) > 2 * AFTER_THE_LAST:  # nearer ones are tested above
        assert times(number, fmt) == "bad_timestamp"


# Moments that are floored


@pytest.mark.parametrize(
    ("floor", "text", "expected"),
    [
        ("1ms", "2026-01-01T12:00:59.999999Z", "2026-01-01T12:00:59.999000+00:00"),
        ("1s", "2026-01-01T12:00:59.999999Z", "2026-01-01T12:00:59+00:00"),
        ("1m", "2026-01-01T12:00:59.999999Z", "2026-01-01T12:00:00+00:00"),
        ("1s", "1969-12-31T23:59:59.000001Z", "1969-12-31T23:59:59+00:00"),
        ("1m", "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:00+00:00"),
        ("1s", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00+00:00"),
    ],
)
def test_a_moment_is_floored_towards_the_past(floor: str, text: str, expected: str) -> None:
    timed = with_columns(event_timestamp={"from": "ts", "formats": ["%+"], "floor": floor})
    timed = timed.model_copy(update={"start": date(1900, 1, 1)})
    validation = validated(timed, row(ts=text))
    assert validation.events["event_timestamp"][0].isoformat() == expected


def test_a_moment_is_floored_after_the_duration_was_subtracted() -> None:
    minus = {"column": "took", "unit": "ms"}
    timed = with_columns(
        event_timestamp={"from": "ts", "formats": ["%+"], "minus": minus, "floor": "1s"}, took={"type": "integer"}
    )
    validation = validated(timed, row(ts="2026-01-01T12:00:01.200Z", took=300))
    assert validation.events["event_timestamp"][0].isoformat() == "2026-01-01T12:00:00+00:00"


# Durations that are subtracted

UNITS = {"s": 10**6, "ms": 10**3, "us": 1, "ns": Decimal("0.001")}


def started(end: str, duration: Any, unit: str, kind: str = "string") -> datetime | str:
    """The start of a request by its end and duration, or the code that it is rejected with."""
    timed = with_columns(
        event_timestamp={"from": "ts", "formats": ["%+"], "minus": {"column": "took", "unit": unit}},
        took={"type": kind, "nullable": True},
    )
    validation = validated(timed, row(ts=end, took=duration))
    if validation.events.height:
        return validation.events["event_timestamp"][0]
    return next(code for code, blamed in reasons(validation)[0] if blamed == "event_timestamp")


@pytest.mark.parametrize(
    ("duration", "unit", "expected"),
    [
        ("1.5", "s", "11:59:58.500000"),
        (0.1, "s", "11:59:59.900000"),
        ("0.0000019", "s", "11:59:59.999999"),
        ("9.58e-7", "s", "12:00:00"),
        (1.5e-05, "s", "11:59:59.999985"),
        ("503", "ms", "11:59:59.497000"),
        ("+5", "ms", "11:59:59.995000"),
        ("1999", "ns", "11:59:59.999999"),
        ("-7996565", "us", "12:00:00"),
        ("-", "s", "12:00:00"),
        (None, "s", "12:00:00"),
        ("", "s", "12:00:00"),
        ("0.1, 0.2", "s", "bad_timestamp"),
        ("9000000001", "s", "bad_timestamp"),
        ("99999999999999999999999999", "ns", "bad_timestamp"),
        ("NaN", "s", "bad_timestamp"),
    ],
)
def test_a_duration_is_subtracted(duration: Any, unit: str, expected: str) -> None:
    found = started(NOON, duration, unit)
    assert found == expected if isinstance(found, str) else found.isoformat() == f"2026-01-01T{expected}+00:00"


@settings(max_examples=20)
@given(st.decimals(-1000, 1000, places=8), st.sampled_from(list(UNITS)))
def test_a_duration_is_exact_to_the_microsecond(duration: Decimal, unit: str) -> None:
    microseconds = max(0, math.floor(duration * UNITS[unit]))
    expected = datetime(2026, 1, 1, 12, tzinfo=UTC) - timedelta(microseconds=microseconds)
    assert started(NOON, f"{duration:f}", unit) == expected


# The date in the file's name


def times_of_file(uri: str, time: str | None, pattern: str, fmt: str, **column: Any) -> datetime | str:
    timed = with_columns(event_timestamp={"formats": [fmt], "from_file_name": pattern, **column})
    parsed = parse(raw(row(ts=time), uri=uri), timed)
    validation = validate(parsed, timed, "2026-01-01")
    if validation.events.height:
        return validation.events["event_timestamp"][0]
    return next(code for code, blamed in reasons(validation)[0] if blamed == "event_timestamp")


FROM_TS = {"from": "ts", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("uri", "time", "pattern", "fmt", "column", "expected"),
    [
        ("/logs/u_ex260101.log", "12:00:00", r"u_ex(\d{6})\.log$", "%y%m%d %H:%M:%S", {"from": "ts"}, "12:00:00"),
        ("/2026/01/01/a.log", "12:00:00", r"(\d{4})/(\d\d)/(\d\d)/", "%Y%m%d %H:%M:%S", FROM_TS, "11:00:00"),
        ("/a-20260101.log", None, r"a-(\d{8})", "%Y%m%d", {}, "00:00:00"),
        ("/a.log", "12:00:00", r"a-(\d{8})", "%Y%m%d %H:%M:%S", {"from": "ts"}, "bad_timestamp"),
        ("/a-20260230.log", "12:00:00", r"a-(\d{8})", "%Y%m%d %H:%M:%S", {"from": "ts"}, "bad_timestamp"),
        ("/a-20260101.log", None, r"a-(\d{8})", "%Y%m%d %H:%M:%S", {"from": "ts"}, "missing_value"),
        ("/a.log", None, r"a-(\d{8})", "%Y%m%d", {}, "missing_value"),
    ],
)
def test_a_date_in_the_files_path_completes_a_time_of_day(
    uri: str, time: str | None, pattern: str, fmt: str, column: dict[str, Any], expected: str
) -> None:
    found = times_of_file(uri, time, pattern, fmt, **column)
    assert found == expected if isinstance(found, str) else found.isoformat() == f"2026-01-01T{expected}+00:00"
