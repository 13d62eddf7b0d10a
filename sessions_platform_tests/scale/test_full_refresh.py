"""A full refresh of a thousand days is one run, and the share of Dagster's own events in its time is measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from sessions_platform.orchestration.runs import Runner
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform_tests.pipeline.steps import RUN, load
from sessions_platform_tests.scale.tables import differing, known, stored
from sessions_platform_tests.scale.thousand_days import NAME, PARTITIONS, ThousandDays

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("a thousand days")]


@dataclass
class Stopwatch:
    calls: int = 0
    seconds: float = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                self.calls += 1
                self.seconds += time.monotonic() - started

        return timed


@pytest.mark.parametrize("events_in_a_batch", ["0", "100"])
def test_a_full_refresh_of_a_thousand_days_is_one_run_and_correct(
    days: ThousandDays,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    events_in_a_batch: str,
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", events_in_a_batch)
    events, run, stages = Stopwatch(), Stopwatch(), Stopwatch()
    delete_stream(days)
    stages.around(refresh_beneath_dagster)(days)
    delete_stream(days)
    monkeypatch.setattr(instance, "handle_new_event", events.around(instance.handle_new_event))
    run_id = run.around(Runner(days.settings, instance).run)(
        f"{NAME}__refresh_sessions", (PARTITIONS[0], PARTITIONS[-1])
    )
    assert differing(stored(days.context), known(days.events())) == []
    for asset in ("sessionized_events", "sessions"):
        assert materialized(instance, asset, run_id) == set(PARTITIONS)
    record_property("stages beneath Dagster, seconds", round(stages.seconds, 1))
    record_property("the run, seconds", round(run.seconds, 1))
    record_property("Dagster's events, seconds", round(events.seconds, 1))
    record_property("Dagster's events", events.calls)


def test_the_thousand_days_are_ingested_in_one_process(request: pytest.FixtureRequest) -> None:
    """Ingesting them takes minutes; where pytest-xdist knows no groups each process would do it."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("not run with --dist loadgroup")
    assert request.node.nodeid.endswith("@a thousand days")


def delete_stream(days: ThousandDays) -> None:
    """So that each refresh has as much to load as the first."""
    with days.context.database.transaction() as connection:
        days.context.prepare()
        connection.execute(f"truncate {NAME}.sessions, {NAME}.session_changes")


def refresh_beneath_dagster(days: ThousandDays) -> None:
    sessionize_partitions(days.context, PARTITIONS, RUN)
    load(days.context, *PARTITIONS)


def materialized(instance: dg.DagsterInstance, asset: str, run_id: str) -> set[str | None]:
    """The partitions of an asset that a run has materialized."""
    found = instance.fetch_materializations(dg.AssetKey([NAME, asset]), limit=2 * len(PARTITIONS)).records
    return {record.partition_key for record in found if record.run_id == run_id}
