"""Kinesis data streams as a source, by a stand-in; what a server does is tested in `servers/test_kinesis.py`."""

import hashlib
import itertools
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.kinesis_source import KinesisSource
from sessions_platform.operations.freshness import freshness
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.kinesis import source as kinesis_source
from sessions_platform.sources.kinesis.aggregation import UserRecord, user_records
from sessions_platform.sources.kinesis.client import Shard
from sessions_platform.sources.kinesis.shards import Position, parents_first, positions
from sessions_platform.sources.kinesis.source import KinesisStream
from sessions_platform_tests.servers.aggregated import aggregated
from sessions_platform_tests.sources.memory_kinesis import MemoryKinesis
from sessions_platform_tests.sources.stream_files import mistake
from sessions_platform_tests.streams import stream

DAY_ONE, DAY_TWO = "2026-01-01", "2026-01-02"
pytestmark = pytest.mark.usefixtures("on_day_one")
SOURCE: dict[str, Any] = {"type": "kinesis", "stream": "clicks", "region": "eu-west-1"}
COLUMNS: dict[str, Any] = {
    "user_id": {"from": "^partition_key"},
    "event_timestamp": {"from": "^timestamp", "formats": ["epoch_ms"]},
    "event_type": {"from": "type"},
}
_names = itertools.count()


@pytest.fixture
def kinesis() -> MemoryKinesis:
    return MemoryKinesis()


def context_of(kinesis: MemoryKinesis, settings: Settings, **changes: Any) -> StreamContext:
    described = stream(name=f"kinesis{next(_names)}", source={**SOURCE, **changes}, columns=COLUMNS)
    return StreamContext.open(described, settings, KinesisStream(described, kinesis.connect, kinesis.clock))


def read(context: StreamContext) -> list[bytes]:
    """Ingest, and all payloads of the stream then, in the order in which they were read."""
    ingest(context, [DAY_ONE], "run")
    files = sorted(context.ledger.files(), key=lambda file: file.sequence or 0)
    raw = context.raw_events([DAY_ONE]).scan().collect()
    return [payload for file in files for payload in raw.filter(source_uri=file.uri).sort("position")["payload"]]


def test_records_are_read_once_and_in_order(kinesis: MemoryKinesis, settings: Settings) -> None:
    context = context_of(kinesis, settings)
    assert pending_landing_partitions(context, DAY_ONE) == []
    for number in range(10):
        kinesis.send("s0", b"%d" % number)
    assert pending_landing_partitions(context, DAY_ONE) == [DAY_ONE]
    assert read(context) == [b"%d" % number for number in range(10)]
    assert ingest(context, [DAY_TWO], "again")[DAY_TWO].read == 0
    kinesis.send("s0", b"10")
    assert read(context)[10:] == [b"10"]


def test_a_run_reads_in_rounds_until_it_has_what_there_was(
    kinesis: MemoryKinesis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinesis_source, "ROUND_BYTES", 4)
    context = context_of(kinesis, settings)
    for number in range(20):
        kinesis.send("s0", b"%d" % number)
    assert len(read(context)) == 20


def test_parents_are_read_to_their_end_before_their_children(kinesis: MemoryKinesis, settings: Settings) -> None:
    context = context_of(kinesis, settings)
    kinesis.send("s0", b"0")
    assert read(context) == [b"0"]
    kinesis.send("s0", b"1")
    kinesis.close("s0")
    kinesis.open("s1", "s0")
    kinesis.open("s2", "s0")
    for number, shard in enumerate(("s2", "s1"), start=2):
        kinesis.send(shard, b"%d" % number)
    kinesis.close("s1", "s2")
    kinesis.open("s3", "s1", "s2")
    kinesis.send("s3", b"4")
    assert read(context) == [b"0", b"1", b"3", b"2", b"4"]
    assert context.ledger.cursors()["clicks/s0"]["is_ended"]
    del kinesis.shards["s0"], kinesis.shards["s1"]  # expired, and read to their ends
    kinesis.send("s3", b"5")
    assert read(context)[5:] == [b"5"]


