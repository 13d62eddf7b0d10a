"""Sensors and schedules read what is pending from the ledger, and request exactly the runs that are missing."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml

from sessions_platform.orchestration import sensors
from sessions_platform.orchestration.sensors import back_off, interval, wanted_runs
from sessions_platform.sources.files.source import FileSource
from sessions_platform_tests.orchestration.conftest import PROJECT, Home

Range = tuple[str, str]


def requested_ranges(home: Home, sensor: str, instance: dg.DagsterInstance) -> list[Range]:
    """The ranges for which a sensor requests a run."""
    return [ranges(request) for request in tick(home, sensor, instance).run_requests or []]


def tick(home: Home, sensor: str, instance: dg.DagsterInstance):
    """What a sensor returns to Dagster."""
    definitions = home.definitions
    definition = definitions.resolve_sensor_def(f"{home.name}__{sensor}")
    with dg.build_sensor_context(
        instance=instance, repository_def=definitions.get_repository_def(), resources=definitions.resources or {}
    ) as context:
        return definition.evaluate_tick(context)


def ranges(request: dg.RunRequest) -> Range:
    assert request.run_key is None  # Dagster would never run the same key again
    return (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])


def test_a_new_file_and_a_changed_one_each_request_a_run_of_their_partition(
    home: Home, instance: dg.DagsterInstance
) -> None:
    assert requested_ranges(home, "new_files", instance) == []
    home.ingest(2, "a", ("ann", 0, "a"))
    assert requested_ranges(home, "new_files", instance) == [("2026-01-02", "2026-01-02")]
    home.execute("ingest_events", "2026-01-02", "2026-01-02", instance)
    assert requested_ranges(home, "new_files", instance) == []
    home.ingest(2, "a", ("ann", 0, "a"), ("ann", 1, "b"))
    assert requested_ranges(home, "new_files", instance) == [("2026-01-02", "2026-01-02")]


def test_stale_sessions_request_one_run_per_range_until_they_are_loaded(
    home: Home, instance: dg.DagsterInstance
) -> None:
    for day in (1, 2, 4):
        home.ingest(day, "a", ("ann", 600, f"e{day}"))
    home.execute("ingest_events", "2026-01-01", "2026-01-05", instance)
    pending = [("2026-01-01", "2026-01-02"), ("2026-01-04", "2026-01-04")]
    assert requested_ranges(home, "stale_sessions", instance) == pending
    home.execute("refresh_sessions", "2026-01-01", "2026-01-02", instance)
    assert requested_ranges(home, "stale_sessions", instance) == pending[1:]


def test_files_that_cannot_be_named_or_read_fail_no_sensor_and_the_good_ones_of_their_day_are_taken_in(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(2, "good", ("ann", 0, "a"))
    day = home.folder / "streams" / "landing" / "2026-01-02"
    with open(os.fsencode(day) + b"/\xff.ndjson", "wb") as file:  # noqa: PTH123  Path has no bytes
        file.write(b"{}\n")
    (day / "loop.ndjson").symlink_to("loop.ndjson")
    (day / "folder.ndjson").mkdir()
    assert requested_ranges(home, "new_files", instance) == [("2026-01-02", "2026-01-02")]
    assert home.execute("ingest_events", "2026-01-02", "2026-01-02", instance).success
    assert [landing.accepted for landing in home.stream_context.ledger.landings()] == [1]
    assert (tick(home, "new_files", instance).skip_message or "").startswith("nothing to do; 2 files were skipped")


def test_a_sensor_whose_listing_is_slow_answers_in_time_and_lists_once_for_all_ticks(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings, let_end, search = [], threading.Event(), FileSource.search

    def search_slowly(self: FileSource, *arguments: object, **named: object):
        listings.append(arguments)
        let_end.wait(30)  # of a sensor that waits for it, the first tick would request a run
        return search(self, *arguments, **named)  # type: ignore[arg-type]

    home.ingest(2, "a", ("ann", 0, "a"))
    monkeypatch.setattr(FileSource, "search", search_slowly)
    monkeypatch.setattr(sensors, "_WAIT_SECONDS", 0)
    for _ in range(3):
        assert requested_ranges(home, "new_files", instance) == []  # it returns, while the listing goes on
    let_end.set()
    monkeypatch.setattr(sensors, "_WAIT_SECONDS", 60)
    assert requested_ranges(home, "new_files", instance) == [("2026-01-02", "2026-01-02")]
    assert len(listings) == 1


def test_what_a_run_did_after_the_listing_began_is_not_requested_again(
    home: Home, instance: dg.DagsterInstance
) -> None:
    one, two = ("2026-01-01", "2026-01-01"), ("2026-01-02", "2026-01-02")
    begin = datetime.now(UTC) - timedelta(seconds=1)  # SQLite counts in seconds
    start(home, instance, *one, status=dg.DagsterRunStatus.SUCCESS)
    stream = home.stream_context.stream
    requests = wanted_runs(instance, stream, "ingest_events", [one, two], since=begin)
    assert [ranges(request) for request in requests] == [two]
    requests = wanted_runs(instance, stream, "ingest_events", [one], since=datetime.now(UTC) + timedelta(hours=1))
    assert [ranges(request) for request in requests] == [one]


@pytest.mark.slow
def test_failed_partitions_of_which_nothing_is_pending_are_made_whole_by_the_next_runs(
    home: Home, instance: dg.DagsterInstance
) -> None:
    days = ("2026-01-01", "2026-01-02")
    home.ingest(1, "a", ("ann", 0, "a"))
    home.ingest(2, "a", ("ann", 0, "b"))
    assert home.execute("materialize_all", *days, instance).success
    assert requested_ranges(home, "new_files", instance) == []
    instance.report_run_failed(start(home, instance, *days, job="materialize_all"))
    for sensor, job in (("new_files", "ingest_events"), ("stale_sessions", "refresh_sessions")):
        assert requested_ranges(home, sensor, instance) == [days]
        assert home.execute(job, *days, instance).success
        assert requested_ranges(home, sensor, instance) == []


def test_a_tick_that_cannot_yet_make_failed_partitions_whole_names_them(
    home: Home, instance: dg.DagsterInstance
) -> None:
    one = ("2026-01-01", "2026-01-01")
    home.ingest(1, "a", ("ann", 0, "a"))
    assert home.execute("ingest_events", *one, instance).success
    instance.report_run_failed(start(home, instance, *one))
    said = tick(home, "new_files", instance).skip_message
    assert said == "1 ranges are active or backing off; failed, and to be run again: 2026-01-01"


def test_sensors_of_a_few_streams_tick_often_and_those_of_many_take_turns() -> None:
    assert [interval(streams) for streams in (0, 1, 2, 3, 7, 8, 100)] == [4, 4, 4, 9, 29, 29, 29]


def test_no_op_names_a_pool_since_dagster_applies_its_limit_too_late(home: Home) -> None:
    jobs = [job for job in home.definitions.resolve_all_job_defs() if job.name.startswith(home.name)]
    assert len(jobs) > 5
    assert {op.pool for job in jobs for op in job.all_node_defs if isinstance(op, dg.OpDefinition)} == {None}
    assert "pools" not in yaml.safe_load((PROJECT / "dagster.yaml").read_text())["concurrency"]


def wanted(home: Home, instance: dg.DagsterInstance, *wanted_ranges: Range, now: datetime | None = None) -> list[Range]:
    stream = home.stream_context.stream
    return [ranges(request) for request in wanted_runs(instance, stream, "ingest_events", list(wanted_ranges), now)]


def start(
    home: Home,
    instance: dg.DagsterInstance,
    first: str,
    last: str,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
    job: str = "ingest_events",
) -> dg.DagsterRun:
    """A recorded run that nobody executes."""
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    definition = home.definitions.resolve_job_def(f"{home.name}__{job}")
    return instance.create_run_for_job(definition, tags=tags, status=status)


def test_at_most_one_run_is_under_way_for_the_same_partitions(home: Home, instance: dg.DagsterInstance) -> None:
    first, second = ("2026-01-01", "2026-01-03"), ("2026-01-05", "2026-01-05")
    start(home, instance, "2026-01-03", "2026-01-04")
    assert wanted(home, instance, first, second) == [second]


def test_a_run_that_just_failed_is_not_requested_again_yet(home: Home, instance: dg.DagsterInstance) -> None:
    one = ("2026-01-01", "2026-01-01")
    instance.report_run_failed(start(home, instance, *one))
    assert wanted(home, instance, one) == []
    assert wanted(home, instance, ("2026-01-02", "2026-01-02")) == [("2026-01-02", "2026-01-02")]


@pytest.mark.parametrize(("failures", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)])
def test_the_back_off_doubles_with_each_failure_from_one_minute_to_half_an_hour(
    home: Home, instance: dg.DagsterInstance, failures: int, minutes: int
) -> None:
    one = ("2026-01-01", "2026-01-01")
    name = f"{home.name}__ingest_events"
    for _ in range(failures):
        start(home, instance, *one, status=dg.DagsterRunStatus.FAILURE)
    failed_at = instance.get_run_records(dg.RunsFilter(job_name=name), limit=1)[0].update_timestamp
    wait = timedelta(minutes=minutes)
    assert back_off(failures) == wait
    assert wanted(home, instance, one, now=failed_at + wait - timedelta.resolution) == []
    assert wanted(home, instance, one, now=failed_at + wait) == [one]


def test_a_success_ends_the_back_off(home: Home, instance: dg.DagsterInstance) -> None:
    one = ("2026-01-01", "2026-01-01")
    start(home, instance, *one, status=dg.DagsterRunStatus.FAILURE)
    start(home, instance, *one, status=dg.DagsterRunStatus.SUCCESS)
    assert wanted(home, instance, one) == [one]


def test_the_schedules_request_the_same_runs_as_the_sensors(home: Home, tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:  # schedules want one that other processes can open
        _compare_schedule_and_sensor(home, instance)


def _compare_schedule_and_sensor(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    definitions = home.definitions
    schedule = definitions.resolve_schedule_def(f"{home.name}__ingest_nightly")
    with dg.build_schedule_context(
        instance=instance, repository_def=definitions.get_repository_def(), resources=definitions.resources or {}
    ) as context:
        tick = schedule.evaluate_tick(context)
    assert [ranges(request) for request in tick.run_requests or []] == requested_ranges(home, "new_files", instance)
