"""Kafka topics as a source, by a stand-in for the cluster; what a broker does is tested in `servers/test_kafka.py`."""

import json
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.kafka_source import KafkaSource
from sessions_platform.errors import UserError
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.kafka import cluster_errors, offsets
from sessions_platform.sources.kafka.cluster import KafkaCluster
from sessions_platform.sources.kafka.log import Log
from sessions_platform.sources.kafka.offsets import Range
from sessions_platform.sources.kafka.source import KafkaTopic
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.sources.memory_cluster import MemoryCluster, MemoryPartition
from sessions_platform_tests.sources.stream_files import mistake
from sessions_platform_tests.streams import stream

DAY_ONE, DAY_TWO = "2026-01-01", "2026-01-02"
pytestmark = pytest.mark.usefixtures("on_day_one")
SOURCE: dict[str, Any] = {"type": "kafka", "bootstrap_servers": "a:9092", "topic": "clicks", "give_up_after": "1ms"}


def event(number: int, minute: int = 0) -> bytes:
    return json.dumps(
        {"id": f"e{number}", "user": "ann", "ts": f"2026-01-01T12:{minute:02}:00Z", "type": "view"}
    ).encode()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> MemoryCluster:
    cluster = MemoryCluster()
    monkeypatch.setattr("sessions_platform.sources.kafka.source.KafkaCluster", lambda _: cluster)
    return cluster


def context_of(settings: Settings, request: pytest.FixtureRequest, **changes: Any) -> StreamContext:
    name = f"clicks_{abs(hash(request.node.nodeid)):x}"
    of_stream = {"name": name, **{key: changes.pop(key) for key in ("name", "columns", "skip") if key in changes}}
    return StreamContext.open(stream(source={**SOURCE, **changes}, **of_stream), settings)


def raw(context: StreamContext) -> pl.DataFrame:
    return context.raw_events([DAY_ONE, DAY_TWO]).scan().collect().sort("source_uri", "position")


def test_messages_become_sessions_and_are_read_once(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest
) -> None:
    context = context_of(settings, request)
    (first,) = cluster.partitions
    assert pending_landing_partitions(context, DAY_ONE) == []
    for number, minute in enumerate((0, 5, 50)):
        first.send(event(number, minute))
    first.send(b"not JSON")
    assert pending_landing_partitions(context, DAY_ONE) == [DAY_ONE]
    ingest_and_publish(context, DAY_ONE)
    refresh(context)
    assert sorted(row["event_count"] for row in table(context)) == [1, 2]
    assert context.ledger.cursors() == {"clicks/0": {"offset": 4, "topic_id": "first", "restarts": 0}}
    assert raw(context)["payload"].to_list() == [event(0), event(1, 5), event(2, 50), b"not JSON"]
    assert pending_landing_partitions(context, DAY_TWO) == []
    assert ingest(context, [DAY_TWO], "again")[DAY_TWO].read == 0
    assert cluster.consumers == 0


def test_columns_are_read_from_key_headers_and_time(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest
) -> None:
    columns = {
        "event_id": {"join": ["^partition", "^offset"]},
        "user_id": {"from": "^key"},
        "event_timestamp": {"from": "^timestamp", "formats": ["epoch_ms"]},
        "event_type": {"from": "type"},
        "page_url": {"from": "^headers.page", "nullable": True},
        "trace": {"from": "^headers.trace.base64", "nullable": True},
    }
    context = context_of(settings, request, columns=columns)
    headers = [("page", b"/a"), ("trace", b"\xff\x00"), ("page", '/"b\u2028'.encode())]
    for _ in range(40):  # so many that rows are parsed all at once
        cluster.partitions[0].send(b'{"type": "view"}', b"ann", with_headers=headers)
    cluster.partitions[0].send(b'{"type": "view"}', None)
    ingest_and_publish(context, DAY_ONE)
    rows = context.events([DAY_ONE]).scan().collect()
    assert rows.height == 40  # equal messages are events of their own; one without a key has no user
    assert sorted(rows["event_id"]) == sorted(f"0 {offset}" for offset in range(40))
    assert rows.select("user_id", "page_url", "trace").unique().rows() == [("ann", '/"b\u2028', "/wA=")]
    assert rows["event_timestamp"].unique().to_list()[0].isoformat() == "2026-01-01T12:00:00+00:00"


