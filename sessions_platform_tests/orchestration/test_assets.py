"""The pipeline through the real Dagster: in this process, and from the command line as CI runs it."""

import json
import os
import signal
import subprocess
import sys

import dagster as dg
import pytest

from sessions_platform.orchestration import resources
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.storage.postgres.roles import as_owner
from sessions_platform_tests.orchestration.conftest import PROJECT, Home
from sessions_platform_tests.streams import PLAIN

pytestmark = pytest.mark.slow

DAYS = ("2026-01-01", "2026-01-05")


def test_a_range_is_one_run_and_each_partition_has_metadata_of_its_own(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    home.ingest(1, "c", ("bob", 0, "b"))
    home.ingest(3, "b", ("ann", 0, "c"))
    assert home.execute("materialize_all", *DAYS, instance).success
    assert len(instance.get_run_records()) == 1
    for asset in ("raw_events", "events", "sessionized_events", "sessions"):
        key = dg.AssetKey([home.name, asset])
        records = instance.fetch_materializations(key, limit=10).records
        rows = {r.partition_key: r.event_log_entry.asset_materialization for r in records}
        rows = {day: row.metadata["dagster/row_count"].value for day, row in rows.items() if row}
        assert rows == {"2026-01-01": 2, "2026-01-02": 0, "2026-01-03": 1, "2026-01-04": 0, "2026-01-05": 0}


def test_a_range_twice_and_then_a_day_leave_the_same_tables_row_for_row(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(1, "a", ("ann", 1435, "a"), ("bob", 0, "b"))
    home.ingest(2, "b", ("ann", 5, "c"))
    home.execute("materialize_all", *DAYS, instance)
    before = home.table(), home.table("rejected_events")
    assert len(before[0]) == 2
    for first, last in [DAYS, ("2026-01-02", "2026-01-02")]:
        assert home.execute("materialize_all", first, last, instance).success
        assert (home.table(), home.table("rejected_events")) == before


def test_links_of_anonymous_ids_are_an_asset_of_the_step_that_makes_events(
    home: Home, instance: dg.DagsterInstance
) -> None:
    columns = {**PLAIN["columns"], "device": {"from": "id"}}
    home.write_stream(columns=columns, identity={"anonymous_id": "device", "user_id": "user_id"})
    home.ingest(1, "a", ("ann", 0, "a"), ("bob", 0, "b"))
    assert home.execute("ingest_events", *DAYS, instance).success
    records = instance.fetch_materializations(dg.AssetKey([home.name, "identity_links"]), limit=10).records
    made = [record.event_log_entry.asset_materialization for record in records]
    rows = {one.partition: one.metadata["dagster/row_count"].value for one in made if one}
    assert rows == {"2026-01-01": 2, **{f"2026-01-0{day}": 0 for day in (2, 3, 4, 5)}}
    assert [row["user_id"] for row in home.table("identities")] == ["ann", "bob"]


def test_every_check_passes_and_reports_what_it_checked(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    result = home.execute("materialize_all", *DAYS, instance)
    evaluations = result.get_asset_check_evaluations()
    assert all(evaluation.passed for evaluation in evaluations)
    metadata_key = {
        "keeps_contract": "rows",
        "row_counts_reconcile": "rows",
        "every_event_once": "sessionized",
        "no_stale_partitions": "stale",
        "rejection_rate": "thresholds",
        "schema_drift": "drifted",
    }
    seen = {
        (e.asset_key.path[-1], e.check_name): e.metadata.get(metadata_key.get(e.check_name, "")) for e in evaluations
    }
    assert {check: value.value if value else None for check, value in seen.items()} == {
        ("events", "keeps_contract"): 1,
        ("events", "row_counts_reconcile"): 1,
        ("events", "schema_drift"): 0,
        ("rejected_events", "keeps_contract"): 0,
        ("rejected_events", "rejection_rate"): 0,
        ("sessionized_events", "keeps_contract"): 1,
        ("sessionized_events", "long_activity_chains"): None,
        ("sessions", "keeps_contract"): 1,
        ("sessions", "every_event_once"): 1,
        ("sessions", "no_stale_partitions"): [],
    }


def test_an_activity_chain_of_more_than_seven_days_gives_a_warning(home: Home, instance: dg.DagsterInstance) -> None:
    web = home.folder / "streams" / "web.yaml"
    web.write_text(web.read_text().replace("end: '2026-01-06'", "end: '2026-01-16'"))
    resources._contexts.cache_clear()
    for day in range(1, 10):
        home.ingest(day, "a", *(("robot", minute, f"{day}-{minute}") for minute in range(0, 1440, 30)))
    result = home.execute("materialize_all", "2026-01-01", "2026-01-09", instance)
    assert result.success
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "long_activity_chains"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["longest_activity_chain_days"].value == 8.979


def test_a_blocking_check_that_fails_stops_all_after_it_with_exit_code_1(home: Home) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    every = [
        "dagster",
        "asset",
        "materialize",
        "--select",
        f'key:"{home.name}/*"',
        "--partition-range",
        "...".join(DAYS),
    ]
    assert home.shell(*every, "-m", "sessions_platform.definitions").returncode == 0
    before = home.table()
    home.ingest(1, "b", ("bob", 0, "b"))
    failed = home.shell(*every, "-m", "sessions_platform_tests.orchestration.broken")
    assert failed.returncode == 1
    assert "row_counts_reconcile" in failed.stderr
    assert home.table() == before
    assert home.stream_context.events(["2026-01-01"]).rows == 1
    repaired = home.shell(*every, "-m", "sessions_platform.definitions")
    assert repaired.returncode == 0
    assert len(home.table()) == 2


def test_a_load_that_is_killed_leaves_the_old_table_and_the_next_run_completes_it(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    home.execute("materialize_all", *DAYS, instance)
    before = home.table()
    home.ingest(1, "b", ("bob", 0, "b"))
    home.execute("ingest_events", "2026-01-01", "2026-01-01", instance)
    sessionize_partitions(home.stream_context, ["2026-01-01"], "a-run")
    module = "sessions_platform_tests.orchestration.slow_load"
    command = [sys.executable, "-m", module, home.name, "2026-01-01"]
    with subprocess.Popen(command, cwd=PROJECT, env=home.environment, stdout=subprocess.PIPE, text=True) as loading:
        assert loading.stdout is not None
        assert loading.stdout.readline() == "loading\n"
        assert home.table() == before
        os.kill(loading.pid, signal.SIGKILL)
    assert home.table() == before
    assert home.execute("refresh_sessions", "2026-01-01", "2026-01-01", instance).success
    assert sorted(row["user_id"] for row in home.table()) == ["ann", "bob"]


def test_an_error_in_the_tables_fails_at_once_and_a_lost_connection_is_retried(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    home.execute("materialize_all", *DAYS, instance)
    with home.stream_context.database.transaction() as connection, as_owner(connection):
        connection.execute(f"drop view {home.name}.sessions_now".encode())
        connection.execute(f"alter table {home.name}.sessions alter column event_count type text".encode())
    resources._contexts.cache_clear()
    result = home.execute("refresh_sessions", *DAYS, instance)
    assert not result.success
    events = [event.event_type for event in result.all_events]
    assert dg.DagsterEventType.STEP_UP_FOR_RETRY not in events
    failure = next(e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE)
    assert failure.step_failure_data.user_failure_data is not None
    assert "event_count" in str(failure.step_failure_data.user_failure_data.description)


def test_the_sample_is_audited_by_a_job_of_its_own_and_by_no_refresh(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(1, "a", ("ann", 0, "a"), ("ann", 45, "b"), ("bob", 5, "c"))
    refresh = home.execute("materialize_all", *DAYS, instance)
    assert "sample_recomputation" not in {evaluation.check_name for evaluation in refresh.get_asset_check_evaluations()}
    job = home.definitions.resolve_job_def(f"{home.name}__audit_sample")
    (evaluation,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("sample_recomputation", True)
    assert (evaluation.metadata["users"].value, evaluation.metadata["sessions"].value) == (2, 3)
    with home.stream_context.database.transaction() as connection:
        connection.execute(f"update {home.name}.sessions set event_count = 7".encode())
    (evaluation,) = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.metadata["mismatches"].value == 3


def test_the_audit_lists_event_ids_with_two_users_or_timestamps(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(1, "a", ("ann", 0, "shared"), ("ann", 1, "moved"), ("ann", 2, "again"), ("ann", 3, "one"))
    home.ingest(2, "b", ("bob", -1440, "shared"), ("ann", -1438, "again"))
    home.ingest(3, "c", ("ann", 0, "moved"))
    home.execute("materialize_all", *DAYS, instance)
    job = home.definitions.resolve_job_def(f"{home.name}__audit_event_ids")
    assert job.execute_in_process(instance=instance).success
    found = {(row["event_id"], row["user_id"], row["landing_partition"]) for row in home.table("repeated_event_ids")}
    assert found == {
        ("shared", "ann", "2026-01-01"),
        ("shared", "bob", "2026-01-02"),
        ("moved", "ann", "2026-01-01"),
        ("moved", "ann", "2026-01-03"),
    }


def test_a_rebuild_with_another_calendar_reports_its_partitions_to_dagster(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(1, "a", ("ann", 1439, "a"), ("ann", 1443, "b"))
    home.ingest(2, "a", ("bob", 10, "c"))
    ingested = home.execute("ingest_events", "2026-01-01", "2026-01-02", instance)
    refreshed = home.execute("refresh_sessions", "2026-01-01", "2026-01-02", instance)
    before = [(row["session_id"], row["event_count"]) for row in home.table()]
    assert ingested.success
    assert refreshed.success
    assert len(before) == 2

    home.write_stream(session={"partition": "weekly"})
    refused = home.execute("refresh_sessions", "2025-12-29", "2025-12-29", instance)
    assert not refused.success
    rebuilt = home.definitions.resolve_job_def(f"{home.name}__rebuild").execute_in_process(instance=instance)

    assert [(row["session_id"], row["event_count"]) for row in home.table()] == before
    row_counts = {
        (event.asset_key.path[-1], event.partition): event.materialization.metadata["dagster/row_count"].value
        for event in rebuilt.all_events
        if event.is_step_materialization and event.asset_key
    }
    ingested = {("raw_events", "2026-01-01"): 2, ("raw_events", "2026-01-02"): 1}
    ingested |= {("events", "2026-01-01"): 2, ("events", "2026-01-02"): 1}
    ingested |= {("rejected_events", "2026-01-01"): 0, ("rejected_events", "2026-01-02"): 0}
    assert row_counts == {**ingested, ("sessionized_events", "2025-12-29"): 3, ("sessions", "2025-12-29"): 2}
    assert home.execute("refresh_sessions", "2025-12-29", "2025-12-29", instance).success


def test_the_command_line_rebuilds_and_reports_the_new_state(home: Home) -> None:
    home.ingest(1, "a", ("ann", 1439, "a"), ("ann", 1443, "b"))
    (home.folder / "late.ndjson").write_bytes((home.folder / "streams/landing/2026-01-01/a.ndjson").read_bytes())
    assert home.shell("sessions_platform", "ingest", home.name, str(home.folder / "late.ndjson")).returncode == 0
    home.write_stream(session={"partition": "hourly"})
    refused = home.shell("sessions_platform", "status", home.name)
    assert refused.returncode == 2
    assert f"Fix: run `sessions-platform rebuild {home.name}`" in refused.stderr
    rebuilt = home.shell("sessions_platform", "rebuild", home.name, "--json")
    assert rebuilt.returncode == 0, rebuilt.stderr
    summary = json.loads(rebuilt.stdout)
    assert (summary["sessions"], summary["pending"]) == (1, {"landing": [], "session": []})
    assert [row["session_partition"] for row in home.table()] == ["2026-01-01T23"]
