"""Kafka topics as a source, on Apache Kafka itself: what is read of them, whatever happens to brokers and topics."""

import json
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from confluent_kafka import Producer, TopicPartition

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest, ingest_past
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Past
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.kafka.source import KafkaTopic
from sessions_platform_tests.servers.comparison import COLUMNS, DAY, ingestion, payloads, require_sessions_of_file
from sessions_platform_tests.servers.kafka import PASSWORD, Kafka, kafka_in
from sessions_platform_tests.servers.visits import visits
from sessions_platform_tests.sources.api_server import serving
from sessions_platform_tests.sources.schema_registry import Registry, avro, framed, record
from sessions_platform_tests.streams import PLAIN, stream

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("on_day_one")]
KILLED_AT = [0, 4, 5, 13, 7]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with kafka_in(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


def source_of(kafka: Kafka, topic: str, /, **changes: Any) -> dict[str, Any]:
    stated = {"type": "kafka", "bootstrap_servers": kafka.plain, "topic": topic, "give_up_after": "30s"}
    return {**stated, **changes}


def stream_of(kafka: Kafka, topic: str, /, **changes: Any) -> Stream:
    return stream(name=f"kafka_{topic}", source=source_of(kafka, topic, **changes), columns=COLUMNS)


def values(kafka: Kafka, topic: str, **changes: Any) -> list[bytes]:
    """All that is read of a topic."""
    source = KafkaTopic(stream_of(kafka, topic, **changes))
    return [value for slice_ in source.find() for block in source.read(slice_, str) for value in block["payload"]]


def numbered(count: int, size: int = 0, start: int = 0) -> list[tuple[bytes, bytes]]:
    return [(b"k", b"%d" % number + b" " * size) for number in range(start, start + count)]


def test_killed_again_and_again_the_sessions_are_those_of_a_file(
    kafka: Kafka, settings: Settings, tmp_path: Path
) -> None:
    messages = visits(20_000)
    kafka.create("visits", 3)
    kafka.send("visits", messages)
    of_topic = StreamContext.open(stream_of(kafka, "visits"), settings)
    described = tmp_path / "visits.yaml"
    content = {**PLAIN, "name": of_topic.stream.name, "columns": COLUMNS, "source": source_of(kafka, "visits")}
    described.write_text(yaml.safe_dump(content))
    for point in KILLED_AT:
        assert ingestion(described, settings.home, str(point)) == -signal.SIGKILL
    assert ingestion(described, settings.home) == 0
    require_sessions_of_file(of_topic, [record for _, record in messages], settings, tmp_path)


def test_a_connection_that_is_cut_or_stalls_amid_the_read_loses_and_doubles_nothing(kafka: Kafka) -> None:
    kafka.create("cut")
    kafka.send("cut", sent := numbered(20_000, 300))
    few = {"max.partition.fetch.bytes": 100_000, "queued.max.messages.kbytes": 1024, "socket.timeout.ms": 2000}
    changes = {"bootstrap_servers": kafka.proxied, "settings": few}
    for fault in ("cut", "half-close", "stall"):
        kafka.proxy.disturb(fault, after=250_000, times=3)
        assert values(kafka, "cut", **changes) == [value for _, value in sent]
        assert kafka.proxy.met.is_set()
        kafka.proxy.release()


def test_a_broker_that_is_killed_amid_the_read_and_started_again_loses_and_doubles_nothing(kafka: Kafka) -> None:
    kafka.create("killed")
    kafka.send("killed", sent := numbered(20_000, 300))
    few = {"max.partition.fetch.bytes": 100_000, "queued.max.messages.kbytes": 1024}
    source = KafkaTopic(stream_of(kafka, "killed", settings=few), block_bytes=10_000)
    (slice_,) = source.find()
    blocks = iter(source.read(slice_, str))
    read = next(blocks)["payload"].to_list()
    kafka.server.kill()
    starting = threading.Thread(target=kafka.server.start)
    starting.start()
    read += [value for block in blocks for value in block["payload"]]
    starting.join()
    assert read == [value for _, value in sent]


def test_a_dead_broker_is_a_sentence_and_reading_goes_on_later(kafka: Kafka) -> None:
    kafka.create("dead")
    kafka.send("dead", sent := numbered(20_000, 300))
    few = {"max.partition.fetch.bytes": 100_000, "queued.max.messages.kbytes": 1024}
    source = KafkaTopic(stream_of(kafka, "dead", settings=few, give_up_after="1s"), block_bytes=10_000)
    (slice_,) = source.find()
    blocks = iter(source.read(slice_, str))
    next(blocks)
    kafka.server.kill()
    try:
        with pytest.raises(
            SourceRefusedError, match=r"was read up to offset \d+ of 20000, and then nothing came for 1s: "
        ):
            list(blocks)
        with pytest.raises(SourceRefusedError, match=r"can't be read: .*refused.*; it was tried for 1s\. Fix: start"):
            source.find()
    finally:
        kafka.server.start()
    assert [value for block in source.read(slice_, str) for value in block["payload"]] == [value for _, value in sent]


def test_aborted_and_open_transactions_are_not_read(kafka: Kafka, settings: Settings) -> None:
    kafka.create("transactions")
    context = StreamContext.open(stream_of(kafka, "transactions"), settings)

    def read() -> list[bytes]:
        ingest(context, [DAY], "run", current=DAY)
        return payloads(context)

    with kafka.transaction("transactions", [b"a", b"b"], commits=True):
        assert read() == []
    assert read() == [b"a", b"b"]
    with kafka.transaction("transactions", [b"x", b"y"], commits=False):
        assert read() == [b"a", b"b"]
    assert read() == [b"a", b"b"]
    assert context.ledger.cursors()["transactions/0"]["offset"] == 6  # with the marks of both
    with kafka.transaction("transactions", [b"c"], commits=True):
        kafka.send("transactions", [(None, b"d")])
        assert read() == [b"a", b"b"]  # what is open holds later messages back
    assert read() == [b"a", b"b", b"c", b"d"]


def test_messages_that_compaction_removed_leave_gaps_only(kafka: Kafka) -> None:
    kafka.create("compacted", cleanup_policy="compact", min_cleanable_dirty_ratio="0.01", segment_ms="100")
    kafka.send("compacted", numbered(5_000, 500))
    while len(left := values(kafka, "compacted")) == 5_000:
        kafka.send("compacted", numbered(1, start=5_000))  # a segment is closed by the next message
    assert left[-1].strip() == b"5000"
    assert left == sorted(left, key=int)


def test_a_topic_that_was_made_anew_is_told_though_it_is_longer_than_before(kafka: Kafka, settings: Settings) -> None:
    kafka.create("anew")
    kafka.send("anew", numbered(3))
    context = StreamContext.open(stream_of(kafka, "anew"), settings)
    ingest(context, [DAY], "run", current=DAY)
    kafka.delete("anew")
    kafka.create("anew")
    kafka.send("anew", numbered(5, start=10))
    with pytest.raises(SourceRefusedError, match="anew/0: the topic was deleted and made anew since it was read"):
        ingest(context, [DAY], "run", current=DAY)
    resuming = StreamContext.open(stream_of(kafka, "anew", on_lost="resume_at_earliest"), settings)
    report = ingest(resuming, [DAY], "run", current=DAY)[DAY]
    assert len(report.skipped) == 1
    assert [int(value) for value in payloads(resuming)] == [0, 1, 2, 10, 11, 12, 13, 14]


def test_messages_that_were_deleted_before_they_were_read_are_told(kafka: Kafka, settings: Settings) -> None:
    kafka.create("deleted")
    kafka.send("deleted", numbered(3))
    context = StreamContext.open(stream_of(kafka, "deleted"), settings)
    ingest(context, [DAY], "run", current=DAY)
    kafka.send("deleted", numbered(5, start=3))
    place = TopicPartition("deleted", 0, 6)
    kafka.admin.delete_records([place])[place].result()
    with pytest.raises(SourceRefusedError, match="from offset 3 to 5 were deleted before they were read"):
        ingest(context, [DAY], "run", current=DAY)
    resuming = StreamContext.open(stream_of(kafka, "deleted", on_lost="resume_at_earliest"), settings)
    ingest(resuming, [DAY], "run", current=DAY)
    assert [int(value) for value in payloads(resuming)] == [0, 1, 2, 6, 7]


def test_a_new_partition_is_read_from_its_beginning(kafka: Kafka, settings: Settings) -> None:
    kafka.create("growing")
    kafka.send("growing", numbered(2))
    context = StreamContext.open(stream_of(kafka, "growing"), settings)
    ingest(context, [DAY], "run", current=DAY)
    kafka.grow("growing", 2)
    kafka.send("growing", numbered(2, start=2), partition=1)
    ingest(context, [DAY], "run", current=DAY)
    assert [int(value) for value in payloads(context)] == [0, 1, 2, 3]


SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "reader"}


