"""The visits of a web shop's week as they happened: people, pages and pauses.

Not here: how events are delivered, late or broken (`deliveries.py`), and files (`events.py`). Times are milliseconds
since the week's start. Everything is drawn from one random generator, so that the same seed gives the same week.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple, TypeVar

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 7

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = DAYS * DAY
SESSION_GAP = 30 * MINUTE

BERLIN = timezone(timedelta(hours=1))
EPOCH_MS = int(START.timestamp()) * SECOND


class Visitor(NamedTuple):
    """A person with a browser; `stamp` writes a time as this browser does."""

    user: dict[str, str] | None  # None for one who never signs in
    anonymous_id: str
    device: str | None
    stamp: Callable[[int], str | int]


class Event(NamedTuple):
    """An event of a visit: when it happened, and the fields of its line."""

    ms: int
    fields: dict[str, Any]

    @property
    def day(self) -> int:
        return self.ms // DAY


T = TypeVar("T")


def _deck(weights: Mapping[T, int]) -> tuple[T, ...]:
    """Each item as often as its weight says, to draw from (much quicker than `Random.choices`)."""
    return tuple(item for item, weight in weights.items() for _ in range(weight))


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
REFERRERS = (None, None, "https://www.google.com/", "https://www.instagram.com/", "https://news.example/letter/1")
SIGNED_UP = 0.65
DEVICES = _deck({"desktop": 9, "mobile": 9, "tablet": 1, None: 1})
PRODUCTS = 400

# How busy each hour is, from midnight on, and each day, from Monday on.
BY_HOUR = (3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 13, 12, 10, 10, 11, 13, 15, 18, 20, 18, 13, 7)
BY_DAY = (10, 9, 9, 10, 11, 13, 14)
HOURS = _deck(dict(enumerate(BY_HOUR)))
WEEK_DAYS = _deck(dict(enumerate(BY_DAY)))


def visits(rng: Random, events: int) -> Iterator[Event]:
    """An endless sequence of events, one visit after the other; a few of the visitors make most of the visits."""
    visitors = [_visitor(rng) for _ in range(max(1, events // 20))]
    while True:
        visitor = visitors[int(len(visitors) * rng.random() ** 2)]
        yield from (event for event in _visit(rng, visitor, _opening(rng)) if event.ms < WEEK)


def _visitor(rng: Random) -> Visitor:
    user = {"id": f"u-{rng.getrandbits(32):08x}"} if rng.random() < SIGNED_UP else None
    device = rng.choice(DEVICES)
    stamp = _epoch_ms if device == "mobile" else rng.choice((utc, _berlin))
    return Visitor(user, f"a-{rng.getrandbits(48):012x}", device, stamp)


def _opening(rng: Random) -> int:
    return rng.choice(WEEK_DAYS) * DAY + rng.choice(HOURS) * HOUR + rng.randrange(HOUR)


def _visit(rng: Random, visitor: Visitor, ms: int) -> Iterator[Event]:
    """From page to page until the visitor leaves. The referrer is the page before."""
    referrer, product, basket = rng.choice(REFERRERS), _product(rng), 0.0
    step_name = _next(rng, visitor, "enter")
    while step_name != "leave":
        if step_name == "product":
            product = _product(rng)
        if step_name == "add":
            basket += _price(product)
        about = _about(rng, step_name, product, basket)
        yield _event(rng, visitor, ms, about | {"referrer": referrer})
        if step_name == "purchase":
            basket = 0.0
        referrer = about["url"]
        step_name = _next(rng, visitor, step_name)
        ms += rng.choice(SILENCES)(rng)


def _next(rng: Random, visitor: Visitor, step_name: str) -> str:
    onward = rng.choice(STEPS[step_name].onward)
    return "leave" if onward in MEMBERS_ONLY and visitor.user is None else onward


def _about(rng: Random, step_name: str, product: int, basket: float) -> dict[str, Any]:
    """The fields of an event that describe its page."""
    product_id, category = f"P-{product:04d}", CATEGORIES[product % len(CATEGORIES)]
    step = STEPS[step_name]
    about = {"event": step.event, "url": SITE + step.url.format(product=product_id, category=category)}
    if step_name in {"product", "add"}:
        return about | {"product_id": product_id, "price": _price(product)}
    if step_name == "search":
        return about | {"query": rng.choice(QUERIES)}
    if step_name == "purchase":
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
    """Seconds to minutes, as long as people read a page."""
    return int(SECOND * min(rng.lognormvariate(3.2, 1.1), 1500))


def _no_pause(_: Random) -> int:
    return 0


def _just_the_gap(_: Random) -> int:
    return SESSION_GAP


def _forgotten_tab(rng: Random) -> int:
    return rng.randrange(SESSION_GAP + 1, 3 * HOUR)


SILENCES = _deck({_pause: 970, _no_pause: 15, _just_the_gap: 2, _forgotten_tab: 13})


def utc(ms: int) -> str:
    """A time as ISO 8601 in UTC."""
    return moment(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _berlin(ms: int) -> str:
    return moment(ms).astimezone(BERLIN).isoformat(timespec="milliseconds")


def _epoch_ms(ms: int) -> int:
    return EPOCH_MS + ms


def moment(ms: int) -> datetime:
    """A time, given in milliseconds since the week's start."""
    return START + timedelta(milliseconds=ms)
