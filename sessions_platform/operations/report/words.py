"""How numbers, times and classes are written in a report.

Not here: what is counted (`data.py`), and sentences (`sections.py`).
"""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

from sessions_platform.operations.json_text import printable

_LONGEST_IN_TITLE = 80
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_GLUE = "\N{NO-BREAK SPACE}"
_SPOKEN = {"day": "%Y-%m-%d", "week": "the week of %Y-%m-%d", "month": "%Y-%m"}


def text(value: str) -> str:
    """A text of events, with characters that are not seen written as escapes."""
    return printable(value).replace("\n", r"\n").replace("\t", r"\t") or "(empty text)"


def short_text(value: str) -> str:
    """The same for a sentence: the beginning of a text that is too long for one."""
    shown = text(value)
    return shown if len(shown) <= _LONGEST_IN_TITLE else f"{shown[: _LONGEST_IN_TITLE - 1]}\N{HORIZONTAL ELLIPSIS}"


def number(value: float) -> str:
    """With commas between thousands: 12,780."""
    return f"{value:,}"


def count(value: int, noun: str) -> str:
    """The number and the noun, which is in the plural unless there is one: 1 session, 2 sessions."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def percent(part: int, whole: int) -> str:
    """With one digit behind the point; what is neither nothing nor all is never written as 0.0% or 100.0%."""
    if not part:
        return "0%"
    share = 100 * part / whole
    if share < 0.1:
        return "under 0.1%"
    if 99.9 < share < 100:
        return "over 99.9%"
    return f"{share:.1f}%"


def change(value: int, base: int) -> str:
    """How much more or less than the base: +9.5%, or with a minus sign."""
    return f"{100 * (value - base) / base:+.1f}%".replace("-", "\N{MINUS SIGN}") if base else ""


def span(length: timedelta) -> str:
    """A duration with at most two units: 1 h 30 min."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds:g}{_GLUE}s"
    parts, rest = [], int(seconds)
    for unit, size in _UNITS:
        if rest >= size:
            parts.append(f"{rest // size}{_GLUE}{unit}")
            rest %= size
    return _GLUE.join(parts[:2])


def seconds(value: float) -> str:
    """The same of a number of seconds."""
    return span(timedelta(seconds=value))


def period(day: date, unit: str) -> str:
    """A day, week or month by its first day."""
    return day.strftime(_SPOKEN[unit])


def between(low: str, high: str) -> str:
    """A class from one bound to another; a unit that they share is written once: 10 to 15 min, with a dash for `to`."""
    (start, *unit), (_, *unit_of_high) = low.split(_GLUE), high.split(_GLUE)
    return f"{start if unit == unit_of_high else low} \N{EN DASH} {high}"


def classes_of_durations(bounds: Sequence[float]) -> list[str]:
    """The names of the classes between the bounds, each from its lower bound up to, not including, the next."""
    inner = [between(seconds(low), seconds(high)) for low, high in pairwise(bounds)]
    return [f"under {seconds(bounds[0])}", *inner, f"{seconds(bounds[-1])} and more"]


def classes_of_counts(bounds: Sequence[int]) -> list[str]:
    """The same of whole numbers, of which the least is 1."""
    edges = pairwise([1, *bounds])
    inner = [number(low) if high - low == 1 else between(number(low), number(high - 1)) for low, high in edges]
    return [*inner, f"{number(bounds[-1])} and more"]
