"""Which timestamps a format reads, up to the last microsecond of the calendar."""

from datetime import UTC, datetime

import polars as pl
import pytest

from sessions_platform.contracts.polars_syntax import (
    format_problem,
    knows_timezone,
    pattern_problem,
)
from sessions_platform.contracts.timestamp_reading import read_timestamp
from sessions_platform.contracts.timestamps import EPOCHS, has_offset, ignored_offset

LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
FIRST = datetime(1, 1, 1, tzinfo=UTC)


def read(text: str, fmt: str, timezone: str = "UTC") -> datetime | None:
    series = pl.DataFrame({"text": [text]}).select(read_timestamp(pl.col("text"), fmt, timezone)).to_series()
    assert series.dtype == pl.Datetime("us", "UTC")
    return series.item()


@pytest.mark.parametrize(
    ("text", "fmt", "moment"),
    [
        ("0", "epoch_s", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1", "epoch_s", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("1", "epoch_ms", datetime(1970, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC)),
        ("1", "epoch_us", datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("-1", "epoch_us", datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("1.5", "epoch_s", datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ("0.0000005", "epoch_s", datetime(1970, 1, 1, tzinfo=UTC)),
        ("0.0000015", "epoch_s", datetime(1970, 1, 1, 0, 0, 0, 2, tzinfo=UTC)),
        ("253402300799", "epoch_s", LAST.replace(microsecond=0)),
        ("253402300799.5", "epoch_s", LAST.replace(microsecond=500_000)),
        ("253402300799999", "epoch_ms", LAST.replace(microsecond=999_000)),
        ("253402300799999999", "epoch_us", LAST),
        ("253402300800", "epoch_s", None),
        ("253402300800000000", "epoch_us", None),
        ("253402300800.5", "epoch_s", None),
        ("9223372036854775807", "epoch_s", None),
        ("1e300", "epoch_s", None),
        ("-62135596800", "epoch_s", FIRST),
        ("-62135596801", "epoch_s", None),
        ("soon", "epoch_s", None),
        ("9999-12-31T23:59:59.999999Z", "%+", LAST),
        ("0001-01-01T00:00:00Z", "%+", FIRST),
        ("0001-01-01T00:00:00+00:01", "%+", None),
        ("9999-12-31T23:59:59-00:01", "%+", None),
        ("2026-01-01T00:00:00", "%+", None),
        ("2026-01-01 00:30:00 +0100", "%Y-%m-%d %H:%M:%S %z", datetime(2025, 12, 31, 23, 30, tzinfo=UTC)),
        ("2026-01-01 00:30:00 +01:00", "%Y-%m-%d %H:%M:%S %:z", datetime(2025, 12, 31, 23, 30, tzinfo=UTC)),
        ("2026-01-01 00:30:00 +01", "%Y-%m-%d %H:%M:%S %#z", datetime(2025, 12, 31, 23, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_to_the_last_one_of_the_year_9999(text: str, fmt: str, moment: datetime | None) -> None:
    assert read(text, fmt, "Asia/Tokyo") == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01 12:00:00", datetime(2026, 1, 1, 11, tzinfo=UTC)),
        ("2026-03-29 01:59:59", datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)),
        ("2026-03-29 02:00:00", None),
        ("2026-03-29 02:59:59", None),
        ("2026-03-29 03:00:00", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("2026-10-25 02:00:00", datetime(2026, 10, 25, 0, tzinfo=UTC)),
        ("2026-10-25 03:00:00", datetime(2026, 10, 25, 2, tzinfo=UTC)),
    ],
)
def test_local_time_that_is_skipped_is_null_and_repeated_is_the_earlier(text: str, moment: datetime | None) -> None:
    assert read(text, "%Y-%m-%d %H:%M:%S", "Europe/Berlin") == moment


@pytest.mark.parametrize(
    ("fmt", "problem"),
    [
        *((fmt, None) for fmt in ("%+", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S %#z", "%Y-%m-%d %%Z", *EPOCHS)),
        ("%Y-%m-%d %H:%M:%S %Z", "the offset that %Z stands for is ignored"),
        ("%% [%+]", "the offset that %+ stands for is ignored"),
    ],
)
def test_a_format_has_to_give_its_offset(fmt: str, problem: str | None) -> None:
    assert format_problem(fmt) == problem


@pytest.mark.parametrize("fmt", ["%Z", "%m-%d %H:%M", "%d.%m.%Y %I:%M", "", "%", "%Q", "%Y-%m-%d %H:%M:%S.%f"])
def test_a_format_that_gives_no_day_has_a_problem_of_one_line(fmt: str) -> None:
    problem = format_problem(fmt)
    assert problem
    assert "\n" not in problem
    assert not problem.endswith(".")


def test_a_literal_percent_sign_is_not_a_directive() -> None:
    assert ignored_offset("%Y-%m-%d %%Z %%+") is None
    assert ignored_offset("%+") is None
    assert ignored_offset("%Z") is None
    assert ignored_offset("a%Z") == "%Z"
    assert all(map(has_offset, ("%+", "%z", "a%:z", "a%#z")))
    assert not any(map(has_offset, ("a%+", "%Y", "")))


def test_epochs_are_in_nanoseconds() -> None:
    seconds = {"epoch_s": 1_000_000_000, "epoch_s_local": 1_000_000_000}
    assert {**seconds, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1} == EPOCHS


def test_patterns_and_timezones_are_those_of_polars() -> None:
    assert pattern_problem("^a+$") is None
    assert pattern_problem("(") == "unclosed group"
    assert "look-around" in (pattern_problem("(?=a)") or "")
    assert knows_timezone("Europe/Berlin")
    assert not knows_timezone("Factory")
