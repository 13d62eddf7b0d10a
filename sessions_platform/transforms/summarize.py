"""Make one row of each session.

Sessions rest one after the other, each in the order of time: so where one begins and ends tells
most of its row, and nothing has to be grouped.
"""

import numpy as np
import polars as pl

from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.sessionize import in_seconds
from sessions_platform.transforms.sort_events import time_order

_SESSION = "_session"


def summarize(sessionized: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """One row a session, from all of its events. Entry and exit page come from the column page_url, if there is one."""
    ordered = sessionized if _stands_in_order(sessionized, stream) else _in_order(sessionized, stream)
    ordered = ordered.rechunk()
    opens = _opens(ordered)
    first = opens.arg_true()
    last = first.shift(-1, fill_value=ordered.height) - 1
    numbered = ordered.with_columns((opens.cum_sum() - 1).alias(_SESSION))
    time = ordered["event_timestamp"]
    sessions = ordered.select("session_id", "user_id", "session_partition")[first].with_columns(
        time.gather(first).alias("session_start"),
        time.gather(last).alias("session_end"),
        (last - first + 1).cast(pl.Int64).alias("event_count"),
        *_pages(ordered, first, last),
        _primary_actions(numbered, first, last, stream),
        *_own_columns(numbered, stream),
        session_rule_version=pl.lit(stream.session_rule_version),
    )
    length = in_seconds(pl.col("session_end") - pl.col("session_start"))
    return sessions.with_columns(duration_seconds=length).select(*session_columns(stream))


def _opens(events: pl.DataFrame) -> pl.Series:
    is_first = pl.col("session_id").ne_missing(pl.col("session_id").shift())
    return events.select(opens=is_first | (pl.int_range(pl.len()) == 0)).to_series()


def _stands_in_order(events: pl.DataFrame, stream: Stream) -> bool:
    """Whether each session stands in one piece, and in the order of time."""
    opens = _opens(events)
    if events["session_id"].filter(opens).is_duplicated().any():
        return False
    time = events["event_timestamp"]
    inside = ~opens
    if (inside & (time < time.shift())).any():
        return False
    ties = inside & (time == time.shift())
    if not ties.any():
        return True
    near = events.select("session_id", *time_order(stream)).filter(ties | ties.shift(-1, fill_value=False))
    return near.equals(near.sort(pl.col("session_id").rle_id(), *time_order(stream), nulls_last=True))


def _in_order(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    return events.sort("session_id", *time_order(stream), nulls_last=True)


def _pages(ordered: pl.DataFrame, first: pl.Series, last: pl.Series) -> list[pl.Series]:
    """The first and the last page of each session; null where it has none."""
    if "page_url" not in ordered.columns:
        none = pl.repeat(None, len(first), dtype=pl.String, eager=True)
        return [none.alias("entry_page"), none.alias("exit_page")]
    pages = ordered["page_url"]
    row = pl.int_range(ordered.height, eager=True)
    known = row.zip_with(pages.is_not_null(), pl.repeat(None, ordered.height, dtype=pl.Int64, eager=True))
    entry, exit_ = known.backward_fill().gather(first), known.forward_fill().gather(last)
    none = pl.repeat(None, len(first), dtype=pl.Int64, eager=True)
    return [
        pages.gather(entry.zip_with(entry <= last, none)).alias("entry_page"),
        pages.gather(exit_.zip_with(exit_ >= first, none)).alias("exit_page"),
    ]


def _primary_actions(numbered: pl.DataFrame, first: pl.Series, last: pl.Series, stream: Stream) -> pl.Series:
    """The most frequent event type, ties to the earliest; or the first of the stream's list that occurs."""
    priorities, action = stream.session.primary_action, pl.col("event_type")
    if priorities == "most_frequent":
        actions = numbered["event_type"].gather(first)
        # of one event or two the first is as frequent as any
        events = numbered.filter((last - first).gather(numbered[_SESSION]) > 1)
        merit = pl.len().cast(pl.Int64) * (events.height + 1) - pl.min("_row").cast(pl.Int64)
    else:
        actions = pl.repeat(None, len(first), dtype=pl.String, eager=True)
        events = numbered.filter(action.is_in(priorities))
        rank = {name: -place for place, name in enumerate(priorities)}
        merit = action.first().replace_strict(rank, default=None, return_dtype=pl.Int64)
    kinds = events.select(_SESSION, action).with_row_index("_row").group_by(_SESSION, "event_type").agg(_merit=merit)
    best = kinds.filter(_is_best(kinds[_SESSION].to_numpy(), kinds["_merit"].to_numpy(), len(first)))
    return actions.scatter(best[_SESSION], best["event_type"]).alias("primary_action")


def _is_best(sessions: np.ndarray, merits: np.ndarray, count: int) -> pl.Series:
    """Whether a merit is its session's greatest. Sessions are numbers below `count`; no two merits of one are equal."""
    best = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(best, sessions, merits)
    return pl.Series(merits == best[sessions], dtype=pl.Boolean)


def _own_columns(numbered: pl.DataFrame, stream: Stream) -> list[pl.Series]:
    own = {name: _aggregate(aggregate) for name, aggregate in stream.session.columns.items()}
    return numbered.group_by(_SESSION, maintain_order=True).agg(**own).drop(_SESSION).get_columns() if own else []


def _aggregate(aggregate: Aggregate) -> pl.Expr:
    """As SQL has it: nulls are passed over, and a sum of nothing is null."""
    values = pl.col(aggregate.column).drop_nulls()
    functions = {
        "first": values.first(),
        "last": values.last(),
        "sum": pl.when(values.len() > 0).then(values.sum()),
        "min": values.min(),
        "max": values.max(),
        "count": values.len().cast(pl.Int64),
        "count_distinct": values.n_unique().cast(pl.Int64),
    }
    return functions[aggregate.function]
