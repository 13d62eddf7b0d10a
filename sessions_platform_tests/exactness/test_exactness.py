"""The central promise: whatever arrives when, the stored sessions are those of one sort of all accepted events."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from sessions_platform_tests.exactness.machine import ExactSessionsThroughAssets, prove
from sessions_platform_tests.exactness.pair import Pair, Site
from sessions_platform_tests.exactness.terms import Terms
from sessions_platform_tests.streams import DAY_ONE


def test_the_warehouse_equals_one_sort_of_all_events(site: Site) -> None:
    prove(site, examples=5, steps=10, seed=secrets.randbits(32))


@pytest.mark.slow
def test_the_warehouse_equals_one_sort_of_all_events_in_many_examples(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = int(os.environ.get("SESSIONS_TEST_EXAMPLES", "100"))
    steps = int(os.environ.get("SESSIONS_TEST_STEPS", "20"))
    seed = int(os.environ.get("SESSIONS_TEST_SEED") or secrets.randbits(32))
    with capsys.disabled():
        os.write(1, f"\n{examples} examples of {steps} steps, SESSIONS_TEST_SEED={seed}\n".encode())
    prove(site, examples, steps, seed)


@pytest.mark.slow
def test_the_warehouse_equals_one_sort_of_all_events_through_dagsters_assets(site: Site) -> None:
    prove(site, examples=5, steps=10, seed=secrets.randbits(32), shrinks=False, machine=ExactSessionsThroughAssets)


# Found by it once, and told shortly here ------------------------------------------------------------------


@contextmanager
def pair_of(site: Site, terms: Terms) -> Iterator[Pair]:
    pair = Pair(site, terms)
    try:
        yield pair
    finally:
        pair.close()


def line(user: str, minute: float, name: str, **more: str) -> bytes:
    moment = DAY_ONE + timedelta(minutes=minute)
    return json.dumps({"id": name, "user": user, "ts": moment.isoformat(), "type": "view", **more}).encode()


def test_of_two_sessions_that_start_at_one_moment_the_second_is_open(site: Site) -> None:
    with pair_of(site, Terms(by_campaign=True)) as pair:
        users = "abcdefgh"
        mail = [line(user, 0, "1", campaign="mail") for user in users]
        ads = [line(user, minute, f"2-{minute}", campaign="ads") for user in users for minute in (0, 5)]
        pair.put("2026-01-01/a", [*mail, *ads], "2026-01-01")
        pair.catch_up()
        pair.check()
        is_open = {row["session_id"] for row in pair.table().values() if row["open_until"]}
        assert is_open == {row["session_id"] for row in pair.table().values() if row["event_count"] == 2}


def test_partitions_made_by_an_old_session_rule_are_not_loaded_by_a_new_one(site: Site) -> None:
    with pair_of(site, Terms()) as pair:
        pair.put("2026-01-01/a", [line("ann", 0, "a"), line("ann", 20, "b")], "2026-01-01")
        pair.catch_up()
        pair.change(replace(pair.terms, gap=timedelta(minutes=10)))
        pair.load_again("2026-01-01")
        pair.check()
        assert pair.waits == ["2026-01-01"]


def test_events_validated_under_an_old_session_rule_affect_what_the_new_one_joins(site: Site) -> None:
    with pair_of(site, Terms()) as pair:
        pair.put("2026-01-01/a", [line("ann", 23 * 60, "a")], "2026-01-01")
        pair.take_in("2026-01-01")
        pair.put("2026-01-02/b", [line("ann", 25 * 60, "b")], "2026-01-02")
        pair.ingest("2026-01-02")
        draft = pair.validate("2026-01-02")
        pair.change(replace(pair.terms, gap=timedelta(hours=5)))
        pair.refresh("2026-01-01")
        pair.publish(draft)
        pair.check()
