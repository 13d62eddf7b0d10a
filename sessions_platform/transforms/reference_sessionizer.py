"""The reference implementation of sessions: one sort and one loop over dicts, with the standard library only.

The vectorized transforms (``sort_events``, ``sessionize``, ``summarize``) and every engine have to give the same
sessions. Property tests compare them with this module, and so does the check `sample_recomputation` on stored data. So
it shares no code with them, is written to be read, and is never made fast.

An event is a dict of a stream's event columns: user_id, event_timestamp (an aware datetime), event_id, provenance, and
what the rule and the summary name.
"""

import hashlib
import math
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Event = dict[str, Any]


class Rule(NamedTuple):
    """The session rule, as the keys of a stream's file state it."""

    gap: timedelta = timedelta(minutes=30)
    gap_inclusive: bool = False
    midnight_in: str | None = None  # a timezone: the first event of a new day there opens a session
    campaign: str | None = None  # a column: another value opens a session
    max_length: timedelta | None = None
    sequence: str | None = None  # a column that orders simultaneous events; "position" for file and position
    keeps_last: bool = False  # of the copies of an event, the last one instead of the first
    precision: timedelta = timedelta(microseconds=1)  # silences are measured between times that are floored to it
    gap_from_second: bool = False  # a silence begins at the whole second of the last event
    cut_on: str | None = None  # a column whose turns open a session
    changes_cut: bool = False  # from its last value, unless that was left by a cut, to another one
    leaves_cut: bool = False  # from a value to null
    passive: tuple[str, ...] = ()  # event types that neither open nor extend a session
    id: str | None = None  # a column with the tool's own id: the session of all events that have one, per user
    id_within: timedelta = timedelta(days=1)  # unless they are silent for longer


class Column(NamedTuple):
    """A column of the sessions table that a stream adds: a function of a column of its events."""

    function: str
    column: str
    where: Mapping[str, Sequence[Any]] = {}  # of which events: by column the values of which it is to be one


class Outcomes(NamedTuple):
    """What says whether a session is engaged, and a bounce: event types, and times."""

    views: Sequence[str] = ()
    conversions: Sequence[str] = ()
    engaged_after: timedelta | None = None  # GA4's rule: a session of this duration is engaged
    pings: Sequence[str] = ()  # Snowplow's rule: pings in three heartbeats
    heartbeat: timedelta = timedelta(seconds=10)
    bounce: str | None = None  # one_event, one_view or not_engaged


PLAIN = Rule()


def sessions_of(events: list[Event], rule: Rule = PLAIN) -> list[list[Event]]:
    """The events of each session in time order, users in the order of their ids; of duplicates only the kept one."""
    return [session for _, session in cut(events, rule)]


def cut(events: list[Event], rule: Rule = PLAIN) -> list[tuple[str, list[Event]]]:
    """What ``sessions_of`` returns, each session preceded by its boundary reason."""
    return _cut(events, rule)[0]


def outside(events: list[Event], rule: Rule = PLAIN) -> list[Event]:
    """The passive events that are in no session, in the order of `order`."""
    return _cut(events, rule)[1]


def _cut(events: list[Event], rule: Rule) -> tuple[list[tuple[str, list[Event]]], list[Event]]:
    sessions: list[tuple[str, list[Event]]] = []
    left_out: list[Event] = []
    keys: dict[tuple[str, Any], list[Event]] = {}
    for event in sorted((copies[0] for copies in copies_of(events, rule)), key=lambda e: order(e, rule)):
        keys.setdefault((event["user_id"], event[rule.id] if rule.id else None), []).append(event)
    for (_, tool_id), own in keys.items():
        active = [event for event in own if not _is_passive(event, rule)]
        of_key = _cut_by_rule(active, rule) if tool_id is None else _cut_by_id(active, rule)
        left_out += _with_passive(own, of_key, rule)
        sessions += of_key
    in_time = sorted(left_out, key=lambda event: order(event, rule))
    return sorted(sessions, key=lambda session: order(session[1][0], rule)), in_time


def _cut_by_id(events: list[Event], rule: Rule) -> list[tuple[str, list[Event]]]:
    """The active events with one id of the tool, in time order."""
    sessions: list[tuple[str, list[Event]]] = []
    for event in events:
        if not sessions or _ends(sessions[-1][1][-1], event, rule):
            sessions.append(("tool", []))
        sessions[-1][1].append(event)
    return sessions