def test_equal_messages_are_events_of_their_own_without_an_id_too(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest
) -> None:
    columns = {
        "user_id": {"from": "user"},
        "event_timestamp": {"from": "ts", "formats": ["%+"]},
        "event_type": {"from": "type"},
    }
    context = context_of(settings, request, columns=columns)
    for _ in range(3):
        cluster.partitions[0].send(event(1))
        ingest_and_publish(context, DAY_ONE)
    assert context.events([DAY_ONE]).scan().collect().height == 3


def test_tombstones_are_rejected_unless_the_stream_skips_them(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest
) -> None:
    cluster.partitions[0].send(event(1))
    cluster.partitions[0].send(None, b"ann")
    context = context_of(settings, request)
    ingest_and_publish(context, DAY_ONE)
    assert raw(context)["header"][1].endswith(b'"key":"ann","value":null}')
    assert (status(context)["accepted"], status(context)["rejected"]) == (1, 1)
    skipping = context_of(settings, request, name="skipping", skip=[{"payload": "^$"}])
    ingest_and_publish(skipping, DAY_ONE)
    document = status(skipping)
    assert (document["accepted"], document["rejected"], document["skipped"]) == (1, 0, 1)


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "SLICE_OFFSETS", 4)


@pytest.mark.usefixtures("small_slices")
def test_an_end_without_messages_is_reached_by_the_word_that_the_partition_ends(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest
) -> None:
    context = context_of(settings, request)
    (first,) = cluster.partitions
    for number in range(4):
        first.send(event(number))
    first.mark(9)  # two whole slices, and a mark
    ingest(context, [DAY_ONE], "run")
    assert context.ledger.cursors()["clicks/0"]["offset"] == 13
    first.send(event(4))
    ingest(context, [DAY_ONE], "run")
    assert raw(context)["payload"].to_list() == [event(number) for number in range(5)]


@given(
    visible=st.lists(st.booleans(), max_size=40),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    at_once=st.integers(1, 9),
    block=st.integers(1, 60),
)
def test_each_visible_message_is_read_once_and_in_order_however_offsets_are_divided(
    visible: list[bool], sizes: list[int], at_once: int, block: int
) -> None:
    cluster = MemoryCluster()
    cluster.at_once = at_once
    log = cluster.partitions[0]
    for number, is_message in enumerate(visible):
        log.send(b"%010d" % number, b"k%d" % number, time=(1, number)) if is_message else log.mark()
    source = KafkaSource.model_validate(SOURCE)
    reader = Log(cluster, source, block)
    read: list[tuple[Any, ...]] = []
    start = 0
    while start < log.end:
        end = min(log.end, start + sizes[start % len(sizes)])
        for columns in reader.blocks(Range(0, start, end)):
            read += zip(columns.offsets(), columns.values, columns.keys, columns.times, strict=True)
            assert all(start <= offset < end for offset in columns.offsets())
            assert columns.size == 10 * len(columns) < block + 10 * at_once
        start = end
    assert read == [(one.at, one.payload, one.of_key, one.time[1]) for one in log.messages.values()]
    assert cluster.consumers == min(1, log.end)


def test_a_slice_that_is_read_again_has_the_same_rows(cluster: MemoryCluster) -> None:
    for number in range(10):
        cluster.partitions[0].send(event(number))
    source = KafkaTopic(stream(source=SOURCE))
    (slice_,) = source.find()
    cluster.partitions[0].send(event(10))
    first, second = (source.read(slice_, lambda _: "") for _ in range(2))
    assert pl.concat(first).equals(pl.concat(second))
    assert first.digest == second.digest != ""


