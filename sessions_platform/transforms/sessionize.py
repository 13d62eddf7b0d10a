"""Cut each user's events into sessions.

A *chain* is a maximal run of one user's events with no silence longer than the gap;
every rule is decided inside one chain, so that a session partition can be computed
from the accepted events around it alone, and never from another session partition.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Protocol

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.events import PROVENANCE, content_columns
from sessions_platform.contracts.sessions import Boundary, sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.validate import time_order, uuid_of

IDENTITY = ["user_id", "event_timestamp", "event_id"]
_MICROSECOND = timedelta(microseconds=1)
_MOST_WINDOWS = 16  # each of them is a pass over the files near it


class EventReader(Protocol):
    """Reads accepted events of ``start <= event_timestamp < end``, of all users or of some, in any order."""

    def __call__(self, start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Sessionized:
    """The events of the sessions that started in a window, and per session partition how many copies were left out.

    `left_out` has the columns session_partition, duplicates_across, conflicts_across; `longest_chains`
    session_partition and seconds, of the chains that hold an event of the partition's sessions.
    """

    events: pl.DataFrame
    left_out: pl.DataFrame
    longest_chains: pl.DataFrame


def sessionize(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Give every event of whole chains the id of the session that it belongs to, and its chain a number.

    A session goes on for as long as no silence is longer than the gap and no other rule of the
    stream cuts. Its id is made of its opening event, so that a rerun over the same events names
    the same sessions, in whatever order they arrived. The events must hold no copies.
    """
    ordered = events.sort("user_id", *time_order(stream), nulls_last=True)
    silence = pl.when(_same_user()).then(pl.col("event_timestamp").diff())
    marked = ordered.with_columns(_silence=silence, _opens_chain=silence.is_null() | _is_cut(silence, stream))
    marked = _with_boundaries(marked, stream).with_columns(is_new_session=pl.col("boundary_reason").is_not_null())
    return marked.with_columns(
        session_id=_forward(_session_ids(marked)),
        session_partition=_forward(_opening(stream.session_calendar.key_expr())),
        time_diff_seconds=pl.when(~pl.col("is_new_session")).then(in_seconds(pl.col("_silence"))),
        _chain=pl.col("_opens_chain").cum_sum(),
    ).drop("_silence", "_opens_chain")


def sessionize_window(window: Window, read: EventReader, stream: Stream) -> Sessionized:
    """Compute the sessions that started in the window, from accepted events alone.

    Reads one gap to the left, which tells the events that continue an earlier session, and further
    where a rule depends on how that session began; and to the right for as long as a session may
    still be open.
    """
    gap = stream.session.gap
    events = read(window.start - gap, window.end)
    if stream.session.campaign or stream.session.max_length:
        events = _with_beginnings(events, window.start, read, gap)
    events = _with_endings(events, window.end, read, gap)
    kept, copies = first_copies(events)
    sessionized = sessionize(kept, stream)
    inside = _started_in(sessionized, window)
    events = inside.select(*sessionized_columns(stream))
    return Sessionized(events, _left_out(inside, copies, stream), _longest_chains(sessionized, inside))


def _with_beginnings(events: pl.DataFrame, start: datetime, read: EventReader, gap: timedelta) -> pl.DataFrame:
    """Also the events before, of the users whose chain may have begun further left than `start - gap`."""
    edge, reach = start - gap, gap
    crossing = pl.col("event_timestamp") < start
    while (users := events.filter(crossing, pl.col("event_timestamp") <= edge + gap)["user_id"].unique()).len():
        more = read(edge - reach, edge, users)
        events, edge, reach = pl.concat([events, more]), edge - reach, reach * 2
    return events


def _with_endings(events: pl.DataFrame, end: datetime, read: EventReader, gap: timedelta) -> pl.DataFrame:
    """Also the events behind, of the users whose session may still be open at `end`."""
    edge, reach = end, gap
    while (users := events.filter(pl.col("event_timestamp") >= edge - gap)["user_id"].unique()).len():
        more = read(edge, edge + reach, users)
        events, edge, reach = pl.concat([events, more]), edge + reach, reach * 2
    return events


