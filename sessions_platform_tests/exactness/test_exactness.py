"""The central promise: whatever arrives when, the stored sessions are those of one sort of all accepted events."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from sessions_platform_tests.exactness.comparison import Comparison, Environment
from sessions_platform_tests.exactness.machine import ExactSessionsThroughAssets, run_machine
from sessions_platform_tests.exactness.stream_variant import StreamVariant
from sessions_platform_tests.streams import DAY_ONE


def test_the_warehouse_equals_one_sort_of_all_events(environment: Environment) -> None:
    run_machine(environment, examples=2, steps=10, seed=secrets.randbits(32))


@pytest.mark.slow
def test_the_warehouse_equals_one_sort_of_all_events_in_many_examples(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = int(os.environ.get("SESSIONS_TEST_EXAMPLES", "30"))
    steps = int(os.environ.get("SESSIONS_TEST_STEPS", "20"))
    seed = int(os.environ.get("SESSIONS_TEST_SEED") or secrets.randbits(32))
    with capsys.disabled():
        os.write(1, f"\n{examples} examples of {steps} steps, SESSIONS_TEST_SEED={seed}\n".encode())
    run_machine(environment, examples, steps, seed)


@pytest.mark.slow
@pytest.mark.usefixtures("lakes_in_memory")
def test_the_warehouse_equals_one_sort_of_all_events_with_the_lake_in_an_object_store(environment: Environment) -> None:
    run_machine(environment, examples=6, steps=15, seed=secrets.randbits(32))


@pytest.mark.slow
def test_the_warehouse_equals_one_sort_of_all_events_through_dagsters_assets(environment: Environment) -> None:
    run_machine(
        environment, examples=5, steps=10, seed=secrets.randbits(32), shrinks=False, machine=ExactSessionsThroughAssets
    )


# Defects that it has found, as short examples ---------------------------------------------------------------


@contextmanager
def comparison_class(environment: Environment, variant: StreamVariant) -> Iterator[Comparison]:
    comparison = Comparison(environment, variant)
    try:
        yield comparison
    finally:
        comparison.close()


def line(user: str, minute: float, name: str, **more: str) -> bytes:
    moment = DAY_ONE + timedelta(minutes=minute)
    return json.dumps({"id": name, "user": user, "ts": moment.isoformat(), "type": "view", **more}).encode()


def test_of_two_sessions_that_start_at_one_moment_the_second_is_open(environment: Environment) -> None:
    with comparison_class(environment, StreamVariant(by_campaign=True)) as comparison:
        users = "abcdefgh"
        mail = [line(user, 0, "1", campaign="mail") for user in users]
        ads = [line(user, minute, f"2-{minute}", campaign="ads") for user in users for minute in (0, 5)]
        comparison.put("2026-01-01/a", [*mail, *ads], "2026-01-01")
        comparison.catch_up()
        comparison.check()
        is_open = {row["session_id"] for row in comparison.table().values() if row["open_until"]}
        assert is_open == {row["session_id"] for row in comparison.table().values() if row["event_count"] == 2}


@pytest.mark.parametrize("by_tool", [True, False])
def test_a_rule_under_which_other_sessions_are_their_owners_last_opens_and_closes_them(
    environment: Environment, by_tool: bool
) -> None:
    """Sessions stay the same, but are a user's before or after, and a user's and an id's otherwise."""
    with comparison_class(environment, StreamVariant(by_tool=by_tool)) as comparison:
        events = [line("bob", 0, "a", campaign="x"), line("bob", 300, "b", campaign="y")]
        comparison.put("2026-01-01/a", events, "2026-01-01")
        comparison.catch_up()
        comparison.change(replace(comparison.variant, by_tool=not by_tool))
        comparison.catch_up()
        comparison.check()
        assert sum(row["open_until"] is not None for row in comparison.table().values()) == (1 if by_tool else 2)


def test_partitions_made_by_an_old_session_rule_are_not_loaded_by_a_new_one(environment: Environment) -> None:
    with comparison_class(environment, StreamVariant()) as comparison:
        comparison.put("2026-01-01/a", [line("ann", 0, "a"), line("ann", 20, "b")], "2026-01-01")
        comparison.catch_up()
        comparison.change(replace(comparison.variant, gap=timedelta(minutes=10)))
        comparison.load_again("2026-01-01")
        comparison.check()
        assert comparison.last_stale == ["2026-01-01"]


def test_events_validated_under_an_old_session_rule_affect_what_the_new_one_joins(environment: Environment) -> None:
    with comparison_class(environment, StreamVariant()) as comparison:
        comparison.put("2026-01-01/a", [line("ann", 23 * 60, "a")], "2026-01-01")
        comparison.ingest_and_publish("2026-01-01")
        comparison.put("2026-01-02/b", [line("ann", 25 * 60, "b")], "2026-01-02")
        comparison.ingest("2026-01-02")
        draft = comparison.validate("2026-01-02")
        comparison.change(replace(comparison.variant, gap=timedelta(hours=5)))
        comparison.refresh("2026-01-01")
        comparison.publish(draft)
        comparison.check()
