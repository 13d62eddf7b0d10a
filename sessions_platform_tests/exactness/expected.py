"""What the lake and the warehouse should contain, computed from the lines of the landing files alone.

Loops over dicts, standard library only, and nothing of the platform's but its row-by-row reference sessionizer: the
model that the whole pipeline is compared with.
"""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.reference_sessionizer import Event
from sessions_platform_tests import identity_oracle
from sessions_platform_tests.exactness import web_visits
from sessions_platform_tests.exactness.stream_variant import (
    DIRECT,
    StreamVariant,
    first_moment,
    last_moment,
    partition_of,
)
from sessions_platform_tests.identity_oracle import Seen

Row = dict[str, Any]
Place = tuple[str, int]  # a file and a line of it

PROVENANCE = ("landing_partition", "source_uri", "position")
ENRICHED = ("shelf", *web_visits.ADDED)


# Landing partitions ---------------------------------------------------------------------------------------


class ExpectedLanding(NamedTuple):
    """The rows of one landing partition: raw = accepted + rejected + duplicates."""

    raw: int
    accepted: list[Event]
    rejected: dict[Place, tuple[bytes, set[str]]]  # the line, and the codes of its reasons
    duplicates: int


def validate(files: Mapping[str, Sequence[bytes]], landing_partition: str, variant: StreamVariant) -> ExpectedLanding:
    lines = {(uri, at): line for uri in sorted(files) for at, line in enumerate(files[uri], 1)}
    events: list[Event] = []
    rejected: dict[Place, tuple[bytes, set[str]]] = {}
    for (uri, at), line in lines.items():
        event, codes = _read(line, landing_partition, variant)
        if codes:
            rejected[uri, at] = (line, codes)
        else:
            event |= variant.looked_up(event["page_url"])
            events.append({**event, "landing_partition": landing_partition, "source_uri": uri, "position": at})
    _give_ids([event for event in events if event["event_id"] is None], files)
    first: dict[str, Event] = {}
    duplicates = 0
    for event in reversed(events) if variant.keeps_last else events:
        kept = first.setdefault(event["event_id"], event)
        if kept is not event and content(kept, variant) == content(event, variant):
            duplicates += 1
        elif kept is not event:
            place = (event["source_uri"], event["position"])
            rejected[place] = (lines[place], {"conflicting_duplicate"})
    return ExpectedLanding(len(lines), list(first.values()), rejected, duplicates)


def content(event: Event, variant: StreamVariant) -> Row:
    """What two copies of an event are compared by."""
    if variant.compared == "id":
        return {}
    own = set(event) - {*PROVENANCE, *ENRICHED, "own_user_id"}
    compared = own if variant.compared == "content" else set(variant.compared)
    return {name: value for name, value in event.items() if name in compared}


def same_bytes(lines: Sequence[bytes], others: Sequence[bytes] | None) -> bool:
    return others is not None and b"\n".join(lines) == b"\n".join(others)


def _read(line: bytes, landing_partition: str, variant: StreamVariant) -> tuple[Event, set[str]]:
    """The event of a line, and the codes of what is wrong with it; no ids yet where they are derived."""
    try:
        fields = json.loads(line)
    except ValueError:
        return {}, {"malformed"}
    if not isinstance(fields, dict):
        return {}, {"malformed"}
    user = fields.get("user") if fields.get("user") is not None else fields.get("anon")
    event: Event = {"event_id": fields.get("id") if variant.has_ids else None, "user_id": user}
    codes = {"missing_identity"} if user is None else set[str]()
    if variant.has_ids and event["event_id"] is None and not variant.ids_nullable:
        codes.add("missing_value")
    event["event_timestamp"], fault = _time(fields.get("ts"), landing_partition, variant)
    event["event_type"] = fields.get("type")
    if event["event_type"] is None:
        codes.add("missing_value")
    elif variant.allowed and event["event_type"] not in variant.allowed:
        codes.add("not_allowed")
    event["page_url"] = fields.get("url") or None  # blank text is null
    event["amount"] = amount = fields.get("amount")
    if isinstance(amount, str):
        codes.add("wrong_type")
    elif amount is not None and variant.at_least is not None and amount < variant.at_least:
        codes.add("out_of_range")
    event["campaign"], event["seq"] = fields.get("campaign") or None, fields.get("seq")
    event |= _of_visit(fields, variant)
    extras = {name: value for name, value in fields.items() if name not in _named(variant) and value is not None}
    event["properties"] = json.dumps(extras, separators=(",", ":")) if extras else None
    return event, codes | fault


def _named(variant: StreamVariant) -> set[str]:
    """Fields that columns of the stream read."""
    named = {"user", "anon", "ts", "type", "url", "amount", "campaign", "seq"} | ({"id"} if variant.has_ids else set())
    return named | (set(web_visits.FIELDS.values()) if variant.visits else set())


