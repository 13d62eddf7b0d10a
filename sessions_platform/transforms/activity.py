"""Activity chains: whose events form them, which events count, and how long each may be silent.

Here: the expressions by which ``transforms.sessionize``, ``engines`` and ``pipeline.invalidation`` find out how far
they have to read. A chain has one *key*: the user, and where the rule names the tool's own session id, the user and
that id (null is a key, too: its events are cut by the rule). Chains of several keys of one user may interleave. Passive
events form no chains, so that they keep none alive. Not here: how chains are cut into sessions.
"""

from datetime import datetime

import polars as pl

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.contracts.stream import Stream

_TIME = "event_timestamp"


def key_columns(rule: SessionRule) -> list[str]:
    """The event columns that tell whose chain an event is in."""
    return ["user_id", rule.id] if rule.id else ["user_id"]


def point_columns(stream: Stream) -> dict[str, pl.DataType]:
    """What chains are found by: user_id and event_timestamp, and what the rule looks at besides."""
    rule, columns = stream.session, event_columns(stream)
    names = ["user_id", _TIME, *(["event_type"] if rule.passive else []), *([rule.id] if rule.id else [])]
    return {name: columns[name] for name in names}


def is_active(rule: SessionRule) -> pl.Expr:
    """Whether an event may open and extend sessions."""
    return ~pl.col("event_type").is_in(rule.passive) if rule.passive else pl.lit(value=True)


def is_by_rule(rule: SessionRule) -> pl.Expr:
    """Whether an event's session is decided by the rule, because it has no id of the tool."""
    return pl.col(rule.id).is_null() if rule.id else pl.lit(value=True)


def has_same_key(rule: SessionRule) -> pl.Expr:
    """Whether the event before has the same key; null for the first event."""
    same = pl.col("user_id") == pl.col("user_id").shift()
    return same & pl.col(rule.id).eq_missing(pl.col(rule.id).shift()) if rule.id else same


def longest_silence(rule: SessionRule) -> pl.Expr:
    """The longest silence that may be within a session of the event's key (Duration, us)."""
    by_rule = pl.lit(rule.longest_silence_by_rule, pl.Duration("us"))
    if not rule.id:
        return by_rule
    return pl.when(pl.col(rule.id).is_null()).then(by_rule).otherwise(pl.lit(rule.id_within, pl.Duration("us")))


def keys_continuing(events: pl.DataFrame, edge: datetime, rule: SessionRule) -> pl.DataFrame:
    """The keys (``key_columns``, each once) with an active event so near to `edge` that one at or after it may follow.

    Args:
        events: the columns ``point_columns`` among others; of any time up to `edge` or beyond.
        edge: where the chains may go on.
        rule: the stream's session rule.
    """
    near = is_active(rule) & (pl.col(_TIME) >= edge - longest_silence(rule))
    return events.filter(near).select(key_columns(rule)).unique()


def of_keys(events: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """The events with one of these keys."""
    return events.join(keys, on=keys.columns, how="semi", nulls_equal=True)
