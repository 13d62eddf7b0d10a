"""The same promise where sessions are cut by person: one sort of all accepted events with the person as their user."""

import secrets

import pytest

from sessions_platform_tests.exactness.comparison import Environment
from sessions_platform_tests.exactness.machine import ExactSessionsOfPeople, run_machine


@pytest.mark.slow
def test_the_warehouse_equals_one_sort_of_all_events_by_the_person_that_all_links_make(
    environment: Environment,
) -> None:
    seed = secrets.randbits(32)
    run_machine(environment, examples=4, steps=15, seed=seed, shrinks=False, machine=ExactSessionsOfPeople)
