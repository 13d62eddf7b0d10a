"""Each kind of value of a stream's file at its limits: the last that is valid, and the first that is not."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sessions_platform.contracts.values import (
    INVALID,
    Character,
    Day,
    Duration,
    Encoding,
    Identifier,
    Owner,
    Pattern,
    PositiveDuration,
    Retention,
    Share,
    Size,
    SourcePaths,
    Table,
    Timezone,
    as_day,
    as_percent,
    as_share,
    is_timezone,
    shown,
)

YEAR = timedelta(days=366)


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration, "0s", timedelta(0)),
        (Duration, "1ms", timedelta(milliseconds=1)),
        (Duration, "1s", timedelta(seconds=1)),
        (Duration, "1m", timedelta(minutes=1)),
        (Duration, "1h", timedelta(hours=1)),
        (Duration, " 1 d ", timedelta(days=1)),
        (Duration, "366d", YEAR),
        (Duration, "999999999ms", timedelta(milliseconds=999_999_999)),
        (Duration, timedelta(0), timedelta(0)),
        (PositiveDuration, "1ms", timedelta(milliseconds=1)),
        (PositiveDuration, timedelta(microseconds=1), timedelta(microseconds=1)),
        (Retention, "1ms", timedelta(milliseconds=1)),
        (Retention, "36500d", timedelta(days=36_500)),
        (Size, "1MB", 10**6),
        (Size, " 2 GB ", 2 * 10**9),
        (Size, "3TB", 3 * 10**12),
        (Size, "999999MB", 999_999 * 10**6),
        (Share, "0%", Decimal(0)),
        (Share, "100%", Decimal(1)),
        (Share, " 0.5 % ", Decimal("0.005")),
        (Share, "0.000001%", Decimal("1e-8")),
        (Share, Decimal("0.5"), Decimal("0.5")),
        (Day, "1900-01-01", date(1900, 1, 1)),
        (Day, date(2199, 12, 31), date(2199, 12, 31)),
        (Identifier, "a", "a"),
        (Identifier, "a" + "_0" * 23 + "z", "a" + "_0" * 23 + "z"),
        (Table, "public.products", "public.products"),
        (Owner, "team:data-platform_2", "team:data-platform_2"),
        (Owner, "ann@example.com", "ann@example.com"),
        (Pattern, "^a+$", "^a+$"),
        (Timezone, "Europe/Berlin", "Europe/Berlin"),
        (Encoding, "UTF8", "utf-8"),
        (Encoding, "latin1", "iso8859-1"),
        (Encoding, "shift_jis", "shift_jis"),
        (Character, ";", ";"),
        (SourcePaths, "a", ["a"]),
        (SourcePaths, ["a", "b"], ["a", "b"]),
    ],
)
def test_a_value_within_its_limits_is_read(kind: Any, text: object, value: object) -> None:
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "value", "reason", "fix"),
    [
        (Duration, "30", "'30' is not a duration", "write a whole number and a unit (ms, s, m, h, d), as in 30m"),
        (Duration, "1234567890s", "'1234567890s' is not a duration", "write a whole number"),
        (Duration, "1.5h", "'1.5h' is not a duration", "write a whole number"),
        (Duration, "367d", "the duration is longer than a year", "write 366d at most"),
        (Duration, YEAR + timedelta(microseconds=1), "the duration is longer than a year", "write 366d at most"),
        (PositiveDuration, "0s", "the duration is zero", "write one that is longer than nothing, as in 30m"),
        (PositiveDuration, timedelta(0), "the duration is zero", "write one that is longer than nothing"),
        (Retention, "0d", "the duration is zero", "write one"),
        (Retention, "36501d", "the duration is longer than a century", "write 36500d at most"),
        (Size, "0MB", "'0MB' is not a size", "write a whole number and a unit (MB, GB, TB), as in 16GB"),
        (Size, "1000000MB", "'1000000MB' is not a size", "write a whole number"),
        (Size, 16, "16 is not a size", "write a whole number"),
        (Size, "16KB", "'16KB' is not a size", "write a whole number"),
        (Share, "100.000001%", "'100.000001%' is not a percentage", "write one from 0% to 100%, as in 0.5%"),
        (Share, "0.0000001%", "'0.0000001%' is not a percentage", "write one"),
        (Share, "1", "'1' is not a percentage", "write one"),
        (Share, 0.5, "0.5 is not a percentage", "write one"),
        (
            Day,
            "1899-12-31",
            "'1899-12-31' is not a date that a stream can have",
            "write one from 1900-01-01 to 2199-12-31",
        ),
        (Day, date(2200, 1, 1), "2200-01-01 is not a date that a stream can have", "as in 2026-01-31"),
        (Day, datetime(2026, 1, 1), "2026-01-01 00:00:00 is not a date that a stream can have", "write"),  # noqa: DTZ001
        (Identifier, "a" * 49, f"'{'a' * 49}' can't name a table or column", "48 at most"),
        (Identifier, "1a", "'1a' can't name a table or column", "write lower-case letters"),
        (Identifier, "", "'' can't name a table or column", "write lower-case letters"),
        (Table, "products", "'products' does not name a table", "write its schema and its name, as in public.products"),
        (Table, "a.b.c", "'a.b.c' does not name a table", "write its schema"),
        (Owner, "team:", "'team:' is not an owner", "write an e-mail address, or team:name"),
        (Owner, "ann@example", "'ann@example' is not an owner", "write an e-mail address"),
        (Pattern, "(", "'(' is not a regular expression: unclosed group", "correct it (Rust syntax)"),
        (
            Pattern,
            "a(?=b)",
            "'a(?=b)' is not a regular expression: look-around, including look-ahead and look-behind, is not supported",
            "write it without that (Rust syntax, which has only what takes linear time)",
        ),
        (Timezone, "Mars", "'Mars' is not a timezone", "write an IANA name, as in Europe/Berlin or UTC"),
        (Timezone, "Factory", "'Factory' is not a timezone", "write an IANA name"),
        (Encoding, "utf-99", "the encoding 'utf-99' is not known", "write utf-8, latin-1, cp1252 or the like"),
        (Encoding, "utf-16", "the encoding 'utf-16' can't be divided into lines at byte 10", "write utf-8"),
        (Encoding, "iso2022_jp", "the encoding 'iso2022_jp' can't be divided into lines at byte 10", "write utf-8"),
    ],
)
def test_a_value_beyond_its_limits_has_a_reason_and_a_fix(kind: Any, value: object, reason: str, fix: str) -> None:
    with pytest.raises(ValidationError) as error:
        read(kind, value)
    (details,) = error.value.errors()
    assert details["type"] == INVALID
    context = details.get("ctx", {})
    assert context["reason"] == reason
    assert context["fix"].startswith(fix) or context["fix"].endswith(fix)


@pytest.mark.parametrize("kind", [Character, SourcePaths])
def test_an_empty_text_is_neither_a_character_nor_a_path(kind: Any) -> None:
    with pytest.raises(ValidationError):
        read(kind, "" if kind is Character else [])


def test_two_characters_are_not_one() -> None:
    with pytest.raises(ValidationError):
        read(Character, "||")


@pytest.mark.parametrize("text", ["0d", "1ms", "999ms", "1s", "90s", "1m", "61m", "2h", "25h", "1d", "366d"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    assert TypeAdapter(Duration).dump_python(read(Duration, text), mode="json") == text


@pytest.mark.parametrize(("text", "shortest"), [("1000ms", "1s"), ("60s", "1m"), ("60m", "1h"), ("24h", "1d")])
def test_a_duration_is_written_in_its_largest_unit(text: str, shortest: str) -> None:
    assert TypeAdapter(Duration).dump_python(read(Duration, text), mode="json") == shortest


@pytest.mark.parametrize("text", ["0%", "1%", "0.5%", "20%", "100%", "0.000001%"])
def test_a_share_is_written_as_it_was_read(text: str) -> None:
    share = as_share(text)
    assert share is not None
    assert as_percent(share) == text
    assert TypeAdapter(Share).dump_python(share, mode="json") == text


@pytest.mark.parametrize("value", [None, 1, "1", "101%", "-1%", True])
def test_what_is_not_a_share_is_none(value: object) -> None:
    assert as_share(value) is None


@pytest.mark.parametrize("value", [None, 20260101, "2026-02-30", "soon", datetime(2026, 1, 1)])  # noqa: DTZ001
def test_what_is_not_a_day_is_none(value: object) -> None:
    assert as_day(value) is None


@pytest.mark.parametrize(
    ("name", "known"), [("UTC", True), ("Europe/Berlin", True), ("Factory", False), ("CEST", False), (3, False)]
)
def test_a_timezone_is_one_that_python_and_polars_know(name: object, known: bool) -> None:
    assert is_timezone(name) is known


def test_a_message_quotes_80_characters_of_a_value() -> None:
    assert shown("x" * 78) == f"'{'x' * 78}'"
    assert shown("x" * 79) == f"'{'x' * 78}…"
    assert shown(date(2026, 1, 1)) == "2026-01-01"
    assert shown(None) == "null"
