"""Where the Dagster instance is: a folder of somebody else's has to be there already."""

from dataclasses import replace
from pathlib import Path

import pytest

from sessions_platform.operations.doctor import Outcome
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.orchestration.doctor import examine_dagster
from sessions_platform.settings import Settings, SettingsError


@pytest.mark.parametrize("home", ["missing", "file", "relative"])
def test_a_home_that_dagster_would_not_take_is_told_with_the_fix(tmp_path: Path, settings: Settings, home: str) -> None:
    (tmp_path / "file").touch()
    stated = {"missing": str(tmp_path / "no"), "file": str(tmp_path / "file"), "relative": "."}[home]
    with pytest.raises(SettingsError, match=r"^DAGSTER_HOME: .* Fix: make the folder, or unset DAGSTER_HOME\.$"):
        dagster_home(settings, {"DAGSTER_HOME": stated})


def test_a_home_that_is_there_is_taken_as_it_is(tmp_path: Path, settings: Settings) -> None:
    assert dagster_home(settings, {"DAGSTER_HOME": str(tmp_path)}) == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_the_platforms_own_home_is_made(tmp_path: Path, settings: Settings) -> None:
    home = dagster_home(replace(settings, home=tmp_path / "home"), {})
    assert (home / "dagster.yaml").exists()


def test_the_doctor_fails_on_a_home_that_is_missing(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "no"))
    (finding,) = examine_dagster(settings)
    assert (finding.outcome, finding.fix) == (Outcome.fail, "make it, or unset DAGSTER_HOME")