def _with_boundaries(marked: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Add boundary_reason: why an event opens a session, null where it opens none."""
    rule, opens_chain = stream.session, pl.col("_opens_chain")
    reason = pl.when(opens_chain).then(pl.lit(Boundary.inactivity.value))
    if rule.split_at_midnight:
        day = pl.col("event_timestamp").dt.convert_time_zone(rule.timezone).dt.date()
        reason = reason.when(day != day.shift()).then(pl.lit(Boundary.midnight.value))
    if rule.campaign:
        marked = marked.with_columns(_chain=opens_chain.cum_sum())
        last = pl.col(rule.campaign).forward_fill().over("_chain").shift().over("_chain")
        reason = reason.when(pl.col(rule.campaign) != last).then(pl.lit(Boundary.campaign.value))
    marked = marked.with_columns(boundary_reason=reason)
    return _with_length_cuts(marked, rule.max_length) if rule.max_length else marked


def _with_length_cuts(marked: pl.DataFrame, longest: timedelta) -> pl.DataFrame:
    """Cut sessions that last too long: each next one begins more than `longest` after the one before."""
    micros = marked["event_timestamp"].dt.epoch("us")
    openings = marked["boundary_reason"].is_not_null().arg_true().to_list()
    limit, cuts = longest // _MICROSECOND, []
    for first, behind in pairwise([*openings, marked.height]):
        if micros[behind - 1] - micros[first] > limit:
            cuts += _length_cuts(micros[first:behind].to_list(), limit, first)
    at = pl.int_range(pl.len()).is_in(pl.Series(cuts, dtype=pl.Int64).implode())
    return marked.with_columns(
        boundary_reason=pl.when(at).then(pl.lit(Boundary.max_length.value)).otherwise("boundary_reason")
    )


def _length_cuts(micros: list[int], limit: int, offset: int) -> list[int]:
    cuts, start = [], 0
    while (start := bisect_right(micros, micros[start] + limit, start)) < len(micros):
        cuts.append(offset + start)
    return cuts


def in_seconds(duration: pl.Expr) -> pl.Expr:
    """The float nearest to the duration, to the last bit.

    Polars divides by a constant by multiplying with its inverse, which ends one bit off at times;
    rounding brings the right float back.
    """
    return (duration.dt.total_microseconds() / 1_000_000).round(6)


def first_copies(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The copy of each event that landed first, and all other copies.

    An event is (user_id, event_timestamp, event_id); first is by landing partition, file, position.
    """
    ordered = events.sort(*IDENTITY, *PROVENANCE)
    is_first = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in IDENTITY)
    marked = ordered.with_columns(_first=is_first | (pl.int_range(pl.len()) == 0))
    return marked.filter("_first").drop("_first"), marked.filter(~pl.col("_first")).drop("_first")


def touched_partitions(changed: pl.DataFrame, read: EventReader, stream: Stream) -> set[str]:
    """The session partitions that hold any event of a chain of a changed user around a changed time.

    `changed` has user_id and event_timestamp; `read` gives the events of before and after together.
    A few partitions more may be named, never fewer.
    """
    touched: set[str] = set()
    for window in _neighbourhoods(changed, stream):
        here = changed.filter(_within(window))
        chains = _chains_around(here, window, read, stream)
        keys = chains.select(stream.session_calendar.key_expr().unique()).to_series()
        touched.update(key for key in keys if key is not None)
    return touched


def _chains_around(changed: pl.DataFrame, window: Window, read: EventReader, stream: Stream) -> pl.DataFrame:
    """The events of all chains that hold a changed event; user_id and event_timestamp."""
    points = ["user_id", "event_timestamp"]
    marks = changed.select(*points, _changed=pl.lit(True))
    users = changed["user_id"].unique()
    gap = stream.session.gap
    start, end = window.start - gap, window.end + gap
    events = read(start, end, users).select(*points, _changed=pl.lit(False))
    reach = gap
    while True:
        chains = _changed_chains(pl.concat([marks, events]), gap)
        earlier = _users_at(chains, start, start + gap)
        later = _users_at(chains, end - gap - _MICROSECOND, end)
        if not earlier.len() and not later.len():
            return chains
        if earlier.len():
            more = read(start - reach, start, earlier).select(*points, _changed=pl.lit(False))
            events, start = pl.concat([events, more]), start - reach
        if later.len():
            more = read(end, end + reach, later).select(*points, _changed=pl.lit(False))
            events, end = pl.concat([events, more]), end + reach
        reach *= 2