def _with_passive(own: list[Event], sessions: list[tuple[str, list[Event]]], rule: Rule) -> list[Event]:
    """Put the passive events of a key, which are in time order, into its sessions; the result is those of none.

    Each belongs to the session of the last active event that is not later, if the silence since then does not end it.
    """
    session_of = {identity(event): session for _, session in sessions for event in session}
    last: Event | None = None
    left_out: list[Event] = []
    for event in own:
        if not _is_passive(event, rule):
            last = event
        elif last is None or _ends(last, event, rule):
            left_out.append(event)
        else:
            session_of[identity(last)].append(event)
    for _, session in sessions:
        session.sort(key=lambda event: order(event, rule))
    return left_out


def _cut_by_rule(events: list[Event], rule: Rule) -> list[tuple[str, list[Event]]]:
    """The active events of one user, those without an id of the tool, in time order."""
    sessions: list[tuple[str, list[Event]]] = []
    last: Event | None = None
    campaign: Any = None  # the newest of the activity chain that is not null
    value: Any = None  # that of the column `cut_on`, too
    for event in events:
        opens_chain = last is None or _is_silence(last, event, rule)
        if opens_chain:
            campaign = value = None
        turns = rule.cut_on is not None and not opens_chain and _turns(last, event, value, rule)
        reason = "inactivity" if opens_chain else _reason_to_cut(sessions[-1][1], event, campaign, rule, turns=turns)
        if reason:
            sessions.append((reason, []))
        sessions[-1][1].append(event)
        last = event
        if rule.campaign and event[rule.campaign] is not None:
            campaign = event[rule.campaign]
        if rule.cut_on and (event[rule.cut_on] is not None or (turns and rule.leaves_cut)):
            value = event[rule.cut_on]
    return sessions


def copies_of(events: list[Event], rule: Rule = PLAIN) -> list[list[Event]]:
    """The copies of each event (rows of one identity), beginning with the one that is kept: the first that landed.

    With the sequence "position" it is the one of the first file, in whatever order files landed; with `keeps_last`
    the last one in the same order.
    """
    copies: dict[tuple[Any, ...], list[Event]] = {}
    landed = ("landing_partition", "source_uri", "position")
    by = ("source_uri", "position", "landing_partition") if rule.sequence == "position" else landed
    for event in sorted(events, key=lambda e: [e[name] for name in by], reverse=rule.keeps_last):
        copies.setdefault(identity(event), []).append(event)
    return list(copies.values())


def identity(event: Event) -> tuple[Any, ...]:
    """What makes two accepted rows the same event."""
    return (event["user_id"], event["event_timestamp"], event["event_id"])


def session_id(session: list[Event]) -> str:
    """The UUID from the md5 over user, start (microseconds since 1970) and id of the first event, joined by U+001F."""
    opener = session[0]
    micros = (opener["event_timestamp"] - datetime(1970, 1, 1, tzinfo=opener["event_timestamp"].tzinfo)) // timedelta(
        microseconds=1
    )
    text = "\x1f".join([opener["user_id"], str(micros), opener["event_id"]])
    return str(uuid.UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest()))


def summary(
    session: list[Event],
    priorities: Sequence[str] = (),
    columns: Mapping[str, Column] | None = None,
    rule: Rule = PLAIN,
    outcomes: Outcomes | None = None,
) -> dict[str, Any]:
    """What ``transforms.summarize`` makes of a session, without session_partition and session_rule_version.

    Args:
        session: its events, in time order.
        priorities: event types, of which the first that occurs is the primary action; empty for the most frequent.
        columns: the stream's own columns: by name how each is made of the events.
        rule: which events are passive, and which column has the tool's id.
        outcomes: by what is_engaged and is_bounce are told, where sessions have them.
    """
    active = [event for event in session if not _is_passive(event, rule)]
    start, end = active[0]["event_timestamp"], active[-1]["event_timestamp"]
    pages = [event["page_url"] for event in active if event.get("page_url") is not None]
    return {
        "session_id": session_id(session),
        "user_id": session[0]["user_id"],
        "session_start": start,
        "session_end": end,
        "duration_seconds": (end - start) / timedelta(seconds=1),
        "event_count": len(session),
        "primary_action": _primary_action(active, priorities),
        "entry_page": pages[0] if pages else None,
        "exit_page": pages[-1] if pages else None,
        **({"tool_session_id": session[0][rule.id]} if rule.id else {}),
        **{name: _aggregate(column, session) for name, column in (columns or {}).items()},
        **(_outcomes(session, active, outcomes) if outcomes else {}),
    }


def order(event: Event, rule: Rule) -> tuple[Any, ...]:
    """The sort key of events: user, time, passive ones last, sequence (null last; or file and position), event id."""
    begin = (event["user_id"], event["event_timestamp"], _is_passive(event, rule))
    if rule.sequence == "position":
        return (*begin, event["source_uri"], event["position"], event["event_id"])
    sequence = event[rule.sequence] if rule.sequence else None
    null_last = (sequence is None, 0 if sequence is None else sequence)
    return (*begin, null_last, event["event_id"])


