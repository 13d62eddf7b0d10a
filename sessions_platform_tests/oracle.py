"""What sessions are, once more and as plainly as possible: one sort and one loop, standard library only.

The platform's transforms are held against it. It shares no code with them.
"""

import hashlib
import uuid
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Event = dict[str, Any]


class Rule(NamedTuple):
    gap: timedelta = timedelta(minutes=30)
    gap_inclusive: bool = False
    midnight_in: str | None = None  # the timezone whose midnights split
    campaign: str | None = None  # the column whose changes split
    max_length: timedelta | None = None
    sequence: str | None = None


PLAIN = Rule()


def sessions_of(events: list[Event], rule: Rule = PLAIN) -> list[list[Event]]:
    """The events of each session, in order. An event is (user_id, event_timestamp, event_id); copies count once."""
    kept: dict[tuple[Any, ...], Event] = {}
    for event in sorted(events, key=lambda e: (e["landing_partition"], e["source_uri"], e["position"])):
        kept.setdefault((event["user_id"], event["event_timestamp"], event["event_id"]), event)
    sessions: list[list[Event]] = []
    last: Event | None = None
    campaign: Any = None  # the last one that is not null, since the last silence
    for event in sorted(kept.values(), key=lambda e: _order(e, rule)):
        opens_chain = last is None or _is_silence(last, event, rule)
        if opens_chain:
            campaign = None
        if opens_chain or _cuts(sessions[-1], event, campaign, rule):
            sessions.append([])
        sessions[-1].append(event)
        last = event
        if rule.campaign and event[rule.campaign] is not None:
            campaign = event[rule.campaign]
    return sessions


def session_id(session: list[Event]) -> str:
    opener = session[0]
    micros = (opener["event_timestamp"] - datetime(1970, 1, 1, tzinfo=opener["event_timestamp"].tzinfo)) // timedelta(
        microseconds=1
    )
    text = "\x1f".join([opener["user_id"], str(micros), opener["event_id"]])
    return str(uuid.UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest()))


def summary(session: list[Event]) -> dict[str, Any]:
    """The row that the session has in the table `sessions`, as far as no stream of its own says more."""
    counts = Counter(event["event_type"] for event in session)
    most = max(counts.values())
    start, end = session[0]["event_timestamp"], session[-1]["event_timestamp"]
    pages = [event["page_url"] for event in session if event.get("page_url") is not None]
    return {
        "session_id": session_id(session),
        "user_id": session[0]["user_id"],
        "session_start": start,
        "session_end": end,
        "duration_seconds": (end - start) / timedelta(seconds=1),
        "event_count": len(session),
        "primary_action": next(e["event_type"] for e in session if counts[e["event_type"]] == most),
        "entry_page": pages[0] if pages else None,
        "exit_page": pages[-1] if pages else None,
    }


def _order(event: Event, rule: Rule) -> tuple[Any, ...]:
    sequence = event[rule.sequence] if rule.sequence else None
    place = (sequence is None, sequence or 0)
    return (event["user_id"], event["event_timestamp"], place, event["event_id"])


def _is_silence(last: Event, event: Event, rule: Rule) -> bool:
    silence = event["event_timestamp"] - last["event_timestamp"]
    too_long = silence >= rule.gap if rule.gap_inclusive else silence > rule.gap
    return event["user_id"] != last["user_id"] or too_long


def _cuts(session: list[Event], event: Event, campaign: Any, rule: Rule) -> bool:
    """Whether a rule other than silence cuts before the event."""
    if rule.midnight_in and _day(session[-1], rule.midnight_in) != _day(event, rule.midnight_in):
        return True
    if rule.campaign and None not in (campaign, event[rule.campaign]) and event[rule.campaign] != campaign:
        return True
    return rule.max_length is not None and event["event_timestamp"] - session[0]["event_timestamp"] > rule.max_length


def _day(event: Event, zone: str) -> date:
    return event["event_timestamp"].astimezone(ZoneInfo(zone)).date()
