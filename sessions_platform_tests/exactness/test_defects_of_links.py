"""The comparison detects links of anonymous ids that are forgotten, or kept too long."""

import json
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from psycopg.sql import SQL

from sessions_platform.engines import accepted_events, polars
from sessions_platform.pipeline import moved_people, publish
from sessions_platform.storage.warehouses.postgres import identity_links
from sessions_platform_tests.exactness.comparison import Comparison, Environment
from sessions_platform_tests.exactness.stream_variant import StreamVariant
from sessions_platform_tests.streams import DAY_ONE

pytestmark = pytest.mark.slow

Defect = Callable[[pytest.MonkeyPatch], None]


def link_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A publication finds no links in its events."""
    patch.setattr(publish, "links_in", lambda *_: [])


def old_link_kept(patch: pytest.MonkeyPatch) -> None:
    """A corrected partition adds its links, and removes none."""
    deletes = f"{identity_links._DELETE.as_string()} and false"
    patch.setattr(identity_links, "_DELETE", SQL(deletes))  # type: ignore[arg-type]


def line(user: str, minute: float, campaign: str) -> bytes:
    moment = DAY_ONE + timedelta(minutes=minute)
    row = {"id": f"{user}{minute}", "user": user, "ts": moment.isoformat(), "type": "view", "campaign": campaign}
    return json.dumps(row).encode()


def run_scenario(environment: Environment) -> None:
    """An anonymous id of one user, then of two, then of the other one."""
    comparison = Comparison(environment, StreamVariant(shared_above=1))
    try:
        states = [("2026-01-01", line("ann", 0, "x")), ("2026-01-02", line("bob", 9, "x"))]
        for day, row in [*states, ("2026-01-01", line("ann", 0, "y"))]:
            comparison.put(comparison.uri(day, "a"), [row], day)
            comparison.ingest_and_publish(day)
            comparison.check()
    finally:
        comparison.close()


def test_the_scenario_passes_without_a_defect(environment: Environment) -> None:
    run_scenario(environment)


@pytest.mark.parametrize("defect", [link_forgotten, old_link_kept], ids=lambda defect: defect.__name__)
def test_the_scenario_detects_each_defect(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        run_scenario(environment)


# Where sessions are cut by person -----------------------------------------------------------------------------


def link_moves_nobody(patch: pytest.MonkeyPatch) -> None:
    """A publication does not notice that its links make events other people's."""
    patch.setattr(moved_people, "moved_ids", lambda *_: pl.Series(dtype=pl.String))


def person_before_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Only sessions of the person whose an event comes to be are made anew."""
    patch.setattr(moved_people, "_both", lambda _before, after, _ids: after)


def links_of_the_newest_partition(patch: pytest.MonkeyPatch) -> None:
    """A session partition is computed by links of one landing partition."""
    resolve = accepted_events.resolve_by
    patch.setattr(polars, "resolve_by", lambda lake, stream, landings: resolve(lake, stream, landings[-1:]))


def run_scenario_of_people(environment: Environment) -> None:
    """A phone whose visit goes over midnight with its person's; then it is shared, and then again it is not."""
    comparison = Comparison(environment, StreamVariant(shared_above=1, by_person=True))
    over_midnight = [line("ann", 1430, ""), line("mail", 1450, "")]
    try:
        for day, rows in [
            ("2026-01-01", [line("ann", 100, "mail"), *over_midnight]),
            ("2026-01-03", [line("bob", 3000, "mail")]),
            ("2026-01-03", [line("bob", 3000, "")]),
        ]:
            comparison.put(comparison.uri(day, "a"), rows, day)
            comparison.ingest_and_publish(day)
            comparison.check()
            comparison.refresh(*comparison.last_stale)
            comparison.check()
    finally:
        comparison.close()


def test_the_scenario_of_people_passes_without_a_defect(environment: Environment) -> None:
    run_scenario_of_people(environment)


@pytest.mark.parametrize(
    "defect",
    [link_moves_nobody, person_before_forgotten, links_of_the_newest_partition],
    ids=lambda defect: defect.__name__,
)
def test_the_scenario_of_people_detects_each_defect(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        run_scenario_of_people(environment)
