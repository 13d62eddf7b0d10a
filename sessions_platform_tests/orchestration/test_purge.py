"""Purging Dagster's storage deletes what no asset's state depends on, and nothing else."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.orchestration.purge import Purged, purge
from sessions_platform_tests.orchestration.conftest import Home

pytestmark = pytest.mark.slow

DAY = "2026-01-01"
MONTH = timedelta(days=30)


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """An instance as dagster.yaml describes it, with its storage in the embedded PostgreSQL, and without any run."""
    with dg.DagsterInstance.from_config(str(dagster_home(home.settings, os.environ))) as instance:
        storages: list[Any] = [instance.run_storage, instance.event_log_storage, instance.schedule_storage]
        for storage in storages:
            storage.wipe()
        yield instance


def ingest(home: Home, instance: dg.DagsterInstance, events: int, day: int = 1) -> str:
    """One run of the whole pipeline, of a landing file that has so many events now."""
    home.ingest(day, "a", *(("ann", number, f"{day}-{number}") for number in range(events)))
    key = f"2026-01-0{day}"
    return home.execute("materialize_all", key, key, instance).run_id


def age(instance: dg.DagsterInstance, *runs: str) -> None:
    """Make runs look as if they had ended a year ago."""
    update = text("update runs set update_timestamp = update_timestamp - interval '1 year' where run_id = any(:runs)")
    with storage_of(instance).connect() as connection:
        connection.execute(update, {"runs": list(runs)})


def storage_of(instance: dg.DagsterInstance) -> Any:
    return instance.run_storage


def states(home: Home, instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster derives of each asset: which partitions are materialized, failed, in progress; and its checks."""
    graph = home.definitions.resolve_asset_graph()
    statuses = {
        key.to_user_string(): instance.get_status_by_partition(key, [DAY, "2026-01-02"], partitions)
        for key in graph.materializable_asset_keys
        if (partitions := graph.get(key).partitions_def)
    }
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(sorted(graph.asset_check_keys))
    return {**statuses, **{key.to_user_string(): record.run_id for key, record in checks.items()}}


def test_superseded_runs_go_and_the_last_ones_of_each_partition_stay(home: Home, instance: dg.DagsterInstance) -> None:
    runs = [ingest(home, instance, events) for events in (1, 2, 3)]
    other = ingest(home, instance, 1, day=2)
    age(instance, *runs, other)
    before = states(home, instance)
    assert purge(instance, MONTH, dry_run=True) == Purged(2, 0, 2)
    assert {run.run_id for run in instance.get_runs()} == {*runs, other}
    assert purge(instance, MONTH) == Purged(2, 0, 2)
    assert {run.run_id for run in instance.get_runs()} == {runs[2], other}
    assert not instance.all_logs(runs[0])
    assert states(home, instance) == before
    assert purge(instance, MONTH) == Purged(0, 0, 2)


def test_young_runs_and_runs_in_progress_stay(home: Home, instance: dg.DagsterInstance) -> None:
    runs = [ingest(home, instance, events) for events in (1, 2)]
    started = instance.create_run_for_job(
        home.definitions.resolve_job_def(f"{home.name}__rebuild"), status=dg.DagsterRunStatus.STARTED
    )
    age(instance, started.run_id)
    assert purge(instance, MONTH) == Purged(0, 0, 0)
    assert {run.run_id for run in instance.get_runs()} == {*runs, started.run_id}


def test_a_failed_run_stays_while_it_is_the_last_of_its_partition(home: Home, instance: dg.DagsterInstance) -> None:
    good = ingest(home, instance, 1)
    home.write_stream(rejected={"fail_above": "0%"})
    folder = home.folder / "streams" / "landing" / DAY
    (folder / "broken.ndjson").write_text("no event\n")
    failed = home.execute("materialize_all", DAY, DAY, instance).run_id
    age(instance, good, failed)
    before = states(home, instance)
    assert purge(instance, MONTH).runs == 0
    (folder / "broken.ndjson").unlink()
    home.write_stream()
    last = ingest(home, instance, 2)
    age(instance, last)
    assert states(home, instance) != before
    assert purge(instance, MONTH).runs >= 1
    assert last in {run.run_id for run in instance.get_runs()}


def test_the_run_that_a_kept_one_was_made_from_stays(home: Home, instance: dg.DagsterInstance) -> None:
    first, second, _ = (ingest(home, instance, events) for events in (1, 2, 3))
    retry = instance.create_run_for_job(
        home.definitions.resolve_job_def(f"{home.name}__rebuild"),
        status=dg.DagsterRunStatus.SUCCESS,
        tags={"dagster/parent_run_id": first, "dagster/root_run_id": first},
    )
    age(instance, first, second)
    assert purge(instance, MONTH) == Purged(1, 0, 1)
    age(instance, retry.run_id)
    assert purge(instance, MONTH).runs == 2  # the retry, and what only it was made from


def test_ticks_go_after_their_retention_also_of_a_sensor_that_is_gone(instance: dg.DagsterInstance) -> None:
    insert = text("""
        insert into job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body)
        values ('gone', 'gone', :status, :kind, now() at time zone 'utc' - :days * interval '1 day', '{}')""")
    ticks = [
        ("SKIPPED", "SENSOR", 0.5),
        ("SKIPPED", "SENSOR", 3),
        ("SUCCESS", "SENSOR", 3),
        ("SKIPPED", "SCHEDULE", 89),
    ]
    with storage_of(instance).connect() as connection:
        connection.execute(insert, [dict(zip(("status", "kind", "days"), tick, strict=True)) for tick in ticks])
    assert purge(instance, MONTH, dry_run=True).ticks == 1
    assert purge(instance, MONTH).ticks == 1
    with storage_of(instance).connect() as connection:
        left = connection.execute(text("select status, type from job_ticks order by timestamp")).all()
    assert left == [("SKIPPED", "SCHEDULE"), ("SUCCESS", "SENSOR"), ("SKIPPED", "SENSOR")]


def test_the_command_reports_what_it_would_delete(home: Home, instance: dg.DagsterInstance) -> None:
    age(instance, *(ingest(home, instance, events) for events in (1, 2)))
    assert home.shell(
        "sessions_platform", "ingest", home.name, str(home.folder / "streams" / "landing" / DAY / "a.ndjson")
    )
    purged = home.shell("sessions_platform", "purge", "--dry-run", "--json")
    assert purged.returncode == 0, purged.stderr
    assert json.loads(purged.stdout) == {"runs": 1, "ticks": 0, "old_runs_needed": 1}