def test_a_password_is_read_from_the_environment_and_is_in_no_message(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create("secret")
    kafka.send("secret", numbered(1))
    settings = {**SASL, "sasl.password": {"env": "KAFKA_PASSWORD"}}
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    assert values(kafka, "secret", bootstrap_servers=kafka.sasl, settings=settings) == [b"0"]
    monkeypatch.setenv("KAFKA_PASSWORD", "wr0ng")
    with pytest.raises(
        SourceRefusedError, match=r"Authentication failed.*Fix: correct source\.settings, and"
    ) as caught:
        values(kafka, "secret", bootstrap_servers=kafka.sasl, settings=settings)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"topic": "nothing"}, r"nothing: Broker: Unknown topic or partition\. Fix: correct source\.topic"),
        (
            {"bootstrap_servers": "host.invalid:9092"},
            r"Failed to resolve .*it was tried for 1s\. Fix: start the brokers",
        ),
        ({"settings": {"security.protocol": "SSL"}}, r"SSL.*it was tried for 1s"),
        ({"settings": {"no.such": "x"}}, r'No such configuration property: "no\.such"\. Fix: correct source\.settings'),
    ],
)
def test_what_is_wrong_is_said_with_place_and_fix(kafka: Kafka, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceRefusedError, match=rf"^kafka://.*{says}"):
        KafkaTopic(stream_of(kafka, "wrong", **{"give_up_after": "1s", **changes})).find()


