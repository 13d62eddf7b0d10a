"""The columns of sessions: of the asset `sessionized_events`, and of the table `sessions`.

Not here: what opens and ends a session (``session_rule``), the algorithm (``transforms.sessionize``,
``transforms.summarize``), the rules of values (``schemas.sessions``), and the SQL types of the columns
(``storage.warehouses``).
"""

from enum import StrEnum

import polars as pl

from sessions_platform.contracts.column_types import (
    OWN_USER_ID,
    SESSION_TYPES,
    SESSIONIZED_TYPES,
    TOOL_SESSION_ID,
    WAREHOUSE_TYPES,
    session_types,
)
from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.polars_types import dtypes
from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.contracts.stream import Stream


class Boundary(StrEnum):
    """Why an event opens a session: the first of these that applies."""

    tool = "tool"  # the first event with this id of the tool, within its time
    inactivity = "inactivity"  # no event of the user within the gap before it
    midnight = "midnight"
    campaign = "campaign"
    cut_on = "cut_on"
    max_length = "max_length"


SESSIONIZED = dtypes(SESSIONIZED_TYPES)
SESSIONS = dtypes(SESSION_TYPES)  # without the stream's own columns
ADDED_BY_WAREHOUSE = dtypes(WAREHOUSE_TYPES)


def cut_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of an event that is to be cut into sessions: with its own user where sessions are a person's."""
    return {**event_columns(stream), **({OWN_USER_ID: pl.String()} if stream.persons else {})}


def sessionized_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of the asset sessionized_events: ``cut_columns``, then `SESSIONIZED`."""
    return {**cut_columns(stream), **SESSIONIZED}


def session_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of a session, in order: the general ones, with those that the stream defines before the last two."""
    return dtypes(session_types(stream))


def owner_columns(rule: SessionRule) -> list[str]:
    """The columns of a session that say whose it is: of one owner only the last session may be continued."""
    return ["user_id", TOOL_SESSION_ID] if rule.id else ["user_id"]
