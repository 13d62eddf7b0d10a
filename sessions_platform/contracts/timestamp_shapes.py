"""Which texts a ``strftime`` pattern reads as a time that they do not mean: regular expressions of Rust's syntax.

Numbers that follow each other without anything between them (``%Y%m%d``) can only be told apart by their lengths:
2026101 would be read as 1 October, and may be meant as 10 January. So there each number has to have all of its digits
(``digits_shape``). And no clock shows a second 60 but a leap second, which UTC in microseconds since 1970 does not
have: it would be read as the next minute, on the last one of a day as the next day (``second_60_shape``).
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

# The digits of each number.
_DIGITS = {
    **dict.fromkeys("YG", 4),
    **dict.fromkeys("Cygmd", 2),
    **dict.fromkeys("eHkIlMSUWV", 2),
    "j": 3,
    **dict.fromkeys("uw", 1),
}
_COMPOUND = {
    "D": "%m/%d/%y",
    "x": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "v": "%e-%b-%Y",
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "c": "%a %b %e %H:%M:%S %Y",
    "+": "%Y-%m-%d%n%H:%M:%S%.f%z",
}
_FRACTIONS = {
    ".f": r"(?:\.[0-9]+)?",
    **{f".{n}f": r"(?:\.[0-9]+)?" for n in (3, 6, 9)},
    **{f"{n}f": f"[0-9]{{{n}}}" for n in (3, 6, 9)},
}
_PART = re.compile(r"%[-_0]?(?P<directive>\.?[369]?f|:{0,3}z|#z|[A-Za-z+%])|(?P<space>\s+)|(?P<literal>.)", re.DOTALL)
_SECOND = "S"
_ANY = ".*?"


class _Part(NamedTuple):
    """A part of a pattern: a number by its directive, or the expression of anything else."""

    number: str | None
    expression: str


@lru_cache(maxsize=256)
def digits_shape(fmt: str) -> str | None:
    """What a text matches in which numbers that touch have all of their digits; None if none of the pattern touch."""
    parts = list(_parts(fmt))
    return _expression(parts) if any(len(run) > 1 for run in _runs(parts)) else None


@lru_cache(maxsize=256)
def second_60_shape(fmt: str) -> str | None:
    """What a text of the pattern matches in which a second is 60; None if the pattern has no seconds."""
    parts = list(_parts(fmt))
    return _expression(parts, second="60") if any(part.number == _SECOND for part in parts) else None


def _parts(fmt: str) -> Iterator[_Part]:
    for part in _PART.finditer(fmt):
        directive = part["directive"]
        if directive is None:
            yield _Part(None, r"\s*" if part["space"] else re.escape(part[0]))
        elif directive in _COMPOUND:
            yield from _parts(_COMPOUND[directive])
        elif directive in _DIGITS:
            yield _Part(directive, "")
        else:
            yield _Part(None, _FRACTIONS.get(directive, "%" if directive == "%" else _ANY))


def _runs(parts: list[_Part]) -> Iterator[list[_Part]]:
    """The numbers that touch each other; anything else by itself."""
    for is_number, run in groupby(parts, key=lambda part: part.number is not None):
        if is_number:
            yield list(run)
        else:
            yield from ([part] for part in run)


def _expression(parts: list[_Part], second: str | None = None) -> str:
    return "(?s)^" + "".join(_of_run(run, second) for run in _runs(parts)) + "$"


def _of_run(run: list[_Part], second: str | None) -> str:
    if run[0].number is None:
        return run[0].expression
    least = 1 if len(run) == 1 else None  # a number that touches none may lack leading zeros, and have spaces before it
    digits = (second if second and part.number == _SECOND else _digits(str(part.number), least) for part in run)
    return (r"\s*\+?" if least else "") + "".join(digits)


def _digits(directive: str, least: int | None) -> str:
    most = _DIGITS[directive]
    return f"[0-9]{{{least or most},{most}}}"
