"""Files of the lake that are damaged, lost or older than the ledger: noticed, and repaired where that is possible."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform_tests.faults.damage import flip_a_bit, lake_files, restore_lake, truncate
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.trial import Outcome, Trial, Trials, compare
from sessions_platform_tests.faults.workload import RUN

pytestmark = pytest.mark.slow

ASSETS = ["raw_events", "events", "rejected_events", "sessionized_events"]
SEED = 20260101


def process_everything(trial: Trial) -> str | None:
    """Materialize all partitions again, so that all files are read; the error, if there is one."""
    context = trial.open()
    landings = [f"2026-01-0{day}" for day in range(1, 6)]
    try:
        run_pipeline(context, landings, RUN, landings)
        trial.state()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def process_and_repair(trial: Trial, file: Path | None = None) -> tuple[str | None, bool]:
    """Process everything; on an error do what it says. The error, and whether it names the file and the fix."""
    error = process_everything(trial)
    if error is None:
        return None, True
    fix = f"Fix: run `sessions-platform verify {trial.open().stream.name} --repair`"
    told = fix in error and (file is None or file.name in error)
    verify(trial.open(), RUN, deep=True, repairing=True)
    again = process_everything(trial)
    return error, told and again is None


def damage_and_process(
    trials: Trials, asset: str, damage: Callable[[Path, Random], str], random: Random
) -> tuple[str, Outcome, bool]:
    """Damage a file: which, what differs in the end, and whether the user was told, or had no need to be."""
    with trials.trial() as trial:
        file = random.choice(lake_files(trial, asset))
        name = damage(file, random)
        _, told = process_and_repair(trial, file)
        return name, compare(trials.expected("first"), trial.state()), told


@pytest.mark.parametrize("asset", ASSETS)
def test_every_flipped_bit_is_noticed_or_harmless(trials: Trials, scenario: Scenario, asset: str) -> None:
    """A bit of a lake file flipped."""
    random = Random(SEED)
    for _ in range(6):
        name, outcome, told = damage_and_process(trials, asset, flip_a_bit, random)
        scenario.add(name, outcome, reported=told)
    scenario.check()


@pytest.mark.parametrize("asset", ASSETS)
def test_every_truncated_file_is_noticed_or_harmless(trials: Trials, scenario: Scenario, asset: str) -> None:
    """A lake file cut short."""
    random = Random(SEED)
    for _ in range(3):
        name, outcome, told = damage_and_process(trials, asset, truncate, random)
        scenario.add(name, outcome, reported=told)
    scenario.check()


@pytest.mark.parametrize("asset", ASSETS)
def test_a_lost_file_is_made_again(trials: Trials, scenario: Scenario, asset: str) -> None:
    """A lake file lost, its landing file still there."""
    for number in range(2):
        with trials.trial() as trial:
            files = lake_files(trial, asset)
            file = files[number % len(files)]
            file.unlink()
            error, told = process_and_repair(trial, file)
            scenario.add(f"{asset} {number}: {error}", compare(trials.expected("first"), trial.state()), reported=told)
    scenario.check()


def test_a_lake_older_than_its_ledger_is_made_up_to_date(trials: Trials, scenario: Scenario, tmp_path: Path) -> None:
    """An older lake restored."""
    with trials.trial() as trial:
        older = shutil.copytree(trial.settings.lake, tmp_path / "lake")
        trial.run("ingest")
        restore_lake(trial, older)
        error, told = process_and_repair(trial)
        scenario.add(str(error), compare(trials.expected("ingest"), trial.state()), reported=told)
    scenario.check()


@pytest.mark.parametrize("command", ["ingest", "replay", "rebuild"])
def test_a_ledger_older_than_its_lake_is_brought_up_to_date(trials: Trials, scenario: Scenario, command: str) -> None:
    """An older ledger and warehouse restored."""
    with trials.trial(command) as newer, trials.trial(command) as older:
        newer.run(command)
        shutil.copytree(newer.settings.lake, older.settings.lake, dirs_exist_ok=True)
        older.run(command)
        scenario.add(
            command, compare(trials.expected(command), older.state()), reported=not any(older.pending().values())
        )
    scenario.check()
