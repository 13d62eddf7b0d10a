"""The same promise with enrichments, session attributes and identity at once; and it is seen to be able to fail."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import pytest

from sessions_platform.contracts import data_files, stream
from sessions_platform.transforms.enrich import geo
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


def old_data_version_kept(of: str) -> Defect:
    """The contract version says nothing of an enrichment's data, so no partition comes to be pending by them."""

    def defect(patch: pytest.MonkeyPatch) -> None:
        versions = stream.enrichment_versions
        patch.setattr(stream, "enrichment_versions", lambda enrich: {**versions(enrich), of: "any"})

    defect.__name__ = f"old_data_version_kept_of_{of}"
    return defect


def database_known_by_its_path(patch: pytest.MonkeyPatch) -> None:
    """A file that is replaced is not read again."""
    patch.setattr(data_files, "state_of", lambda _: ())
    patch.setattr(data_files, "_digest_of", lru_cache(data_files._digest_of.__wrapped__))


def old_database_read(patch: pytest.MonkeyPatch) -> None:
    """Partitions come to be pending, and are enriched by what the file had when it was first read."""
    content_of, first = geo.content_of, dict[Path, bytes]()
    patch.setattr(geo, "content_of", lambda path, digest: first.setdefault(path, content_of(path, digest)))


DEFECTS: list[Defect] = [
    link_forgotten,
    attribute_from_the_wrong_end,
    *map(old_data_version_kept, ("geo", "lookup", "python")),
    database_known_by_its_path,
    old_database_read,
]
each_defect = pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)


def line(user: str, minute: float, visit: int, **more: str) -> bytes:
    moment = DAY_ONE + timedelta(minutes=minute)
    row = {"id": f"{user}{minute}", "user": user, "ts": moment.isoformat(), "type": "view", "url": "/b", **more}
    return json.dumps({**row, **web_visits.fields_of(visit)}).encode()


def run_scenario(environment: Environment) -> None:
    """An arrival by an ad, then one by a search, of a phone that is somebody's; then one by one the data are others."""
    variant = StreamVariant(looks_up=True, visits=True, shared_above=1, by_person=True)
    comparison = Comparison(environment, variant)
    try:
        visits = [line("phone", 0, 1), line("phone", 9, 2), line("ann", 15, 3, campaign="phone")]
        comparison.put(comparison.uri("2026-01-01", "a"), visits, "2026-01-01")
        changes = (
            {},
            {"shelves": "second"},
            {"countries": "second"},
            {"sections": "second"},
            {"payment_ignored": False},
        )
        for change in changes:
            comparison.change(replace(comparison.variant, **change))
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


# An old data version of one enrichment takes the machine up to many minutes, and the scenario seconds.
@pytest.mark.parametrize("defect", [link_forgotten, attribute_from_the_wrong_end], ids=lambda defect: defect.__name__)
def test_the_machine_finds_defects(environment: Environment, monkeypatch: pytest.MonkeyPatch, defect: Defect) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        run_machine(environment, examples=100, steps=20, seed=1, shrinks=False, machine=ExactMeaning)
