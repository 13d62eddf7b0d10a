"""Which timezones, regular expressions and timestamp formats polars accepts for certain, so that it need not be asked.

Most streams state no others, and to ask polars is to import it, which takes longer than the rest of a small command.
Here is only what tests have compared with polars, case by case. All else is asked of it (``polars_syntax``).
"""

import re

UTC = "UTC"

DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d/%b/%Y")
SEPARATORS = ("T", " ", ":")
TIMES = ("%H:%M:%S", "%T")
FRACTIONS = ("", "%.f", "%.3f", "%.6f")
OFFSETS = ("", "Z", "%z", " %z", "%:z", " %:z")

# Letters, digits and marks without a meaning; escaped ones that have one; any character, a digit, and classes of these.
_ATOM = r"""(?:[A-Za-z0-9 _/:,;=@%!'"-]|\\[.+*?()|^$\[\]{}]|\.|\\d|\[\^?(?:a-z|A-Z|0-9|[A-Za-z0-9 _/:,;=@%.])+\])"""
PATTERN = rf"\^?(?:{_ATOM}[*+?]?)*\$?"
_LONGEST_PATTERN = 100  # characters: what a library compiles of a longer one may be larger than it allows


def is_plain_format(fmt: str) -> bool:
    """Whether a format is ``%+``, or a date of `DATES` with or without one of the times."""
    dates, separators, times, fractions, offsets = map(_one_of, (DATES, SEPARATORS, TIMES, FRACTIONS, OFFSETS))
    return fmt == "%+" or re.fullmatch(f"{dates}({separators}{times}{fractions}{offsets})?", fmt) is not None


def is_plain_pattern(pattern: str) -> bool:
    """Whether a regular expression has only letters, characters, classes and repetitions, and no group."""
    return len(pattern) <= _LONGEST_PATTERN and re.fullmatch(PATTERN, pattern) is not None


def _one_of(texts: tuple[str, ...]) -> str:
    return f"({'|'.join(map(re.escape, texts))})"
