"""Cut each user's events into sessions.

A *chain* is a maximal run of one user's events with no silence longer than the gap;
every rule is decided inside one chain, so that a session partition can be computed
from the accepted events around it alone, and never from another session partition.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.events import content_columns
from sessions_platform.contracts.polars_types import in_window, key_expr
from sessions_platform.contracts.sessions import Boundary, sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.identifiers import uuids_of
from sessions_platform.transforms.sort_events import IDENTITY, sort_events

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
    """Give every event of whole chains the id of the session that it belongs to.

    A session goes on for as long as no silence is longer than the gap and no other rule of the
    stream cuts. Its id is made of its opening event, so that a rerun over the same events names
    the same sessions, in whatever order they arrived. Copies of events are left out.
    """
    return _cut(sort_events(events, stream)[0], stream)


def _cut(ordered: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Sessionize events that stand in order; also _opened_at, and _chain_seconds, how long the event's chain lasts."""
    silence = pl.when(_same_user()).then(pl.col("event_timestamp").diff())
    marked = ordered.with_columns(_silence=silence)
    marked = marked.with_columns(_opens_chain=pl.col("_silence").is_null() | _is_cut(pl.col("_silence"), stream))
    marked = _with_boundaries(marked, stream).with_columns(is_new_session=pl.col("boundary_reason").is_not_null())
    openers = _openers(marked, stream)
    number = marked["is_new_session"].cum_sum() - 1
    return marked.with_columns(
        *(openers[name].gather(number) for name in ("session_id", "session_partition", "_opened_at")),
        _chain_seconds(marked),
        time_diff_seconds=pl.when(~pl.col("is_new_session")).then(in_seconds(pl.col("_silence"))),
    ).drop("_silence", "_opens_chain")


def _openers(marked: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """One row a session: session_id, session_partition, _opened_at."""
    openers = marked.filter("is_new_session")
    micros = pl.col("event_timestamp").dt.epoch("us").cast(pl.String)
    return openers.select(
        uuids_of(openers.select("user_id", micros, "event_id")).alias("session_id"),
        key_expr(stream.session_calendar).alias("session_partition"),
        _opened_at="event_timestamp",
    )


def _chain_seconds(marked: pl.DataFrame) -> pl.Series:
    opens = marked["_opens_chain"]
    times = marked["event_timestamp"]
    first = opens.arg_true()
    last = first.shift(-1, fill_value=marked.height) - 1
    spans = pl.DataFrame({"span": times.gather(last) - times.gather(first)})
    return spans.select(_chain_seconds=in_seconds(pl.col("span"))).to_series().gather(opens.cum_sum() - 1)


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
    ordered, copies = sort_events(events, stream)
    # An event ahead of the window's first opening one continues an earlier session: its true opener may lie
    # further left than was read.
    inside = _cut(ordered, stream).filter(in_window(window, "_opened_at"))
    longest = inside.group_by("session_partition").agg(seconds=pl.max("_chain_seconds"))
    return Sessionized(inside.select(*sessionized_columns(stream)), _left_out(inside, copies, stream), longest)


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
    first = marked["boundary_reason"].is_not_null().arg_true()
    last = first.shift(-1, fill_value=marked.height) - 1
    limit, cuts = longest // _MICROSECOND, []
    is_long = micros.gather(last) - micros.gather(first) > limit
    for start, end in zip(first.filter(is_long), last.filter(is_long), strict=True):
        cuts += _length_cuts(micros[start : end + 1].to_list(), limit, start)
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


def affected_partitions(changed: pl.DataFrame, read: EventReader, stream: Stream) -> set[str]:
    """The session partitions that hold any event of a chain of a changed user around a changed time.

    `changed` has user_id and event_timestamp; `read` gives the events of before and after together.
    A few partitions more may be named, never fewer.
    """
    affected: set[str] = set()
    for window in _neighbourhoods(changed, stream):
        here = changed.filter(in_window(window))
        chains = _chains_around(here, window, read, stream)
        keys = chains.select(key_expr(stream.session_calendar).unique()).to_series()
        affected.update(key for key in keys if key is not None)
    return affected


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


def _is_cut(silence: pl.Expr, stream: Stream) -> pl.Expr:
    gap = stream.session.gap
    return silence >= gap if stream.session.gap_inclusive else silence > gap


def _same_user() -> pl.Expr:
    return pl.col("user_id") == pl.col("user_id").shift()


def _left_out(inside: pl.DataFrame, copies: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    if copies.is_empty():
        schema = {"session_partition": pl.String, "duplicates_across": pl.Int64, "conflicts_across": pl.Int64}
        return pl.DataFrame(schema=schema)
    content = pl.struct(content_columns(stream)).struct.json_encode()
    kept = inside.join(copies, on=IDENTITY, how="semi").select(*IDENTITY, "session_partition", _kept=content)
    pairs = copies.with_columns(_content=content).join(kept, on=IDENTITY)
    differs = pl.col("_content") != pl.col("_kept")
    return pairs.group_by("session_partition").agg(
        duplicates_across=(~differs).sum().cast(pl.Int64), conflicts_across=differs.sum().cast(pl.Int64)
    )
