"""Whose an anonymous id is, computed by loops over the rows of landing files: what the warehouse is compared with."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple


class Seen(NamedTuple):
    """One accepted event as far as it matters: where it landed, both ids, and when it happened."""

    landing_partition: str
    anonymous_id: str | None
    user_id: str | None
    at: datetime


class Link(NamedTuple):
    landing_partition: str
    anonymous_id: str
    user_id: str
    first_seen: datetime
    last_seen: datetime
    events: int


class Resolved(NamedTuple):
    user_id: str | None
    is_shared: bool
    users: int
    first_seen: datetime
    last_seen: datetime
    events: int


def links_of(events: Iterable[Seen]) -> set[Link]:
    """The links of each landing partition."""
    times: dict[tuple[str, str, str], list[datetime]] = {}
    for event in events:
        if event.anonymous_id is None or event.user_id is None or event.anonymous_id == event.user_id:
            continue
        times.setdefault((event.landing_partition, event.anonymous_id, event.user_id), []).append(event.at)
    return {Link(*pair, min(seen), max(seen), len(seen)) for pair, seen in times.items()}


def resolve(events: Iterable[Seen], shared_above: int) -> dict[str, Resolved]:
    """The user of each anonymous id that any event shows with one."""
    times: dict[str, dict[str, list[datetime]]] = {}
    for event in events:
        if event.anonymous_id is None or event.user_id is None or event.anonymous_id == event.user_id:
            continue
        times.setdefault(event.anonymous_id, {}).setdefault(event.user_id, []).append(event.at)
    return {anonymous: _resolved(users, shared_above) for anonymous, users in times.items()}


def _resolved(users: Mapping[str, list[datetime]], shared_above: int) -> Resolved:
    every = [at for seen in users.values() for at in seen]
    last = min(user.encode() for user, seen in users.items() if max(seen) == max(every)).decode()
    is_shared = len(users) > shared_above
    return Resolved(None if is_shared else last, is_shared, len(users), min(every), max(every), len(every))