def _changed_chains(points: pl.DataFrame, gap: timedelta) -> pl.DataFrame:
    ordered = points.sort("user_id", "event_timestamp")
    silence = pl.when(_same_user()).then(pl.col("event_timestamp").diff())
    chain = (silence.is_null() | (silence > gap)).cum_sum()
    return ordered.with_columns(_chain=chain).filter(pl.col("_changed").any().over("_chain"))


def _users_at(chains: pl.DataFrame, start: datetime, end: datetime) -> pl.Series:
    return chains.filter(pl.col("event_timestamp").is_between(start, end))["user_id"].unique()


def _neighbourhoods(changed: pl.DataFrame, stream: Stream) -> Iterator[Window]:
    """Windows that cover the changed times, apart where the breaks between those are widest."""
    day = timedelta(days=1)
    days = changed.select(day=pl.col("event_timestamp").dt.truncate("1d").unique().sort())
    width = pl.col("day").diff()
    is_among_widest = width.rank("ordinal", descending=True) < _MOST_WINDOWS
    is_far = (is_among_widest & (width > day + 2 * stream.session.gap)).fill_null(value=True)
    spans = days.group_by(is_far.cum_sum(), maintain_order=True).agg(first=pl.min("day"), last=pl.max("day"))
    yield from (Window(first, last + day) for first, last in spans.select("first", "last").iter_rows())


def _within(window: Window) -> pl.Expr:
    return pl.col("event_timestamp").is_between(window.start, window.end, closed="left")


def _is_cut(silence: pl.Expr, stream: Stream) -> pl.Expr:
    gap = stream.session.gap
    return silence >= gap if stream.session.gap_inclusive else silence > gap


def _same_user() -> pl.Expr:
    return pl.col("user_id") == pl.col("user_id").shift()


def _opening(value: pl.Expr) -> pl.Expr:
    return pl.when("is_new_session").then(value)


def _forward(opening: pl.Expr | pl.Series) -> pl.Expr:
    return (pl.lit(opening) if isinstance(opening, pl.Series) else opening).forward_fill()


def _session_ids(marked: pl.DataFrame) -> pl.Series:
    """The session's id on each opening event, null on the others."""
    openers = marked.with_row_index("_row").filter("is_new_session")
    rows = openers.select("user_id", pl.col("event_timestamp").dt.epoch("us"), "event_id").iter_rows()
    ids = pl.Series([uuid_of(user, str(micros), event) for user, micros, event in rows], dtype=pl.String)
    return pl.repeat(None, marked.height, dtype=pl.String, eager=True).scatter(openers["_row"], ids)


def _started_in(sessionized: pl.DataFrame, window: Window) -> pl.DataFrame:
    """The events of sessions whose opening event lies in the window.

    What stands before the first opening event of the window continues an earlier session: its
    true opener may lie further left than was read.
    """
    opened_at = pl.col("event_timestamp").first().over("session_id")
    return sessionized.filter(opened_at.is_between(window.start, window.end, closed="left"))


def _longest_chains(sessionized: pl.DataFrame, inside: pl.DataFrame) -> pl.DataFrame:
    time = pl.col("event_timestamp")
    spans = sessionized.group_by("_chain").agg(seconds=in_seconds(time.max() - time.min()))
    chains = inside.select("_chain", "session_partition").unique().join(spans, on="_chain")
    return chains.group_by("session_partition").agg(pl.col("seconds").max())


def _left_out(inside: pl.DataFrame, copies: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    content = pl.struct(content_columns(stream)).struct.json_encode()
    kept = inside.join(copies, on=IDENTITY, how="semi").select(*IDENTITY, "session_partition", _kept=content)
    pairs = copies.with_columns(_content=content).join(kept, on=IDENTITY)
    differs = pl.col("_content") != pl.col("_kept")
    return pairs.group_by("session_partition").agg(
        duplicates_across=(~differs).sum().cast(pl.Int64), conflicts_across=differs.sum().cast(pl.Int64)
    )