@pytest.mark.usefixtures("small_slices")
def test_slices_in_the_order_of_their_names_are_in_the_order_of_their_offsets(cluster: MemoryCluster) -> None:
    cluster.partitions[0].mark(1234)
    uris = [slice_.uri for slice_ in KafkaTopic(stream(source=SOURCE)).find()]
    assert len(uris) == 309
    assert uris == sorted(uris)


def test_silence_of_the_brokers_ends_in_a_sentence_and_reading_goes_on_from_there(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest
) -> None:
    context = context_of(settings, request)
    cluster.partitions[0].send(event(1))
    cluster.is_dead = True
    with pytest.raises(SourceRefusedError) as caught:
        ingest(context, [DAY_ONE], "run")
    assert str(caught.value) == (
        "kafka://a:9092/clicks/0 was read up to offset 0 of 1, and then nothing came for 1ms: Connection refused. "
        "Fix: start the brokers, or see their logs; then run again, and reading goes on."
    )
    assert cluster.consumers == 0
    assert context.ledger.cursors() == {}
    cluster.is_dead = False
    assert ingest(context, [DAY_ONE], "run")[DAY_ONE].rows == 1


def test_a_new_partition_is_found(cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest) -> None:
    context = context_of(settings, request)
    cluster.partitions[0].send(event(1))
    ingest(context, [DAY_ONE], "run")
    cluster.partitions.append(MemoryPartition())
    cluster.partitions[1].send(event(2))
    ingest(context, [DAY_ONE], "run")
    assert sorted(context.ledger.cursors()) == ["clicks/0", "clicks/1"]
    assert raw(context)["payload"].to_list() == [event(1), event(2)]


@pytest.mark.parametrize("name", cluster_errors.MAY_PASS)
def test_errors_that_may_pass_are_errors_that_kafka_has_and_are_tried_again(name: str) -> None:
    assert cluster_errors.explained("kafka://a/b", KafkaError(getattr(KafkaError, name))) is None


# Lost messages -------------------------------------------------------------------------------------------


def recreate(cluster: MemoryCluster) -> None:
    cluster.id = "second"
    cluster.partitions[0] = MemoryPartition()
    for number in range(10, 13):
        cluster.partitions[0].send(event(number))


def truncate(cluster: MemoryCluster) -> None:
    cluster.partitions[0] = MemoryPartition()
    cluster.partitions[0].send(event(10))


def delete(cluster: MemoryCluster) -> None:
    for number in range(10, 13):
        cluster.partitions[0].send(event(number))
    cluster.partitions[0].delete_to(4)


LOST = pytest.mark.parametrize(
    ("lose", "says", "are_there"),
    [
        (recreate, "the topic was deleted and made anew since it was read", [10, 11, 12]),
        (truncate, "it was read up to offset 3, and ends at 1: the topic was truncated", [10]),
        (delete, "the messages from offset 3 to 3 were deleted before they were read", [11, 12]),
    ],
    ids=["recreated", "truncated", "deleted"],
)


@LOST
def test_lost_messages_are_an_error(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest, lose: Any, says: str, are_there: Any
) -> None:
    context = context_of(settings, request)
    for number in range(3):
        cluster.partitions[0].send(event(number))
    ingest(context, [DAY_ONE], "run")
    lose(cluster)
    with pytest.raises(SourceRefusedError) as caught:
        ingest(context, [DAY_ONE], "run")
    assert says in str(caught.value)
    assert "Fix: set source.on_lost to resume_at_earliest" in str(caught.value)
    assert raw(context).height == 3
    assert are_there


@LOST
def test_reading_goes_on_behind_lost_messages_where_the_stream_says_so(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest, lose: Any, says: str, are_there: Any
) -> None:
    context = context_of(settings, request, on_lost="resume_at_earliest")
    for number in range(3):
        cluster.partitions[0].send(event(number))
    ingest(context, [DAY_ONE], "run")
    lose(cluster)
    report = ingest(context, [DAY_ONE], "run")[DAY_ONE]
    assert [says in skipped.reason for skipped in report.skipped] == [True]
    assert raw(context)["payload"].to_list() == [event(number) for number in [0, 1, 2, *are_there]]
    assert ingest(context, [DAY_ONE], "run")[DAY_ONE].skipped == ()


