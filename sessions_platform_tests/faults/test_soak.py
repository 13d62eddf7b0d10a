"""The soak itself: a short one, and its summary. `make soak` runs it for hours."""

import json
import secrets
from pathlib import Path
from random import Random

import pytest

from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.soak import run_episode, summary
from sessions_platform_tests.faults.trial import Trials

EPISODES = 2
ROUNDS = 4


@pytest.mark.slow
def test_disturbed_at_random_the_stream_ends_as_one_sort_of_all_events(own_server: Trials, scenario: Scenario) -> None:
    """All disturbances at random, compared with one sort of all events."""
    for _ in range(EPISODES):
        seed = secrets.randbits(32)
        steps, outcome = run_episode(own_server, Random(seed), ROUNDS)
        scenario.add(f"seed {seed}: {steps}", outcome)
    scenario.check()


def test_a_log_is_summed_up(tmp_path: Path) -> None:
    steps = [{"disturbance": "killed", "end": ""}, {"disturbance": "killed", "end": ""}]
    episodes = [{"steps": steps, "lost": 1, "doubled": 2}, {"steps": steps, "lost": 0, "doubled": 3}]
    log = tmp_path / "soak.log"
    log.write_text("".join(json.dumps(episode) + "\n" for episode in episodes))
    assert summary(log)[2:] == [
        "| episodes, compared with one sort of all events | 2 | 1 | 5 | 2 |",
        "| step: killed | 4 | 0 | 0 | 4 |",
    ]
