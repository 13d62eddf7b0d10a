"""The trials go red with planted defects: a trial that can't fail proves nothing.

Not here: what the defects are (`defects.py`), and defects of the computation itself (`exactness/test_defects.py`).
"""

from random import Random

import pytest

from sessions_platform_tests.faults.damage import flip_a_bit, lake_files
from sessions_platform_tests.faults.defects import DEFECTS
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.test_killed_at_commit_points import kill_at, representative
from sessions_platform_tests.faults.trial import Trials, compare

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("defect", DEFECTS)
def test_killing_at_commit_points_detects_each_defect(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    trials.expected("ingest")
    monkeypatch.setenv("FAULT_DEFECT", defect)
    names = trials.count_points("ingest")
    scenario = Scenario(defect)
    points = [point for _, point in representative({"ingest": names}) if names[point - 1].startswith("after commit")]
    while points and not scenario.lost:
        point = points.pop(0)
        kill_at(trials, scenario, "ingest", point, names[point - 1])
    assert scenario.lost > 0


def test_a_lost_row_and_a_doubled_row_are_counted(trials: Trials) -> None:
    expected = trials.expected("first")
    with trials.trial("first") as trial:
        trial.run("first")
        fewer, more = trial.state(), trial.state()
    row = next(iter(fewer["sessions"]))
    fewer["sessions"][row] -= 1
    more["sessions"][row] += 1
    assert (compare(expected, fewer).lost, compare(expected, fewer).doubled) == (1, 0)
    assert (compare(expected, more).lost, compare(expected, more).doubled) == (0, 1)


def test_a_flipped_bit_changes_one_byte(trials: Trials) -> None:
    with trials.trial() as trial:
        file = lake_files(trial, "events")[0]
        before = file.read_bytes()
        flip_a_bit(file, Random(1))
        after = file.read_bytes()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