@pytest.mark.parametrize(
    ("on_lost", "error"), [("fail", SourceRefusedError), ("resume_at_earliest", SourceUnavailableError)]
)
def test_messages_that_are_deleted_while_they_are_read_are_told(
    cluster: MemoryCluster, on_lost: str, error: type[Exception]
) -> None:
    for number in range(3):
        cluster.partitions[0].send(event(number))
    source = KafkaTopic(stream(source={**SOURCE, "on_lost": on_lost}))
    (slice_,) = source.find()
    cluster.partitions[0].delete_to(2)
    with pytest.raises(error, match="the messages from offset 0 on were deleted while they were read"):
        list(source.read(slice_, lambda _: ""))
    assert cluster.consumers == 0


def test_an_offset_that_no_broker_knows_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([0, -1001, 0, 5])  # of earliest and latest, by turns

    def done(answer: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(answer)
        return future

    class Admin:
        def poll(self, _: float) -> None:
            """Nothing has happened."""

        def describe_topics(self, *_: Any, **__: Any) -> dict[str, Future[Any]]:
            described = SimpleNamespace(topic_id="first", partitions=[SimpleNamespace(id=0)])
            return {"clicks": done(described)}

        def list_offsets(self, places: Any, **_: Any) -> dict[Any, Future[Any]]:
            return {place: done(SimpleNamespace(offset=next(answers))) for place in places}

    monkeypatch.setattr(KafkaCluster, "_made", lambda *_: Admin())
    source = stream(source={**SOURCE, "give_up_after": "20s"}).source
    assert isinstance(source, KafkaSource)
    assert KafkaCluster(source).topic().partitions == {0: offsets.Bounds(0, 5)}


# The stream's file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ("  settings: {sasl.password: hunter2}\n", "source.settings", "sasl.password can't stand in the file"),
        ("  settings: {isolation.level: read_uncommitted}\n", "source.settings", "exactly-once rests on it"),
        ("  settings: {bootstrap.servers: b}\n", "source.settings", "write bootstrap_servers"),
        ("  format: parquet\n", "source.format", "write 'ndjson', 'csv', 'regex', 'logfmt' or 'query'"),
        ("  format: csv\n", "source", "list the names of its fields in header"),
        ("  format: ndjson\n  events: batch\n", "source.events", "a message is one event"),
        ("  on_lost: ignore\n", "source.on_lost", "resume_at_earliest"),
    ],
)
def test_a_mistake_in_the_file_is_reported(tmp_path: Path, keys: str, key: str, says: str) -> None:
    problem = mistake(tmp_path, f"  type: kafka\n  bootstrap_servers: a:9092\n  topic: t\n{keys}")
    assert problem.key == key
    assert says in str(problem)


def test_a_secret_that_is_not_set_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    settings = {"sasl.password": {"env": "KAFKA_PASSWORD"}, "socket.keepalive.enable": True}
    source = KafkaTopic(stream(source={**SOURCE, "settings": settings}))
    with pytest.raises(UserError, match=r"source\.settings\.sasl\.password: the environment variable KAFKA_PASSWORD"):
        source.find()


def test_messages_are_in_the_landing_partition_of_the_time_that_kafka_says(
    cluster: MemoryCluster, settings: Settings, request: pytest.FixtureRequest
) -> None:
    second = 1_767_312_000  # the second of January
    cluster.partitions[0].send(event(0), time=(1, (second - 1) * 1000))
    cluster.partitions[0].send(event(1), time=(2, second * 1000))  # by the broker's clock
    cluster.partitions[0].send(event(2), time=(0, -1))  # none: it belongs to the run
    described = stream(name=f"clicks_{abs(hash(request.node.nodeid)):x}", source=SOURCE, landing={"by": "source_time"})
    context = StreamContext.open(described, settings)
    ingest(context, [DAY_TWO], "run")
    rows = raw(context).select("landing_partition", "payload", "position").rows()
    assert rows == [(DAY_TWO, event(1), 2), (DAY_TWO, event(2), 3), (DAY_ONE, event(0), 1)]
