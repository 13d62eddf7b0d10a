"""Until when a user's last session may still be continued.

A session is open while the stream's newest event is not later than the session's end plus the gap: until then an
event may arrive that continues it. (Where silences are measured in a larger unit than microseconds, the end is
floored to it first, and the whole unit at the end of the gap counts.) Only a user's last session can be open. So the
warehouse stores `open_until`, that moment, for each user's last session, and compares it with the newest event when
it is queried; for all other sessions it is null.

The last session of a user is the one with the latest start, and of several with that start the ones with the latest
end. The rule is here for the sessions of one frame; where those of other frames and partitions matter, whoever loads
them applies it again (`storage/warehouses/postgres/open_until.py`).
"""

import polars as pl

from sessions_platform.contracts.session_rule import SessionRule


def starts_last(sessions: pl.DataFrame) -> pl.Series:
    """Whether no other session of the frame with the same user starts later.

    Args:
        sessions: user_id (String) and session_start (Datetime, us, UTC), none null; in any order.

    Returns:
        A Boolean for each row, in the order of the rows. Several rows of a user have True if they start together.
    """
    start = pl.col("session_start")
    return sessions.select(start == start.max().over("user_id")).to_series()


def with_open_until(sessions: pl.DataFrame, is_last: pl.Series, rule: SessionRule) -> pl.DataFrame:
    """Add the column `open_until`.

    Args:
        sessions: session_end (Datetime, us, UTC).
        is_last: for each row whether it is its user's last session.
        rule: the stream's session rule.

    Returns:
        The same rows with `open_until` (Datetime, us, UTC), null where not `is_last`.
    """
    end = pl.col("session_end")
    begin = end if rule.silence_begins == "us" else end.dt.truncate(f"1{rule.silence_begins}")
    return sessions.with_columns(open_until=pl.when(is_last).then(begin + rule.open_for))
