"""Find the value at a path in the fields of one row, and the text of a scalar.

It is done in both parsers: by ``row_parser`` with the values of a row, by ``vectorized`` with the slots of a template.
Not here: the grammar of paths (``contracts.field_paths``), and what becomes of a value that is no scalar
(``row_parser``).
"""

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any

import msgspec

from sessions_platform.contracts.columns import ENVELOPE
from sessions_platform.contracts.field_paths import Match, Parsed, Step, steps_of
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.sources.formats.base import Fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.json_objects import json_value, spelling
from sessions_platform.transforms.parse.decoding import Undecodable


def value_at(fields: Fields, path: str, steps: Sequence[Step]) -> Any:
    """The value at a path, None where there is none. A key that is the path itself takes precedence.

    Args:
        fields: of one row.
        path: as in the stream's file, such as "user.id".
        steps: its steps (``field_paths.steps_of``).
    """
    if path in fields:
        return fields[path]
    value: Any = fields
    for step in steps:
        if type(value) is Undecodable:
            return value
        if step is Parsed.json:
            value = _parsed(value, path)
        elif not isinstance(step, str):
            value = _item(value, step)
        elif type(value) is dict:
            value = value.get(step)
        else:
            return None
    return value


def _parsed(value: Any, path: str) -> Any:
    """The JSON that a text holds; null where it is blank. What is no text is taken for what the text would hold."""
    if type(value) is not str:
        return value
    if not value.strip():
        return None
    try:
        return json_value(value.encode())
    except (MalformedError, UnicodeEncodeError) as broken:
        return Undecodable(value, f"text that holds JSON (from {path}); it {broken}", Code.wrong_type)


def _item(items: Any, step: int | Match) -> Any:
    """The item of a list that a step selects; None if there is none, or it is no list."""
    if type(items) is not list:
        return None
    if isinstance(step, Match):
        return next((item for item in items if type(item) is dict and _has(item, step)), None)
    return items[step] if -len(items) <= step < len(items) else None


def _has(item: Fields, match: Match) -> bool:
    value = item.get(match.key)
    return value is not None and TEXT_OF[type(value)](value) == match.value


def envelope_text(envelope: Fields, path: str) -> Any:
    """The text of a scalar at a path such as "^sent.at"; what is no scalar as it is.

    Args:
        envelope: the fields of a row's envelope.
    """
    path = path.removeprefix(ENVELOPE)
    value = value_at(envelope, path, steps_of(path))
    return value if isinstance(value, dict | list | Undecodable) else TEXT_OF[type(value)](value)


TEXT_OF: dict[type, Callable[[Any], Any]] = {
    str: lambda text: text,
    bool: lambda truth: "true" if truth else "false",
    int: str,
    float: repr,
    msgspec.Raw: spelling,
    NoneType: lambda _: None,
    Undecodable: lambda _: None,
    dict: lambda _: None,
    list: lambda _: None,
}
