"""How the events of the week are delivered: most within seconds, some late, twice, or broken.

Each `Variant` of a delivery is counted, so that what the platform reports can be compared with what was planted. A
broken line breaks one rule of the stream, and no other. The visits themselves are in `visits.py`, and files in
`events.py`.
"""

import json
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any, NamedTuple

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.demo.visits import DAY, DAYS, MINUTE, SECOND, Event, utc

MAX_FUTURE = 5 * MINUTE


class ArrivedLine(NamedTuple):
    """A line of a landing file, and when it arrived."""

    ms: int
    line: str


Deliver = Callable[[Random, Event], list[ArrivedLine]]
Spoil = Callable[[Random, Event], str]


def _line(event: Event, /, **changed: Any) -> str:
    return ENCODER.encode(event.fields | changed)


ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _soon(rng: Random, event: Event) -> int:
    """Within seconds, and on the event's own day, so that only planted events are late."""
    return min(event.ms + int(rng.expovariate(1 / (3 * SECOND))), end_of(event.day) - 1)


def end_of(day: int) -> int:
    """The end of a day of the week, counted from 0, in milliseconds since the week's start."""
    return (day + 1) * DAY


def _on_another_day(rng: Random, event: Event) -> int:
    """One to five days later, within the week."""
    day = rng.randint(event.day + 1, min(event.day + 5, DAYS - 1))
    return day * DAY + rng.randrange(DAY)


def _on_time(rng: Random, event: Event) -> list[ArrivedLine]:
    return [ArrivedLine(_soon(rng, event), _line(event))]


def _late(rng: Random, event: Event) -> list[ArrivedLine]:
    return [ArrivedLine(_on_another_day(rng, event), _line(event))]


def _sent_again(rng: Random, event: Event) -> list[ArrivedLine]:
    return _followed_by(rng, event, _line(event))


def _sent_again_another_day(rng: Random, event: Event) -> list[ArrivedLine]:
    return [*_on_time(rng, event), ArrivedLine(_on_another_day(rng, event), _line(event))]


def _amended(rng: Random, event: Event) -> list[ArrivedLine]:
    return _followed_by(rng, event, _with_shipping(event))


def _amended_another_day(rng: Random, event: Event) -> list[ArrivedLine]:
    return [*_on_time(rng, event), ArrivedLine(_on_another_day(rng, event), _with_shipping(event))]


def _followed_by(rng: Random, event: Event, line: str) -> list[ArrivedLine]:
    """The event on time, and another line later on the same day."""
    first = _soon(rng, event)
    return [ArrivedLine(first, _line(event)), ArrivedLine(rng.randrange(first, end_of(event.day)), line)]


def _with_shipping(event: Event) -> str:
    return _line(event, amount=round(event.fields["amount"] + 4.9, 2))


def _spoiled(spoil: Spoil) -> Deliver:
    return lambda rng, event: [ArrivedLine(_soon(rng, event), spoil(rng, event))]


# Defects of a line. Each breaks one rule of the stream, and no other.


def _cut_short(rng: Random, event: Event) -> str:
    line = _line(event)
    return line[: rng.randrange(1, len(line))]


def _unquoted(_: Random, event: Event) -> str:
    return _line(event).replace('"', "")


def _glued(_: Random, event: Event) -> str:
    """Two objects on one line: a newline is missing."""
    return _line(event) + _line(event)


def _unknown_type(rng: Random, event: Event) -> str:
    return _line(event, event=rng.choice(("pageview", "Purchase", "add-to-cart", "debug")))


def _without_user(_: Random, event: Event) -> str:
    return _line(event, user=None, anonymous_id=None)


def _unreadable_clock(rng: Random, event: Event) -> str:
    return _line(event, ts=rng.choice(("yesterday", "05.01.2026 14:03", "2026-13-05T25:61:00Z", "Mon Jan 5")))


def _clock_ahead(rng: Random, event: Event) -> str:
    """Too far ahead even for the tolerance after the landing day."""
    return _line(event, ts=utc(end_of(event.day) + MAX_FUTURE + rng.randrange(SECOND, 400 * DAY)))


def _clock_behind(rng: Random, event: Event) -> str:
    """Before the stream began: an old backlog, or a clock that was never set."""
    return _line(event, ts=rng.choice((utc(-rng.randrange(SECOND, 90 * DAY)), "1970-01-01T00:00:12.000Z")))


def _foreign_page(rng: Random, event: Event) -> str:
    return _line(event, url=rng.choice(("about:blank", "file:///C:/shop.html", "http://192.0.2.7/cart")))


def _negative_amount(_: Random, event: Event) -> str:
    return _line(event, amount=-event.fields["amount"])


# The variants, and to which events each applies.


def _any_event(_: Event) -> bool:
    return True


def _buyer(event: Event) -> bool:
    return "amount" in event.fields


def _before_the_last_day(event: Event) -> bool:
    return event.day < DAYS - 1


def _early_buyer(event: Event) -> bool:
    return _buyer(event) and _before_the_last_day(event)


class Variant(NamedTuple):
    """A way to deliver an event: as what it is counted, and how many of 10,000 suitable events have it."""

    kind: str
    deliver: Deliver
    share: int
    applies: Callable[[Event], bool] = _any_event


ON_TIME = Variant("on_time", _on_time, 0)
VARIANTS = (
    Variant(Code.malformed, _spoiled(_cut_short), 8),
    Variant(Code.malformed, _spoiled(_unquoted), 4),
    Variant(Code.malformed, _spoiled(_glued), 4),
    Variant(Code.not_allowed, _spoiled(_unknown_type), 16),
    Variant(Code.missing_identity, _spoiled(_without_user), 14),
    Variant(Code.bad_timestamp, _spoiled(_unreadable_clock), 12),
    Variant(Code.future_timestamp, _spoiled(_clock_ahead), 10),
    Variant(Code.before_start, _spoiled(_clock_behind), 8),
    Variant(Code.pattern_mismatch, _spoiled(_foreign_page), 6),
    Variant(Code.out_of_range, _spoiled(_negative_amount), 5, _buyer),
    Variant(Code.conflicting_duplicate, _amended, 2, _buyer),
    Variant("conflicts_across", _amended_another_day, 1, _early_buyer),
    Variant("duplicates", _sent_again, 30),
    Variant("duplicates_across", _sent_again_another_day, 12, _before_the_last_day),
    Variant("late", _late, 40, _before_the_last_day),
)


def draw_variants(rng: Random, week: list[Event]) -> dict[int, Variant]:
    """The variant of each event that has one, by the number of the event; every variant at least once.

    Raises:
        ValueError: there are too few events.
    """
    variants: dict[int, Variant] = {}
    numbers = rng.sample(range(len(week)), len(week))
    for variant in VARIANTS:
        wanted = max(1, len(week) * variant.share // 10_000)
        drawn = list(
            islice((number for number in numbers if number not in variants and variant.applies(week[number])), wanted)
        )
        if len(drawn) < wanted:
            raise ValueError(f"{len(week)} events are too few to plant {variant.kind}: ask for 1,000 or more")
        variants |= dict.fromkeys(drawn, variant)
    return variants
