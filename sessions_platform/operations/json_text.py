"""JSON and other text that every parser takes and no terminal obeys.

Not here: which documents there are, which the functions that return them say.
"""

import json
import math
import re
from typing import Any

# Control characters move the cursor or change the terminal, and direction marks change what is read.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with characters that a terminal would obey written as escapes, as in `\\x1b`; lines and tabs stay."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    """JSON whose texts have such characters as JSON's own escapes, so that it means the same."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_of(document: Any) -> str:
    """One line of JSON. What JSON has no number for is a text, as PostgreSQL's to_json has it: "NaN", "Infinity"."""
    return printable_json(json.dumps(_without_nan(document), default=str, ensure_ascii=False, allow_nan=False))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value
