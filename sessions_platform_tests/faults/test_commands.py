"""The real command line, Dagster's own commands, its run workers and its daemon, killed at random commit points."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from subprocess import Popen

import dagster as dg
import pytest

from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform_tests.faults.commands import is_sentence, kill_at, points_drawn, run_command
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.trial import Outcome, Trial, Trials, compare, finish

pytestmark = pytest.mark.slow

SEED = 20260103
KILLS = 3
FIRST, LAST = "2026-01-01", "2026-01-05"


def ingest_arguments(trial: Trial) -> list[str]:
    files = map(str, sorted((trial.folder / "new").iterdir()))
    return ["ingest", "shop", *files, "--partition", "2026-01-03", "--json"]


def test_ingest_killed_and_run_again_loses_and_doubles_nothing(trials: Trials, scenario: Scenario) -> None:
    """The command `ingest` killed (-9)."""
    for point in points_drawn(Random(SEED), KILLS, 60):
        with trials.trial() as trial:
            variables = kill_at(point, "sessions_platform ingest", trial.folder / "marker")
            code, _ = run_command(trial, *ingest_arguments(trial), **variables)
            assert code == -signal.SIGKILL
            again, error = run_command(trial, *ingest_arguments(trial))
            scenario.add(f"point {point}: {error[-500:]}", _outcome(trials, trial), reported=again == 0)
    scenario.check()


def test_materialize_killed_and_run_again_loses_and_doubles_nothing(trials: Trials, scenario: Scenario) -> None:
    """`dagster asset materialize` killed (-9)."""
    for point in points_drawn(Random(SEED + 1), KILLS, 60):
        with trials.trial() as trial:
            _land(trial)
            variables = kill_at(point, "asset materialize", trial.folder / "marker")
            code, _ = finish(_materialize(trial, **variables))
            assert code == -signal.SIGKILL
            again, error = finish(_materialize(trial))
            scenario.add(f"point {point}: {error[-500:]}", _outcome(trials, trial), reported=again == 0)
    scenario.check()


def test_two_ingests_at_once_have_the_result_of_one(trials: Trials, scenario: Scenario) -> None:
    """The command `ingest` twice at once."""
    with trials.trial() as trial:
        twins = [trial.python("-m", "sessions_platform", *ingest_arguments(trial)) for _ in range(2)]
        ended = [finish(twin) for twin in twins]
        told = all(code == 0 or is_sentence(error) for code, error in ended)
        again, error = run_command(trial, *ingest_arguments(trial))
        scenario.add(f"{ended} {error[-300:]}", _outcome(trials, trial), reported=told and again == 0)
    scenario.check()


def test_run_workers_and_daemons_that_are_killed_lose_and_double_nothing(trials: Trials, scenario: Scenario) -> None:
    """A run worker killed (-9), then its daemon, with a second daemon at work."""
    with trials.trial() as trial, _instance(trial) as instance:
        _land(trial)
        home = dagster_home(trial.settings, {})
        variables = kill_at(12, "--multiprocessing-fork", trial.folder / "marker")
        with _daemon(trial, home, variables) as first, _daemon(trial, home, variables):
            _launch(trial, "shop__materialize_all")
            _wait_for(trial.folder / "marker", first)
            first.send_signal(signal.SIGKILL)
            first.wait()
        again, error = finish(_materialize(trial))
        assert instance.get_runs_count() >= 1
        scenario.add(error[-500:], _outcome(trials, trial), reported=again == 0)
    scenario.check()


def _outcome(trials: Trials, trial: Trial) -> Outcome:
    return compare(trials.expected("ingest"), trial.state())


def _land(trial: Trial) -> None:
    """Put the new files where `ingest` puts them."""
    from sessions_platform.operations.landing_files import place_files

    place_files(trial.open(), sorted((trial.folder / "new").iterdir()), "2026-01-03")


def _materialize(trial: Trial, **variables: str) -> Popen[str]:
    home = dagster_home(trial.settings, {})
    command = ["asset", "materialize", "-m", "sessions_platform.definitions", "--select", 'key:"shop/*"']
    partitions = ["--partition-range", f"{FIRST}...{LAST}"]
    return trial.python("-m", "dagster", *command, *partitions, DAGSTER_HOME=str(home), **variables)


@contextmanager
def _instance(trial: Trial) -> Iterator[dg.DagsterInstance]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trial.environment.items():
            patch.setenv(name, value)
        with dg.DagsterInstance.from_config(str(dagster_home(trial.settings, {}))) as instance:
            yield instance


@contextmanager
def _daemon(trial: Trial, home: Path, variables: dict[str, str]) -> Iterator[Popen[str]]:
    arguments = ["-m", "dagster._daemon", "run", "-m", "sessions_platform.definitions"]
    daemon = trial.python(*arguments, DAGSTER_HOME=str(home), **variables)
    try:
        yield daemon
    finally:
        daemon.terminate()
        finish(daemon)


def _launch(trial: Trial, job: str) -> None:
    """Queue a run of a job for all partitions, as the UI does."""
    tags = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": LAST}
    home = dagster_home(trial.settings, {})
    arguments = ["-m", "dagster", "job", "launch", "-m", "sessions_platform.definitions", "-j", job]
    code, error = finish(trial.python(*arguments, "--tags", json.dumps(tags), DAGSTER_HOME=str(home)))
    assert code == 0, error


def _wait_for(marker: Path, daemon: Popen[str]) -> None:
    program = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.1)"
    waiting = Popen([sys.executable, "-c", program, str(marker)])
    try:
        waiting.wait(timeout=600)
    finally:
        waiting.kill()
        waiting.wait()
    assert daemon.poll() is None
