"""Rules of the key `pseudonymize`: which columns may have a pseudonym, and that no other column gives it away.

They work on the file as YAML has read it, as those of ``stream_checks`` do. Not here: the values themselves
(``pseudonyms``).
"""

from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.issues import Issue, Raw
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
        yield from _column_issues(name, method, columns, stated)
    if Pseudonym.hmac in stated.values():
        yield from _key_issues(key)


def _column_issues(name: str, method: Any, columns: Raw, stated: Raw) -> Iterator[Issue]:
    place = ("pseudonymize", name)
    column = columns.get(name, {}) or {}
    if name not in columns:
        yield Issue(place, f"there is no column {name!r}", f"name one of {', '.join(columns)}")
    elif name == _IN_CLEAR:
        yield Issue(place, "a session's primary action is found by it", "leave it in clear")
    elif name == "event_timestamp" or (isinstance(column, dict) and column.get("type", "string") != "string"):
        yield Issue(place, "it is no string", "name a column of type string")
    elif name == "user_id" and method == Pseudonym.truncate_ip:
        yield Issue(place, "all users of a network would be one", f"write {Pseudonym.hmac.value}")
    else:
        for other in columns:
            if other not in stated and (shared := _fields(name, column) & _fields(other, columns[other])):
                reason = f"the column {other} has the same field {min(shared)!r} in clear"
                yield Issue(place, reason, f"pseudonymize {other}, too, or remove it")


def _key_issues(key: str | None) -> Iterator[Issue]:
    if key is None:
        yield Issue(("pseudonymize",), "hmac needs a key", f"set {_KEY} to a long random text, and keep it")
    elif len(key) < LEAST_KEY_CHARACTERS:
        reason = f"the key in {_KEY} is shorter than {LEAST_KEY_CHARACTERS} characters"
        yield Issue(("pseudonymize",), reason, "take a longer, random one")


def _fields(name: str, column: Any) -> set[str]:
    column = column if isinstance(column, dict) else {}
    stated = column.get("join") or column.get("from") or name
    return {stated} if isinstance(stated, str) else {field for field in stated if isinstance(field, str)}
