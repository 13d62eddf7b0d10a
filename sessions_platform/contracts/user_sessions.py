"""What of a session takes its user's whole past: the key `user_sessions` of a stream's file.

A session is new or not, and came by a channel that was not direct some sessions ago, only by what the user did before;
so none of this is a column of `sessions`, and a session's identity does not depend on it. Not here: the view that has
it (``storage.warehouses.postgres.user_sessions``).
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sessions_platform.contracts.issues import Issue, Raw, mapping
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.session_outcomes import listed
from sessions_platform.contracts.values import PositiveDuration

_COLUMNS = {
    "session_id": "As in `sessions`.",
    "user_id": "Whose session it is.",
    "session_start": "When it began.",
    "session_partition": "The partition that it started in.",
    "session_number": "Which one of its user's sessions it is, from 1, by their starts.",
    "is_new": "Whether it is its user's first session.",
    "days_since_last": "How many midnights of the session timezone passed since the user's session before began.",
}
_TOUCH_COLUMNS = {
    "first_touch": "The touch of its user's first session, up to this one, that has one.",
    "last_non_direct_touch": "The touch of the last session up to this one that is not direct; without one, its own.",
    "last_non_direct_session_id": "From which session `last_non_direct_touch` is; null where it is the session's own "
    "for want of another.",
}
_GENERAL_TEXTS = ("entry_page", "exit_page", "primary_action")
_COUNTS = ("count", "count_distinct")


class UserSessions(Model):
    """What the view `user_sessions` has."""

    touch: str | None = Field(
        None, description="A session column of text, such as its channel: the view has the first and the last one, too."
    )
    direct: Annotated[
        list[str],
        BeforeValidator(listed, json_schema_input_type=str | list[str]),
        Field(min_length=1, description="Values of it that are no touch where a user came by another one before."),
    ] = Field(default_factory=lambda: ["Direct"], json_schema_extra={"default": ["Direct"]})
    lookback: PositiveDuration | None = Field(
        None, description="How long ago the last touch may be; as long as there are sessions where not stated."
    )


def view_columns(rule: UserSessions) -> dict[str, str]:
    """The columns of the view, in order, with what each means."""
    return {**_COLUMNS, **(_TOUCH_COLUMNS if rule.touch else {})}


def user_sessions_issues(user_sessions: Any, session: Raw, columns: Raw) -> Iterator[Issue]:
    """Issues between what touches are and the columns of sessions.

    Args:
        user_sessions: the key, as YAML has read it.
        session: the key `session`.
        columns: the columns of events by name, each as YAML has read it.
    """
    if not isinstance(user_sessions, dict):
        return
    touch, own = user_sessions.get("touch"), mapping(session, "columns")
    stated = [key for key in ("direct", "lookback") if user_sessions.get(key) is not None]
    if touch is None and stated:
        reason = f"{stated[0]} says which touches count, and no column has them"
        yield Issue(("user_sessions", stated[0]), reason, "add touch: with a session column, or remove it")
    if not isinstance(touch, str) or touch in _GENERAL_TEXTS:
        return
    key_path = ("user_sessions", "touch")
    if touch not in own:
        names = ", ".join([*own, *_GENERAL_TEXTS])
        fix = f"name one of {names}; a channel is a column such as session.columns: {{channel: {{first: channel}}}}"
        yield Issue(key_path, f"sessions have no column {touch!r}", fix)
    elif not _is_text(own[touch], columns):
        yield Issue(key_path, f"the session column {touch} is no text", "name a column of text")


def _is_text(aggregate: Any, columns: Raw) -> bool:
    """Whether a session column is text; one that is broken counts as one, for that is reported by itself."""
    if not isinstance(aggregate, dict):
        return True
    of = {function: column for function, column in aggregate.items() if function != "where"}
    return not any(
        function in _COUNTS
        or (isinstance(column, str) and mapping(columns, column).get("type", "string") != "string")
        or column == "event_timestamp"
        for function, column in of.items()
    )
