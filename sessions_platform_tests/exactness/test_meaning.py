"""The same promise with enrichments, session attributes and identity at once; and it is seen to be able to fail."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sessions_platform.contracts import stream
from sessions_platform_tests.exactness import web_visits
from sessions_platform_tests.exactness.comparison import Comparison, Environment
from sessions_platform_tests.exactness.machine import ExactMeaning, run_machine
from sessions_platform_tests.exactness.stream_variant import StreamVariant
from sessions_platform_tests.exactness.test_defects import attribute_from_the_wrong_end
from sessions_platform_tests.exactness.test_defects_of_links import link_forgotten
from sessions_platform_tests.streams import DAY_ONE

pytestmark = pytest.mark.slow

Defect = Callable[[pytest.MonkeyPatch], None]


def test_the_warehouse_equals_one_sort_of_all_events_with_enrichments_attributes_and_people(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = int(os.environ.get("SESSIONS_TEST_EXAMPLES", "3"))
    steps = int(os.environ.get("SESSIONS_TEST_STEPS", "12"))
    seed = int(os.environ.get("SESSIONS_TEST_SEED") or secrets.randbits(32))
    with capsys.disabled():
        os.write(1, f"\n{examples} examples of {steps} steps, SESSIONS_TEST_SEED={seed}\n".encode())
    run_machine(environment, examples, steps, seed, shrinks=False, machine=ExactMeaning)


def old_data_version_kept(patch: pytest.MonkeyPatch) -> None:
    """The contract version says nothing of the data that change, so no partition comes to be pending."""
    versions = stream.enrichment_versions

    def without_data(of: Any) -> Any:
        return {**versions(of), "lookup": "a table", "geo": "a database", "python": "a function"}

    patch.setattr(stream, "enrichment_versions", without_data)


DEFECTS: list[Defect] = [link_forgotten, old_data_version_kept, attribute_from_the_wrong_end]
each_defect = pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)


def line(user: str, minute: float, visit: int, **more: str) -> bytes:
    moment = DAY_ONE + timedelta(minutes=minute)
    row = {"id": f"{user}{minute}", "user": user, "ts": moment.isoformat(), "type": "view", "url": "/b", **more}
    return json.dumps({**row, **web_visits.fields_of(visit)}).encode()


def run_scenario(environment: Environment) -> None:
    """An arrival by an ad, then one by a search, of a phone that is somebody's; then its page is on another shelf."""
    variant = StreamVariant(looks_up=True, visits=True, shared_above=1, by_person=True)
    comparison = Comparison(environment, variant)
    try:
        visits = [line("phone", 0, 1), line("phone", 9, 2), line("ann", 15, 3, campaign="phone")]
        comparison.put(comparison.uri("2026-01-01", "a"), visits, "2026-01-01")
        for after in (variant, replace(variant, shelves="second"), replace(variant, payment_ignored=False)):
            comparison.change(after)
            comparison.check()
            comparison.catch_up()
            comparison.check()
    finally:
        comparison.close()


def test_the_scenario_passes_without_a_defect(environment: Environment) -> None:
    run_scenario(environment)


@each_defect
def test_the_scenario_detects_each_defect(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        run_scenario(environment)


# An old data version takes the machine two minutes, and the scenario seconds.
@pytest.mark.parametrize("defect", [link_forgotten, attribute_from_the_wrong_end], ids=lambda defect: defect.__name__)
def test_the_machine_finds_defects(environment: Environment, monkeypatch: pytest.MonkeyPatch, defect: Defect) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        run_machine(environment, examples=100, steps=20, seed=1, shrinks=False, machine=ExactMeaning)