def _of_visit(fields: Row, variant: StreamVariant) -> Row:
    return web_visits.values_of(fields, **variant.states_of_visits) if variant.visits else {}


def _time(text: str | None, landing_partition: str, variant: StreamVariant) -> tuple[datetime | None, set[str]]:
    if text is None:
        return None, {"missing_value"}
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None, {"bad_timestamp"}
    if moment < first_moment(variant):
        return moment, {"before_start"}
    return moment, {"future_timestamp"} if moment > last_moment(landing_partition, variant) else set()


def _give_ids(events: list[Event], files: Mapping[str, Sequence[bytes]]) -> None:
    """From the line and its occurrence number; a file of the same bytes as an earlier one repeats its ids."""
    ids: dict[Place, str] = {}
    seen: Counter[bytes] = Counter()
    for event in events:
        uri, at = event["source_uri"], event["position"]
        line = files[uri][at - 1]
        original = min(other for other in files if same_bytes(files[other], files[uri]))
        if original == uri:
            text = hashlib.md5(line, usedforsecurity=False).hexdigest() + "\x1f" + str(seen[line])
            ids[uri, at] = str(uuid.UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest()))
            seen[line] += 1
        event["event_id"] = ids[original, at]


# People ---------------------------------------------------------------------------------------------------


def with_people(events: Iterable[Event], accepted: Sequence[Event], variant: StreamVariant) -> list[Event]:
    """Events with the person as their user, by all accepted events; as they are where sessions are not a person's.

    Events that have a person already, of an earlier state of links, get the one of this.
    """
    own = [_with_own_user(event) for event in events]
    if not variant.most_users:
        return own
    seen = [Seen(e["landing_partition"], e["campaign"], e["user_id"], e["event_timestamp"]) for e in accepted]
    people = {name: found.user_id for name, found in identity_oracle.resolve(seen, variant.most_users).items()}
    return [{**e, "user_id": people.get(e["user_id"]) or e["user_id"], "own_user_id": e["user_id"]} for e in own]


def _with_own_user(event: Event) -> Event:
    if "own_user_id" not in event:
        return event
    return {**{name: value for name, value in event.items() if name != "own_user_id"}, "user_id": event["own_user_id"]}


# Session partitions ---------------------------------------------------------------------------------------


class Partition(NamedTuple):
    """The sessions that started in one session partition, and its passive events that are in none."""

    sessions: list[list[Event]]
    reasons: list[str]  # why each of them opened
    duplicates: int
    conflicts: int
    outside: list[Event]


NOTHING = Partition([], [], 0, 0, [])


def partitions(events: list[Event], variant: StreamVariant) -> dict[str, Partition]:
    """One sort of all accepted events; the sessions by the partition that they started in."""
    counts = {
        reference.identity(copies[0]): _left_out(copies, variant)
        for copies in reference.copies_of(events, variant.rule)
    }
    found: dict[str, Partition] = {}
    for reason, session in reference.cut(events, variant.rule):
        key = partition_of(session[0]["event_timestamp"], variant.partition, variant.timezone)
        sessions, reasons, duplicates, conflicts, _ = found.get(key, NOTHING)
        duplicates += sum(counts[reference.identity(event)][0] for event in session)
        conflicts += sum(counts[reference.identity(event)][1] for event in session)
        found[key] = Partition([*sessions, session], [*reasons, reason], duplicates, conflicts, [])
    for event in reference.outside(events, variant.rule):
        key = partition_of(event["event_timestamp"], variant.partition, variant.timezone)
        sessions, reasons, duplicates, conflicts, outside = found.get(key, NOTHING)
        duplicates += counts[reference.identity(event)][0]
        conflicts += counts[reference.identity(event)][1]
        found[key] = Partition(sessions, reasons, duplicates, conflicts, [*outside, event])
    return found


def _left_out(copies: list[Event], variant: StreamVariant) -> tuple[int, int]:
    """How many copies of an event beyond the first are the same as it, and how many differ."""
    same = sum(content(copy, variant) == content(copies[0], variant) for copy in copies[1:])
    return same, len(copies) - 1 - same


def sessionized_rows(key: str, partition: Partition) -> list[Row]:
    """The rows of sessionized_events, by user and in time."""
    rows: list[Row] = []
    for reason, session in zip(partition.reasons, partition.sessions, strict=True):
        last: Event | None = None
        for event in session:
            silence = (event["event_timestamp"] - last["event_timestamp"]) / timedelta(seconds=1) if last else None
            rows.append(
                {
                    **event,
                    "session_id": reference.session_id(session),
                    "is_new_session": last is None,
                    "time_diff_seconds": silence,
                    "boundary_reason": None if last else reason,
                    "session_partition": key,
                }
            )
            last = event
    of_none = {"session_id": None, "is_new_session": False, "time_diff_seconds": None, "boundary_reason": None}
    return rows + [{**event, **of_none, "session_partition": key} for event in partition.outside]


