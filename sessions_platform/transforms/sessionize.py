"""Cut each user's events into sessions, and find the session partitions that a change affects.

Here: the session rule, applied to frames of events. The order of events and the choice among duplicates are in
``transforms.sort_events``, the row of each session in ``transforms.summarize``, the keys of the rule in
``contracts.session_rule``. How much is read and computed at once is decided in ``engines``. The same rule, written as
one loop, is ``transforms.reference_sessionizer``; property tests compare the two.

An *activity chain* is a longest possible run of one user's events in which no silence is longer than the gap (with
``gap_inclusive``, none reaches it; measured as ``precision`` and ``gap_from`` say). Every chain starts a session, and
each rule is decided within one chain. So the sessions of a window are computed from the accepted events around it
alone, never from stored sessions, by reading outwards until the chains end; and a changed event can affect the
sessions of its own chain only. Where only the length of a chain matters, silences up to ``longest_silence`` are taken
to continue it.

Where the rule names the tool's own session id (``id``), the events of each user and id are a chain, in which no silence
is longer than ``id_within``, and the chain is the session; only events without an id are cut by the other rules, among
themselves. Passive events (``passive``) are in no chain: once the others are cut, each joins the session of the last
active event of its key, if a silence up to it would not have ended that session. What reading needs to know of both is
in ``transforms.activity``.

Sources of the rules: a silence of exactly the gap does not end a session, as in Spark's ``session_window``. The
default gap of 30 minutes, a new session at midnight, and one for another campaign are those of Google's Universal
Analytics (support.google.com/analytics/answer/2731565); Google Analytics 4 has dropped the latter two, and here they
are optional.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.polars_types import in_window, key_expr
from sessions_platform.contracts.session_rule import CutOn, SessionRule
from sessions_platform.contracts.sessions import Boundary, sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.activity import (
    has_same_key,
    is_active,
    is_by_rule,
    keys_continuing,
    longest_silence,
    of_keys,
    point_columns,
)
from sessions_platform.transforms.identifiers import uuids_of
from sessions_platform.transforms.keys import by_key, with_passive_last
from sessions_platform.transforms.same_content import compared_content
from sessions_platform.transforms.sort_events import IDENTITY, SortedEvents, sort_events, sort_rows

_MICROSECOND = timedelta(microseconds=1)
_OF_SESSION = ("session_id", "session_partition", "_opened_at", "_chain_seconds")
_OF_EVENT = ("boundary_reason", "is_new_session", "time_diff_seconds")
_MOST_WINDOWS = 16  # of changed events; for each the files near it are read


class EventReader(Protocol):
    """Reads the accepted events of ``start <= event_timestamp < end``, in any order.

    `users` (user_id, String) restricts them to these users; all users where absent. The columns are the stream's
    event columns, or those that the reader was made for.
    """

    def __call__(self, start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Sessionized:
    """The sessions that start in a window.

    `events` has the columns ``contracts.sessions.sessionized_columns``: users one after the other, each user's events
    in ``time_order``. `left_out` counts the duplicates of these events that other landing partitions have, by
    session_partition (String): duplicates_across and conflicts_across (Int64); partitions without any may be absent.
    `longest_chains` has session_partition (String) and seconds (Float64): the duration of the longest activity chain
    with an event in the partition's sessions.
    """

    events: pl.DataFrame
    left_out: pl.DataFrame
    longest_chains: pl.DataFrame


def sessionize(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Give every event the session that it belongs to.

    A session continues as long as no silence is longer than the gap and no other rule of the stream cuts. Its id is
    made of its first event (user, time, event id), so the ids do not depend on the order of arrival.

    Args:
        events: the stream's event columns, in any order; whole activity chains. Of the duplicates of an event only
            the one that landed first is kept.
        stream: its session rule.

    Returns:
        Users one after the other, each session's events together and in ``time_order`` (of one moment, passive ones
        last), with session_id (String), session_partition (String), is_new_session (Boolean), time_diff_seconds
        (Float64, null for a session's first event), boundary_reason (String, null but for a session's first event),
        _opened_at (the session's start), and _chain_seconds (Float64). A passive event outside of all sessions has no
        session_id; it is in the partition of its own time.
    """
    return sessionize_sorted(sort_events(events, stream)[0], stream)


