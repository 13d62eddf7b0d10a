"""What sessions are, once more and as plainly as possible: one sort and one loop, standard library only.

The platform's transforms are held against it. It shares no code with them.
"""

import hashlib
import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

Event = dict[str, Any]


class Rule(NamedTuple):
    gap: timedelta = timedelta(minutes=30)
    gap_inclusive: bool = False


def sessions_of(events: list[Event], rule: Rule = Rule()) -> list[list[Event]]:
    """The events of each session, in order. An event is (user_id, event_timestamp, event_id); copies count once."""
    kept: dict[tuple[Any, ...], Event] = {}
    for event in sorted(events, key=lambda e: (e["landing_partition"], e["source_uri"], e["position"])):
        kept.setdefault((event["user_id"], event["event_timestamp"], event["event_id"]), event)
    ordered = sorted(kept.values(), key=lambda e: (e["user_id"], e["event_timestamp"], e["event_id"]))
    sessions: list[list[Event]] = []
    for event in ordered:
        if not sessions or _cuts(sessions[-1][-1], event, rule):
            sessions.append([])
        sessions[-1].append(event)
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


def _cuts(last: Event, event: Event, rule: Rule) -> bool:
    silence = event["event_timestamp"] - last["event_timestamp"]
    cut = silence >= rule.gap if rule.gap_inclusive else silence > rule.gap
    return event["user_id"] != last["user_id"] or cut
