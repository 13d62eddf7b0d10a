"""The sensor of a server asks it as often as its stream states, requests runs for new records, and waits after errors;
the check of a source says how old the newest event is, and why. No secret is in what either says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.freshness import freshness
from sessions_platform.orchestration.commands import backfill
from sessions_platform.orchestration.looks import Looked, Pending, back_off, pending_records
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.kafka.offsets import Topic
from sessions_platform.sources.kafka.source import KafkaTopic
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.sources.memory_cluster import MemoryCluster

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LAST_DAY = ("2026-01-05", "2026-01-05")


class AskedCluster(MemoryCluster):
    """Counts how often it was asked what there is, and answers unless it is told to refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.refuses = 0, False

    def topic(self) -> Topic:
        self.asked += 1
        if self.refuses:
            raise SourceRefusedError("kafka://brokers/clicks: no broker answers. Fix: start the brokers.")
        return super().topic()

    def send(self, number: int) -> None:
        event = {"id": f"e{number}", "user": "ann", "ts": f"2026-01-05T10:{number:02}:00Z", "type": "view"}
        self.partitions[0].send(json.dumps(event).encode())


@pytest.fixture
def cluster(home: Home, monkeypatch: pytest.MonkeyPatch) -> AskedCluster:
    cluster = AskedCluster()

    def opened(stream: Stream, settings: Settings) -> KafkaTopic:
        return KafkaTopic(stream, cluster, settings.block_bytes)

    monkeypatch.setattr(KafkaTopic, "open", opened)
    write_source(home)
    return cluster


def write_source(home: Home, **keys: Any) -> None:
    source = {"type": "kafka", "bootstrap_servers": "brokers:9092", "topic": "clicks", **keys}
    home.write_stream(source=source)


def looked(home: Home, cursor: str | None = None, *, is_read: bool = False, after: str = "0s") -> Pending:
    """What a tick finds that comes so long after `NOW`."""
    seconds = {"s": 1, "m": 60}[after[-1]] * int(after[:-1])
    return pending_records(home.stream_context, [], cursor, is_read=is_read, now=NOW + timedelta(seconds=seconds))


def tick(home: Home, instance: dg.DagsterInstance, cursor: str | None = None):
    definitions = home.definitions
    definition = definitions.resolve_sensor_def(f"{home.name}__new_records")
    with dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=definitions.get_repository_def(),
        resources=definitions.resources,
    ) as context:
        return definition.evaluate_tick(context)


def test_new_records_request_one_run_and_what_it_reads_requests_none(
    home: Home, cluster: AskedCluster, instance: dg.DagsterInstance
) -> None:
    assert tick(home, instance).run_requests == []
    cluster.send(0)
    first = tick(home, instance)
    assert [request.job_name for request in first.run_requests or []] == [f"{home.name}__ingest_events"]
    assert home.execute("ingest_events", *LAST_DAY, instance).success
    for cursor in (None, first.cursor):
        later = tick(home, instance, cursor)
        assert (later.run_requests, (later.skip_message or "")[:13]) == ([], "nothing to do")


def test_a_server_is_asked_as_often_as_its_stream_states(home: Home, cluster: AskedCluster) -> None:
    write_source(home, poll={"every": "10m"})
    first = looked(home)
    cluster.send(0)
    before = looked(home, first.cursor, after="599s")
    assert (before.ranges, cluster.asked) == ([], 1)
    assert before.said == "it looks again 10m after 2026-01-05T12:00:00+00:00"
    assert before.cursor == first.cursor
    after = looked(home, before.cursor, after="10m")
    assert (after.ranges, cluster.asked) == ([LAST_DAY], 2)


def test_a_clock_that_was_set_back_does_not_keep_a_server_from_being_asked(home: Home, cluster: AskedCluster) -> None:
    ahead = Looked((NOW + timedelta(days=1)).isoformat()).cursor
    looked(home, ahead)
    assert cluster.asked == 1


