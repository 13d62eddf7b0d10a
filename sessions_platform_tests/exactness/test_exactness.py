"""The central promise: whatever arrives when, the stored sessions are those of one sort of all accepted events."""

import os
import random

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from sessions_platform_tests.exactness.machine import ExactSessions
from sessions_platform_tests.exactness.pair import Site


def prove(site: Site, examples: int, steps: int, seed: int) -> None:
    """Run the machine; the same seed takes the same steps."""

    @hypothesis.seed(seed)
    class Machine(ExactSessions):
        def __init__(self) -> None:
            super().__init__(site)

    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate] if os.environ.get("NOSHRINK") else [Phase.generate, Phase.shrink],
        verbosity=hypothesis.Verbosity[os.environ.get("VERB", "normal")],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=settings)


def test_quick(site: Site) -> None:
    prove(site, int(os.environ.get("EX", "6")), int(os.environ.get("ST", "15")), int(os.environ.get("SEED", "0")))
