"""The columns of a stream for the fields that no role has: their names, types and formats.

Here: what a column of a field is called and how its values are read. Not here: the user, the time and the type
(`roles`), and how columns are written down (`stream_text`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sessions_platform.contracts.stream_checks import RESERVED
from sessions_platform.operations.inference.fields import Field
from sessions_platform.operations.inference.times import TimeGuess

MOST_COLUMNS = 40
_LONGEST_NAME = 48
_INTEGER = re.compile(r"^-?(?:0|[1-9]\d{0,17})$")
_FLOAT = re.compile(r"^-?(?:0|[1-9]\d{0,14})(?:\.\d+)?(?:[eE][+-]?\d+)?$")
_TRUTH = re.compile(r"^(?:true|false)$", re.IGNORECASE)
_KNOWN = {"event_id", "user_id", "event_timestamp", "event_type", "page_url"}


def other_columns(
    fields: Sequence[Field], used: set[str], times: Mapping[str, TimeGuess], *, timezone_is_needed: bool = False
) -> dict[str, dict[str, Any]]:
    """A column for each field that no role has, all of them nullable; fields beyond a number are left to `properties`.

    Args:
        fields: without the words that mean null.
        used: the paths that roles have.
        times: how fields are times, by path.
        timezone_is_needed: as of ORC, whose times state none.

    Returns:
        The keys of each column, by its name.
    """
    columns: dict[str, dict[str, Any]] = {}
    for each in fields:
        if each.path in used or not each.texts or len(columns) == MOST_COLUMNS:
            continue
        name = _free_name(each, columns)
        column: dict[str, Any] = {} if each.path == name else {"from": each.path}
        column |= _typed(each, times.get(each.path), timezone_is_needed=timezone_is_needed)
        columns[name] = {**column, **trimmed(each), "nullable": True}
    return columns


def trimmed(each: Field) -> dict[str, Any]:
    """`trim` where values have blanks around them."""
    return {"trim": True} if any(text != text.strip() for text in list(each.counts)[:1000]) else {}


def _typed(each: Field, time: TimeGuess | None, *, timezone_is_needed: bool) -> dict[str, Any]:
    if time and time.share == 1:
        zone = {"timezone": "UTC"} if timezone_is_needed else {}
        return {"type": "timestamp", "formats": list(time.formats), **zone}
    kind = _type_of(each)
    return {} if kind == "string" else {"type": kind}


def _type_of(each: Field) -> str:
    texts = [text.strip() for text in each.counts]
    if set(each.kinds) == {"boolean"} or all(map(_TRUTH.match, texts)):
        return "boolean"
    if all(map(_INTEGER.match, texts)):
        return "integer"
    return "float" if all(map(_FLOAT.match, texts)) else "string"


def _free_name(each: Field, taken: Mapping[str, Any]) -> str:
    """A name of a column by that of the field, or by its whole path where that is taken."""
    whole = each.path.replace('"', "")
    names = (column_name(each.name), column_name(whole), *(column_name(f"{whole}_{n}") for n in range(2, 1000)))
    return next(name for name in names if name not in taken)


def column_name(text: str) -> str:
    """A text as a column's name: lower-case letters, digits and underscores, and none of the platform's own names."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^a-z0-9]+", "_", spelled.lower()).strip("_")
    name = name if name[:1].isalpha() else f"field_{name}".strip("_")
    name = name[: _LONGEST_NAME - 6].strip("_")
    return f"{name}_field" if name in RESERVED or name in _KNOWN else name
