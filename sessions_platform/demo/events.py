"""A week in a web shop, written as landing files: realistic, deterministic, and with known faults.

`land_week` first plays the week (people, visits, pages), then lets a fate befall a few
of its events (a cut line, a broken clock, a late arrival), and counts every fate, so
that what the platform reports can be held against what was planted.

An event has one fate at most, and a faulty row has exactly one reason to be rejected.
Times are milliseconds since the week's start.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

from sessions_platform.contracts.rejection_reasons import Code

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 7

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = DAYS * DAY
FILE_SPAN = 6 * HOUR
SESSION_GAP = 30 * MINUTE
MAX_FUTURE = 5 * MINUTE


@dataclass(frozen=True)
class Planted:
    """What `land_week` wrote. An event is late if it landed, for the first time, after its own day."""

    lines: int
    rejected: dict[Code, int]
    duplicates: int
    """Identical lines within one landing day, beyond the first."""
    duplicates_across: int
    """Identical lines that land on another day once more."""
    conflicts_across: int
    """The same user, time and id on another day, but other content."""
    late_ids: frozenset[str]

    @property
    def late(self) -> int:
        return len(self.late_ids)

    @property
    def accepted(self) -> int:
        return self.lines - sum(self.rejected.values()) - self.duplicates

    @property
    def events_in_sessions(self) -> int:
        return self.accepted - self.duplicates_across - self.conflicts_across


def land_week(folder: Path, events: int = 60_000, seed: int = 7) -> Planted:
    """Write a week of landing files: a folder for each day, a file for each six hours.

    The same arguments give the same bytes. A file that holds them already is left
    alone, so that landing the week again changes nothing. Raises ValueError if there
    are too few events for every fate; a thousand are enough.
    """
    rng = Random(seed)
    week = list(islice(_browsing(rng, events), events))
    fates = _drawn_fates(rng, week)
    ingested = [line for lot, event in enumerate(week) for line in fates.get(lot, ON_TIME).ingest(rng, event)]
    for path, lines in _files(folder, ingested):
        _write(path, lines)
    return _planted(week, fates, len(ingested))


# The week as it happened: people, their visits, and the pages they walk through.


class Visitor(NamedTuple):
    user: dict[str, str] | None  # None: never signed in
    anonymous_id: str
    device: str | None
    stamp: Callable[[int], str | int]


class Event(NamedTuple):
    ms: int
    fields: dict[str, Any]

    @property
    def day(self) -> int:
        return self.ms // DAY


T = TypeVar("T")


def _deck(weights: Mapping[T, int]) -> tuple[T, ...]:
    """Each thing as often as its weight says, to draw from (much quicker than `Random.choices`)."""
    return tuple(thing for thing, weight in weights.items() for _ in range(weight))


class Step:
    """One kind of page: what its event is called, where it is, and where people go from there."""

    def __init__(self, event: str, url: str, **onward: int) -> None:
        self.event, self.url, self.onward = event, url, _deck(onward)


STEPS = {
    "enter": Step("", "", home=4, category=2, product=3, login=2),
    "home": Step("view_page", "", category=5, search=3, product=2, leave=2),
    "login": Step("login", "login", home=4, category=3, product=2),
    "category": Step("view_page", "c/{category}", product=7, category=2, search=1, leave=2),
    "search": Step("search", "search", product=6, search=2, leave=2),
    "product": Step("view_page", "p/{product}", product=4, category=2, add=3, leave=3),
    "add": Step("add_to_cart", "p/{product}", product=3, cart=4, leave=1),
    "cart": Step("view_page", "cart", checkout=4, product=2, leave=2),
    "checkout": Step("view_page", "checkout", purchase=7, leave=3),
    "purchase": Step("purchase", "thanks", home=1, logout=1, leave=3),
    "logout": Step("logout", "logout", leave=1),
}
MEMBERS_ONLY = {"login", "logout"}
SITE = "https://shop.example/"
CATEGORIES = ("shoes", "jackets", "bags", "lamps", "kitchen", "garden", "toys", "books")
QUERIES = ("running shoes", "größe 42", "café cups", "rain jacket", "lamp e27", "gift < 20 €", 'tv 55"')
REFERRERS = _deck({None: 2, "https://search.example/": 2, "https://news.example/letter/1": 1})
SIGNED_UP = 0.65
DEVICES = _deck({"desktop": 9, "mobile": 9, "tablet": 1, None: 1})
PRODUCTS = 400

# How busy each hour is, from midnight on, and each day, from Monday on.
BY_HOUR = (3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 13, 12, 10, 10, 11, 13, 15, 18, 20, 18, 13, 7)
BY_DAY = (10, 9, 9, 10, 11, 13, 14)
HOURS = _deck(dict(enumerate(BY_HOUR)))
WEEK_DAYS = _deck(dict(enumerate(BY_DAY)))


def _browsing(rng: Random, events: int) -> Iterator[Event]:
    """Visits without end; a few visitors pay most of them, as everywhere."""
    visitors = [_visitor(rng) for _ in range(max(1, events // 20))]
    while True:
        visitor = visitors[int(len(visitors) * rng.random() ** 2)]
        yield from (event for event in _visit(rng, visitor, _opening(rng)) if event.ms < WEEK)


def _visitor(rng: Random) -> Visitor:
    user = {"id": f"u-{rng.getrandbits(32):08x}"} if rng.random() < SIGNED_UP else None
    device = rng.choice(DEVICES)
    stamp = _epoch_ms if device == "mobile" else rng.choice((_utc, _berlin))
    return Visitor(user, f"a-{rng.getrandbits(48):012x}", device, stamp)


def _opening(rng: Random) -> int:
    return rng.choice(WEEK_DAYS) * DAY + rng.choice(HOURS) * HOUR + rng.randrange(HOUR)


def _visit(rng: Random, visitor: Visitor, ms: int) -> Iterator[Event]:
    """From page to page until the visitor leaves. The referrer is the page before."""
    referrer, product, basket = rng.choice(REFERRERS), _product(rng), 0.0
    place = _next(rng, visitor, "enter")
    while place != "leave":
        if place == "product":
            product = _product(rng)
        if place == "add":
            basket += _price(product)
        about = _about(rng, place, product, basket)
        yield _event(rng, visitor, ms, about | {"referrer": referrer})
        if place == "purchase":
            basket = 0.0
        referrer = about["url"]
        place = _next(rng, visitor, place)
        ms += rng.choice(SILENCES)(rng)


def _next(rng: Random, visitor: Visitor, place: str) -> str:
    onward = rng.choice(STEPS[place].onward)
    return "leave" if onward in MEMBERS_ONLY and visitor.user is None else onward


def _about(rng: Random, place: str, product: int, basket: float) -> dict[str, Any]:
    """What an event says of its page."""
    product_id, category = f"P-{product:04d}", CATEGORIES[product % len(CATEGORIES)]
    step = STEPS[place]
    about = {"event": step.event, "url": SITE + step.url.format(product=product_id, category=category)}
    if place in {"product", "add"}:
        return about | {"product_id": product_id, "price": _price(product)}
    if place == "search":
        return about | {"query": rng.choice(QUERIES)}
    if place == "purchase":
        return about | {"amount": round(basket, 2)}
    return about


def _event(rng: Random, visitor: Visitor, ms: int, about: dict[str, Any]) -> Event:
    who = {"user": visitor.user, "anonymous_id": visitor.anonymous_id, "device": visitor.device}
    return Event(ms, {"id": f"{rng.getrandbits(64):016x}", "ts": visitor.stamp(ms)} | who | about)


def _product(rng: Random) -> int:
    return int(PRODUCTS * rng.random() ** 2)


def _price(product: int) -> float:
    return round(product * 7919 % 180 + 4.99, 2)


def _pause(rng: Random) -> int:
    """Seconds to minutes, in the manner of people reading."""
    return int(SECOND * min(rng.lognormvariate(3.2, 1.1), 1500))


def _no_pause(_: Random) -> int:
    return 0


def _just_the_gap(_: Random) -> int:
    return SESSION_GAP


def _forgotten_tab(rng: Random) -> int:
    return rng.randrange(SESSION_GAP + 1, 3 * HOUR)


SILENCES = _deck({_pause: 970, _no_pause: 15, _just_the_gap: 2, _forgotten_tab: 13})


def _utc(ms: int) -> str:
    return _moment(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _berlin(ms: int) -> str:
    return _moment(ms).astimezone(BERLIN).isoformat(timespec="milliseconds")


def _epoch_ms(ms: int) -> int:
    return EPOCH_MS + ms


def _moment(ms: int) -> datetime:
    return START + timedelta(milliseconds=ms)


BERLIN = timezone(timedelta(hours=1))
EPOCH_MS = int(START.timestamp()) * SECOND


# How it reaches the landing folders: most events within seconds, some not so well.


class Ingested(NamedTuple):
    """A line of a landing file, and when it arrived."""

    ms: int
    line: str


Landing = Callable[[Random, Event], list[Ingested]]
Spoiling = Callable[[Random, Event], str]


def _line(event: Event, /, **changed: Any) -> str:
    return ENCODER.encode(event.fields | changed)


ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _soon(rng: Random, event: Event) -> int:
    """Within seconds, and on the event's own day, so that only planted events are late."""
    return min(event.ms + int(rng.expovariate(1 / (3 * SECOND))), _end_of(event.day) - 1)


