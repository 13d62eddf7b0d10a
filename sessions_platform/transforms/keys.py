"""Order events by the keys of activity chains: the user, or the user and the tool's own session id.

Here: how events that are sorted by user and time are brought together by key, and passive ones behind those of their
moment. Both orders are those of ``sort_events`` for almost all rows, so only the others are moved. Not here: what a key
is for (``transforms.activity``), and how events are sorted (``transforms.sort_events``).
"""

import polars as pl

from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.transforms.activity import is_active


def by_key(ordered: pl.DataFrame, column: str) -> pl.DataFrame:
    """The events of each user and value of a column together, keys in the order of their first events.

    Events of one key are mostly together already, in runs. Only where a key has several runs, as of two tabs that take
    turns, runs are moved. Keys are compared by a hash first, and only those whose hash repeats as they are.

    Args:
        ordered: users one after the other, each user's events in order.
        column: of the events; null is a value of its own.
    """
    if ordered.is_empty():
        return ordered
    user, key = pl.col("user_id"), pl.col(column)
    begins = ordered.select(user=user != user.shift(), key=key.ne_missing(key.shift()))
    user_begins = begins["user"].fill_null(value=True)
    first = (user_begins | begins["key"]).arg_true()
    runs = pl.DataFrame({"user": user_begins.cum_sum().gather(first), "key": ordered[column].gather(first)})
    runs = runs.with_row_index("run")
    again = runs.select(pl.struct("user", "key").hash()).to_series().is_duplicated()
    if not again.any():
        return ordered
    begun = runs.filter(again).with_columns(_first=pl.col("run").min().over("user", "key"))
    place = runs["run"].scatter(begun["run"], begun["_first"])
    moved = pl.DataFrame({"place": place, "run": runs["run"], "first": first})
    moved = moved.with_columns(end=first.shift(-1, fill_value=ordered.height)).sort("place", "run")
    return ordered[moved.select(pl.int_ranges("first", "end").explode()).to_series()]


def with_passive_last(ordered: pl.DataFrame, rule: SessionRule) -> pl.DataFrame:
    """The same events, of each key and moment the passive ones last; else in their order.

    Args:
        ordered: events of one key together, whose number is `_key`, in the order of time.
        rule: names the passive types.
    """
    key, time = pl.col("_key"), pl.col("event_timestamp")
    same = ordered.select((time == time.shift()) & (key == key.shift())).to_series().fill_null(value=False)
    tied = same | same.shift(-1, fill_value=False)
    slots = tied.arg_true()
    passive = ordered.select("event_type")[slots].select(~is_active(rule)).to_series()
    if not passive.any():
        return ordered
    moment = (~same.gather(slots)).cum_sum()
    ties = pl.DataFrame({"moment": moment, "passive": passive, "slot": slots})
    rows = pl.int_range(ordered.height, eager=True).cast(slots.dtype)
    return ordered[rows.scatter(slots, ties.sort("moment", "passive", "slot")["slot"])]