def test_as_many_unread_records_as_the_stream_states_start_a_run_sooner(home: Home, cluster: AskedCluster) -> None:
    write_source(home, poll={"every": "60m", "unread": 3})
    first = looked(home)
    for number in range(2):
        cluster.send(number)
    before = looked(home, first.cursor, after="5s")
    assert (before.ranges, before.unread) == ([], 2)
    cluster.send(2)
    after = looked(home, before.cursor, after="10s")
    assert (after.ranges, after.unread) == ([LAST_DAY], 3)


def test_no_server_is_asked_while_a_run_reads_it(
    home: Home, cluster: AskedCluster, instance: dg.DagsterInstance
) -> None:
    cluster.send(0)
    assert looked(home, is_read=True).ranges == []
    definition = home.definitions.resolve_job_def(f"{home.name}__ingest_events")
    tags = {"dagster/asset_partition_range_start": "2026-01-04", "dagster/asset_partition_range_end": "2026-01-04"}
    instance.create_run_for_job(definition, tags=tags, status=dg.DagsterRunStatus.STARTED)  # of yesterday
    assert tick(home, instance).run_requests == []
    assert cluster.asked == 0


def test_a_server_that_refuses_is_asked_less_and_less_often_and_the_tick_says_why(
    home: Home, cluster: AskedCluster, instance: dg.DagsterInstance
) -> None:
    cluster.send(0)
    cluster.refuses = True
    assert "no broker answers. Fix: start the brokers." in (tick(home, instance).skip_message or "")
    first = looked(home)
    looked(home, first.cursor, after="59s")
    assert cluster.asked == 2
    second = looked(home, first.cursor, after="60s")
    looked(home, second.cursor, after="179s")
    assert cluster.asked == 3
    cluster.refuses = False
    assert looked(home, second.cursor, after="180s").ranges == [LAST_DAY]


def test_partitions_that_were_read_and_not_published_are_pending_whether_the_server_is_asked_or_not(
    home: Home, cluster: AskedCluster
) -> None:
    from sessions_platform.pipeline.ingest import ingest

    cluster.send(0)
    ingest(home.stream_context, ["2026-01-05"], "killed before it publishes")
    cluster.refuses = True
    assert looked(home).ranges == [LAST_DAY]


# The check


def checked(home: Home, instance: dg.DagsterInstance) -> Any:
    result = home.definitions.resolve_job_def(f"{home.name}__check_source").execute_in_process(instance=instance)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_the_check_says_whether_the_source_or_the_platform_is_behind(
    home: Home, cluster: AskedCluster, instance: dg.DagsterInstance
) -> None:
    write_source(home, fresh_within="2h")
    assert "no event was read yet, and source.fresh_within is 2h" in freshness(home.stream_context, NOW).problem
    cluster.send(0)
    home.execute("ingest_events", *LAST_DAY, instance)
    assert freshness(home.stream_context, NOW).problem == ""
    quiet = freshness(home.stream_context, NOW + timedelta(minutes=1))
    assert quiet.problem == (
        "the newest event is of 2026-01-05 10:00 UTC, 2 hours ago, and source.fresh_within is 2h; all records of the "
        "source were read. Fix: see why it has no newer ones, and which rows were rejected."
    )
    cluster.send(1)
    behind = freshness(home.stream_context, NOW + timedelta(minutes=1))
    assert behind.unread == 1
    assert "1 records of the source were not read. Fix: see whether the sensor" in behind.problem
    cluster.refuses = True
    assert freshness(home.stream_context, NOW).problem.startswith("the source can't be asked: kafka://brokers/clicks")


