"""The machine detects six planted defects, each of which has occurred in other sessionizers."""

import json
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from psycopg.sql import SQL

from sessions_platform.contracts.polars_types import key_expr
from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline import invalidation
from sessions_platform.storage.warehouses.postgres import merge, statements
from sessions_platform.transforms import sessionize, sort_events
from sessions_platform.transforms.sessionize import EventReader
from sessions_platform_tests.exactness.comparison import Comparison, Environment
from sessions_platform_tests.exactness.machine import run_machine
from sessions_platform_tests.exactness.stream_variant import StreamVariant
from sessions_platform_tests.streams import DAY_ONE

Defect = Callable[[pytest.MonkeyPatch], None]


def off_by_one_gap(patch: pytest.MonkeyPatch) -> None:
    """A silence one microsecond shorter than needed begins a new session."""
    patch.setattr(sessionize, "_is_cut", lambda rule: pl.col("_silence") + timedelta(microseconds=1) > rule.gap)


def window_without_lookahead(patch: pytest.MonkeyPatch) -> None:
    """A session ends where its partition ends."""
    patch.setattr(sessionize, "_with_endings", lambda events, *_: events)


def forgotten_neighbour(patch: pytest.MonkeyPatch) -> None:
    """Only the partition of a changed event is affected, and not the one where its session began."""

    def partitions_of(changed: pl.DataFrame, _read: EventReader, of: Stream) -> set[str]:
        return set(changed.select(key_expr(of.session_calendar)).to_series())

    patch.setattr(invalidation, "affected_partitions", partitions_of)


def unstable_tie(patch: pytest.MonkeyPatch) -> None:
    """Simultaneous events are ordered by arrival."""
    order = ["event_timestamp", "landing_partition", "source_uri", "position"]
    patch.setattr(sort_events, "time_order", lambda _: order)


def stale_id_left_behind(patch: pytest.MonkeyPatch) -> None:
    """A load inserts and updates, and deletes nothing; nor does it count what it deleted, which would tell."""
    patch.setattr(merge, "check_count", lambda *_: None)
    patch.setattr(statements, "DELETE", SQL(f"{statements.DELETE.as_string()} and false"))  # type: ignore[arg-type]


def event_counted_twice(patch: pytest.MonkeyPatch) -> None:
    """An event delivered in two landing partitions is two events."""
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


def run_scenario(environment: Environment) -> None:
    """A few events, among them one for each of the defects."""
    comparison = Comparison(environment, StreamVariant())
    try:
        tied_then_just_in_time = [line("ann", 0, "b"), line("ann", 0, "a"), line("ann", 30, "c")]
        over_midnight = [line("bob", 1430, "d"), line("bob", 1450, "e")]
        _put_and_refresh(comparison, "2026-01-01", [*tied_then_just_in_time, *over_midnight, line("eve", 720, "f")])
        _put_and_refresh(comparison, "2026-01-02", [line("ann", 0, "a")])  # a duplicate
        _put_and_refresh(
            comparison, "2026-01-03", [line("bob", 1470, "g")]
        )  # late, for a session that began the day before
        _put_and_refresh(comparison, "2026-01-04", [line("eve", 700, "h")])  # late, and the session gets another id
    finally:
        comparison.close()


def _put_and_refresh(comparison: Comparison, landing_partition: str, lines: list[bytes]) -> None:
    comparison.put(f"{landing_partition}/a", lines, landing_partition)
    comparison.ingest_and_publish(landing_partition)
    comparison.check()
    for partition in comparison.last_stale:
        comparison.refresh(partition)
    comparison.check()


def test_the_scenario_passes_without_a_defect(environment: Environment) -> None:
    run_scenario(environment)


@each_defect
def test_the_scenario_detects_each_defect(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        run_scenario(environment)


@pytest.mark.slow
@each_defect
def test_the_machine_finds_each_defect(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        run_machine(environment, examples=100, steps=20, seed=1, shrinks=False)
