"""The thousand days are ingested once, without Dagster; what tests have measured is shown at the end."""

import os
from collections.abc import Iterator

import dagster as dg
import pytest

from sessions_platform.orchestration import resources
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.publish import publish
from sessions_platform.settings import Settings
from sessions_platform_tests.data.conftest import data, expected
from sessions_platform_tests.pipeline.steps import RUN, validated
from sessions_platform_tests.scale.thousand_days import PARTITIONS, ThousandDays

__all__ = ["data", "expected"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have noted with `record_property`."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.head_line}: {name}: {value}")


@pytest.fixture(scope="session")
def taken_in(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> ThousandDays:
    days = ThousandDays(settings.home, tmp_path_factory.mktemp("streams"))
    days.write()
    with days.context.database.kept_open():
        ingest(days.context, PARTITIONS, RUN)
        for partition in PARTITIONS:
            publish(days.context, validated(days.context, partition), RUN)
    return days


@pytest.fixture
def days(taken_in: ThousandDays, monkeypatch: pytest.MonkeyPatch) -> ThousandDays:
    """The thousand days, with the environment variables by which Dagster finds them."""
    for name, value in taken_in.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    resources._contexts.cache_clear()
    return taken_in


@pytest.fixture
def instance(days: ThousandDays) -> Iterator[dg.DagsterInstance]:
    """With its storage on PostgreSQL, as in production."""
    with dg.DagsterInstance.from_config(str(dagster_home(days.settings, os.environ))) as instance:
        yield instance
