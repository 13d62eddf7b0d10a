"""The sessions that a tool made, beside those that the rule would make of the same events.

Here: which of them are equal, for the events of one frame. Not here: what is shown of it, and when
(``pipeline.tool_sessions``), and the rule itself (``transforms.sessionize``).
"""

from typing import NamedTuple

import polars as pl

from sessions_platform.contracts.sessions import cut_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.sort_events import IDENTITY


class Compared(NamedTuple):
    """How many sessions there are by the tool's ids (and by the rule where there is none), and by the rule alone.

    `equal` are those with the same events in both. `different` has a row for each session of the tool's that is not:
    session_id, tool_session_id, session_start, events (Int64), rule_sessions (Int64: of how many sessions by the rule
    its events are) and shared_with (Int64: how many other sessions of the tool's those have events of).
    """

    by_tool: int
    by_rule: int
    equal: int
    different: pl.DataFrame


def compare_with_rule(sessionized: pl.DataFrame, stream: Stream) -> Compared:
    """Compare the sessions of a stream that takes them from a tool with those of its rule without the tool's ids.

    Args:
        sessionized: the columns ``sessionized_columns``; all events of the users, as far as they are compared.
        stream: its session rule names an id.
    """
    tool_id = stream.session.id or ""
    by_rule_alone = stream.model_copy(update={"session": stream.session.model_copy(update={"id": None})})
    ruled = sessionize(sessionized.select(*cut_columns(stream)), by_rule_alone)
    events = sessionized.filter(pl.col("session_id").is_not_null())
    events = events.join(ruled.select(*IDENTITY, _rule="session_id"), on=IDENTITY)
    named = events.select("session_id", "_rule", "event_timestamp", tool_session_id=pl.col(tool_id))
    pairs = named.group_by("session_id", "_rule").agg(
        pl.first("tool_session_id"), pl.min("event_timestamp").alias("session_start"), shared=pl.len().cast(pl.Int64)
    )
    others = pl.col("session_id").n_unique().over("_rule").cast(pl.Int64) - 1
    pairs = pairs.with_columns(_others=others).sort("session_start", "session_id")
    sessions = pairs.group_by("session_id", maintain_order=True).agg(
        pl.first("tool_session_id"),
        pl.min("session_start"),
        events=pl.sum("shared"),
        rule_sessions=pl.len().cast(pl.Int64),
        shared_with=pl.max("_others"),
    )
    is_equal = (pl.col("rule_sessions") == 1) & (pl.col("shared_with") == 0)
    different = sessions.filter(~is_equal)
    return Compared(sessions.height, pairs["_rule"].n_unique(), sessions.height - different.height, different)