def session_rows(key: str, partition: Partition, variant: StreamVariant) -> dict[str, Row]:
    """The rows of the table `sessions` by their ids, without the columns that describe the rule and the load."""
    return {
        reference.session_id(session): {
            **reference.summary(session, variant.priorities, variant.aggregates, variant.rule, variant.outcomes),
            "session_partition": key,
        }
        for session in partition.sessions
    }


def open_until(events: list[Event], variant: StreamVariant) -> dict[str, datetime | None]:
    """Of each session. An owner's last session is open until the gap has passed; all others are over.

    The owner is the user; where the tool's ids make sessions, a user and an id. Of sessions that begin and end at one
    moment none has ended the other.
    """
    sessions = reference.sessions_of(events, variant.rule)
    span = {id(s): (s[0]["event_timestamp"], _end(s, variant)) for s in sessions}
    last = {_owner(session, variant): span[id(session)] for session in sessions}
    return {
        reference.session_id(s): open_until_of(s, variant) if span[id(s)] == last[_owner(s, variant)] else None
        for s in sessions
    }


def _owner(session: list[Event], variant: StreamVariant) -> tuple[Any, ...]:
    return session[0]["user_id"], session[0]["campaign"] if variant.by_tool else None


def _end(session: list[Event], variant: StreamVariant) -> datetime:
    return max(event["event_timestamp"] for event in session if event["event_type"] not in variant.passive_types)


def open_until_of(session: list[Event], variant: StreamVariant) -> datetime:
    """The last moment at which an event would continue the session; with `gap_inclusive` the first that would not."""
    rule, end = variant.rule, _end(session, variant)
    if variant.by_tool and session[0]["campaign"] is not None:
        return end + variant.id_within
    begin = reference.floored(end, rule.precision)
    if rule.gap_from_second:
        begin = reference.floored(begin, timedelta(seconds=1))
    return begin + rule.gap if rule.gap_inclusive else begin + rule.gap + rule.precision - timedelta(microseconds=1)


def is_first(session: list[Event], sessions: Iterable[list[Event]]) -> bool:
    """Whether no session of the user began before.

    Events alone do not tell: a copy with another type, landed on another day, is accepted and in no session.
    """
    user, start = session[0]["user_id"], session[0]["event_timestamp"]
    return all(other[0]["event_timestamp"] >= start for other in sessions if other[0]["user_id"] == user)


def user_sessions(sessions: Iterable[Row], variant: StreamVariant) -> dict[str, Row]:
    """The rows of the view `user_sessions` by their ids, from those of the table `sessions`."""
    found: dict[str, Row] = {}
    of_user: dict[str, list[Row]] = {}
    for session in sorted(sessions, key=lambda row: (row["session_start"], row["session_id"])):
        past = of_user.setdefault(session["user_id"], [])
        past.append(session)
        page, start = session["entry_page"], session["session_start"]
        touches = [row for row in past if row["entry_page"] not in (None, *DIRECT)][-1:]
        touches = [row for row in touches if not variant.lookback or start - row["session_start"] <= variant.lookback]
        days = [row["session_start"].astimezone(variant.zone).date() for row in past[-2:]]
        found[session["session_id"]] = {
            **{name: session[name] for name in ("session_id", "user_id", "session_start", "session_partition")},
            "session_number": len(past),
            "is_new": len(past) == 1,
            "days_since_last": (days[1] - days[0]).days if len(days) == 2 else None,
            "first_touch": next((row["entry_page"] for row in past if row["entry_page"] is not None), None),
            "last_non_direct_touch": touches[0]["entry_page"] if touches else page,
            "last_non_direct_session_id": touches[0]["session_id"] if touches else None,
        }
    return found


def is_open(until: datetime | None, newest: datetime | None, variant: StreamVariant) -> bool:
    """Whether an event at the moment of the stream's newest would still belong to the session."""
    if until is None or newest is None:
        return False
    return newest < until if variant.gap_inclusive else newest <= until


def merged_into(vanished: list[Event], events: list[Event], variant: StreamVariant) -> str | None:
    """The session that contains the earliest surviving event of one that vanished."""
    holder = {
        reference.identity(event): reference.session_id(session)
        for session in reference.sessions_of(events, variant.rule)
        for event in session
    }
    for event in sorted(vanished, key=lambda e: reference.order(e, variant.rule)[1:]):  # they may be several people's
        if reference.identity(event) in holder:
            return holder[reference.identity(event)]
    return None
