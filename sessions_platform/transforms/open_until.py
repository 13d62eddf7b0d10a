"""Until when a user's last session may still be continued.

A session is open while the stream's newest event is not later than the session's end plus the gap: until then an
event may arrive that continues it. (Where silences are measured in a larger unit than microseconds, the end is
floored to it first, and the whole unit at the end of the gap counts.) Only a user's last session can be open; with the
tool's own session id, the last one of each user and id, for as long as `id_within`. So the warehouse stores
`open_until`, that moment, for each owner's last session, and compares it with the newest event when it is queried; for
all other sessions it is null.

The last session of an owner (a user, or a user and an id) is the one with the latest start, and of several with that
start the ones with the latest end. The rule is here for the sessions of one frame; where those of other frames and
partitions matter, whoever loads them applies it again (`storage/warehouses/postgres/open_until.py`).
"""

import polars as pl

from sessions_platform.contracts.column_types import TOOL_SESSION_ID
from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.contracts.sessions import owner_columns


def starts_last(sessions: pl.DataFrame, rule: SessionRule) -> pl.Series:
    """Whether no other session of the frame with the same owner starts later.

    Args:
        sessions: ``owner_columns`` and session_start (Datetime, us, UTC); in any order.
        rule: the stream's session rule.

    Returns:
        A Boolean for each row, in the order of the rows. Several rows of an owner have True if they start together.
    """
    start = pl.col("session_start")
    return sessions.select(start == start.max().over(owner_columns(rule))).to_series()


def with_open_until(sessions: pl.DataFrame, is_last: pl.Series, rule: SessionRule) -> pl.DataFrame:
    """Add the column `open_until`.

    Args:
        sessions: session_end (Datetime, us, UTC), and ``owner_columns``.
        is_last: for each row whether it is its user's last session.
        rule: the stream's session rule.

    Returns:
        The same rows with `open_until` (Datetime, us, UTC), null where not `is_last`.
    """
    end = pl.col("session_end")
    begin = end if rule.silence_begins == "us" else end.dt.truncate(f"1{rule.silence_begins}")
    until = begin + rule.open_for
    if rule.id:
        until = pl.when(pl.col(TOOL_SESSION_ID).is_null()).then(until).otherwise(end + rule.id_within)
    return sessions.with_columns(open_until=pl.when(is_last).then(until))
