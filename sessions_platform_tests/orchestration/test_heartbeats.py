"""A run whose process is gone is ended by whoever looks next; one that lives, or that nobody knows, is left alone."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from sessions_platform.orchestration import heartbeats
from sessions_platform.orchestration.heartbeats import (
    beating,
    end_lost_runs,
    heartbeat_of,
    lost_heartbeat,
    record_process,
)
from sessions_platform.orchestration.launcher import RunLauncher
from sessions_platform.orchestration.runs import Runner
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.validate import validate_partition
from sessions_platform.storage.ledger.run_heartbeats import (
    Heartbeat,
    RunEndedError,
    RunHeartbeats,
    keep_from_being_ended,
)
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.processes import Process, this_process
from sessions_platform_tests.orchestration.conftest import Home

GONE = this_process()._replace(started="1")
ELSEWHERE = this_process()._replace(host="another")

Start = Callable[..., dg.DagsterRun]


@pytest.fixture(autouse=True)
def beats(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens while it is waited for beats, which takes no time here."""
    happening: list[Callable[[], object]] = []
    monkeypatch.setattr(heartbeats, "wait_for_beats", lambda: [happens() for happens in happening])
    return happening


@pytest.fixture
def start(instance: dg.DagsterInstance, database: Database) -> Start:
    """Record a run that a process executes."""

    def recorded(process: Process, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
        run = instance.add_run(dg.DagsterRun(job_name="any", status=status))
        RunHeartbeats(database).begin(run.run_id, process)
        return run

    return recorded


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def silence(database: Database, run: dg.DagsterRun, seconds: int) -> None:
    """As if the run had beaten last so long ago."""
    with database.transaction() as connection:
        connection.execute(
            "update sessions_platform.run_heartbeats set beat_at = now() - make_interval(secs => %s) where run_id = %s",
            [seconds, run.run_id],
        )


def test_a_run_whose_process_is_gone_fails_and_says_why(
    start: Start, instance: dg.DagsterInstance, database: Database
) -> None:
    run = start(GONE)
    assert end_lost_runs(instance, database) == [run.run_id]
    assert status(instance, run) is dg.DagsterRunStatus.FAILURE
    (event,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert event.dagster_event
    assert f"Process {GONE.pid} on {GONE.host}, which executed this run, has ended." in (
        event.dagster_event.message or ""
    )
    assert end_lost_runs(instance, database) == []


def test_one_that_was_to_be_canceled_is_canceled(
    start: Start, instance: dg.DagsterInstance, database: Database
) -> None:
    run = start(GONE, dg.DagsterRunStatus.CANCELING)
    end_lost_runs(instance, database)
    assert status(instance, run) is dg.DagsterRunStatus.CANCELED


def test_a_run_whose_process_lives_goes_on(start: Start, instance: dg.DagsterInstance, database: Database) -> None:
    run = start(this_process())
    silence(database, run, 3600)  # it may have been stopped, or cut off from the database
    assert end_lost_runs(instance, database) == []
    assert status(instance, run) is dg.DagsterRunStatus.STARTED


def test_a_run_elsewhere_is_ended_once_it_has_been_silent_for_45_seconds(
    start: Start, instance: dg.DagsterInstance, database: Database
) -> None:
    run = start(ELSEWHERE)
    silence(database, run, 30)
    assert end_lost_runs(instance, database) == []
    silence(database, run, 46)
    assert end_lost_runs(instance, database) == [run.run_id]
    (event,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert event.dagster_event
    assert "on another, which executed this run, has not been heard of since" in (event.dagster_event.message or "")


@pytest.mark.parametrize("of_one", [False, True], ids=["all", "one"])
def test_after_an_outage_of_the_database_runs_elsewhere_go_on(
    start: Start, instance: dg.DagsterInstance, database: Database, beats: list[Callable[[], object]], of_one: bool
) -> None:
    healthy, lost = start(ELSEWHERE), start(ELSEWHERE)
    for run in (healthy, lost):
        silence(database, run, 46)  # no beat reached the database, and this look comes before the next ones
    beats.append(lambda: RunHeartbeats(database).beat(healthy.run_id))
    if of_one:
        assert [bool(lost_heartbeat(run.run_id, database)) for run in (healthy, lost)] == [False, True]
    else:
        assert end_lost_runs(instance, database) == [lost.run_id]
        assert status(instance, healthy) is dg.DagsterRunStatus.STARTED
    ended = {known.run_id for known in RunHeartbeats(database).all() if known.is_ended}
    assert ended & {healthy.run_id, lost.run_id} == {lost.run_id}


def test_lost_runs_that_are_reported_are_looked_at_no_more(
    start: Start, instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, ended = start(ELSEWHERE), start(ELSEWHERE)
    for run in (lost, ended):
        silence(database, run, 46)
    assert lost_heartbeat(ended.run_id, database)  # by one who did not come to report it
    assert end_lost_runs(instance, database) == [lost.run_id, ended.run_id]
    assert status(instance, ended) is dg.DagsterRunStatus.FAILURE
    asked: list[str] = []
    monkeypatch.setattr(instance, "get_run_by_id", asked.append)
    assert end_lost_runs(instance, database) == []
    assert {lost.run_id, ended.run_id}.isdisjoint(asked)
    assert {lost.run_id, ended.run_id} <= {known.run_id for known in RunHeartbeats(database).all()}


def test_a_run_that_writes_sessions_is_ended_before_or_after(start: Start, database: Database) -> None:
    run = start(ELSEWHERE)
    locking = "select from sessions_platform.run_heartbeats where run_id = %s for no key update nowait"
    with database.transaction() as writing, database.transaction() as ending:
        keep_from_being_ended(writing, run.run_id)
        with pytest.raises(psycopg.errors.LockNotAvailable), ending.transaction():
            ending.execute(locking, [run.run_id])


def test_a_lost_run_that_comes_back_publishes_writes_and_loads_nothing(
    home: Home, start: Start, instance: dg.DagsterInstance, database: Database
) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    context = home.stream_context
    run = start(ELSEWHERE)
    ingest(context, ["2026-01-01"], run.run_id)
    validated, other = (
        validate_partition(context, "2026-01-01", context.raw_events(["2026-01-01"]), read_references(context))
        for _ in range(2)
    )
    publish(context, other, "another-run")
    sessionize_partitions(context, ["2026-01-01"], run.run_id)
    before = context.ledger.landings(), context.ledger.newest_sessions()
    silence(database, run, 46)
    end_lost_runs(instance, database)
    record_process(run.run_id)  # as the process that comes back does
    for late in (
        lambda: publish(context, validated, run.run_id),
        lambda: sessionize_partitions(context, ["2026-01-01"], run.run_id),
        lambda: load_sessions(context, context.sessionized_events(["2026-01-01"]), run.run_id),
    ):
        with pytest.raises(RunEndedError, match=f"^run {run.run_id}: its process was not heard of, so it was ended"):
            late()
    assert (context.ledger.landings(), context.ledger.newest_sessions()) == before
    assert context.database.query(f"select * from {home.name}.sessions") == []


def test_one_that_is_heard_of_just_before_it_is_ended_goes_on(
    start: Start, instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(ELSEWHERE)
    silence(database, run, 46)
    late = RunHeartbeats(database).all()
    monkeypatch.setattr(RunHeartbeats, "all", lambda _: late)
    assert RunHeartbeats(database).beat(run.run_id)
    assert end_lost_runs(instance, database) == []
    assert status(instance, run) is dg.DagsterRunStatus.STARTED


def test_a_process_that_succeeds_and_exits_while_it_is_looked_at_has_not_failed(
    start: Start, instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(GONE)

    def succeed_and_exit(_: Heartbeat) -> bool:
        success = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name)
        instance.report_dagster_event(success, run.run_id)
        return True

    monkeypatch.setattr(Heartbeat, "is_lost", property(succeed_and_exit))
    assert end_lost_runs(instance, database) == []
    assert status(instance, run) is dg.DagsterRunStatus.SUCCESS


def test_runs_of_another_instance_are_left_alone(
    start: Start, instance: dg.DagsterInstance, database: Database
) -> None:
    run = start(GONE)
    with dg.DagsterInstance.ephemeral() as other:
        assert end_lost_runs(other, database) == []
    assert heartbeat_of(run.run_id, database)
    end_lost_runs(instance, database)


def test_the_heartbeat_of_a_finished_run_is_deleted(
    start: Start, instance: dg.DagsterInstance, database: Database
) -> None:
    run = start(this_process(), dg.DagsterRunStatus.SUCCESS)
    assert end_lost_runs(instance, database) == []
    assert heartbeat_of(run.run_id, database) is None


def test_a_sensors_tick_ends_lost_runs(home: Home, start: Start, instance: dg.DagsterInstance) -> None:
    run = start(GONE)
    definitions = home.definitions
    sensor = definitions.resolve_sensor_def(f"{home.name}__new_files")
    with dg.build_sensor_context(
        instance=instance, repository_def=definitions.get_repository_def(), resources=definitions.resources or {}
    ) as context:
        sensor.evaluate_tick(context)
    assert status(instance, run) is dg.DagsterRunStatus.FAILURE


@pytest.mark.usefixtures("home")
def test_monitoring_is_told_that_a_process_is_gone(start: Start) -> None:
    launcher = RunLauncher()
    assert launcher.supports_check_run_worker_health
    assert str(launcher.check_run_worker_health(start(GONE))).startswith("FAILED: 'Process ")
    assert launcher.check_run_worker_health(start(this_process())).status.value == "RUNNING"


def test_a_run_of_the_command_line_records_its_process(
    home: Home, instance: dg.DagsterInstance, database: Database
) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    run = Runner(home.settings, instance).run(f"{home.name}__ingest_events", ("2026-01-01", "2026-01-01"))
    heartbeat = heartbeat_of(run, database)
    assert heartbeat
    assert heartbeat.process == this_process()


def test_any_run_of_an_asset_records_its_process(home: Home, instance: dg.DagsterInstance, database: Database) -> None:
    run = home.execute("ingest_events", "2026-01-01", "2026-01-01", instance).run_id
    assert heartbeat_of(run, database)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("fast", "home")
def test_a_run_that_is_ended_from_outside_is_interrupted(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.add_run(dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.CANCELING))
        with pytest.raises(KeyboardInterrupt), beating(instance, run):
            threading.Event().wait(60)


@pytest.mark.usefixtures("fast", "home")
def test_a_heartbeat_that_is_missing_is_made_anew(
    start: Start, instance: dg.DagsterInstance, database: Database
) -> None:
    run = start(this_process())
    with beating(instance, run):
        RunHeartbeats(database).forget(run.run_id)
        made_anew = (heartbeat_of(run.run_id, database) for _ in iter(int, 1))
        assert next(filter(None, made_anew)).process == this_process()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("executing", [this_process(), GONE], ids=["this process", "another"])
def test_the_heartbeat_of_a_step_goes_with_the_process_that_it_names(
    start: Start, instance: dg.DagsterInstance, database: Database, executing: Process
) -> None:
    run = start(this_process())
    with beating(instance, run, of_a_step=True):
        RunHeartbeats(database).begin(run.run_id, executing)
    left = heartbeat_of(run.run_id, database)
    assert (left is None) is (executing == this_process())


def test_a_database_that_cannot_be_reached_hinders_nobody(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    monkeypatch.setenv("SESSIONS_WAREHOUSE_URL", nowhere)
    record_process(str(uuid.uuid4()))
    unreachable = Database(replace(home.settings, warehouse_url=nowhere))
    assert end_lost_runs(instance, unreachable) == []
    assert heartbeat_of("any", unreachable) is None
