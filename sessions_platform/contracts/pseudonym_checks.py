"""Rules of the key `pseudonymize`: which columns may have a pseudonym, and that no other column gives it away.

They work on the file as YAML has read it, as those of ``stream_checks`` do. Not here: the values themselves
(``pseudonyms``).
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from sessions_platform.contracts.field_paths import (
    PathError,
    Step,
    alternatives,
    enters_value,
    field_of,
    names_of,
    reads_json,
    steps_of,
)
from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.pseudonyms import LEAST_KEY_CHARACTERS, Pseudonym

_KEY = "SESSIONS_PSEUDONYM_KEY"
# Session rules and reports go by the names of event types.
_IN_CLEAR = "event_type"


def pseudonym_issues(raw: Raw, key: str | None) -> Iterator[Issue]:
    """Every issue of `pseudonymize` that the key's own type does not show.

    Args:
        raw: the file as YAML has read it.
        key: of the keyed hashes, where there is one.
    """
    stated = raw.get("pseudonymize")
    columns = raw.get("columns")
    if not isinstance(stated, dict) or not isinstance(columns, dict):
        return
    for name, method in stated.items():
        yield from _column_issues(name, method, columns)
        yield from issues_in_clear(("pseudonymize", name), name, raw, stated)
    if Pseudonym.hmac in stated.values():
        yield from _key_issues(key)


def _column_issues(name: str, method: Any, columns: Raw) -> Iterator[Issue]:
    place, column = ("pseudonymize", name), columns.get(name)
    if name not in columns:
        yield Issue(place, f"there is no column {name!r}", f"name one of {', '.join(columns)}")
    elif name == _IN_CLEAR:
        yield Issue(place, "a session's primary action is found by it", "leave it in clear")
    elif name == "event_timestamp" or (isinstance(column, dict) and column.get("type", "string") != "string"):
        yield Issue(place, "it is no string", "name a column of type string")
    elif name == "user_id" and method == Pseudonym.truncate_ip:
        yield Issue(place, "all users of a network would be one", f"write {Pseudonym.hmac.value}")


def issues_in_clear(place: KeyPath, name: str, raw: Raw, stated: Collection[str]) -> Iterator[Issue]:
    """Where the value of a column would be stored all the same, beside its pseudonym or instead of nothing.

    Args:
        place: the key by which the value is not stored.
        name: of the column.
        raw: the stream's file as YAML has read it.
        stated: all columns whose values are not stored.
    """
    columns = mapping(raw, "columns")
    paths = _paths(name, columns.get(name))
    for other in columns:
        if other not in stated and (shared := _shared(paths, _paths(other, columns[other]))):
            reason = f"the column {other} has the same field {min(shared)!r} in clear"
            yield Issue(place, reason, f"pseudonymize {other}, too, or remove it")
    if raw.get("extra_columns", "keep") == "keep" and any(map(_enters_value, paths)):
        yield Issue(place, "the list or text that it is in stays in properties, in clear", "set extra_columns: drop")


def _key_issues(key: str | None) -> Iterator[Issue]:
    if key is None:
        yield Issue(("pseudonymize",), "hmac needs a key", f"set {_KEY} to a long random text, and keep it")
    elif len(key) < LEAST_KEY_CHARACTERS:
        reason = f"the key in {_KEY} is shorter than {LEAST_KEY_CHARACTERS} characters"
        yield Issue(("pseudonymize",), reason, "take a longer, random one")


def _paths(name: str, column: Any) -> list[str]:
    column = column if isinstance(column, dict) else {}
    stated = column.get("join") or column.get("from") or name
    paths = stated if isinstance(stated, list) else [stated]
    return [each for path in paths if isinstance(path, str) for each in alternatives(path)]


def _shared(paths: list[str], others: list[str]) -> set[str]:
    """The fields that both lead to, or whose lists they enter; and those that hold the JSON into which they lead."""
    return {field for field, _ in _fields(paths) & _fields(others)} | {
        container for container, within in _fields(paths) if within and (container, ()) in _fields(others)
    }


def _fields(paths: list[str]) -> set[tuple[str, tuple[Step, ...]]]:
    """The fields, each with the steps within the JSON that it holds. What is no path is reported elsewhere."""
    fields = set[tuple[str, tuple[Step, ...]]]()
    for path in paths:
        with suppress(PathError):
            within = steps_of(path)[len(names_of(path)) :] if reads_json(path) else ()
            fields.add((field_of(path), within))
    return fields


def _enters_value(path: str) -> bool:
    with suppress(PathError):
        return enters_value(path)
    return False
