"""Summarize sessions: from sessionized events to one row for each session.

Here: the columns of the table `sessions` that are computed from a session's own events. Which events form a session is
in ``transforms.sessionize``; until when a session is open, in ``transforms.open_until``; the columns themselves are in
``contracts.sessions``.

The events of each session are mostly consecutive already, in the order of time. So the indexes of each session's first
and last event give most columns by gathering, and nothing has to be grouped. What needs a group-by is done for the
fewest events possible.
"""

from collections.abc import Iterable

import numpy as np
import polars as pl

from sessions_platform.contracts.column_types import TOOL_SESSION_ID
from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.transforms.activity import is_active
from sessions_platform.transforms.outcomes import counts, with_outcomes
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
    rule = stream.session
    sessionized = sessionized.select(needed_columns(sessionized.columns, stream))
    if rule.passive:
        sessionized = sessionized.filter(pl.col("session_id").is_not_null())
    ordered = sessionized if _is_in_order(sessionized, stream) else _in_order(sessionized, stream)
    ordered = ordered.rechunk()
    opens = _opens(ordered)
    first = opens.arg_true()
    last = first.shift(-1, fill_value=ordered.height) - 1
    numbered = ordered.with_columns((opens.cum_sum() - 1).alias(_SESSION))
    active = ordered.select(is_active(rule)).to_series() if rule.passive else None
    time = ordered["event_timestamp"]
    own = ["session_id", "user_id", "session_partition"]
    tool = [pl.col(rule.id).alias(TOOL_SESSION_ID)] if rule.id else []
    sessions = ordered.select(*own, *tool)[first].with_columns(
        time.gather(first).alias("session_start"),
        time.gather(last if active is None else _last_active(active, last)).alias("session_end"),
        (last - first + 1).cast(pl.Int64).alias("event_count"),
        *_pages(ordered, first, last, active),
        _primary_actions(numbered, active, first, last, stream),
        *_own_columns(numbered, stream),
        session_rule_version=pl.lit(stream.session_rule_version),
    )
    sessions = _with_sums(sessions, stream)
    length = in_seconds(pl.col("session_end") - pl.col("session_start"))
    sessions = with_outcomes(sessions, rule).with_columns(duration_seconds=length)
    return sessions.select(*session_columns(stream))


def needed_columns(columns: Iterable[str], stream: Stream) -> list[str]:
    """Those of the columns that are ordered by, or that something is computed of."""
    rule, own = stream.session, ["session_id", "session_partition", "is_new_session"]
    wanted = {
        *own,
        "user_id",
        "event_type",
        "page_url",
        *time_order(stream),
        rule.id,
        *(column for aggregate in rule.aggregates.values() for column in (aggregate.column, *(aggregate.where or ()))),
    }
    return [name for name in columns if name in wanted]


def _last_active(active: pl.Series, last: pl.Series) -> pl.Series:
    """The place of each session's last active event; its first event is active."""
    row = pl.int_range(len(active), eager=True)
    return row.zip_with(active, pl.repeat(None, len(active), dtype=row.dtype, eager=True)).forward_fill().gather(last)


def _opens(events: pl.DataFrame) -> pl.Series:
    """Whether an event's session differs from that of the event before it."""
    is_first = pl.col("session_id").ne_missing(pl.col("session_id").shift())
    return events.select(opens=is_first | (pl.int_range(pl.len()) == 0)).to_series()


def _is_in_order(events: pl.DataFrame, stream: Stream) -> bool:
    """Whether each session's events are consecutive and in order (``_order``), which is cheaper to check than to sort.

    Simultaneous events are compared by the further columns of that order; all others only by time.
    """
    opens = _opens(events)
    if opens.sum() != events["is_new_session"].sum():  # each session has one new event, and so one run, or several
        return False
    time = events["event_timestamp"]
    inside = ~opens
    if (inside & (time < time.shift())).any():
        return False
    ties = inside & (time == time.shift())
    if not ties.any():
        return True
    order = _order(stream)
    tied = events.select("session_id", *order).filter(ties | ties.shift(-1, fill_value=False))
    return tied.equals(tied.sort(pl.col("session_id").rle_id(), *tied.columns[1:], nulls_last=True))


