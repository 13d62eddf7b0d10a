"""A command that is killed at any of its commit points, and run again, ends as if it had not been killed."""

import os
import secrets
import signal
from collections import defaultdict
from collections.abc import Mapping

import pytest

from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.trial import Trials, compare
from sessions_platform_tests.faults.workload import COMMANDS

FEWEST_POINTS = 40  # of all commands together

SHARES = 2  # of the representative points one share is killed at, drawn anew in each run of the tests
SHARDS = 2  # one for each core of a small machine; every worker has to count the points

EVERY_POINT = os.environ.get("SESSIONS_TEST_EVERY_POINT") == "1"


def distinct(names: list[str]) -> list[int]:
    """The numbers of the points that leave different states.

    Between the end of a call and the beginning of the next one nothing becomes durable, so that the point before a
    call leaves what the point after the previous call leaves; except where a transaction or a COPY is open.
    """
    open_calls = ("before commit", "before finish")
    return [p for p in range(1, 1 + len(names)) if p == 1 or names[p - 1].startswith(("after", *open_calls))]


def representative(points: Mapping[str, list[str]]) -> list[tuple[str, int]]:
    """Two points for each call path: of the names of all commands' points, some (command, number of the point).

    A name has the call and all functions that led to it, so that code which is added or moved has points of its own. A
    name is passed once for each file or partition: it is taken where one command passes it first, and where the next
    command passes it last.
    """
    places: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for command, names in points.items():
        for point in distinct(names):
            places[names[point - 1]][command].append(point)
    killed_at: dict[tuple[str, int], None] = {}
    for number, (_, by_command) in enumerate(sorted(places.items())):
        commands = list(by_command)
        first, last = commands[number % len(commands)], commands[(number + 1) % len(commands)]
        killed_at |= {(first, by_command[first][0]): None, (last, by_command[last][-1]): None}
    return list(killed_at)


def chosen(points: Mapping[str, list[str]]) -> list[tuple[str, int]]:
    """The points to kill at: a share of the representative ones, or all of them with SESSIONS_TEST_EVERY_POINT=1."""
    if EVERY_POINT:
        return [(command, point) for command, names in points.items() for point in range(1, 1 + len(names))]
    return representative(points)[secrets.randbelow(SHARES) :: SHARES]


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
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_command_killed_at_any_commit_point_and_run_again_loses_and_doubles_nothing(
    trials: Trials, scenario: Scenario, shard: int
) -> None:
    """Killed (-9) at a commit point."""
    points = {command: trials.points(command) for command in COMMANDS}
    for command, point in chosen(points)[shard::SHARDS]:
        kill_at(trials, scenario, command, point, points[command][point - 1])
    scenario.check()


@pytest.mark.slow
def test_the_commit_points_are_many_and_in_every_part_of_the_pipeline(trials: Trials) -> None:
    points = {command: trials.points(command) for command in COMMANDS}
    killed_at = representative(points)
    assert len(killed_at) >= FEWEST_POINTS
    assert {command for command, _ in killed_at} == set(COMMANDS)
    names = [points[command][point - 1] for command, point in killed_at]
    calls = {name.split(" in ")[0].split()[1] for name in names}
    assert {"fsync", "link", "replace", "copy", "commit"} <= calls
    modules = {function.split(":")[0] for name in names for function in name.split(" in ")[1].split(" < ")}
    assert {"pipeline/publish.py", "storage/lake/filesystem.py"} <= modules


def test_each_call_path_is_chosen_where_one_command_passes_it_first_and_another_last() -> None:
    second = ["before commit in a", "after commit in a", "before fsync in b < c", "after fsync in b < c"]
    first = [*second, "after fsync in b < c"]
    second += ["before fsync in b < d", "after fsync in b < d"]
    names = {"first": first, "second": second}
    killed_at = [(names[command][point - 1], command, point) for command, point in representative(names)]
    assert sorted(killed_at) == [
        ("after commit in a", "first", 2),
        ("after commit in a", "second", 2),
        ("after fsync in b < c", "first", 5),
        ("after fsync in b < c", "second", 4),
        ("after fsync in b < d", "second", 6),
        ("before commit in a", "first", 1),
        ("before commit in a", "second", 1),
    ]
