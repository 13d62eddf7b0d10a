"""Text that PostgreSQL can't store: U+0000, and halves of characters that JSON can spell.

Here: how it is found in payloads and values. Not here: the rows that are rejected for it (``row_parser``).
"""

import re
from collections.abc import Iterator
from typing import Any

from sessions_platform.sources.formats.json_objects import ESCAPED_UNSTORABLE

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def may_contain_unstorable(payload: bytes) -> bool:
    """Whether text of a payload may be one that can't be stored."""
    return b"\0" in payload or (b"\\u" in payload and ESCAPED_UNSTORABLE.search(payload) is not None)


def broken_text_rule(text: str) -> str | None:
    """The rule that a text breaks, if it can't be stored."""
    match = _UNSTORABLE.search(text)
    if match is None:
        return None
    return "holds U+0000" if match[0] == "\0" else f"holds half of a character, U+{ord(match[0]):X}"


def texts_in(value: Any) -> Iterator[str]:
    """All text of a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from texts_in(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
