"""Planted trouble makes each alert fire once and recover once, and no message has a value of a row."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType  # noqa: TID251  as Dagster's storage has them
from dagster._core.remote_origin import (  # noqa: TID251
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (  # noqa: TID251
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)
from prometheus_client import generate_latest

from sessions_platform.errors import RunFailedError
from sessions_platform.operations.alerts import Alert, Told, ledger_alerts
from sessions_platform.orchestration import alerts
from sessions_platform.orchestration.alerts import look, send_test
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.orchestration.metrics import registry
from sessions_platform.orchestration.runs import runner
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import dagster_database
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev import watched_dev
from sessions_platform_tests.receiver import Receiver, receiver
from sessions_platform_tests.servers.running import free_port

DAY, CANARY = "2026-01-01", "canary-user"
MOMENT = timedelta(microseconds=1)
TARGETS = {"copy": {"type": "parquet", "path": "/nowhere"}}


class Watch:
    """Looks for alerts and says what the channel received of one stream."""

    def __init__(self, home: Home, hook: Receiver) -> None:
        self.home, self.hook, self.limits = home, hook, {}
        self.everything = ""

    def settings(self) -> Settings:
        settings = Settings.from_environment()
        limits = replace(settings.alerts, channels=(("hook", self.hook.url),), rejected_rows=1, **self.limits)
        return replace(settings, alerts=limits)

    def look(self, **limits: Any) -> set[tuple[str, str]]:
        """Status and kind of each message about the stream or about none; each came once."""
        self.limits = limits
        assert look(self.settings()) is not None
        messages = self.hook.take()
        self.everything += json.dumps(messages)
        ours = [(each["status"], each["kind"]) for each in messages if each["stream"] in ("", self.home.name)]
        assert len(ours) == len(set(ours))
        return set(ours)

    def run(self, job: str) -> None:
        with runner(self.home.settings) as runs, suppress(RunFailedError):
            runs.run(f"{self.home.name}__{job}", (DAY, DAY))


@pytest.fixture
def watch(home: Home) -> Iterator[Watch]:
    with receiver() as hook:
        yield Watch(home, hook)


@pytest.mark.slow
def test_trouble_of_a_stream_is_told_once_and_so_is_its_end(watch: Watch) -> None:
    home = watch.home
    watch.run("materialize_all")  # nothing landed: all tables are there
    watch.look()
    home.write_stream(rejected={"fail_above": "1%"})
    home.ingest(1, "a", (CANARY, 0, "e1"), ("", 1, CANARY))
    watch.run("ingest_events")
    assert watch.look() == {("firing", "run_failed"), ("firing", "check_failed")}
    assert watch.look() == set()
    home.write_stream(rejected={"warn_above": "99%"})
    watch.run("ingest_events")
    assert watch.look() == {("recovered", "run_failed"), ("recovered", "check_failed"), ("firing", "queue_grew")}
    assert watch.look(stale=MOMENT, nothing_landed=MOMENT) == {
        ("firing", "sessions_stale"),
        ("firing", "nothing_landed"),
    }
    watch.run("refresh_sessions")
    assert watch.look() == {("recovered", "sessions_stale"), ("recovered", "nothing_landed")}
    (home.folder / "streams" / "web.yaml").write_text(f"name: {home.name}\n")
    assert ("firing", "stream_broken") in watch.look()
    home.write_stream()
    assert ("recovered", "stream_broken") in watch.look()
    assert CANARY not in watch.everything
    assert "/runs/" in watch.everything
    assert DAY in watch.everything


@pytest.mark.slow
def test_a_storage_of_dagster_that_is_down_is_told_and_ends_no_other_alert(watch: Watch) -> None:
    home = watch.home
    home.write_stream(rejected={"fail_above": "1%"})
    home.ingest(1, "a", ("ann", 0, "e1"), ("", 1, "e2"))
    watch.run("ingest_events")
    assert ("firing", "run_failed") in watch.look()
    nowhere = f"postgresql://etl:s3cr3t@127.0.0.1:{free_port()}/none"
    for expected in [[("firing", "dagster_unreachable")], []]:
        look(replace(watch.settings(), dagster_postgres_url=nowhere))
        messages = watch.hook.take()
        assert [(each["status"], each["kind"]) for each in messages] == expected
        assert "s3cr3t" not in json.dumps(messages)
        assert all("DAGSTER_POSTGRES_URL" in each["fix"] for each in messages)
    assert watch.look() == {("recovered", "dagster_unreachable")}


def test_of_two_looks_at_once_the_slower_tells_no_older_state(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    (watch.home.folder / "streams" / "web.yaml").write_text(f"name: {watch.home.name}\n")
    others: list[Told | None] = []

    def slow(*arguments: Any) -> list[Alert]:
        found = list(ledger_alerts(*arguments))
        monkeypatch.setattr(alerts, "ledger_alerts", ledger_alerts)
        watch.home.write_stream()
        others.append(look(watch.settings()))
        return found

    monkeypatch.setattr(alerts, "ledger_alerts", slow)
    assert watch.look() == {("firing", "stream_broken")}
    assert others == [None]
    assert watch.look() == {("recovered", "stream_broken")}


@pytest.mark.slow
def test_a_check_that_warns_is_told_as_a_warning(watch: Watch) -> None:
    watch.home.write_stream(rejected={"warn_above": "1%"})
    watch.home.ingest(1, "a", ("ann", 0, "e1"), ("", 1, "e2"))
    watch.run("ingest_events")
    told = look(watch.settings())
    assert told
    of_checks = [alert["severity"] for alert in told.firing if alert["kind"] == "check_failed"]
    assert of_checks == ["warning"]


def test_a_test_message_reaches_the_channel(watch: Watch) -> None:
    assert send_test(watch.settings()).sent == {"hook": 1}
    (message,) = watch.hook.take()
    assert "nothing is wrong" in message["cause"]


_TICKED = "update job_ticks set timestamp = now() at time zone 'UTC' - %s::interval"
_STARTED = """update instigators set instigator_body = jsonb_set(instigator_body::jsonb,
    '{job_specific_data,last_sensor_start_timestamp}', '0.0')::text"""  # Dagster refuses 0, which is no float
_BEAT = "update daemon_heartbeats set timestamp = now() at time zone 'UTC' - %s::interval"
HOUR, NOW = timedelta(hours=1), timedelta(0)


_DELIVER = """
insert into sessions_platform.deliveries (stream, target, session_partition, version, digest, run_id)
select stream, 'copy', session_partition, snapshot - %s, 'a digest', 'a run'
from sessions_platform.session_versions where stream = %s and is_current
on conflict (stream, target, session_partition) do update set version = excluded.version"""


@pytest.mark.slow
def test_a_target_that_lacks_loaded_sessions_is_told_until_it_has_them(watch: Watch) -> None:
    watch.home.write_stream(targets=TARGETS)
    watch.home.ingest(1, "a", ("ann", 0, "e1"))
    watch.run("materialize_all")
    watch.look()
    for behind, expected in ((0, set()), (1, {("firing", "delivery_behind")}), (0, {("recovered", "delivery_behind")})):
        with watch.home.stream_context.database.transaction() as connection:
            connection.execute(_DELIVER, [behind, watch.home.name])
        assert watch.look(stale=MOMENT) == expected
    assert DAY in watch.everything


def switched_on(sensor: str) -> InstigatorState:
    """What Dagster's storage keeps of a sensor that was switched on in 1970 and never evaluated."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    data = SensorInstigatorData(last_sensor_start_timestamp=0.0)
    origin = RemoteInstigatorOrigin(repository, sensor)
    return InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)


