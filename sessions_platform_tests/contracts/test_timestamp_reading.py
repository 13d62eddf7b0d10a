"""Timestamps are read as they are meant, or not at all: compared with Python's own calendar."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessions_platform.contracts.polars_syntax import format_problem
from sessions_platform.contracts.timestamp_reading import read_timestamp
from sessions_platform.contracts.timestamp_shapes import digits_shape, second_60_shape

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ISO = "iso8601"


def read_all(texts: list[str], fmt: str, zone: str = "UTC") -> list[datetime | None]:
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String})
    return frame.select(read_timestamp(pl.col("text"), fmt, zone)).to_series().to_list()


def read(text: str, fmt: str, zone: str = "UTC") -> datetime | None:
    (moment,) = read_all([text], fmt, zone)
    return moment


# ISO 8601


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00"),
        ("2026-01-01t10:00:00z", "2026-01-01T10:00:00"),
        ("2026-01-01 10:00:00+02:00", "2026-01-01T08:00:00"),
        ("2026-01-01T10:00:00+02", "2026-01-01T08:00:00"),
        ("2026-01-01T10:00:00+0230", "2026-01-01T07:30:00"),
        ("2026-01-01T10:00:00,5Z", "2026-01-01T10:00:00.500000"),
        ("2026-01-01T10:00:00.1234569Z", "2026-01-01T10:00:00.123456"),
        ("2026-01-01T23:59:59.9999999Z", "2026-01-01T23:59:59.999999"),
        ("2026-01-01T10:00Z", "2026-01-01T10:00:00"),
        ("2026-01-01T10Z", "2026-01-01T10:00:00"),
        ("20260101T100000Z", "2026-01-01T10:00:00"),
        ("20260101T1000-0100", "2026-01-01T11:00:00"),
        ("20260101T100000,25+02", "2026-01-01T08:00:00.250000"),
        ("2026-032T10:00:00Z", "2026-02-01T10:00:00"),
        ("2024-366", "2024-12-31T00:00:00"),
        ("2026-01-01", "2026-01-01T00:00:00"),
        ("20260101", "2026-01-01T00:00:00"),
        ("2026-01-01T10:00:00", "2026-01-01T10:00:00"),
    ],
)
def test_iso_8601_is_read(text: str, moment: str) -> None:
    assert read(text, ISO) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2026-W01-1", id="a week date"),
        pytest.param("2026-01", id="a month"),
        pytest.param("2026", id="a year"),
        pytest.param("2026101", id="a day of the year in basic form, or a date that lacks a zero"),
        pytest.param("2026-366", id="a day that this year lacks"),
        pytest.param("2026-02-30", id="a day that the month lacks"),
        pytest.param("2026-1-1T10:00:00Z", id="no leading zeros"),
        pytest.param("2026-01-01T10:00:60Z", id="a second 60"),
        pytest.param("2026-01-01T24:00:00Z", id="an hour 24"),
        pytest.param("2026-01-01T10:00,5Z", id="a fraction of a minute"),
        pytest.param("2026-01-01T100000Z", id="a time in another form than the date"),
        pytest.param("20260101T10:00:00Z", id="the other way round"),
        pytest.param("2026-01-01T10:00:00+24", id="an offset of a day"),
        pytest.param("2026-01-01T10:00:00+02:60", id="an offset of sixty minutes"),
        pytest.param("2026-01-01T10:00:00 Z", id="a space before the offset"),
        pytest.param("2026-01-01Z", id="an offset without a time"),
        pytest.param("+02026-01-01", id="a year of five digits"),
        pytest.param("\uff12026-01-01", id="a digit of another script"),
        pytest.param(" 2026-01-01", id="a space before it"),
        pytest.param("0000-01-01", id="the year 0"),
        pytest.param("9999-12-31T23:59:59-01", id="in UTC the year 10000"),
    ],
)
def test_what_iso_8601_is_not_is_not_read(text: str) -> None:
    assert read(text, ISO) is None


@st.composite
def iso_texts(draw: st.DrawFn) -> tuple[str, datetime | None]:
    """A text in ISO 8601, and the moment it is by arithmetic of Python; mostly there is one, read in Tokyo."""
    year, month, day = draw(st.integers(1900, 2200)), draw(st.integers(1, 12)), draw(st.integers(0, 32))
    form = draw(st.sampled_from(["extended", "basic", "ordinal"]))
    of_year = draw(st.integers(0, 367))
    colon = "" if form == "basic" else ":"
    date = {
        "extended": f"{year:04}-{month:02}-{day:02}",
        "basic": f"{year:04}{month:02}{day:02}",
        "ordinal": f"{year:04}-{of_year:03}",
    }[form]
    hour, minute, second = draw(st.integers(0, 24)), draw(st.integers(0, 60)), draw(st.integers(0, 60))
    parts = draw(st.integers(0, 3))
    clock = [hour, minute, second][:parts]
    fraction = draw(st.text("0123456789", min_size=1, max_size=11)) if parts == 3 and draw(st.booleans()) else ""
    offset, minutes = draw(iso_offsets()) if parts else ("", None)
    mark = draw(st.sampled_from("Tt" if form == "basic" else "Tt ")) if parts else ""
    text = f"{date}{mark}{colon.join(f'{number:02}' for number in clock)}"
    text += (draw(st.sampled_from(".,")) + fraction if fraction else "") + offset
    try:
        shown = datetime(year, 1, 1) if form == "ordinal" else datetime(year, month, day)  # noqa: DTZ001
        shown += timedelta(days=of_year - 1) if form == "ordinal" else timedelta()
        if shown.year != year or (form == "ordinal" and not of_year):
            return text, None
        hour, minute, second = (*clock, 0, 0, 0)[:3]
        shown = shown.replace(hour=hour, minute=minute, second=second, microsecond=int(f"{fraction:0<6}"[:6]))
        zone = ZoneInfo("Asia/Tokyo") if minutes is None else timezone(timedelta(minutes=minutes))
        return text, shown.replace(tzinfo=zone).astimezone(UTC)
    except ValueError:
        return text, None


@st.composite
def iso_offsets(draw: st.DrawFn) -> tuple[str, int | None]:
    if draw(st.booleans()):
        return draw(st.sampled_from([("", None), ("Z", 0), ("z", 0)]))
    hours, minutes = draw(st.integers(0, 24)), draw(st.integers(0, 60))
    sign = draw(st.sampled_from([1, -1]))
    form = draw(st.sampled_from(["{}{:02}", "{}{:02}{:02}", "{}{:02}:{:02}"]))
    minutes = minutes if form.count("{") == 3 else 0
    is_offset = hours < 24 and minutes < 60
    length = sign * (60 * hours + minutes) if is_offset else 10**9  # which Python refuses, too
    return form.format("+" if sign == 1 else "-", hours, minutes), length


@given(st.lists(iso_texts(), max_size=20))
def test_iso_8601_agrees_with_pythons_calendar(cases: list[tuple[str, datetime | None]]) -> None:
    assert read_all([text for text, _ in cases], ISO, "Asia/Tokyo") == [moment for _, moment in cases]


@given(iso_texts(), st.integers(0, 40), st.text("0123456789-+:.,TtZzW ", max_size=1))
def test_what_is_read_of_damaged_texts_is_what_python_reads(
    case: tuple[str, datetime | None], at: int, other: str
) -> None:
    text = case[0][:at] + other + case[0][at + 1 :]
    moment = read(text, ISO)
    if moment is not None and not re.match("[0-9]{4}-[0-9]{3}(?![0-9])", text):  # days of the year are not in Python
        expected = datetime.fromisoformat(text.upper())
        assert moment == expected.replace(tzinfo=expected.tzinfo or UTC)


# Numbers that touch


@pytest.mark.parametrize(
    ("text", "fmt", "moment"),
    [
        ("20261001", "%Y%m%d", "2026-10-01"),
        ("2026101", "%Y%m%d", None),
        ("2026 101", "%Y%m%d", None),
        ("1102026", "%d%m%Y", None),
        ("26101", "%y%m%d", None),
        ("20261", "%Y%j", None),
        ("2026001", "%Y%j", "2026-01-01"),
        ("20260101T10203", "%Y%m%dT%H%M%S", None),
        ("20260101T010203.5", "%Y%m%dT%H%M%S%.f", "2026-01-01T01:02:03.500000"),
        ("20260101010203250", "%Y%m%d%H%M%S%3f", "2026-01-01T01:02:03.250000"),
        ("20260101 01:02", "%Y%m%d %R", "2026-01-01T01:02:00"),
        ("2026-1-1 1:2:3", "%Y-%m-%d %H:%M:%S", "2026-01-01T01:02:03"),
        ("1/2/2026", "%d/%m/%Y", "2026-02-01"),
        ("01Feb2026", "%d%b%Y", "2026-02-01"),
    ],
)
def test_numbers_that_touch_need_all_of_their_digits(text: str, fmt: str, moment: str | None) -> None:
    assert read(text, fmt) == (moment and datetime.fromisoformat(moment).replace(tzinfo=UTC))


moments = st.datetimes(datetime(1971, 1, 1), datetime(2199, 12, 31))  # noqa: DTZ001
PATTERNS = {
    "%Y%m%d%H%M%S": "{0.year}{0.month}{0.day}{0.hour}{0.minute}{0.second}",
    "%y%m%d %H:%M:%S": "%y{0.month}{0.day} {0.hour}:{0.minute}:{0.second}",
    "%Y-%m-%d %H%M%S": "{0.year}-{0.month}-{0.day} {0.hour}{0.minute}{0.second}",
}


@given(moments, st.sampled_from(list(PATTERNS)))
def test_a_time_is_read_as_it_was_written_or_not_at_all(moment: datetime, fmt: str) -> None:
    moment = moment.replace(microsecond=0, year=2000 + moment.year % 60)
    assert read(moment.strftime(fmt), fmt) == moment.replace(tzinfo=UTC)
    without_zeros = PATTERNS[fmt].replace("%y", moment.strftime("%y")).format(moment)
    assert read(without_zeros, fmt) in (None, moment.replace(tzinfo=UTC))


# A second 60


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("2016-12-31T23:59:60Z", "%+"),
        ("2016-12-31T23:59:60.25+02:00", "%+"),
        ("2016-12-31 23:59:60", "%Y-%m-%d %H:%M:%S"),
        ("2016-12-31 23:59:60", "%F %T"),
        ("2016-12-31 23:59:60.5", "%Y-%m-%d %H:%M:%S%.f"),
        ("20161231235960", "%Y%m%d%H%M%S"),
        ("31/Dec/2016:23:59:60 +0000", "%d/%b/%Y:%H:%M:%S %z"),
        ("60 59 23 2016-12-31", "%S %M %H %Y-%m-%d"),
    ],
)
def test_a_second_60_is_not_read_as_the_next_minute(text: str, fmt: str) -> None:
    assert read(text, fmt, "Europe/Berlin") is None
    assert read(text.replace("60", "59"), fmt) is not None


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("60 2026-01-01 00:00:00", "60 %Y-%m-%d %H:%M:%S"),
        ("2026-01-01 00:00:00.60", "%Y-%m-%d %H:%M:%S%.f"),
        ("2060-06-06 06:00:00", "%Y-%m-%d %H:%M:%S"),
        ("2026-01-01 12:00:00 60%", "%Y-%m-%d %H:%M:%S 60%%"),
    ],
)
def test_a_60_elsewhere_is_none(text: str, fmt: str) -> None:
    assert read(text, fmt) is not None


def test_only_patterns_that_need_it_have_a_shape() -> None:
    assert digits_shape("%Y-%m-%d %H:%M:%S") is None
    assert second_60_shape("%Y-%m-%d %H:%M") is None
    assert digits_shape("%Y%m%d %T") is not None
    assert second_60_shape("%c") is not None


# Epochs


@pytest.mark.parametrize(
    ("text", "fmt", "moment"),
    [
        ("1767268800123456789", "epoch_ns", "2026-01-01T12:00:00.123456"),
        ("1767311999999999999", "epoch_ns", "2026-01-01T23:59:59.999999"),
        ("-1", "epoch_ns", "1969-12-31T23:59:59.999999"),
        ("1.7672688e18", "epoch_ns", "2026-01-01T12:00:00"),
        ("9223372036854775808", "epoch_ns", "2262-04-11T23:47:16.854776"),
        ("0", "epoch_s_local", "1969-12-31T23:00:00"),
        ("1767268800", "epoch_s_local", "2026-01-01T11:00:00"),
        ("1767268800.5", "epoch_s_local", "2026-01-01T11:00:00.500000"),
        ("1774751400", "epoch_s_local", None),
        ("1792893600", "epoch_s_local", "2026-10-25T00:00:00"),
        ("253402308000", "epoch_s_local", None),
    ],
)
def test_an_epoch_is_read(text: str, fmt: str, moment: str | None) -> None:
    assert read(text, fmt, "Europe/Berlin") == (moment and datetime.fromisoformat(moment).replace(tzinfo=UTC))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
@example([1767311999999999999, -1, 0])
def test_nanoseconds_are_cut_to_microseconds(numbers: list[int]) -> None:
    exact = [EPOCH + timedelta(microseconds=number // 1000) for number in numbers]
    assert read_all(list(map(str, numbers)), "epoch_ns") == exact


@given(moments, st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe"]))
@example(datetime(2026, 3, 29, 2, 30), "Europe/Berlin")  # noqa: DTZ001
@example(datetime(2026, 10, 25, 2, 30), "Europe/Berlin")  # noqa: DTZ001
def test_a_local_epoch_is_the_local_time_that_it_counts(shown: datetime, zone: str) -> None:
    seconds = (shown - datetime(1970, 1, 1)) // timedelta(seconds=1)  # noqa: DTZ001
    assert read(str(seconds), "epoch_s_local", zone) == read(f"{shown:%Y-%m-%d %H:%M:%S}", "%Y-%m-%d %H:%M:%S", zone)


@pytest.mark.parametrize("fmt", [ISO, "epoch_ns", "epoch_s_local", "%Y%m%d"])
def test_the_formats_are_known(fmt: str) -> None:
    assert format_problem(fmt) is None
