"""Whether sessions were engaged, and bounces: by the numbers of their views, pings, active events and conversions.

Here: these numbers, which are aggregates of a session's events, and what follows from them. Not here: what the rules
mean, and their names (``contracts.session_outcomes``); the other columns of sessions (``transforms.summarize``).
"""

from datetime import timedelta

import polars as pl

from sessions_platform.contracts.session_outcomes import (
    IS_BOUNCE,
    IS_ENGAGED,
    PINGS_OF_ENGAGED,
    VIEWS_OF_ENGAGED,
    Engaged,
    conversion_types,
)
from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.transforms.activity import is_active

_VIEWS, _CONVERSIONS, _HEARTBEATS, _ACTIVE = "_views", "_conversions", "_heartbeats", "_active"


def counts(rule: SessionRule) -> dict[str, pl.Expr]:
    """Aggregates over a session's events that `with_outcomes` needs, by names that no column has; empty for most."""
    if rule.engaged is None and rule.bounce is None:
        return {}
    found = {
        _VIEWS: _is_one_of(rule.views or []).sum(),
        _CONVERSIONS: _is_one_of(conversion_types(rule.conversions)).sum(),
    }
    if rule.engaged is not None and rule.engaged.pings:
        found[_HEARTBEATS] = _heartbeats(rule.engaged, rule.engaged.pings)
    if rule.bounce == "one_event":
        found[_ACTIVE] = is_active(rule).sum() if rule.passive else pl.len()  # the sum of a literal would be 1
    return found


def with_outcomes(sessions: pl.DataFrame, rule: SessionRule) -> pl.DataFrame:
    """Sessions with is_engaged and is_bounce, as far as the rule asks for them.

    Args:
        sessions: with session_start, session_end, and those columns that `counts` names.
        rule: of the stream.
    """
    if rule.engaged is not None:
        sessions = sessions.with_columns(_is_engaged(rule.engaged).alias(IS_ENGAGED))
    if rule.bounce == "one_event":
        return sessions.with_columns((pl.col(_ACTIVE) == 1).alias(IS_BOUNCE))
    if rule.bounce == "one_view":
        is_bounce = (pl.col(_VIEWS) <= 1) & (pl.col(_CONVERSIONS) == 0)
        return sessions.with_columns(is_bounce.alias(IS_BOUNCE))
    return sessions.with_columns((~pl.col(IS_ENGAGED)).alias(IS_BOUNCE)) if rule.bounce else sessions


def _is_one_of(event_types: list[str]) -> pl.Expr:
    return pl.col("event_type").is_in(event_types)


def _heartbeats(engaged: Engaged, pings: list[str]) -> pl.Expr:
    """In how many heartbeats there were pings; heartbeats are counted from 1970, as Snowplow's packages do."""
    length = engaged.heartbeat // timedelta(microseconds=1)
    return (pl.col("event_timestamp").dt.epoch("us") // length).filter(_is_one_of(pings)).n_unique()


def _is_engaged(engaged: Engaged) -> pl.Expr:
    stayed = (
        pl.col(_HEARTBEATS) >= PINGS_OF_ENGAGED
        if engaged.like == "snowplow"
        else pl.col("session_end") - pl.col("session_start") >= engaged.after
    )
    return stayed | (pl.col(_VIEWS) >= VIEWS_OF_ENGAGED) | (pl.col(_CONVERSIONS) > 0)