def _in_order(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    return events.sort("session_id", *_order(stream), nulls_last=True)


def _order(stream: Stream) -> list[pl.Expr]:
    """``time_order``, with the passive events of a moment after the active ones."""
    time, *others = map(pl.col, time_order(stream))
    return [time, *([(~is_active(stream.session)).alias("_passive")] if stream.session.passive else []), *others]


def _pages(ordered: pl.DataFrame, first: pl.Series, last: pl.Series, active: pl.Series | None) -> list[pl.Series]:
    """The first and the last page_url of each session's active events that is not null; null where all are."""
    if "page_url" not in ordered.columns:
        none = pl.repeat(None, len(first), dtype=pl.String, eager=True)
        return [none.alias("entry_page"), none.alias("exit_page")]
    pages = ordered["page_url"]
    row = pl.int_range(ordered.height, eager=True)
    is_known = pages.is_not_null() if active is None else pages.is_not_null() & active
    known = row.zip_with(is_known, pl.repeat(None, ordered.height, dtype=pl.Int64, eager=True))
    entry, exit_ = known.backward_fill().gather(first), known.forward_fill().gather(last)
    none = pl.repeat(None, len(first), dtype=pl.Int64, eager=True)
    return [
        pages.gather(entry.zip_with(entry <= last, none)).alias("entry_page"),
        pages.gather(exit_.zip_with(exit_ >= first, none)).alias("exit_page"),
    ]


def _primary_actions(
    numbered: pl.DataFrame, active: pl.Series | None, first: pl.Series, last: pl.Series, stream: Stream
) -> pl.Series:
    """The primary action of each session, of the numbered events that are active.

    Either the most frequent event type, and of equally frequent ones the one that occurs first; or the first of the
    stream's list that occurs. Both give each event type of a session a merit, an integer, and take the greatest.
    """
    priorities, action = stream.session.primary_action, pl.col("event_type")
    if priorities == "most_frequent":
        actions = numbered["event_type"].gather(first)
        # of one or two events the first is among the most frequent
        is_long = ((last - first) > 1).gather(numbered[_SESSION])
        events = numbered.select(_SESSION, action).filter(is_long if active is None else is_long & active)
        rows, counts = _first_of_each_type(events)
        merits = counts * (events.height + 1) - rows
    else:
        actions = pl.repeat(None, len(first), dtype=pl.String, eager=True)
        is_listed = numbered.select(action.is_in(priorities)).to_series()
        events = numbered.select(_SESSION, action).filter(is_listed if active is None else is_listed & active)
        rows, _ = _first_of_each_type(events)
        rank = {name: -number for number, name in enumerate(priorities)}
        merits = events["event_type"].gather(rows).replace_strict(rank, return_dtype=pl.Int64).to_numpy()
    sessions = events[_SESSION].to_numpy()[rows]
    is_best = _is_best(sessions, merits)
    best = events["event_type"].gather(rows[is_best])
    return actions.scatter(sessions[is_best], best).alias("primary_action")


def _first_of_each_type(events: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Of each event type of each session the row of its first event, and how many there are; sessions ascending.

    Args:
        events: the number of the session, ascending, and event_type.
    """
    types = events["event_type"].cast(pl.Categorical(pl.Categories.random())).to_physical().cast(pl.Int64).to_numpy()
    key = events[_SESSION].cast(pl.Int64).to_numpy() * (types.max(initial=0) + 1) + types
    order = np.argsort(key, kind="stable")  # a merge sort, which is quick where so much is in order already
    starts = _starts(key[order])
    return order[starts], np.diff(np.append(starts, len(key)))


def _is_best(sessions: np.ndarray, merits: np.ndarray) -> np.ndarray:
    """Whether a merit is the greatest of its session. Sessions are ascending, and have no equal merits."""
    starts = _starts(sessions)
    if not len(starts):
        return np.zeros(0, bool)
    greatest = np.maximum.reduceat(merits, starts)
    return merits == np.repeat(greatest, np.diff(np.append(starts, len(merits))))


def _starts(values: np.ndarray) -> np.ndarray:
    """Where runs of equal values begin."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])


def _own_columns(numbered: pl.DataFrame, stream: Stream) -> list[pl.Series]:
    """The stream's own aggregates, and what outcomes are told by, in the order of the sessions.

    Sums of integers are Int128, which no sum exceeds.
    """
    aggregates = stream.session.aggregates
    own = {name: _aggregate(name, aggregate, numbered.schema) for name, aggregate in aggregates.items()}
    own |= counts(stream.session)
    if not own:
        return []
    frequencies = {
        _frequency(name): _holds(aggregate, numbered.schema).sum().over(_SESSION, aggregate.column)
        for name, aggregate in aggregates.items()
        if aggregate.function == "most_frequent"
    }
    sessions = numbered.with_columns(**frequencies).group_by(_SESSION, maintain_order=True).agg(**own)
    return sessions.drop(_SESSION).get_columns()


def _frequency(name: str) -> str:
    """The column with how often an event's value of an aggregate's column occurs in the session."""
    return f"_frequency_{name}"


def _holds(aggregate: Aggregate, schema: pl.Schema) -> pl.Expr:
    """Whether an event counts for the aggregate: its value is not null, and `where` holds."""
    wanted = {name: pl.Series(values, dtype=schema[name]) for name, values in (aggregate.where or {}).items()}
    conditions = [pl.col(name).is_in(values.implode()) for name, values in wanted.items()]
    return pl.all_horizontal(pl.col(aggregate.column).is_not_null(), *conditions).fill_null(value=False)


def _aggregate(name: str, aggregate: Aggregate, schema: pl.Schema) -> pl.Expr:
    """The aggregate as in SQL: nulls are ignored, and of no values all but the counts are null."""
    holds = _holds(aggregate, schema)
    values = pl.col(aggregate.column).filter(holds) if aggregate.where else pl.col(aggregate.column).drop_nulls()
    if aggregate.function == "most_frequent":
        return pl.col(aggregate.column).filter(holds).get(pl.col(_frequency(name)).filter(holds).arg_max())
    addends = values.cast(pl.Int128) if schema[aggregate.column] == pl.Int64 else values
    functions = {
        "first": values.first(),
        "last": values.last(),
        "sum": pl.when(values.len() > 0).then(addends.sum()),
        "min": values.min(),
        "max": values.max(),
        "any": values.max(),
        "count": values.len().cast(pl.Int64),
        "count_distinct": values.n_unique().cast(pl.Int64),
    }
    return functions[aggregate.function]


def _with_sums(sessions: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The sessions with sums of the contract's type, once each is a number of that type."""
    sums = {name: own.column for name, own in stream.session.aggregates.items() if own.function == "sum"}
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
