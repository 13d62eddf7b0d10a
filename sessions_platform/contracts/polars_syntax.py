"""What polars accepts as text: timezones, regular expressions and timestamp formats.

A stream's file is validated with the library that will read the data, so that a file that was accepted can't
fail in a run. Not here: the texts of the messages (``values``), and the plain rules of formats (``timestamps``).
"""

from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from sessions_platform.contracts.timestamps import EPOCHS, has_offset, ignored_offset, misreads_fractions

# The first moment of the year 10000 in microseconds since 1970: no later one can be shown as a date.
_YEAR_10000 = 253_402_300_800 * 1_000_000

# Early in the morning of a zone ahead of UTC, where mixing up local time and UTC gives another day.
_SAMPLE_ZONE = "Asia/Tokyo"
_SAMPLE = datetime(2021, 11, 23, 2, 35, 47, 123_456, tzinfo=ZoneInfo(_SAMPLE_ZONE))


def knows_timezone(name: str) -> bool:
    """Whether polars has a timezone of that name; it lacks a few that Python has."""
    try:
        pl.Series([datetime(2026, 1, 1)]).dt.replace_time_zone(name)  # noqa: DTZ001  only a naive one can get a zone
    except pl.exceptions.PolarsError:
        return False
    return True


def pattern_problem(pattern: str) -> str | None:
    """Why a text is not a regular expression of Rust's syntax, in one line; None where it is one."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        lines = str(error).splitlines()
        return next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    return None


def group_count(pattern: str) -> int:
    """How many groups a regular expression (Rust syntax) has, named or not. It has to be valid."""
    groups = pl.Series([""]).str.extract_groups(pattern)
    return len(groups.struct.fields) if groups.dtype == pl.Struct else 0


def group_names(pattern: str) -> list[str]:
    """The named groups of a regular expression (Rust syntax), in their order. It has to be valid."""
    groups = pl.Series([""]).str.extract_groups(pattern)
    # Groups without a name are numbered, and no name begins with a digit.
    return [] if groups.dtype != pl.Struct else [name for name in groups.struct.fields if not name.isdigit()]


def joined_groups(text: pl.Expr, pattern: str) -> pl.Expr:
    """The texts of a pattern's groups where it is first found in a text (String), joined; null where it is not."""
    return pl.concat_str(text.str.extract(pattern, number) for number in range(1, group_count(pattern) + 1))


def read_timestamp(text: pl.Expr, fmt: str, timezone: str) -> pl.Expr:
    """Read text as timestamps.

    Args:
        text: String.
        fmt: a format for which ``format_problem`` is None.
        timezone: of text that states no offset. A local time that the clocks show twice is the earlier one.

    Returns:
        UTC microseconds; null where the text is not of the format, the clocks of ``timezone`` skip
        its time, or its year is not between 1 and 9999.
    """
    moment = _read(text, fmt, timezone)
    return pl.when(moment.dt.year().is_between(1, 9999)).then(moment)


def _read(text: pl.Expr, fmt: str, timezone: str) -> pl.Expr:
    if fmt in EPOCHS:
        return _from_epoch(text, EPOCHS[fmt])
    if has_offset(fmt):
        return text.str.to_datetime(fmt, time_unit="us", time_zone="UTC", strict=False)
    naive = text.str.to_datetime(fmt, time_unit="us", strict=False)
    local = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def _from_epoch(text: pl.Expr, microseconds: int) -> pl.Expr:
    whole = text.cast(pl.Int64, strict=False)
    part = (text.cast(pl.Float64, strict=False) * microseconds).round()
    limit = _YEAR_10000 // microseconds
    exact = pl.when(whole.is_between(-limit, limit)).then(whole * microseconds)
    rounded = pl.when(part.is_between(-_YEAR_10000, _YEAR_10000)).then(part).cast(pl.Int64, strict=False)
    value = pl.when(whole.is_null()).then(rounded).otherwise(exact)
    return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def format_problem(fmt: str) -> str | None:
    """Why no timestamp can be read by a format; None where one can.

    A sample is written by the format and read again: its day has to come back. Formats that polars would warn of are
    recognized before: to turn its warnings into errors would do so in all threads of the process.
    """
    if fmt in EPOCHS:
        return None
    if directive := ignored_offset(fmt):
        return f"the offset that {directive} stands for is ignored"
    if misreads_fractions(fmt):
        return "%f reads the digits of a fraction as nanoseconds; %.f reads a fraction"
    try:
        return None if _preserves_the_day(fmt) else "it does not give the day"
    except pl.exceptions.PolarsError as error:
        return str(error).splitlines()[0].removeprefix("Invalid format string: ").partition(". ")[0].rstrip(".")


def _preserves_the_day(fmt: str) -> bool:
    only_for_reading, for_writing = "%#z", "%z"
    sample = pl.Series("text", [_SAMPLE], pl.Datetime("us", _SAMPLE_ZONE))
    text = sample.dt.strftime(fmt.replace(only_for_reading, for_writing)).to_frame()
    read = read_timestamp(pl.col("text"), fmt, _SAMPLE_ZONE).dt.convert_time_zone(_SAMPLE_ZONE)
    return text.select(read.dt.date().eq_missing(_SAMPLE.date())).item()
