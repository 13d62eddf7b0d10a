"""Clocks that are wrong or jump change no session: none is read to decide about data."""

from datetime import UTC, datetime, timedelta, tzinfo

import psycopg
import pytest

from sessions_platform.contracts import calendar
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.trial import Trial, Trials, compare
from sessions_platform_tests.faults.workload import COMMANDS

pytestmark = pytest.mark.slow

# In days, as SQL: behind, ahead, and another one at each reading
SHIFTS = ["-400", "400", "(random() - 0.5) * 1000"]


def shift_database_clock(trial: Trial, days: str) -> None:
    """From its next connections on, now() is this many days off."""
    statements = (
        "create schema if not exists clock",
        "create or replace function clock.now() returns timestamptz language sql volatile as "
        f"$$ select pg_catalog.now() + ({days}) * interval '1 day' $$",
        f"alter database {trial.folder.name} set search_path = clock, pg_catalog, public",
    )
    with psycopg.connect(trial.settings.warehouse_url or "", autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_clock_that_is_wrong_or_jumps_changes_no_result(
    trials: Trials, scenario: Scenario, command: str
) -> None:
    """The database's clock behind, ahead or jumping."""
    for shift in SHIFTS:
        with trials.trial(command) as trial:
            shift_database_clock(trial, shift)
            trial.run(command)
            trial.run(command)
            done = not any(trial.pending().values())
            scenario.add(f"{command}, {shift}", compare(trials.expected(command), trial.state()), reported=done)
    scenario.check()


class _Wrong(datetime):
    shift = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + cls.shift


@pytest.mark.parametrize("days", [-4000, 4000])
def test_a_host_clock_that_is_wrong_changes_no_result(
    trials: Trials, scenario: Scenario, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """The host's clock years behind or ahead."""
    expected = trials.expected("replay")
    with trials.trial("replay") as trial:
        monkeypatch.setattr(_Wrong, "shift", timedelta(days=days))
        monkeypatch.setattr(calendar, "datetime", _Wrong)
        assert abs(calendar.datetime.now(UTC) - datetime.now(UTC)) > timedelta(days=3000)
        trial.run("replay")
        scenario.add(f"{days} days", compare(expected, trial.state()), reported=not any(trial.pending().values()))
    scenario.check()