def _end_of(day: int) -> int:
    return (day + 1) * DAY


def _on_another_day(rng: Random, event: Event) -> int:
    """One to five days later, within the week."""
    day = rng.randint(event.day + 1, min(event.day + 5, DAYS - 1))
    return day * DAY + rng.randrange(DAY)


def _on_time(rng: Random, event: Event) -> list[Ingested]:
    return [Ingested(_soon(rng, event), _line(event))]


def _late(rng: Random, event: Event) -> list[Ingested]:
    return [Ingested(_on_another_day(rng, event), _line(event))]


def _sent_again(rng: Random, event: Event) -> list[Ingested]:
    return _followed_by(rng, event, _line(event))


def _sent_again_another_day(rng: Random, event: Event) -> list[Ingested]:
    return [*_on_time(rng, event), Ingested(_on_another_day(rng, event), _line(event))]


def _amended(rng: Random, event: Event) -> list[Ingested]:
    return _followed_by(rng, event, _with_shipping(event))


def _amended_another_day(rng: Random, event: Event) -> list[Ingested]:
    return [*_on_time(rng, event), Ingested(_on_another_day(rng, event), _with_shipping(event))]


def _followed_by(rng: Random, event: Event, line: str) -> list[Ingested]:
    """The event on time, and another line later on the same day."""
    first = _soon(rng, event)
    return [Ingested(first, _line(event)), Ingested(rng.randrange(first, _end_of(event.day)), line)]


