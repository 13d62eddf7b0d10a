"""Divide patterns in the syntax of Rust's regex, which polars and uap-core's rules have, into tokens.

Not here: what is found out of them (``digits``, ``literals``).
"""

import re
from collections.abc import Iterable

# Letters and spaces that nothing repeats, escapes, classes, beginnings of groups, repetitions, all other characters.
_TOKEN = re.compile(
    r"[A-Za-z ]+(?![A-Za-z *+?{])|\\.|\[\^?(?:\\.|[^\]\\\[])+\]|\(\?[A-Za-z]*:?|[*+?]\??|\{\d+(?:,\d*)?\}\??|.",
    re.DOTALL,
)
REPETITION = re.compile(r"[*+?]|\{\d")
# What is not read: groups of other kinds, other escapes of letters and numbers, classes within classes.
_UNREAD = re.compile(r"\(\?(?!i?:$).*|\\[^dDwWsSbB\W]|\[(?:.*(?:&&|--|~~|\|\|).*)?|\{", re.DOTALL)


def tokens_of(pattern: str) -> list[str]:
    return _TOKEN.findall(pattern)


def is_read(tokens: Iterable[str]) -> bool:
    """Whether these are all tokens whose meaning is known here."""
    return not any(map(_UNREAD.fullmatch, tokens))
