"""A problem of a stream's file that the rules about several keys find (``stream_checks``, ``row_checks``).

Not here: how it becomes a line with file, line, key, reason and fix (``stream_file``).
"""

from typing import Any, NamedTuple

KeyPath = tuple[str, ...]
Raw = dict[str, Any]


class Issue(NamedTuple):
    """What is wrong with the value of a key. Reason and fix are clauses without a full stop."""

    key_path: KeyPath
    reason: str
    fix: str


def mapping(raw: Raw, key: str) -> Raw:
    """The value of a key where it is a mapping, else an empty one: the models report it then."""
    value = raw.get(key)
    return value if isinstance(value, dict) else {}
