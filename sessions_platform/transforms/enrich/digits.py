"""Compute values once for all texts that differ in nothing but digits, where no pattern tells these digits apart.

Most user agents differ in versions alone, which patterns read as ``\\d+``. Such texts have one key, in which digits are
masked, and the values of a key are computed of it with a 0 for each masked digit. They are those of all its texts,
unless a pattern can match one of them by telling a masked digit from others, as ``Windows NT 6`` does. So each pattern
is turned into its *uses*: patterns of what it matches by telling at least one masked digit from others. They match at
least that, and possibly more: how often something is repeated is not looked at. A key that one of them matches says
nothing, and nor does one whose values have a 0; its texts are looked at with fewer masked digits, and then one by one.

Not here: what is computed (``user_agent``).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import polars as pl

from sessions_platform.transforms.enrich.tokens import REPETITION, is_read, tokens_of

# From texts to a frame with a row for each.
OfTexts = Callable[[pl.Series], pl.DataFrame]

# Texts; the values of fewer are computed sooner than patterns are turned into their uses.
WORTH_IT = 5_000

_DIGITS = "0123456789"
_MASK = b"\0"
_MASKED = bytes.maketrans(_DIGITS.encode(), _MASK * len(_DIGITS))
# Stands for a masked digit where uses are looked for: a digit that equals none which a pattern can ask for.
_ANY_DIGIT = "_"
_ANYTHING, _NOTHING = "(?:)", r"[^\s\S]"
_ASCII = "".join(map(chr, range(128)))
_BOUNDARIES = {r"\b": r"(?-u:\b)", r"\B": "", "^": "^", "$": "$"}


def once_for_all_digits(of_texts: OfTexts, any_use: Callable[[pl.Series], str]) -> OfTexts:
    """A function that gives what `of_texts` gives, sooner where there are many texts.

    Args:
        of_texts: what it gives for a text depends on nothing but which patterns match it, and on the texts that these
            match or capture.
        any_use: the `any_use_of` all these patterns; those may be left out that match none of some texts, whatever
            digits these have.
    """

    def of_all(texts: pl.Series) -> pl.DataFrame:
        rows, values = [], []
        left = texts.alias("text").to_frame().with_row_index("row")
        for masked in (_masked, _masked_after_comments):
            if left.height < WORTH_IT:
                break
            of_keys, places = _of_keys(of_texts, masked(left["text"]), any_use)
            rows.append(left["row"].filter(places.is_not_null()))
            values.append(of_keys.select(pl.all().gather(places.drop_nulls())))
            left = left.filter(places.is_null())
        if left.height or not values:
            rows.append(left["row"])
            values.append(of_texts(left["text"]))
        return pl.concat(values).select(pl.all().gather(pl.concat(rows).arg_sort()))

    return of_all


def _masked(texts: pl.Series) -> list[bytes | None]:
    """All digits of texts; of texts with other characters than ASCII or with the mask, None."""
    can_be = (texts.str.len_bytes() == texts.str.len_chars()) & ~texts.str.contains(_MASK.decode(), literal=True)
    plain = pl.select(pl.when(can_be).then(texts.cast(pl.Binary))).to_series().to_list()
    return [text and text.translate(_MASKED) for text in plain]


def _masked_after_comments(texts: pl.Series) -> list[bytes | None]:
    """Those digits that come after what stands in parentheses last, as the versions of browsers do."""

    def after_comments(masked: bytes | None, text: str) -> bytes | None:
        at = masked.rfind(b")") if masked else 0
        return masked and text[:at].encode() + masked[at:]

    return list(map(after_comments, _masked(texts), texts.to_list()))


def _of_keys(
    of_texts: OfTexts, keys: Sequence[bytes | None], any_use: Callable[[pl.Series], str]
) -> tuple[pl.DataFrame, pl.Series]:
    """The values of keys that several texts have, and the place of each text in them; null where they are not its."""
    numbers: dict[bytes | None, int] = {}
    places = pl.Series([numbers.setdefault(key, len(numbers)) for key in keys], dtype=pl.UInt32)
    masked = pl.Series([key if key is None else key.decode() for key in numbers], dtype=pl.String)
    is_shared = pl.Series(np.bincount(places.to_numpy(), minlength=len(masked)) > 1) & masked.is_not_null()
    shared = masked.filter(is_shared)
    values = of_texts(shared.str.replace_all(_MASK.decode(), "0", literal=True))
    is_told_apart = shared.str.replace_all(_MASK.decode(), _ANY_DIGIT, literal=True).str.contains(any_use(shared))
    has_digits = values.select(pl.any_horizontal(pl.col(pl.String).str.contains("0", literal=True).fill_null(False)))
    of_all_texts = ~(is_told_apart | has_digits.to_series())
    known = pl.repeat(None, len(masked), dtype=pl.UInt32, eager=True)
    known = known.scatter(is_shared.arg_true().filter(of_all_texts), of_all_texts.arg_true())
    return values, known.gather(places)


def any_use_of(patterns: Iterable[str]) -> str:
    """One pattern for the uses of some patterns, which are in Rust's syntax.

    Those that are looked for in lower case have to say so by `(?i:…)`.
    """
    found = sorted({use for pattern in patterns if (use := use_of(pattern))})
    return "|".join(f"(?:{use})" for use in found) or _NOTHING


def use_of(pattern: str) -> str:
    """A pattern of all that this one matches by telling a masked digit from others, of texts with `_ANY_DIGIT`.

    It is empty where this one tells none from others.
    """
    if not re.search("[0-9]", pattern):
        return ""
    tokens = tokens_of(pattern)
    if not is_read(tokens):
        return _ANYTHING
    _, use = _alternatives(iter(tokens))
    return use


# A pattern that matches at least what a part of the pattern does, and the part's use.
_Part = tuple[str, str]


def _alternatives(tokens: Iterator[str]) -> _Part:
    """The tokens up to the end of the group that they stand in."""
    branches: list[list[_Part]] = [[]]
    for token in tokens:
        branch = branches[-1]
        if token == ")":
            break
        if token == "|":
            branches.append([])
        elif token.startswith("("):
            start = "(?:" if token == "(" else token
            whole, use = _alternatives(tokens)
            branch.append((f"{start}{whole})", f"{start}{use})" if use else ""))
        elif REPETITION.match(token):
            whole, use = branch.pop()
            branch.append((f"{whole}*", f"{whole}*{use}{whole}*" if use else ""))
        else:
            branch.append(_atom(token))
    wholes, uses = zip(*map(_one_after_the_other, branches), strict=True)
    return "|".join(wholes), "|".join(filter(None, uses))


def _one_after_the_other(parts: Sequence[_Part]) -> _Part:
    """Of parts that follow each other: a digit is told from others by the first, or by one of those after it."""
    whole_after, use_after = "", ""
    for whole, use in reversed(parts):
        uses = [*([use + whole_after] if use else []), *([whole + use_after] if use_after else [])]
        use_after = f"(?:{'|'.join(uses)})" if len(uses) > 1 else "".join(uses)
        whole_after = whole + whole_after
    return whole_after, use_after


@cache
def _atom(token: str) -> _Part:
    """A single character, class or escape, or several letters."""
    if token in _BOUNDARIES or token[0].isalpha() or token[0] == " ":
        return _BOUNDARIES.get(token, token), ""
    matched = "".join(re.findall(token, _ASCII, re.ASCII))
    if not matched:
        return _NOTHING, ""
    digits = sum(sign in _DIGITS for sign in matched)
    if len(matched) == 1 and not digits:
        return re.escape(matched), ""
    if len(matched) > len(_ASCII) / 2:
        whole = r"[\x00-\x7f]"
    else:
        whole = f"[{re.escape(matched + (_ANY_DIGIT if digits else ''))}]"
    return whole.replace(_DIGITS, "0-9"), _ANY_DIGIT if 0 < digits < len(_DIGITS) else ""
