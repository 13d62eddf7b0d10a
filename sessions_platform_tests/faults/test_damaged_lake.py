"""Files of the lake that are damaged, lost or older than the ledger: noticed, and repaired where that is possible."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from sessions_platform.pipeline.run import run_pipeline
from sessions_platform_tests.faults.damage import flip_a_bit, lake_files, restore_lake, truncate
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.trial import Outcome, Trial, Trials, compare
from sessions_platform_tests.faults.workload import RUN

pytestmark = pytest.mark.slow

ASSETS = ["raw_events", "events", "rejected_events", "sessionized_events"]
SEED = 20260101


def assets_but(reason: str, *failing: str) -> pytest.MarkDecorator:
    """All assets, of which some fail as long as the reason holds."""
    expected = pytest.mark.xfail(strict=True, reason=reason)
    return pytest.mark.parametrize(
        "asset", [pytest.param(asset, marks=expected if asset in failing else ()) for asset in ASSETS]
    )


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


def is_sentence_about(error: str, file: Path) -> bool:
    return file.name in error and "Fix: " in error and "Traceback" not in error


def damage_and_process(
    trials: Trials, asset: str, damage: Callable[[Path, Random], str], random: Random
) -> tuple[str, Outcome, bool]:
    """Damage a file: which, what differs unless it was refused, and whether the user was told, or had no need to be."""
    with trials.trial() as trial:
        file = random.choice(lake_files(trial, asset))
        name = damage(file, random)
        error = process_everything(trial)
        if error is not None:
            return name, Outcome(0, 0, error), is_sentence_about(error, file)
        return name, compare(trials.expected("first"), trial.state()), True


@assets_but("a changed byte of the lake is not noticed yet, or not in a sentence", "raw_events", "events")
def test_every_flipped_bit_is_noticed_or_harmless(trials: Trials, scenario: Scenario, asset: str) -> None:
    """A bit of a lake file flipped."""
    random = Random(SEED)
    for _ in range(6):
        name, outcome, told = damage_and_process(trials, asset, flip_a_bit, random)
        scenario.add(name, outcome, reported=told)
    scenario.check()


@assets_but("a lake file that was cut short is an error without a sentence yet", "raw_events", "events")
def test_every_truncated_file_is_noticed_or_harmless(trials: Trials, scenario: Scenario, asset: str) -> None:
    """A lake file cut short."""
    random = Random(SEED)
    for _ in range(3):
        name, outcome, told = damage_and_process(trials, asset, truncate, random)
        scenario.add(name, outcome, reported=told)
    scenario.check()


@assets_but("lost lake files are not made again yet", "raw_events", "events")
def test_a_lost_file_is_made_again(trials: Trials, scenario: Scenario, asset: str) -> None:
    """A lake file lost, its landing file still there."""
    for number in range(2):
        with trials.trial() as trial:
            files = lake_files(trial, asset)
            file = files[number % len(files)]
            file.unlink()
            error = process_everything(trial)
            state = trial.state() if error is None else trials.expected("first")
            outcome = compare(trials.expected("first"), state)
            scenario.add(f"{asset} {number}: {error}", outcome, reported=error is None)
    scenario.check()


@pytest.mark.xfail(strict=True, reason="an older lake is not noticed and repaired yet")
def test_a_lake_older_than_its_ledger_is_made_up_to_date(trials: Trials, scenario: Scenario, tmp_path: Path) -> None:
    """An older lake restored."""
    with trials.trial() as trial:
        older = shutil.copytree(trial.settings.lake, tmp_path / "lake")
        trial.run("ingest")
        restore_lake(trial, older)
        error = process_everything(trial)
        state = trial.state() if error is None else trials.expected("ingest")
        scenario.add(str(error), compare(trials.expected("ingest"), state), reported=error is None)
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
