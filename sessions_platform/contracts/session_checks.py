"""Rules that relate the keys `id` and `passive` of a session rule to the columns of the stream's file.

They work on the file as YAML has read it, as those of ``stream_checks`` do. Not here: what the keys mean
(``session_rule``).
"""

from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.column_types import TOOL_SESSION_ID
from sessions_platform.contracts.issues import Issue, Raw, mapping

_OF_IDS = ("string", "integer")


def session_issues(session: Raw, columns: Raw) -> Iterator[Issue]:
    """Issues of the tool's id and of passive event types.

    Args:
        session: the key `session`.
        columns: the stream's columns by name, each as YAML has read it.
    """
    yield from _id_issues(session, columns)
    yield from _passive_issues(session.get("passive"), mapping(columns, "event_type").get("isin"))


def _id_issues(session: Raw, columns: Raw) -> Iterator[Issue]:
    name = session.get("id")
    if name is None and session.get("id_within") is not None:
        reason = "it is how long an id may be silent, and the rule names no id"
        yield Issue(("session", "id_within"), reason, "add id, or remove it")
    if not isinstance(name, str):
        return
    kind = mapping(columns, name).get("type", "string")
    if name not in columns:
        yield Issue(("session", "id"), f"there is no column {name!r}", f"name one of {', '.join(columns)}")
    elif name in ("user_id", "event_timestamp", "event_type"):
        reason, fix = f"{name} is no session's id", "name the column that has the tool's own id"
        yield Issue(("session", "id"), reason, fix)
    elif kind not in _OF_IDS:
        fix = f"name a column of type {' or '.join(_OF_IDS)}"
        yield Issue(("session", "id"), f"{name} is no id, but a {kind}", fix)
    if TOOL_SESSION_ID in mapping(session, "columns"):
        reason = "the sessions table has a column of that name, with the tool's id"
        yield Issue(("session", "columns", TOOL_SESSION_ID), reason, "choose another name")


def _passive_issues(passive: Any, allowed: Any) -> Iterator[Issue]:
    if not isinstance(passive, list) or not isinstance(allowed, list):
        return
    unknown = [kind for kind in passive if kind not in allowed]
    if unknown:
        reason, fix = f"event_type is never {unknown[0]!r}, for isin does not list it", "correct it, or add it there"
        yield Issue(("session", "passive"), reason, fix)
    elif not set(map(str, allowed)) - set(map(str, passive)):
        yield Issue(("session", "passive"), "no event could open a session", "leave an event type of isin out")