def test_a_sensor_that_is_on_and_that_the_definitions_no_longer_have_is_not_silent(watch: Watch) -> None:
    home, state = watch.home, switched_on(f"{watch.home.name}__copy_is_behind")

    def metrics() -> str:
        return generate_latest(registry(home.settings, pytest.fail)).decode()

    with dg.DagsterInstance.from_config(str(dagster_home(home.settings, os.environ))) as instance:
        instance.add_instigator_state(state)
        with dagster_database(home.settings).transaction() as connection:
            connection.execute("delete from daemon_heartbeats")
        home.write_stream(targets=TARGETS)
        assert watch.look() == {("firing", "sensor_silent")}
        assert f'name="{state.name}"' in metrics()
        home.write_stream()
        assert watch.look() == {("recovered", "sensor_silent")}
        assert f'name="{state.name}"' not in metrics()
        instance.delete_instigator_state(state.instigator_origin_id, state.selector_id)


_CHECKED = """
insert into asset_check_executions (asset_key, check_name, run_id, execution_status)
values (%s, %s, 'a run', 'FAILED')"""


@pytest.mark.slow
def test_a_failed_delivery_to_a_target_that_the_file_no_longer_has_is_over(watch: Watch) -> None:
    (watch.home.folder / "a-file").write_text("")
    nowhere = {"type": "parquet", "path": str(watch.home.folder / "a-file" / "folder")}
    watch.home.write_stream(targets={"copy": nowhere})
    watch.home.ingest(1, "a", ("ann", 0, "e1"))
    watch.run("materialize_all")
    watch.look()
    with runner(watch.home.settings) as runs, pytest.raises(RunFailedError):
        runs.run(f"{watch.home.name}__deliver_copy")
    with dagster_database(watch.home.settings).transaction() as connection:
        connection.execute(_CHECKED, [json.dumps([watch.home.name, "sessions__copy"]), "equals_sessions"])
    assert watch.look() == {("firing", "run_failed"), ("firing", "check_failed")}
    watch.home.write_stream()
    assert watch.look() == {("recovered", "run_failed"), ("recovered", "check_failed")}


@pytest.mark.slow
def test_a_dead_daemon_and_a_silent_sensor_are_told_once(watch: Watch, tmp_path: Path) -> None:
    home = watch.home
    with watched_dev(home, tmp_path / "dev.log", {}) as dev:
        dev.start_sensor(f"{home.name}__new_files")
        dev.next_ticks(f"{home.name}__new_files")
        assert watch.look() == set()
        (home.folder / "streams" / "web.yaml").write_text(f"name: {home.name}\n")
        dev.tick_that_says(f"{home.name}__new_files", "columns")
        home.write_stream()

    def pass_time(ticked: timedelta, beat: timedelta) -> set[tuple[str, str]]:
        with dagster_database(home.settings).transaction() as connection:
            connection.execute(f"{_TICKED} where status <> 'FAILURE'", [ticked])
            connection.execute(_STARTED)
            connection.execute(_BEAT, [beat])
        return watch.look()

    assert pass_time(HOUR, HOUR) == {("firing", "daemon_dead")}
    assert pass_time(HOUR, NOW) == {("recovered", "daemon_dead"), ("firing", "sensor_silent")}
    assert f"{home.folder}/streams/web.yaml" in watch.everything  # the error of its last tick
    assert pass_time(NOW, NOW) == {("recovered", "sensor_silent")}
