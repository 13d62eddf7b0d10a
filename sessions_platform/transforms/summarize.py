"""Summarize sessions: from sessionized events to one row for each session.

Here: the columns of the table `sessions` that are computed from a session's own events. Which events form a session is
in ``transforms.sessionize``; until when a session is open, in ``transforms.open_until``; the columns themselves are in
``contracts.sessions``.

The events of each session are mostly consecutive already, in the order of time. So the indexes of each session's first
and last event give most columns by gathering, and nothing has to be grouped. What needs a group-by is done for the
fewest events possible.
"""

import numpy as np
import polars as pl

from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.transforms.sessionize import in_seconds
from sessions_platform.transforms.sort_events import time_order

_SESSION = "_session"


def summarize(sessionized: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Make one row for each session.

    Args:
        sessionized: all events of whole sessions, with the columns ``contracts.sessions.sessionized_columns``; any
            order.
        stream: its session rule: `primary_action`, and `columns` with the stream's own aggregates.

    Returns:
        The columns ``contracts.sessions.session_columns``, in no defined order. entry_page and exit_page are null for
        a stream without a column page_url.

    Raises:
        UserError: a sum exceeds 64 bits, or the range of a double. The message names the session.
    """
    ordered = sessionized if _is_in_order(sessionized, stream) else _in_order(sessionized, stream)
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
    sessions = _with_sums(sessions, stream)
    length = in_seconds(pl.col("session_end") - pl.col("session_start"))
    return sessions.with_columns(duration_seconds=length).select(*session_columns(stream))


def _opens(events: pl.DataFrame) -> pl.Series:
    """Whether an event's session differs from that of the event before it."""
    is_first = pl.col("session_id").ne_missing(pl.col("session_id").shift())
    return events.select(opens=is_first | (pl.int_range(pl.len()) == 0)).to_series()


def _is_in_order(events: pl.DataFrame, stream: Stream) -> bool:
    """Whether each session's events are consecutive and in ``time_order``, which is cheaper to check than to sort.

    Simultaneous events are compared by the further columns of that order; all others only by time.
    """
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
    tied = events.select("session_id", *time_order(stream)).filter(ties | ties.shift(-1, fill_value=False))
    return tied.equals(tied.sort(pl.col("session_id").rle_id(), *time_order(stream), nulls_last=True))


def _in_order(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    return events.sort("session_id", *time_order(stream), nulls_last=True)


def _pages(ordered: pl.DataFrame, first: pl.Series, last: pl.Series) -> list[pl.Series]:
    """The first and the last page_url of each session that is not null; null where all are."""
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
    """The primary action of each session.

    Either the most frequent event type, and of equally frequent ones the one that occurs first; or the first of the
    stream's list that occurs. Both give each event type of a session a merit, an integer, and take the greatest.
    """
    priorities, action = stream.session.primary_action, pl.col("event_type")
    if priorities == "most_frequent":
        actions = numbered["event_type"].gather(first)
        # of one or two events the first is among the most frequent
        events = numbered.filter((last - first).gather(numbered[_SESSION]) > 1)
        merit = pl.len().cast(pl.Int64) * (events.height + 1) - pl.min("_row").cast(pl.Int64)
    else:
        actions = pl.repeat(None, len(first), dtype=pl.String, eager=True)
        events = numbered.filter(action.is_in(priorities))
        rank = {name: -number for number, name in enumerate(priorities)}
        merit = action.first().replace_strict(rank, default=None, return_dtype=pl.Int64)
    by_type = events.select(_SESSION, action).with_row_index("_row").group_by(_SESSION, "event_type").agg(_merit=merit)
    best = by_type.filter(_is_best(by_type[_SESSION].to_numpy(), by_type["_merit"].to_numpy(), len(first)))
    return actions.scatter(best[_SESSION], best["event_type"]).alias("primary_action")


def _is_best(sessions: np.ndarray, merits: np.ndarray, count: int) -> pl.Series:
    """Whether a merit is the greatest of its session. Sessions are numbered below `count`, and have no equal merits."""
    best = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(best, sessions, merits)
    return pl.Series(merits == best[sessions], dtype=pl.Boolean)


def _own_columns(numbered: pl.DataFrame, stream: Stream) -> list[pl.Series]:
    """The stream's own aggregates, in the order of the sessions; sums of integers as Int128, which no sum exceeds."""
    own = {name: _aggregate(aggregate, numbered.schema) for name, aggregate in stream.session.columns.items()}
    return numbered.group_by(_SESSION, maintain_order=True).agg(**own).drop(_SESSION).get_columns() if own else []


def _aggregate(aggregate: Aggregate, schema: pl.Schema) -> pl.Expr:
    """The aggregate as in SQL: nulls are ignored, and of no values all but the counts are null."""
    values = pl.col(aggregate.column).drop_nulls()
    addends = values.cast(pl.Int128) if schema[aggregate.column] == pl.Int64 else values
    functions = {
        "first": values.first(),
        "last": values.last(),
        "sum": pl.when(values.len() > 0).then(addends.sum()),
        "min": values.min(),
        "max": values.max(),
        "count": values.len().cast(pl.Int64),
        "count_distinct": values.n_unique().cast(pl.Int64),
    }
    return functions[aggregate.function]


def _with_sums(sessions: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The sessions with sums of the contract's type, once each is a number of that type."""
    sums = {name: own.column for name, own in stream.session.columns.items() if own.function == "sum"}
    types = session_columns(stream)
    for name, column in sums.items():
        is_sum = (
            sessions[name].is_between(-(2**63), 2**63 - 1) if types[name] == pl.Int64 else sessions[name].is_finite()
        )
        if not is_sum.all():
            raise _overflow(name, column, sessions["session_id"].filter(~is_sum))
    return sessions.cast({name: types[name] for name in sums})


def _overflow(name: str, column: str, session_ids: pl.Series) -> UserError:
    others = f" and of {len(session_ids) - 1} more" if len(session_ids) > 1 else ""
    return UserError(
        f"{name} of session {session_ids[0]}{others}: the sum of {column} overflows the column's type. "
        f"Fix: give {column} bounds (ge, le) that reject such values, or remove the sum."
    )