def _with_shipping(event: Event) -> str:
    return _line(event, amount=round(event.fields["amount"] + 4.9, 2))


def _spoiled(spoil: Spoiling) -> Landing:
    return lambda rng, event: [Ingested(_soon(rng, event), spoil(rng, event))]


# What can spoil a line. Each of these breaks one rule of the stream, and no other.


def _cut_short(rng: Random, event: Event) -> str:
    line = _line(event)
    return line[: rng.randrange(1, len(line))]


def _unquoted(_: Random, event: Event) -> str:
    return _line(event).replace('"', "")


def _glued(_: Random, event: Event) -> str:
    """Two objects on one line: somebody lost a newline."""
    return _line(event) + _line(event)


def _unknown_type(rng: Random, event: Event) -> str:
    return _line(event, event=rng.choice(("pageview", "Purchase", "add-to-cart", "debug")))


def _nobody(_: Random, event: Event) -> str:
    return _line(event, user=None, anonymous_id=None)


def _unreadable_clock(rng: Random, event: Event) -> str:
    return _line(event, ts=rng.choice(("yesterday", "05.01.2026 14:03", "2026-13-05T25:61:00Z", "Mon Jan 5")))


def _clock_ahead(rng: Random, event: Event) -> str:
    """Too far ahead even for the tolerance after the landing day."""
    return _line(event, ts=_utc(_end_of(event.day) + MAX_FUTURE + rng.randrange(SECOND, 400 * DAY)))


