"""The comparison detects links of anonymous ids that are forgotten, or kept too long."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from psycopg.sql import SQL

from sessions_platform.pipeline import publish
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