def test_children_wait_for_a_parent_that_is_listed_as_open_still(kinesis: MemoryKinesis, settings: Settings) -> None:
    context = context_of(kinesis, settings)
    kinesis.open("s1", "s0")
    kinesis.send("s1", b"1")
    assert read(context) == []
    kinesis.send("s0", b"0")
    kinesis.close("s0")
    assert read(context) == [b"0", b"1"]


@given(
    st.permutations([Shard("a"), Shard("b", ["a"]), Shard("c", ["a"]), Shard("d", ["b", "c"]), Shard("e", ["gone"])])
)
def test_no_shard_is_before_its_parents(shards: list[Shard]) -> None:
    order = [shard.id for shard in parents_first(shards)]
    assert sorted(order) == ["a", "b", "c", "d", "e"]
    assert all(order.index(parent) < order.index(s.id) for s in shards for parent in s.parents if parent in order)


def test_aggregated_records_are_unpacked(kinesis: MemoryKinesis, settings: Settings) -> None:
    context = context_of(kinesis, settings)
    kinesis.send("s0", aggregated([("ann", b'{"type": "view"}'), ("bob", b'{"type": "buy"}')]), "a")
    kinesis.send("s0", b'{"type": "view"}', "eve")
    assert read(context) == [b'{"type": "view"}', b'{"type": "buy"}', b'{"type": "view"}']
    raw = context.raw_events([DAY_ONE]).scan().collect()
    envelopes = [json.loads(header) for header in raw["header"]]
    keys = [(one["sequence_number"], one["sub_sequence_number"], one["partition_key"]) for one in envelopes]
    assert sorted(keys) == [("7", 0, "ann"), ("7", 1, "bob"), ("8", 0, "eve")]


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=300)), min_size=1, max_size=20), st.data())
def test_records_that_were_packed_come_out_as_they_were_and_broken_ones_stay(
    records: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    packed = aggregated(records)
    assert user_records("key", packed) == [UserRecord(*record) for record in records]
    at, flip = data.draw(st.integers(0, len(packed) - 1)), data.draw(st.integers(1, 255))
    broken = packed[:at] + bytes([packed[at] ^ flip]) + packed[at + 1 :]
    assert user_records("key", broken) == [UserRecord("key", broken)]


@given(st.binary(max_size=60))
def test_any_message_with_a_right_digest_is_unpacked_or_stays(message: bytes) -> None:
    packed = b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message, usedforsecurity=False).digest()
    assert all(isinstance(record, UserRecord) for record in user_records("key", packed))


# Lost records --------------------------------------------------------------------------------------------


def recreate(kinesis: MemoryKinesis) -> None:
    kinesis.created = "2026-01-01T13:00:00+00:00"
    kinesis.sequence = 1
    kinesis.open("s0")
    kinesis.send("s0", b"new")


def expire(kinesis: MemoryKinesis) -> None:
    del kinesis.shards["s0"]
    kinesis.open("s1", "s0")
    kinesis.send("s1", b"new")


def sleep_too_long(kinesis: MemoryKinesis) -> None:
    kinesis.now += timedelta(hours=25)
    kinesis.send("s0", b"new")


LOST = pytest.mark.parametrize(
    ("lose", "says"),
    [
        (recreate, "s0: the data stream was deleted and made anew"),
        (expire, "s0: the shard has expired before it was read to its end"),
        (sleep_too_long, "s0: it was read last at 2026-01-01T12:00:00+00:00, and records are kept for 24 hours"),
    ],
    ids=["recreated", "expired", "too-late"],
)


@LOST
def test_lost_records_are_an_error(kinesis: MemoryKinesis, settings: Settings, lose: Any, says: str) -> None:
    context = context_of(kinesis, settings)
    kinesis.send("s0", b"old")
    read(context)
    lose(kinesis)
    with pytest.raises(SourceRefusedError) as caught:
        read(context)
    assert says in str(caught.value)
    assert "Fix: set source.on_lost to resume_at_earliest" in str(caught.value)


