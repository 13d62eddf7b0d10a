"""Leave out patterns that can't match any of some texts, before they are compiled.

To compile the hundreds of rules for user agents takes a tenth of a second, and a run needs few of them. A pattern's
*literals* are texts of which each text that it matches has at least one. They are letters and spaces alone, so that
digits may be masked. Not here: what patterns match (``user_agent``).
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import polars as pl

from sessions_platform.transforms.enrich.tokens import REPETITION, is_read, tokens_of

# Of more texts all patterns are taken: to look for literals takes longer than to compile.
MOST_TEXTS = 10_000

# None where a pattern needs no literal.
_Literals = frozenset[str] | None


class Literals:
    """Those of some patterns, which are in Rust's syntax."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._of_each = [literals_of(pattern) for pattern in patterns]
        every = sorted(frozenset[str]().union(*filter(None, self._of_each)))
        self._every = pl.Series(every, dtype=pl.String).implode()

    def possible(self, texts: pl.Series) -> frozenset[int]:
        """The places of all patterns that match one of the texts, and of others that may."""
        if len(texts) > MOST_TEXTS:
            return frozenset(range(len(self._of_each)))
        found = texts.str.extract_many(self._every, overlapping=True).explode().unique().to_list()
        return frozenset(
            at for at, literals in enumerate(self._of_each) if literals is None or not literals.isdisjoint(found)
        )


@cache
def literals_of(pattern: str) -> _Literals:
    """Of these each text that the pattern matches has one; None where no such are known."""
    tokens = tokens_of(pattern)
    return _of_alternatives(iter(tokens)) if is_read(tokens) and "(?i" not in pattern else None


def _of_alternatives(tokens: Iterator[str]) -> _Literals:
    """The tokens up to the end of the group that they stand in."""
    branches: list[list[_Literals]] = [[]]
    for token in tokens:
        branch = branches[-1]
        if token == ")":
            break
        if token == "|":
            branches.append([])
        elif token.startswith("("):
            branch.append(_of_alternatives(tokens))
        elif REPETITION.match(token):
            branch.pop()
            branch.append(None)
        else:
            branch.append(frozenset([token]) if re.match("[A-Za-z ]", token) else None)
    of_branches = [max(branch, key=_least_length, default=None) for branch in branches]
    known = [literals for literals in of_branches if literals is not None]
    return frozenset[str]().union(*known) if len(known) == len(branches) else None


def _least_length(literals: _Literals) -> int:
    """The longer they are the fewer texts have them."""
    return min(map(len, literals)) if literals else 0
