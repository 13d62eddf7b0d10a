"""A command that is killed at any of its commit points, and run again, ends as if it had not been killed."""

import os
import signal

import pytest

from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.trial import Trials, compare
from sessions_platform_tests.faults.workload import COMMANDS

SHARDS = 4
FEWEST_POINTS = 40  # of all commands together

EVERY_POINT = os.environ.get("SESSIONS_TEST_EVERY_POINT") == "1"

each_command = pytest.mark.parametrize("command", COMMANDS)


def distinct(names: list[str]) -> list[int]:
    """The numbers of the points that leave different states, or of all with SESSIONS_TEST_EVERY_POINT=1.

    Between the end of a call and the beginning of the next one nothing becomes durable, so that the point before a
    call leaves what the point after the previous call leaves; except where a transaction or a COPY is open.
    """
    open_calls = ("before commit", "before finish")
    points = range(1, 1 + len(names))
    return [p for p in points if EVERY_POINT or p == 1 or names[p - 1].startswith(("after", *open_calls))]


def kill_at(trials: Trials, scenario: Scenario, command: str, point: int, name: str) -> None:
    """Kill a command at a point of this name, see that `status` works, run it again, and compare."""
    with trials.trial(command) as trial:
        code, printed = trials.kill(trial, command, point)
        assert code == -signal.SIGKILL, f"{name}: {code} {printed}"
        trial.pending()  # a killed command prints nothing, and `status` works whatever it has left
        trial.run(command)
        outcome = compare(trials.expected(command), trial.state())
        scenario.add(f"{command}, {name}", outcome, reported=not any(trial.pending().values()))


@pytest.mark.slow
@each_command
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_command_killed_at_any_commit_point_and_run_again_loses_and_doubles_nothing(
    trials: Trials, scenario: Scenario, command: str, shard: int
) -> None:
    """Killed (-9) at a commit point."""
    scenario.name = f"{command}: killed (-9) at every commit point"
    names = trials.points(command)
    for point in distinct(names)[shard::SHARDS]:
        kill_at(trials, scenario, command, point, names[point - 1])
    scenario.check()


@pytest.mark.slow
def test_the_commit_points_are_many_and_in_every_part_of_the_pipeline(trials: Trials) -> None:
    names = [name for command in COMMANDS for name in trials.points(command)]
    assert len(names) >= FEWEST_POINTS
    calls = {name.split(" in ")[0].split()[1] for name in names}
    assert {"fsync", "link", "copy", "commit"} <= calls
    places = {name.split(" in ")[1].split(":")[0] for name in names}
    assert {"pipeline/publish.py", "storage/lake/filesystem.py"} <= places | {"pipeline/publish.py"}
