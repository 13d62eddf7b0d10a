"""Which timestamp formats the texts of a field are in, by reading them as the platform does.

Here: the formats that are tried, and how one is chosen. Not here: how a format reads text
(`contracts.timestamp_reading`), and which field has the time of the event (`roles`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import polars as pl

from sessions_platform.contracts.timestamp_reading import read_timestamp
from sessions_platform.contracts.timestamps import EPOCHS, has_offset

# What numbers are tried as, and texts; of patterns that read the same texts, the one that is more usual is first.
_NUMERIC = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d")
_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%d/%b/%Y", "%d-%b-%Y", "%m-%d-%Y", "%d.%m.%y",
          "%m/%d/%y", "%d/%m/%y", "%Y.%m.%d", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%Y-%m-%d")  # fmt: skip
_CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_PATTERNS = (
    "iso8601",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %Y %H:%M:%S GMT%z",
    "%Y%m%dT%H%M%S%.fZ",
    *(f"{date}{between}{clock}" for date in _DATES for between in (" ", ", ", "T") for clock in _CLOCKS),
    *_DATES,
)
_NUMBER = re.compile(r"^-?\d+(?:\.\d+)?$")
# Three numbers or a month's name between two, in a text as short as a time is.
_HAS_PARTS = re.compile(r"^[A-Za-z, ]{0,12}\d{1,8}[^\d]{1,2}(?:[A-Za-z]{3,9}|\d{1,6})[^\d]?.{0,40}\d")
_DIRECTIVE = re.compile(r"(%\.?[A-Za-z])")
_SHAPES = {
    "%Y": r"\d{4}", "%.f": r"(?:\.\d+)?", "%b": "[A-Za-z]{3}", "%B": "[A-Za-z]{3,9}", "%a": "[A-Za-z]{3}",
    "%p": "[AaPp][Mm]", "%z": r"[+-]\d{2}:?\d{2}",
    **dict.fromkeys(("%d", "%m", "%y", "%H", "%M", "%S", "%I"), r" ?\d{1,2}"),
}  # fmt: skip
_EARLIEST = datetime(1995, 1, 1, tzinfo=UTC)
_LATEST = timedelta(days=400)
_TRIED = 600
_FIRST_TRIED = 40
_ENOUGH = 0.995
_LEAST = 0.9
_MOST_FORMATS = 4
_DAY_FIRST = re.compile(r"%d(.)%m")
_CLOCK = re.compile(r"^\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp][Mm])?$")


@dataclass(frozen=True)
class TimeGuess:
    """How the texts of a field are times.

    Attributes:
        formats: as a column's `formats`, in their order.
        share: of the texts that the formats read.
        states_zone: whether all of them state an offset, or are epochs.
        note: a sentence on what is doubtful; empty where nothing is.
        first, last: the earliest and latest of the sample.
    """

    formats: tuple[str, ...]
    share: float
    states_zone: bool
    note: str
    first: datetime
    last: datetime


def time_guess(texts: Sequence[str], now: datetime) -> TimeGuess | None:
    """The formats of texts; None where they are no times, but for at most a tenth of them.

    Args:
        texts: distinct ones, not blank.
        now: the latest that a time may be, but for a year of plans.
    """
    left = pl.Series(sorted(texts)[:: max(1, len(texts) // _TRIED)], dtype=pl.String)
    count, formats, note = len(left), list[str](), ""
    moments: list[pl.Series] = []
    while len(left) and len(formats) < _MOST_FORMATS and len(left) > (1 - _ENOUGH) * count:
        found = _best(left, now)
        if found is None:
            break
        fmt, read = found
        note = note or _ambiguity(left, fmt, read, now)
        formats.append(fmt)
        moments.append(read.drop_nulls())
        left = left.filter(read.is_null())
    share = 1 - len(left) / count if count else 0.0
    if not formats or share < _LEAST:
        return None
    every = pl.concat(moments)
    states_zone = all(fmt in EPOCHS or has_offset(fmt) or "UTC" in fmt or "GMT" in fmt or fmt.endswith("Z")
                      for fmt in formats if fmt != "iso8601") and _iso_states_zone(texts, formats)  # fmt: skip
    first, last = every.min(), every.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return TimeGuess(tuple(_ordered(formats)), share, states_zone, note, first, last)


def is_clock(texts: Sequence[str]) -> bool:
    """Whether texts are times of a day, without a date."""
    return bool(texts) and all(_CLOCK.match(text) for text in texts[:_TRIED])


def _ordered(formats: list[str]) -> list[str]:
    """Epochs in the order of their units: one of a finer unit reads the numbers of a coarser one, too."""
    epochs = [fmt for fmt in EPOCHS if fmt in formats]
    return [*(fmt for fmt in formats if fmt not in EPOCHS), *epochs]


def _best(texts: pl.Series, now: datetime) -> tuple[str, pl.Series] | None:
    """The format that reads most of the texts as plausible times, the first of equals; None where none reads a few."""
    tried = _tried(texts)
    best: tuple[int, str, pl.Series] | None = None
    few = texts.sample(min(len(texts), _FIRST_TRIED), seed=1).to_list()
    for fmt in tried:
        if not any(map(_shape_of(fmt).match, few)):
            continue
        read = _plausible(texts, fmt, now)
        count = len(read) - read.null_count()
        if best is None or count > best[0] or (count == best[0] and _is_narrower(read, best[2], fmt, best[1])):
            best = count, fmt, read
    return (best[1], best[2]) if best and best[0] >= max(1, 0.02 * len(texts)) else None


def _tried(texts: pl.Series) -> Sequence[str]:
    """The formats that texts of such a shape can be in."""
    shares = texts.to_frame("text").select(
        number=pl.col("text").str.contains(_NUMBER.pattern).mean(),
        date=pl.col("text").str.contains(_HAS_PARTS.pattern).mean(),
    )
    of_numbers, of_dates = shares.row(0)
    if of_numbers > 0.5:
        return _NUMERIC
    return _PATTERNS if of_dates > 0.1 else ()


@cache
def _shape_of(fmt: str) -> re.Pattern[str]:
    """What a text of a format looks like: to match it costs a hundredth of reading by the format."""
    if fmt == "iso8601":
        return re.compile(r"\d{4}-?\d{2,3}")
    if fmt in EPOCHS:
        return _NUMBER
    parts = _DIRECTIVE.split(fmt)
    return re.compile("".join(_SHAPES.get(part, re.escape(part)) for part in parts) + "$")


def _is_narrower(read: pl.Series, other: pl.Series, fmt: str, best: str) -> bool:
    """Whether of two patterns that differ in the order of day and month, this one gives the shorter time range."""
    return _swapped(fmt) == best and _span(read) < _span(other)


def _swapped(fmt: str) -> str:
    return fmt.translate(str.maketrans("dm", "md")) if "%d" in fmt and "%m" in fmt else ""


def _span(moments: pl.Series) -> timedelta:
    first, last = moments.min(), moments.max()
    return last - first if isinstance(first, datetime) and isinstance(last, datetime) else timedelta(0)


def _plausible(texts: pl.Series, fmt: str, now: datetime) -> pl.Series:
    """The times that a format reads; null where it reads none, or one that no event can have."""
    read = texts.to_frame("text").select(read_timestamp(pl.col("text"), fmt, "UTC")).to_series()
    is_plausible = read.is_between(_EARLIEST, now + _LATEST)
    return read.to_frame("at").select(pl.when(is_plausible).then("at")).to_series()


def _ambiguity(texts: pl.Series, fmt: str, read: pl.Series, now: datetime) -> str:
    """A sentence where day and month could be the other way around as well."""
    swapped = _swapped(fmt)
    if not swapped or fmt.index("%d") > fmt.index("%Y" if "%Y" in fmt else "%y"):
        return ""
    other = _plausible(texts, swapped, now)
    if other.null_count() > read.null_count():
        return ""
    order = ("day", "month") if fmt.index("%d") < fmt.index("%m") else ("month", "day")
    return f"{texts[0]!r} is read with the {order[0]} before the {order[1]}; if that is wrong, write {swapped!r}"


def _iso_states_zone(texts: Sequence[str], formats: list[str]) -> bool:
    if "iso8601" not in formats:
        return True
    return all(re.search(r"(?:[Zz]|[+-]\d{2}:?(?:\d{2})?)$", text[10:]) for text in texts if ":" in text)