def _is_passive(event: Event, rule: Rule) -> bool:
    return bool(rule.passive) and event["event_type"] in rule.passive


def _primary_action(session: list[Event], priorities: Sequence[str]) -> str | None:
    counts = Counter(event["event_type"] for event in session)
    if priorities:
        return next((action for action in priorities if action in counts), None)
    return next(event["event_type"] for event in session if counts[event["event_type"]] == max(counts.values()))


def _outcomes(session: list[Event], active: list[Event], by: Outcomes) -> dict[str, bool]:
    types = [event["event_type"] for event in session]
    views = sum(kind in by.views for kind in types)
    converts = any(kind in by.conversions for kind in types)
    found: dict[str, bool] = {}
    if by.pings or by.engaged_after is not None:
        found["is_engaged"] = views >= 2 or converts or _stays(session, active, by)
    if by.bounce == "one_event":
        found["is_bounce"] = len(active) == 1
    elif by.bounce == "one_view":
        found["is_bounce"] = views < 2 and not converts
    elif by.bounce == "not_engaged":
        found["is_bounce"] = not found["is_engaged"]
    return found


def _stays(session: list[Event], active: list[Event], by: Outcomes) -> bool:
    if by.engaged_after is not None:
        return active[-1]["event_timestamp"] - active[0]["event_timestamp"] >= by.engaged_after
    pings = [event["event_timestamp"] for event in session if event["event_type"] in by.pings]
    return len({floored(moment, by.heartbeat) for moment in pings}) >= 3


def _aggregate(own: Column, session: list[Event]) -> Any:
    function, column, where = own
    held = [event for event in session if all(event[name] in wanted for name, wanted in where.items())]
    values = [event[column] for event in held if event[column] is not None]
    if function == "count":
        return len(values)
    if function == "count_distinct":
        return len(set(values))
    if not values:
        return None
    if function == "most_frequent":
        return max(values, key=values.count)  # of equals the first
    if function in {"first", "last"}:
        return values[0] if function == "first" else values[-1]
    return {"sum": _sum, "min": min, "max": max, "any": any}[function](values)


def _sum(numbers: list[Any]) -> int | float:
    """The exact sum, of floats rounded once; an infinity where that is beyond the floats."""
    if not isinstance(numbers[0], float):
        return sum(numbers)
    exact = sum(map(Fraction, numbers))
    try:
        return float(exact)
    except OverflowError:
        return math.copysign(math.inf, exact)


def _is_silence(last: Event, event: Event, rule: Rule) -> bool:
    begin = floored(last["event_timestamp"], rule.precision)
    if rule.gap_from_second:
        begin = floored(begin, timedelta(seconds=1))
    silence = floored(event["event_timestamp"], rule.precision) - begin
    too_long = silence >= rule.gap if rule.gap_inclusive else silence > rule.gap
    return event["user_id"] != last["user_id"] or too_long


def _ends(last: Event, event: Event, rule: Rule) -> bool:
    """Whether the silence between two events of one user, and of one id of the tool, ends a session."""
    if not rule.id or event[rule.id] is None:
        return _is_silence(last, event, rule)
    silence = event["event_timestamp"] - last["event_timestamp"]
    return silence > rule.id_within or (rule.gap_inclusive and silence == rule.id_within)


def floored(moment: datetime, unit: timedelta) -> datetime:
    """The last whole unit since 1970 that is not later than the moment."""
    return moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % unit


def _turns(last: Event | None, event: Event, value: Any, rule: Rule) -> bool:
    """Whether the column `cut_on` turns; `value` is its newest one that is not null, or null after one was left."""
    before, now = last and last[rule.cut_on or ""], event[rule.cut_on or ""]
    if now is None:
        return rule.leaves_cut and before is not None
    return rule.changes_cut and value is not None and now != value


def _reason_to_cut(session: list[Event], event: Event, campaign: Any, rule: Rule, *, turns: bool) -> str | None:
    """The first rule other than silence that cuts before the event."""
    if rule.midnight_in and _day(session[-1], rule.midnight_in) != _day(event, rule.midnight_in):
        return "midnight"
    if rule.campaign and None not in (campaign, event[rule.campaign]) and event[rule.campaign] != campaign:
        return "campaign"
    if turns:
        return "cut_on"
    if rule.max_length is not None and event["event_timestamp"] - session[0]["event_timestamp"] > rule.max_length:
        return "max_length"
    return None


def _day(event: Event, zone: str) -> date:
    return event["event_timestamp"].astimezone(ZoneInfo(zone)).date()