@LOST
def test_reading_goes_on_behind_lost_records_where_the_stream_says_so(
    kinesis: MemoryKinesis, settings: Settings, lose: Any, says: str
) -> None:
    context = context_of(kinesis, settings, on_lost="resume_at_earliest")
    kinesis.send("s0", b"old")
    read(context)
    lose(kinesis)
    report = ingest(context, [DAY_ONE], "run")[DAY_ONE]
    assert [says.partition(": ")[2] in skipped.reason for skipped in report.skipped] == [True]
    assert read(context) == [b"old", b"new"]
    assert ingest(context, [DAY_ONE], "run")[DAY_ONE].skipped == ()


def test_cursors_of_a_kafka_topic_of_the_same_name_are_none_of_its_shards() -> None:
    source = KinesisSource.model_validate(SOURCE)
    position = Position("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00", "49")
    stored = {"clicks/0": {"offset": 7}, position.cursor("clicks/shardId-0").name: position.cursor("").position}
    assert positions(source, stored) == {"shardId-0": position}


def test_a_shard_without_new_records_is_not_taken_for_one_that_was_not_read(
    kinesis: MemoryKinesis, settings: Settings
) -> None:
    context = context_of(kinesis, settings)
    kinesis.send("s0", b"old")
    for _ in range(9):
        assert read(context) == [b"old"]
        kinesis.now += timedelta(hours=9)
    assert len(context.ledger.files()) < 9


# The stream's file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ("  access_key_id: AK\n", "source", "access_key_id and secret_access_key belong together"),
        ("  access_key_id: AK\n  secret_access_key: hunter2\n", "source.secret_access_key", "a secret can't stand"),
        ("  endpoint_url: localhost:4567\n", "source.endpoint_url", "is no URL"),
        ("  format: parquet\n", "source.format", "'parquet' is no format of messages"),
    ],
)
def test_a_mistake_in_the_file_is_reported(tmp_path: Path, keys: str, key: str, says: str) -> None:
    problem = mistake(tmp_path, f"  type: kinesis\n  stream: t\n  region: eu-west-1\n{keys}")
    assert problem.key == key
    assert says in str(problem)


def test_records_are_in_the_landing_partition_of_their_arrival(kinesis: MemoryKinesis, settings: Settings) -> None:
    name = f"kinesis{next(_names)}"
    described = stream(name=name, source=SOURCE, columns=COLUMNS, landing={"by": "source_time"})
    context = StreamContext.open(described, settings, KinesisStream(described, kinesis.connect, kinesis.clock))
    kinesis.send("s0", b"first")
    kinesis.now += timedelta(days=1)
    kinesis.send("s0", b"second")
    ingest(context, [DAY_TWO], "run")
    rows = (
        context.raw_events([DAY_ONE, DAY_TWO]).scan().select("landing_partition", "payload").collect().sort("payload")
    )
    assert rows.rows() == [(DAY_ONE, b"first"), (DAY_TWO, b"second")]


def test_the_check_says_for_how_long_records_have_waited(kinesis: MemoryKinesis, settings: Settings) -> None:
    kinesis.empty = 0
    context = context_of(kinesis, settings, fresh_within="1h")
    assert freshness(context, kinesis.now).delay == timedelta(0)
    kinesis.send("s0", b"{}")
    kinesis.now += timedelta(minutes=3)
    kinesis.send("s0", b"{}")
    kinesis.close("s0")
    kinesis.open("s1", "s0")  # its parent comes first
    kinesis.send("s1", b"{}")
    behind = freshness(context, kinesis.now)
    assert behind.document == {"unread_for_seconds": 180}
    assert "records of the source have waited for 3 minutes to be read" in behind.problem
    ingest(context, [DAY_ONE], "run")
    quiet = freshness(context, kinesis.now)
    assert quiet.delay == timedelta(0)
    assert "all records of the source were read" in quiet.problem
    kinesis.empty = 1
    kinesis.send("s1", b"{}")
    assert freshness(context, kinesis.now).delay == timedelta(seconds=1), "as far as the shard's end is"
