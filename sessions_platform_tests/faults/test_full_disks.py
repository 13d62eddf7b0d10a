"""Disks that are full where the lake, the landing files, temporary files or the warehouse are."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from sessions_platform_tests.faults.commands import is_sentence, run_command
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.small_disks import kilobytes_used, resize, small_disk
from sessions_platform_tests.faults.trial import Trial, Trials, compare
from sessions_platform_tests.streams import DAY_ONE

pytestmark = pytest.mark.slow

AMPLE = 64 * 1024


def _ingest(trial: Trial) -> tuple[int, str]:
    files = map(str, sorted((trial.folder / "new").iterdir()))
    return run_command(trial, "ingest", "shop", *files, "--partition", "2026-01-03", "--json")


@contextmanager
def _on_small_disk(folder: Path, spare: int) -> Iterator[None]:
    """A folder of a trial on a disk of its own, with this many kilobytes to spare."""
    content = folder.with_name(f"{folder.name}-before")
    if folder.exists():
        shutil.copytree(folder, content)
    else:
        content.mkdir(parents=True)
    folder.mkdir(parents=True, exist_ok=True)
    with small_disk(folder, AMPLE):
        shutil.copytree(content, folder, dirs_exist_ok=True)
        resize(folder, kilobytes_used(folder) + spare)
        yield


def _fill_and_recover(trials: Trials, scenario: Scenario, trial: Trial, folder: Path, spare: int, name: str) -> None:
    with _on_small_disk(folder, spare):
        code, error = _ingest(trial)
        resize(folder, AMPLE)
        again, error_again = _ingest(trial)
        assert again == 0, error_again
        left = [file.name for file in folder.rglob("*.tmp")]
        outcome = compare(trials.expected("ingest"), trial.state())
        told = code != 0 and is_sentence(error) and "No space left" in error
        scenario.add(f"{name}, {spare} KB left: {code} {error[-700:]} {left}", outcome, reported=told and not left)


@pytest.mark.parametrize("spare", [0, 24])
def test_a_full_disk_of_the_lake_is_told_and_nothing_is_lost(trials: Trials, scenario: Scenario, spare: int) -> None:
    """The lake's disk full."""
    with trials.trial() as trial:
        _fill_and_recover(trials, scenario, trial, trial.settings.lake, spare, "lake")
    scenario.check()


def test_a_full_disk_of_landing_files_is_told_and_nothing_is_left(trials: Trials, scenario: Scenario) -> None:
    """The landing files' disk full."""
    with trials.trial() as trial:
        _fill_and_recover(trials, scenario, trial, trial.folder / "streams", 0, "landing")
    scenario.check()


def test_a_full_disk_of_temporary_files_is_told_and_nothing_is_lost(
    trials: Trials, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary files' disk full."""
    monkeypatch.setenv("SESSIONS_MEMORY", "16MiB")
    with trials.trial() as undisturbed, trials.trial() as trial:
        for each in (undisturbed, trial):
            _write_many(each.folder / "new" / "many.ndjson")
        undisturbed.run("ingest")
        scratch = trial.settings.scratch
        with _on_small_disk(scratch, 64):
            code, error = _ingest(trial)
            resize(scratch, AMPLE)
            assert _ingest(trial)[0] == 0
            outcome = compare(undisturbed.state(), trial.state())
        told = code != 0 and is_sentence(error) and "No space left" in error
        scenario.add(f"scratch: {code} {error[-700:]}", outcome, reported=told)
    scenario.check()


def test_a_full_disk_of_the_warehouse_is_told_and_nothing_is_lost(trials: Trials, scenario: Scenario) -> None:
    """The warehouse's disk full."""
    with trials.trial() as trial, trials.tablespace() as (space, folder):
        _move(trials, trial, space)
        resize(folder, kilobytes_used(folder) + 4)
        code, error = _ingest(trial)
        resize(folder, AMPLE)
        again, error_again = _ingest(trial)
        assert again == 0, error_again
        outcome = compare(trials.expected("ingest"), trial.state())
        told = code != 0 and is_sentence(error) and "No space left" in error
        scenario.add(f"warehouse: {code} {error[-700:]}", outcome, reported=told)
        _move(trials, trial, "pg_default")
    scenario.check()


def _move(trials: Trials, trial: Trial, space: str) -> None:
    name = trial.folder.name
    with psycopg.connect(trials.url("postgres"), autocommit=True) as connection:
        connection.execute(
            SQL("select pg_terminate_backend(pid) from pg_stat_activity where datname = {}").format(Literal(name))
        )
        connection.execute(SQL("alter database {} set tablespace {}").format(Identifier(name), Identifier(space)))


def _write_many(file: Path) -> None:
    lines = [
        {
            "id": f"m{n}",
            "user": f"u{n % 500}",
            "ts": (DAY_ONE + timedelta(days=2, seconds=n)).isoformat(),
            "type": "x" * 90,
        }
        for n in range(30_000)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