def sessionize_sorted(ordered: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """What ``sessionize`` returns, for events that are in the order of ``sort_events``; all those of each user."""
    rule = stream.session
    cut = _cut(_points(ordered, rule), stream)
    events = ordered[cut["_row"]] if rule.id or rule.passive else ordered  # else nothing has moved
    return events.hstack(cut.select(*_OF_SESSION, *_OF_EVENT))


def _points(ordered: pl.DataFrame, rule: SessionRule) -> pl.DataFrame:
    """What decides about sessions, and `_row`, the number of the row. All else is moved once, when all is decided."""
    names = ["user_id", "event_timestamp", "event_id", rule.passive and "event_type", rule.id, rule.campaign]
    named = dict.fromkeys(filter(None, [*names, rule.cut_on and rule.cut_on.column]))
    return ordered.select(*named).with_columns(_row=pl.int_range(pl.len(), dtype=pl.UInt32))


def _cut(points: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The points with the columns that ``sessionize`` adds, in its order.

    Args:
        points: ``_points``, users one after the other and each user's in ``time_order``.
        stream: its session rule.
    """
    rule = stream.session
    if rule.id:
        points = by_key(points, rule.id)
    points = points.with_columns(_key=(~has_same_key(rule)).fill_null(value=False).cum_sum())
    if not rule.passive:
        return _cut_active(points, stream)
    points = with_passive_last(points, rule)
    active = points.select(is_active(rule)).to_series()
    return _with_passive(points, active, _cut_active(points.filter(active), stream), stream)


def _cut_active(ordered: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """What ``_cut`` returns, for active events, those of each `_key` together."""
    rule, time, key = stream.session, pl.col("event_timestamp"), pl.col("_key")
    marked = ordered.with_columns(_silence=pl.when(key == key.shift()).then(time.diff()))
    ends = _ends_session(rule, time.shift(), time)
    marked = marked.with_columns(_opens_chain=pl.col("_silence").is_null() | ends)
    marked = _with_boundaries(marked, stream).with_columns(is_new_session=pl.col("boundary_reason").is_not_null())
    openers = _openers(marked, stream)
    number = marked["is_new_session"].cum_sum() - 1
    return marked.with_columns(
        *(openers[name].gather(number) for name in ("session_id", "session_partition", "_opened_at")),
        _chain_seconds(marked),
        time_diff_seconds=pl.when(~pl.col("is_new_session")).then(in_seconds(pl.col("_silence"))),
    ).drop("_silence", "_opens_chain")


def _with_passive(ordered: pl.DataFrame, active: pl.Series, cut: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """All events with the columns that ``cut`` has of the active ones, in the order of ``ordered``.

    A passive event has those of the last active one before it, if that is of its key and near enough.
    """
    rule, time = stream.session, pl.col("event_timestamp")
    number = active.cum_sum().cast(pl.Int64) - 1  # of the last active event, -1 before the first
    of_active = cut.select(*_OF_SESSION, "boundary_reason", "is_new_session", _before=time, _key_before="_key")
    last = of_active[number.clip(lower_bound=0)] if cut.height else of_active.clear(ordered.height)
    same_key = (number >= 0) & (last["_key_before"] == ordered["_key"]).fill_null(value=False)
    events = ordered.with_columns(last, _active=active, _same_key=same_key)
    is_held = pl.col("_active") | (pl.col("_same_key") & ~_ends_session(rule, pl.col("_before"), time))
    events = events.with_columns(_is_held=is_held, is_new_session=pl.col("_active") & pl.col("is_new_session"))
    held, alone = pl.when("_is_held"), (~events["_is_held"]).arg_true()
    own_partitions = events.select(time)[alone].select(key_expr(stream.session_calendar)).to_series()
    events = events.with_columns(
        held.then("session_id"),
        events["session_partition"].scatter(alone, own_partitions),
        held.then("_opened_at").otherwise(time).alias("_opened_at"),
        held.then("_chain_seconds").otherwise(0.0).alias("_chain_seconds"),
        boundary_reason=pl.when("is_new_session").then("boundary_reason"),
        time_diff_seconds=pl.when(pl.col("_is_held") & ~pl.col("is_new_session")).then(in_seconds(time.diff())),
    )
    return events.select(*ordered.columns, *_OF_SESSION, *_OF_EVENT)


def _openers(marked: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """One row for each session: session_id, session_partition, _opened_at."""
    openers = marked.filter("is_new_session")
    micros = pl.col("event_timestamp").dt.epoch("us").cast(pl.String)
    return openers.select(
        uuids_of(openers.select("user_id", micros, "event_id")).alias("session_id"),
        key_expr(stream.session_calendar).alias("session_partition"),
        _opened_at="event_timestamp",
    )


def _chain_seconds(marked: pl.DataFrame) -> pl.Series:
    """For each event the duration of its activity chain."""
    opens = marked["_opens_chain"]
    times = marked["event_timestamp"]
    first = opens.arg_true()
    last = first.shift(-1, fill_value=marked.height) - 1
    spans = pl.DataFrame({"span": times.gather(last) - times.gather(first)})
    return spans.select(_chain_seconds=in_seconds(pl.col("span"))).to_series().gather(opens.cum_sum() - 1)


def sessionize_window(window: Window, read: EventReader, stream: Stream) -> Sessionized:
    """Compute the sessions that start in the window, from accepted events alone.

    Reads one longest silence before the window, which shows the events that continue an earlier session, and
    further where a rule depends on how that session began (`campaign`, `cut_on`, `max_length`); and after the
    window as long as activity chains continue there.

    Args:
        window: of one session partition, or of several neighbouring ones.
        read: reads the stream's event columns.
        stream: its session rule.
    """
    ordered = _read_sorted(window, read, stream)
    return _sessionized(ordered.frame(), ordered.duplicates, window, stream)


def sessionize_in_parts(
    window: Window, read: EventReader, stream: Stream, rows: int
) -> Iterator[Callable[[], Sessionized]]:
    """The same, in parts of whole users with about `rows` events each, so that not all rows exist twice.

    All is read and sorted first. Each part is computed when it is called; several may be at the same time.
    """
    ordered = _read_sorted(window, read, stream)

    def computed(first: int, length: int) -> Sessionized:
        return _sessionized(ordered.frame(first, length), ordered.duplicates, window, stream)

    for part in ordered.parts(rows):
        yield partial(computed, *part)


def _read_sorted(window: Window, read: EventReader, stream: Stream) -> SortedEvents:
    """The events around the window that its sessions depend on."""
    rule = stream.session
    events = read(window.start - rule.longest_silence, window.end)
    if rule.campaign or rule.cut_on or rule.max_length:
        events = _with_beginnings(events, window.start, read, rule)
    return sort_rows(_with_endings(events, window.end, read, rule).rechunk(), stream)


def _sessionized(ordered: pl.DataFrame, duplicates: pl.DataFrame, window: Window, stream: Stream) -> Sessionized:
    """The sessions of these users that start in the window. `duplicates` may be of other users, too."""
    # Events before the first that opens a session continue an earlier one, whose start was perhaps not read. They have
    # a wrong id, but the session that they seem to open does not start in the window either.
    inside = sessionize_sorted(ordered, stream).filter(in_window(window, "_opened_at"))
    longest = inside.group_by("session_partition").agg(seconds=pl.max("_chain_seconds"))
    return Sessionized(inside.select(*sessionized_columns(stream)), _left_out(inside, duplicates, stream), longest)


def _with_beginnings(events: pl.DataFrame, start: datetime, read: EventReader, rule: SessionRule) -> pl.DataFrame:
    """Add earlier events of the users whose chain at `start` may have begun before what was read.

    Chains of a tool's id need none: no rule cuts them.
    """
    reach = rule.longest_silence
    edge = start - reach
    crossing = is_active(rule) & is_by_rule(rule) & (pl.col("event_timestamp") < start)
    at_edge = pl.col("event_timestamp") <= edge + longest_silence(rule)
    while (users := events.filter(crossing, at_edge)["user_id"].unique()).len():
        more = read(edge - reach, edge, users)
        events, edge, reach = pl.concat([events, more]), edge - reach, reach * 2
        at_edge = pl.col("event_timestamp") <= edge + longest_silence(rule)
    return events


def _with_endings(events: pl.DataFrame, end: datetime, read: EventReader, rule: SessionRule) -> pl.DataFrame:
    """Add later events of the users who have a chain that may continue at `end`.

    All events of such a user are read, for which copy of an event counts shows only beside the others; but only the
    chains that were there at `end` are followed.
    """
    edge, reach = end, rule.longest_silence
    keys = keys_continuing(events, edge, rule)
    while keys.height:
        more = read(edge, edge + reach, keys["user_id"].unique())
        events, edge, reach = pl.concat([events, more]), edge + reach, reach * 2
        keys = keys_continuing(of_keys(more, keys), edge, rule)
    return events


def _with_boundaries(marked: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Add boundary_reason: the first rule by which an event opens a session; null where it opens none.

    A null campaign neither cuts nor is remembered; with a new chain the campaign before is forgotten.
    """
    rule, opens_chain = stream.session, pl.col("_opens_chain")
    by_rule = is_by_rule(rule)
    silent = pl.lit(Boundary.inactivity.value)
    opened = pl.when(by_rule).then(silent).otherwise(pl.lit(Boundary.tool.value)) if rule.id else silent
    reason = pl.when(opens_chain).then(opened)
    if rule.split_at_midnight:
        day = pl.col("event_timestamp").dt.convert_time_zone(rule.timezone).dt.date()
        reason = reason.when(by_rule & (day != day.shift())).then(pl.lit(Boundary.midnight.value))
    if rule.campaign:
        marked = marked.with_columns(_chain=opens_chain.cum_sum())
        last = pl.col(rule.campaign).forward_fill().over("_chain").shift().over("_chain")
        reason = reason.when(by_rule & (pl.col(rule.campaign) != last)).then(pl.lit(Boundary.campaign.value))
    if rule.cut_on:
        marked, is_turn = _turns(marked, rule.cut_on)
        reason = reason.when(by_rule & is_turn).then(pl.lit(Boundary.cut_on.value))
    marked = marked.with_columns(boundary_reason=reason)
    return _with_length_cuts(marked, rule) if rule.max_length else marked


def _turns(marked: pl.DataFrame, cut_on: CutOn) -> tuple[pl.DataFrame, pl.Expr]:
    """The events with the columns that the expression needs, which says at which of them the column turns.

    A change is from the last value that is not null, within a chain; what was left by a cut is forgotten.
    """
    value, leaves = pl.col(cut_on.column), pl.lit(value=False)
    if "leaves" in cut_on.when:
        leaves = ~pl.col("_opens_chain") & value.is_null() & value.shift().is_not_null()
    if "changes" not in cut_on.when:
        return marked, leaves
    marked = marked.with_columns(_between_cuts=(pl.col("_opens_chain") | leaves).cum_sum())
    last = value.forward_fill().over("_between_cuts").shift().over("_between_cuts")
    return marked, leaves | (value != last)


def _with_length_cuts(marked: pl.DataFrame, rule: SessionRule) -> pl.DataFrame:
    """Cut what the other rules leave too long: the first event more than `max_length` after a session's start.

    This depends on the start before, so it can't be a column expression. Only sessions that are too long are looped
    over, by bisection.
    """
    micros = marked["event_timestamp"].dt.epoch("us")
    first = marked["boundary_reason"].is_not_null().arg_true()
    last = first.shift(-1, fill_value=marked.height) - 1
    limit, cuts = (rule.max_length or timedelta.max) // _MICROSECOND, []
    is_long = micros.gather(last) - micros.gather(first) > limit
    if rule.id:
        is_long &= marked[rule.id].gather(first).is_null()
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
    """A Duration in seconds: the Float64 nearest to it, to the last bit.

    Polars divides by a constant by multiplying with its inverse, which may be wrong in the last bit; rounding to
    microseconds corrects that.
    """
    return (duration.dt.total_microseconds() / 1_000_000).round(6)


def affected_partitions(changed: pl.DataFrame, read: EventReader, stream: Stream) -> set[str]:
    """The session partitions whose sessions may change: those of all events in the activity chains of changed events.

    Args:
        changed: ``point_columns`` of the events that were added, removed or changed; any order.
        read: reads ``point_columns`` of the events before and after the change together. With both, a chain is at
            least as long as it was and as it becomes.
        stream: its gap and session calendar.

    Returns:
        Keys of session partitions: all that are affected, and perhaps a few more.
    """
    affected: set[str] = set()
    for window in _windows_of(changed, stream):
        chains = _chains_around(changed.filter(in_window(window)), window, read, stream)
        keys = chains.select(key_expr(stream.session_calendar).unique()).to_series()
        affected.update(key for key in keys if key is not None)
    return affected


def _chains_around(changed: pl.DataFrame, window: Window, read: EventReader, stream: Stream) -> pl.DataFrame:
    """The events of all chains that have a changed event: ``point_columns``.

    Reads the window and one gap on both sides, and then further, twice as far each time, for the users whose chains
    reach the edge of what was read.
    """
    points, rule = list(point_columns(stream)), stream.session
    changed_points = changed.select(*points, _changed=pl.lit(True))
    users = changed["user_id"].unique()
    reach = rule.longest_silence
    start, end = window.start - reach, window.end + reach
    events = read(start, end, users).select(*points, _changed=pl.lit(False))
    time = pl.col("event_timestamp")
    while True:
        chains = _changed_chains(pl.concat([changed_points, events]), rule)
        earlier = chains.filter(time.is_between(start, start + longest_silence(rule)))["user_id"].unique()
        later = chains.filter(time.is_between(end - longest_silence(rule) - _MICROSECOND, end))["user_id"].unique()
        if not earlier.len() and not later.len():
            return chains
        if earlier.len():
            more = read(start - reach, start, earlier).select(*points, _changed=pl.lit(False))
            events, start = pl.concat([events, more]), start - reach
        if later.len():
            more = read(end, end + reach, later).select(*points, _changed=pl.lit(False))
            events, end = pl.concat([events, more]), end + reach
        reach *= 2


def _changed_chains(points: pl.DataFrame, rule: SessionRule) -> pl.DataFrame:
    """The points of the chains that have a changed one. A silence that the rule may not cut never divides here.

    A changed event counts as active, whatever it is or was. With a tool's id, its chains are those of all copies of
    it: another copy may be the one that counts from now on.
    """
    moment = ["user_id", "event_timestamp"]
    if rule.id:
        points = points.with_columns(pl.col("_changed").any().over(moment))
    ordered = points.sort(*([*moment[:1], rule.id, *moment[1:]] if rule.id else moment))
    time, same_key = pl.col("event_timestamp"), has_same_key(rule)
    last = time.shift()
    if rule.passive:
        ordered = ordered.with_columns(_key=(~same_key).fill_null(value=False).cum_sum())
        active = pl.when(is_active(rule) | pl.col("_changed")).then(time)
        last = active.forward_fill().shift().over("_key")
    silence = pl.when(same_key).then(time - last)
    chain = (silence.is_null() | (silence > longest_silence(rule))).cum_sum()
    return ordered.with_columns(_chain=chain).filter(pl.col("_changed").any().over("_chain"))


def _windows_of(changed: pl.DataFrame, stream: Stream) -> Iterator[Window]:
    """At most ``_MOST_WINDOWS`` windows of whole days that cover the changed times, separated by the widest breaks."""
    day = timedelta(days=1)
    days = changed.select(day=pl.col("event_timestamp").dt.truncate("1d").unique().sort())
    width = pl.col("day").diff()
    is_among_widest = width.rank("ordinal", descending=True) < _MOST_WINDOWS
    is_far = (is_among_widest & (width > day + 2 * stream.session.longest_silence)).fill_null(value=True)
    spans = days.group_by(is_far.cum_sum(), maintain_order=True).agg(first=pl.min("day"), last=pl.max("day"))
    yield from (Window(first, last + day) for first, last in spans.select("first", "last").iter_rows())


def _ends_session(rule: SessionRule, before: pl.Expr, at: pl.Expr) -> pl.Expr:
    """Whether a session of the event's key ends by the silence from one moment to another."""
    if not rule.id:
        return _is_cut(rule, before, at)
    is_longer = at - before >= rule.id_within if rule.gap_inclusive else at - before > rule.id_within
    return pl.when(is_by_rule(rule)).then(_is_cut(rule, before, at)).otherwise(is_longer)


def _is_cut(rule: SessionRule, before: pl.Expr, at: pl.Expr) -> pl.Expr:
    """Whether the rule ends a session by the silence from one moment to another."""
    if rule.silence_begins != "us":
        before, at = before.dt.truncate(f"1{rule.silence_begins}"), at.dt.truncate(f"1{rule.precision}")
    return at - before >= rule.gap if rule.gap_inclusive else at - before > rule.gap


def _left_out(inside: pl.DataFrame, duplicates: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Count the duplicates of kept events by session partition: those of the same content, and conflicting ones."""
    if duplicates.is_empty():
        schema = {"session_partition": pl.String, "duplicates_across": pl.Int64, "conflicts_across": pl.Int64}
        return pl.DataFrame(schema=schema)
    content = compared_content(stream)
    kept = inside.join(duplicates, on=IDENTITY, how="semi").select(*IDENTITY, "session_partition", _kept=content)
    pairs = duplicates.with_columns(_content=content).join(kept, on=IDENTITY)
    differs = pl.col("_content") != pl.col("_kept")
    return pairs.group_by("session_partition").agg(
        duplicates_across=(~differs).sum().cast(pl.Int64), conflicts_across=differs.sum().cast(pl.Int64)
    )