def test_an_empty_topic_has_nothing_to_read(kafka: Kafka) -> None:
    kafka.create("empty", 2)
    assert KafkaTopic(stream_of(kafka, "empty")).find() == []


def test_values_in_avro_are_read_by_the_schemas_of_a_registry(kafka: Kafka) -> None:
    schemas = {f"_{number}": record(("n", "long"), (f"only_{number}", "string")) for number in (1, 2)}
    registry = Registry(**schemas)
    rows = [{"n": number, f"only_{number % 2 + 1}": "x"} for number in range(100)]
    kafka.create("avro")
    kafka.send("avro", [(b"k", framed(row["n"] % 2 + 1, avro(schemas[f"_{row['n'] % 2 + 1}"], row))) for row in rows])
    with serving(registry.answer) as api:
        read = values(kafka, "avro", avro={"registry": api.url})
        assert len(api.asked) == 2
    assert [json.loads(value) for value in read] == rows


def test_keys_headers_and_time_are_kept(kafka: Kafka) -> None:
    kafka.create("headed")
    kafka.send("headed", [(b"\xff", b"v"), (None, None)])
    source = KafkaTopic(stream_of(kafka, "headed"))
    (slice_,) = source.find()
    block = pl.concat(source.read(slice_, str))
    first, second = map(json.loads, block["header"])
    assert first["key"] == {"base64": "/w=="}
    assert first["timestamp"] > 1.7e12
    assert (second["key"], second["value"], second["offset"]) == (None, None, 1)
    assert block["payload"].to_list() == [b"v", b""]


def test_a_day_of_a_topic_is_found_by_the_timestamps_of_its_messages(kafka: Kafka, settings: Settings) -> None:
    kafka.create("dated", retention_ms="-1")  # these are older than the days that a broker keeps
    producer = Producer({"bootstrap.servers": kafka.plain})
    moments = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in (1, 1, 2, 2, 3)]
    for number, moment in enumerate(moments):
        producer.produce("dated", b"%d" % number, timestamp=round(moment.timestamp() * 1000))
    producer.flush()
    described = stream(name="dated", source=source_of(kafka, "dated"), columns=COLUMNS, landing={"by": "source_time"})
    topic = KafkaTopic(described)
    found = [
        topic.search_past(Past(f"2026-01-0{day}", midnight, midnight + timedelta(days=1)), {}).slices
        for day in (1, 2, 3, 4)
        if (midnight := datetime(2026, 1, day, tzinfo=UTC))
    ]
    ranges = [[slice_.uri[-41:] for slice_ in slices] for slices in found]
    assert ranges == [[f"{start:020}-{end:020}"] for start, end in ((0, 2), (2, 4), (4, 5))] + [[]]
    context = StreamContext.open(described, settings)
    assert ingest_past(context, "2026-01-02", "run", newest="2026-01-05").rows == 2
