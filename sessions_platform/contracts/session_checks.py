"""Rules that relate the keys of a session rule (`id`, `passive`, what a session led to) to the file's columns.

They work on the file as YAML has read it, as those of ``stream_checks`` do. Not here: what the keys mean
(``session_rule``).
"""

from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.column_types import SESSION_TYPES, TOOL_SESSION_ID, WAREHOUSE_TYPES
from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.session_outcomes import conversion_columns, listed, outcome_types

_OF_IDS = ("string", "integer")


def session_issues(session: Raw, columns: Raw) -> Iterator[Issue]:
    """Issues of the tool's id, of passive event types, and of what sessions led to.

    Args:
        session: the key `session`.
        columns: the stream's columns by name, each as YAML has read it.
    """
    yield from _id_issues(session, columns)
    allowed = mapping(columns, "event_type").get("isin")
    yield from _passive_issues(session.get("passive"), allowed)
    yield from _event_type_issues(session, allowed)
    yield from _name_issues(session)
    yield from _value_issues(mapping(session, "conversions"), columns)


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


def _event_type_issues(session: Raw, allowed: Any) -> Iterator[Issue]:
    """Event types that are named where a session's views, pings and conversions are, and never occur."""
    conversions = mapping(session, "conversions")
    named: dict[KeyPath, Any] = {
        ("session", "views"): session.get("views"),
        ("session", "engaged", "pings"): mapping(session, "engaged").get("pings"),
        **{
            ("session", "conversions", name): mapping(conversions, name).get("event_type") or name
            for name in conversions
        },
    }
    for key_path, kinds in named.items():
        stated = listed(kinds) if kinds is not None and isinstance(allowed, list) else []
        for kind in (kind for kind in stated if kind not in allowed):
            reason = f"event_type is never {kind!r}, for isin does not list it"
            yield Issue(key_path, reason, "correct it, or add it there")


def _name_issues(session: Raw) -> Iterator[Issue]:
    """Columns that a session has twice."""
    own, conversions = mapping(session, "columns"), mapping(session, "conversions")
    for name, added in conversion_columns(map(str, conversions)).items():
        for column in (column for column in added if column in {*own, *SESSION_TYPES, *WAREHOUSE_TYPES}):
            reason = f"it adds the column {column}, which the sessions table has already"
            yield Issue(("session", "conversions", name), reason, "choose another name")
    asked = outcome_types(engaged=session.get("engaged") is not None, bounce=session.get("bounce") is not None)
    for name in (name for name in asked if name in own):
        yield Issue(("session", "columns", name), "the sessions table has a column of that name", "choose another name")


def _value_issues(conversions: Raw, columns: Raw) -> Iterator[Issue]:
    for name in conversions:
        value = mapping(conversions, name).get("value")
        if not isinstance(value, str):
            continue
        key_path = ("session", "conversions", name, "value")
        if value not in columns:
            yield Issue(key_path, f"there is no column {value!r}", f"name one of {', '.join(columns)}")
        elif mapping(columns, value).get("type", "string") not in ("integer", "float"):
            yield Issue(key_path, f"{value} is not a number", "name a column of type integer or float")
