"""Kafka topics as a source, on three brokers of which one is killed: reading goes on from the others."""

from collections.abc import Iterator

import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.kafka.source import KafkaTopic
from sessions_platform_tests.servers.comparison import COLUMNS, DAY, payloads
from sessions_platform_tests.servers.kafka_cluster import KafkaBrokers, three_brokers
from sessions_platform_tests.streams import stream

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("on_day_one")]
MESSAGES = [(b"%d" % (number % 50), b"%d" % number + b" " * 300) for number in range(20_000)]
FEW = {"max.partition.fetch.bytes": 100_000, "queued.max.messages.kbytes": 1024}


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBrokers]:
    with three_brokers(tmp_path_factory.mktemp("kafka")) as brokers:
        yield brokers


def stream_of(brokers: KafkaBrokers, topic: str) -> Stream:
    source = {"type": "kafka", "bootstrap_servers": brokers.bootstrap, "topic": topic, "settings": FEW}
    return stream(name=topic, columns=COLUMNS, source={**source, "give_up_after": "2m"})


def test_a_leader_that_is_killed_amid_the_read_and_stays_away_loses_and_doubles_nothing(brokers: KafkaBrokers) -> None:
    brokers.create("led", 1)
    brokers.send("led", MESSAGES)
    source = KafkaTopic(stream_of(brokers, "led"), block_bytes=10_000)
    (slice_,) = source.find()
    blocks = iter(source.read(slice_, str))
    read = next(blocks)["payload"].to_list()
    killed = brokers.servers[brokers.leader("led", 0)]
    killed.kill()
    try:
        read += [value for block in blocks for value in block["payload"]]
    finally:
        killed.start()
    assert read == [value for _, value in MESSAGES]


def test_a_topic_whose_leaders_are_being_elected_is_not_taken_for_a_truncated_one(
    brokers: KafkaBrokers, settings: Settings
) -> None:
    brokers.create("away", 3)
    context = StreamContext.open(stream_of(brokers, "away"), settings)
    half = len(MESSAGES) // 2
    brokers.send("away", MESSAGES[:half])
    ingest(context, [DAY], "run", current=DAY)
    brokers.send("away", MESSAGES[half:])
    killed = brokers.servers[brokers.leader("away", 0)]
    killed.kill()
    try:
        ingest(context, [DAY], "run", current=DAY)
    finally:
        killed.start()
    assert sorted(payloads(context)) == sorted(value for _, value in MESSAGES)
