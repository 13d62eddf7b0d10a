"""The machine is able to fail: six mistakes that others have made, each switched on by a change of one place."""

import json
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from psycopg.sql import SQL

from sessions_platform.contracts.polars_types import key_expr
from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline import invalidation
from sessions_platform.storage.warehouses.postgres import statements
from sessions_platform.transforms import sessionize, sort_events
from sessions_platform.transforms.sessionize import EventReader
from sessions_platform_tests.exactness.machine import prove
from sessions_platform_tests.exactness.pair import Pair, Site
from sessions_platform_tests.exactness.terms import Terms
from sessions_platform_tests.streams import DAY_ONE

Defect = Callable[[pytest.MonkeyPatch], None]


def off_by_one_gap(patch: pytest.MonkeyPatch) -> None:
    """A silence that is one microsecond too short cuts."""
    right = sessionize._is_cut
    patch.setattr(sessionize, "_is_cut", lambda silence, of: right(silence + timedelta(microseconds=1), of))


def window_without_lookahead(patch: pytest.MonkeyPatch) -> None:
    """A session ends where its partition does."""
    patch.setattr(sessionize, "_with_endings", lambda events, *_: events)


def forgotten_neighbour(patch: pytest.MonkeyPatch) -> None:
    """Touched is what holds a changed event, and not where its session began."""

    def partitions_of(changed: pl.DataFrame, _read: EventReader, of: Stream) -> set[str]:
        return set(changed.select(key_expr(of.session_calendar)).to_series())

    patch.setattr(invalidation, "affected_partitions", partitions_of)


def unstable_tie(patch: pytest.MonkeyPatch) -> None:
    """Simultaneous events stand in the order in which they arrived."""
    order = ["event_timestamp", "landing_partition", "source_uri", "position"]
    patch.setattr(sort_events, "time_order", lambda _: order)


def stale_id_left_behind(patch: pytest.MonkeyPatch) -> None:
    """A load inserts and updates, and deletes nothing."""
    patch.setattr(statements, "DELETE", SQL(f"{statements.DELETE.as_string()} and false"))  # type: ignore[arg-type]


def event_counted_twice(patch: pytest.MonkeyPatch) -> None:
    """An event that landed in two partitions is two events."""
    patch.setattr(
        sessionize, "sort_events", lambda events, _: (events.sort("user_id", "event_timestamp"), events.clear())
    )


DEFECTS: list[Defect] = [
    off_by_one_gap,
    window_without_lookahead,
    forgotten_neighbour,
    unstable_tie,
    stale_id_left_behind,
    event_counted_twice,
]
each_defect = pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)


def line(user: str, minute: float, name: str) -> bytes:
    moment = DAY_ONE + timedelta(minutes=minute)
    return json.dumps({"id": name, "user": user, "ts": moment.isoformat(), "type": "view"}).encode()


def tell_a_short_story(site: Site) -> None:
    """Few events, among them one for each of the mistakes."""
    pair = Pair(site, Terms())
    try:
        tied_then_just_in_time = [line("ann", 0, "b"), line("ann", 0, "a"), line("ann", 30, "c")]
        over_midnight = [line("bob", 1430, "d"), line("bob", 1450, "e")]
        _arrive(pair, "2026-01-01", [*tied_then_just_in_time, *over_midnight, line("eve", 720, "f")])
        _arrive(pair, "2026-01-02", [line("ann", 0, "a")])  # a copy
        _arrive(pair, "2026-01-03", [line("bob", 1470, "g")])  # late, for a session that began the day before
        _arrive(pair, "2026-01-04", [line("eve", 700, "h")])  # late, and the session gets another id
    finally:
        pair.close()


def _arrive(pair: Pair, landing_partition: str, lines: list[bytes]) -> None:
    pair.put(f"{landing_partition}/a", lines, landing_partition)
    pair.take_in(landing_partition)
    pair.check()
    for partition in pair.waits:
        pair.refresh(partition)
    pair.check()


def test_the_scenario_passes_without_a_defect(site: Site) -> None:
    tell_a_short_story(site)


@each_defect
def test_the_scenario_detects_each_defect(site: Site, monkeypatch: pytest.MonkeyPatch, defect: Defect) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        tell_a_short_story(site)


@pytest.mark.slow
@each_defect
def test_the_machine_finds_each_defect(site: Site, monkeypatch: pytest.MonkeyPatch, defect: Defect) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        prove(site, examples=100, steps=20, seed=1, shrinks=False)