def test_the_check_is_a_warning_of_the_source_which_is_observed_with_it(
    home: Home, cluster: AskedCluster, instance: dg.DagsterInstance
) -> None:
    cluster.send(0)
    assert checked(home, instance).passed  # of any age, since the stream states none
    observed = instance.fetch_observations(dg.AssetKey([home.name]), limit=1).records[0].asset_observation
    assert observed
    assert observed.metadata["unread_records"].value == 1
    write_source(home, fresh_within="2h")
    failed = checked(home, instance)
    assert (failed.passed, failed.severity, failed.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert "1 records of the source were not read" in failed.metadata["problem"].value


@pytest.mark.parametrize(
    "source",
    [
        {"type": "http", "url": "http://127.0.0.1:9/v1", "auth": {"bearer": {"env": "CANARY"}}, "give_up_after": "1s"},
        {
            "type": "postgres",
            "host": "127.0.0.1",
            "port": 9,
            "database": "shop",
            "user": {"env": "CANARY"},
            "password": {"env": "CANARY"},
            "table": "public.events",
            "incremental": {"cursor": "at", "key": "id", "lag": "1m"},
            "give_up_after": "1s",
        },
    ],
    ids=["http", "postgres"],
)
def test_no_secret_is_in_what_the_ui_shows_of_a_source(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, source: dict[str, Any]
) -> None:
    monkeypatch.setenv("CANARY", "canary0123456789")
    home.write_stream(source=source)
    spec = home.definitions.resolve_asset_graph().get(dg.AssetKey([home.name]))
    shown = [str(spec.metadata), str(spec.description), str(tick(home, instance)), str(checked(home, instance))]
    assert "127.0.0.1:9" in shown[0]
    assert "Fix: " in shown[2]
    observed = instance.fetch_observations(dg.AssetKey([home.name]), limit=9).records
    events = [str(record.event_log_entry) for record in observed]
    assert [text for text in [*shown, *events] if "canary0123456789" in text] == []


# Backfill


def test_a_backfill_of_partitions_asks_for_their_time_and_others_do_not(
    home: Home, cluster: AskedCluster, instance: dg.DagsterInstance
) -> None:
    source = {"type": "kafka", "bootstrap_servers": "brokers:9092", "topic": "clicks"}
    home.write_stream(source=source, landing={"by": "source_time"})
    for number in range(3):  # the time of all of them is in the first partition
        cluster.send(number)
    assert home.execute("ingest_events", "2026-01-01", "2026-01-02", instance).success
    assert home.stream_context.ledger.cursors() == {}
    assert home.execute("backfill_source", "2026-01-01", "2026-01-02", instance).success
    assert set(home.stream_context.ledger.cursors()) == {"clicks/0@2026-01-01"}
    landings = {landing.landing_partition: landing for landing in home.stream_context.ledger.landings()}
    assert landings["2026-01-01"].raw_rows == 3


def test_a_stream_whose_source_knows_no_past_has_no_job_for_it(home: Home) -> None:
    jobs = {job.name for job in home.definitions.resolve_all_job_defs()}
    assert f"{home.name}__ingest_events" in jobs
    assert f"{home.name}__backfill_source" not in jobs


@pytest.mark.slow  # of the Dagster instance on disk
def test_the_command_backfills_a_time_and_refreshes_and_delivers_its_sessions(
    home: Home, cluster: AskedCluster, tmp_path: Path
) -> None:
    source = {"type": "kafka", "bootstrap_servers": "brokers:9092", "topic": "clicks"}
    target = {"path": str(tmp_path / "out.duckdb")}
    home.write_stream(source=source, landing={"by": "source_time"}, targets={"duckdb": target})
    event = {"id": "e0", "user": "ann", "ts": "2026-01-01T12:00:00Z", "type": "view"}  # as the message's own time
    cluster.partitions[0].send(json.dumps(event).encode())
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    document = backfill(home.settings, home.name, begin, begin + timedelta(hours=30))
    assert document["targets"]["duckdb"]["behind"] == []
    assert document["backfilled"] == ["2026-01-01", "2026-01-02"]
    assert (document["raw_rows"], document["sessions"], document["pending"]["session"]) == (1, 1, [])
    assert [name for name in home.stream_context.ledger.cursors() if "@" not in name] == []
    again = backfill(home.settings, home.name, begin, begin + timedelta(hours=30))
    assert (again["raw_rows"], again["sessions"]) == (1, 1)


def test_the_wait_after_any_number_of_failures_is_half_an_hour_at_most() -> None:
    assert back_off(1_000_000) == back_off(6) == timedelta(minutes=30)
