"""What polars accepts as text: timezones, regular expressions and timestamp formats.

A stream's file is validated with the library that will read the data, so that a file that was accepted can't
fail in a run. It is imported where the answer is not certain without it (``plain_syntax``). Not here: the texts of the
messages (``values``), the plain rules of formats (``timestamps``), and how a timestamp is read (``timestamp_reading``).
"""

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sessions_platform.contracts.plain_syntax import UTC, is_plain_format, is_plain_pattern
from sessions_platform.contracts.timestamps import EPOCHS, ISO, ignored_offset, misreads_fractions

if TYPE_CHECKING:
    import polars as pl

# Early in the morning of a zone ahead of UTC, where mixing up local time and UTC gives another day.
_SAMPLE_ZONE = "Asia/Tokyo"
_SAMPLE = datetime(2021, 11, 23, 2, 35, 47, 123_456, tzinfo=ZoneInfo(_SAMPLE_ZONE))


def knows_timezone(name: str) -> bool:
    """Whether polars has a timezone of that name; it lacks a few that Python has."""
    if name == UTC:
        return True
    import polars as pl

    try:
        pl.Series([datetime(2026, 1, 1)]).dt.replace_time_zone(name)  # noqa: DTZ001  only a naive one can get a zone
    except pl.exceptions.PolarsError:
        return False
    return True


def pattern_problem(pattern: str) -> str | None:
    """Why a text is not a regular expression of Rust's syntax, in one line; None where it is one."""
    if is_plain_pattern(pattern):
        return None
    import polars as pl

    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        lines = str(error).splitlines()
        return next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    return None


def group_count(pattern: str) -> int:
    """How many groups a regular expression (Rust syntax) has, named or not. It has to be valid."""
    if is_plain_pattern(pattern):
        return 0
    import polars as pl

    groups = pl.Series([""]).str.extract_groups(pattern)
    return len(groups.struct.fields) if groups.dtype == pl.Struct else 0


def group_names(pattern: str) -> list[str]:
    """The named groups of a regular expression (Rust syntax), in their order. It has to be valid."""
    import polars as pl

    groups = pl.Series([""]).str.extract_groups(pattern)
    # Groups without a name are numbered, and no name begins with a digit.
    return [] if groups.dtype != pl.Struct else [name for name in groups.struct.fields if not name.isdigit()]


def joined_groups(text: "pl.Expr", pattern: str) -> "pl.Expr":
    """The texts of a pattern's groups where it is first found in a text (String), joined; null where it is not."""
    import polars as pl

    return pl.concat_str(text.str.extract(pattern, number) for number in range(1, group_count(pattern) + 1))


def format_problem(fmt: str) -> str | None:
    """Why no timestamp can be read by a format; None where one can.

    A sample is written by the format and read again: its day has to come back. Formats that polars would warn of are
    recognized before: to turn its warnings into errors would do so in all threads of the process.
    """
    if fmt in EPOCHS or fmt == ISO or is_plain_format(fmt):
        return None
    if directive := ignored_offset(fmt):
        return f"the offset that {directive} stands for is ignored"
    if misreads_fractions(fmt):
        return "%f reads the digits of a fraction as nanoseconds; %.f reads a fraction"
    import polars as pl

    try:
        return None if _preserves_the_day(fmt) else "it does not give the day"
    except pl.exceptions.PolarsError as error:
        return str(error).splitlines()[0].removeprefix("Invalid format string: ").partition(". ")[0].rstrip(".")


def _preserves_the_day(fmt: str) -> bool:
    import polars as pl

    from sessions_platform.contracts.timestamp_reading import read_timestamp

    only_for_reading, for_writing = "%#z", "%z"
    sample = pl.Series("text", [_SAMPLE], pl.Datetime("us", _SAMPLE_ZONE))
    text = sample.dt.strftime(fmt.replace(only_for_reading, for_writing)).to_frame()
    read = read_timestamp(pl.col("text"), fmt, _SAMPLE_ZONE).dt.convert_time_zone(_SAMPLE_ZONE)
    return text.select(read.dt.date().eq_missing(_SAMPLE.date())).item()