def _clock_behind(rng: Random, event: Event) -> str:
    """Before the stream began: an old backlog, or a clock that was never set."""
    return _line(event, ts=rng.choice((_utc(-rng.randrange(SECOND, 90 * DAY)), "1970-01-01T00:00:12.000Z")))


def _elsewhere(rng: Random, event: Event) -> str:
    return _line(event, url=rng.choice(("about:blank", "file:///C:/shop.html", "http://192.0.2.7/cart")))


def _refund(_: Random, event: Event) -> str:
    return _line(event, amount=-event.fields["amount"])


# Which fates there are, and whom they befall.


def _anyone(_: Event) -> bool:
    return True


def _buyer(event: Event) -> bool:
    return "amount" in event.fields


def _before_the_last_day(event: Event) -> bool:
    return event.day < DAYS - 1


def _early_buyer(event: Event) -> bool:
    return _buyer(event) and _before_the_last_day(event)


class Fate(NamedTuple):
    """How an event lands, as what that is counted, and how many of 10,000 events it befalls."""

    kind: str
    ingest: Landing
    share: int
    befalls: Callable[[Event], bool] = _anyone


ON_TIME = Fate("on_time", _on_time, 0)
FATES = (
    Fate(Code.malformed, _spoiled(_cut_short), 8),
    Fate(Code.malformed, _spoiled(_unquoted), 4),
    Fate(Code.malformed, _spoiled(_glued), 4),
    Fate(Code.not_allowed, _spoiled(_unknown_type), 16),
    Fate(Code.missing_identity, _spoiled(_nobody), 14),
    Fate(Code.bad_timestamp, _spoiled(_unreadable_clock), 12),
    Fate(Code.future_timestamp, _spoiled(_clock_ahead), 10),
    Fate(Code.before_start, _spoiled(_clock_behind), 8),
    Fate(Code.pattern_mismatch, _spoiled(_elsewhere), 6),
    Fate(Code.out_of_range, _spoiled(_refund), 5, _buyer),
    Fate(Code.conflicting_duplicate, _amended, 2, _buyer),
    Fate("conflicts_across", _amended_another_day, 1, _early_buyer),
    Fate("duplicates", _sent_again, 30),
    Fate("duplicates_across", _sent_again_another_day, 12, _before_the_last_day),
    Fate("late", _late, 40, _before_the_last_day),
)


def _drawn_fates(rng: Random, week: list[Event]) -> dict[int, Fate]:
    """The fate of each event that has one, by its place in the week; every fate at least once."""
    fates: dict[int, Fate] = {}
    lots = rng.sample(range(len(week)), len(week))
    for fate in FATES:
        wanted = max(1, len(week) * fate.share // 10_000)
        struck = list(islice((lot for lot in lots if lot not in fates and fate.befalls(week[lot])), wanted))
        if len(struck) < wanted:
            raise ValueError(f"{len(week)} events are too few to plant {fate.kind}: ask for 1,000 or more")
        fates |= dict.fromkeys(struck, fate)
    return fates


def _planted(week: list[Event], fates: dict[int, Fate], lines: int) -> Planted:
    counts = Counter(fate.kind for fate in fates.values())
    return Planted(
        lines=lines,
        rejected={code: counts[code] for code in Code if code in counts},
        duplicates=counts["duplicates"],
        duplicates_across=counts["duplicates_across"],
        conflicts_across=counts["conflicts_across"],
        late_ids=frozenset(week[lot].fields["id"] for lot, fate in fates.items() if fate.kind == "late"),
    )


# The files.


def _files(folder: Path, ingested: Iterable[Ingested]) -> Iterator[tuple[Path, list[str]]]:
    """Every file of the week, with its lines in the order of their arrival."""
    files: list[list[str]] = [[] for _ in range(WEEK // FILE_SPAN)]
    for ms, line in sorted(ingested, key=lambda ingested: ingested.ms):
        files[ms // FILE_SPAN].append(line)
    for number, lines in enumerate(files):
        opened = _moment(number * FILE_SPAN)
        yield folder / f"{opened:%Y-%m-%d}" / f"events-{opened:%H}.ndjson.gz", lines


def _write(path: Path, lines: list[str]) -> None:
    content = gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=4, mtime=0)
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)
