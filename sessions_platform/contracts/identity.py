"""Which anonymous ids belong to which users, as the key `identity` of a stream's file states it.

Here: the two columns, how many users an anonymous id may have, and the rules that relate the key to the columns. Not
here: the links that events show (``transforms.identity_links``), and the rule by which an anonymous id gets its user
(``storage.warehouses.postgres.identity_views``).
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from sessions_platform.contracts.column_types import OWN_USER_ID
from sessions_platform.contracts.issues import Issue, Raw, mapping
from sessions_platform.contracts.model import Model

_KEYS = ("anonymous_id", "user_id")
# What the view `sessions_of_people` adds to a session.
PERSON = "person_id"


class Identity(Model):
    """The columns by which an event says that an anonymous id is a known user's."""

    anonymous_id: str = Field(description="The column with the id that a visitor has before a log in, as of a device.")
    user_id: str = Field(description="The column with the id of a known user.")
    shared_above: int = Field(
        1, ge=1, description="An anonymous id that was seen with more users than this belongs to none of them."
    )


def identity_issues(raw: Raw) -> Iterator[Issue]:
    """Both columns are there and are text, differ, and are stored in the same spelling as the users of sessions.

    Args:
        raw: the file as YAML has read it. Values that are invalid on their own are skipped.
    """
    identity, columns = mapping(raw, "identity"), mapping(raw, "columns")
    named = {key: name for key in _KEYS if isinstance(name := identity.get(key), str)}
    for key, name in named.items():
        if name not in columns:
            yield Issue(("identity", key), f"there is no column {name!r}", f"name one of {', '.join(columns)}")
        elif (kind := _kind(name, mapping(columns, name))) != "string":
            yield Issue(("identity", key), f"{name} is a {kind}", "name a column of type string")
    if len(named) == len(_KEYS) and len(set(named.values())) == 1:
        yield Issue(("identity", "user_id"), "both ids are the same column", "name the column of the known user")
    yield from _person_issues(raw, identity, columns)
    if named:
        yield from _pseudonym_issues(mapping(raw, "pseudonymize"), named)
        yield from _name_issues(mapping(mapping(raw, "session"), "columns"))


def _person_issues(raw: Raw, identity: Raw, columns: Raw) -> Iterator[Issue]:
    """Sessions by person need links, and a column for the user that an event had of its own."""
    if mapping(raw, "session").get("by") != "person":
        return
    if not identity:
        fix = "add identity: {anonymous_id: …, user_id: …}, or remove it"
        yield Issue(("session", "by"), "nothing says whose an anonymous id is", fix)
    if OWN_USER_ID in columns:
        reason = "sessionized events have a column of that name where sessions are a person's"
        yield Issue(("columns", OWN_USER_ID), reason, "choose another name")


def _kind(name: str, column: Raw) -> Any:
    return "timestamp" if name == "event_timestamp" else column.get("type", "string")


def _pseudonym_issues(methods: Raw, named: dict[str, str]) -> Iterator[Issue]:
    """A session's user is found among the anonymous ids, so that all three have to be spelled alike."""
    of_sessions = methods.get("user_id")
    for key, name in named.items():
        if methods.get(name) != of_sessions:
            fix = f"pseudonymize {name} as user_id is, or neither"
            yield Issue(("identity", key), f"{name} and user_id are stored in different spellings", fix)


def _name_issues(own: dict[str, Any]) -> Iterator[Issue]:
    if PERSON in own:
        reason = "the view sessions_of_people has a column of that name"
        yield Issue(("session", "columns", PERSON), reason, "choose another name")
