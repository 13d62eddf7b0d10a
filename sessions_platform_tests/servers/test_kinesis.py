"""Kinesis data streams as a source, on kinesalite: shards that split and merge, killed runs, aggregated records."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest, ingest_past
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.kinesis.client import KinesisClient
from sessions_platform.sources.kinesis.source import KinesisStream
from sessions_platform_tests.servers.aggregated import aggregated
from sessions_platform_tests.servers.comparison import COLUMNS, DAY, ingestion, payloads, require_sessions_of_file
from sessions_platform_tests.servers.kinesis import KinesisServer, kinesis_in
from sessions_platform_tests.servers.proxy import Proxy
from sessions_platform_tests.servers.running import free_port
from sessions_platform_tests.servers.visits import visits
from sessions_platform_tests.streams import PLAIN, stream

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("on_day_one", "credentials")]
KILLED_AT = [0, 4, 7]


@pytest.fixture(scope="module")
def kinesis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KinesisServer]:
    with kinesis_in(tmp_path_factory.mktemp("kinesis")) as kinesis:
        yield kinesis


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINESIS_SECRET", "s3cr3t")


def source_of(kinesis: KinesisServer, name: str, /, **changes: Any) -> dict[str, Any]:
    stated = {
        "type": "kinesis",
        "stream": name,
        "region": "us-east-1",
        "endpoint_url": kinesis.url,
        "access_key_id": "test",
        "secret_access_key": {"env": "KINESIS_SECRET"},
        "give_up_after": "20s",
    }
    return {**stated, **changes}


def stream_of(kinesis: KinesisServer, name: str, /, **changes: Any) -> Stream:
    return stream(name=f"kinesis_{name}", source=source_of(kinesis, name, **changes), columns=COLUMNS)


def context_of(kinesis: KinesisServer, name: str, settings: Settings, **changes: Any) -> StreamContext:
    return StreamContext.open(stream_of(kinesis, name, **changes), settings)


def numbered(start: int, end: int) -> list[tuple[str, bytes]]:
    return [(f"k{number % 7}", b"%d" % number) for number in range(start, end)]


def test_killed_and_resharded_amid_the_read_the_sessions_are_those_of_a_file(
    kinesis: KinesisServer, settings: Settings, tmp_path: Path
) -> None:
    records = [(user.decode(), record or b" ") for user, record in visits(20_000)]
    third = len(records) // 3
    kinesis.create("visits")
    context = context_of(kinesis, "visits", settings)
    described = tmp_path / "visits.yaml"
    content = {**PLAIN, "name": context.stream.name, "columns": COLUMNS, "source": source_of(kinesis, "visits")}
    described.write_text(yaml.safe_dump(content))
    for start, change, point in zip(
        (0, third, 2 * third), (kinesis.split, kinesis.merge, None), KILLED_AT, strict=True
    ):
        kinesis.send("visits", records[start : start + third if change else None])
        if change:
            change("visits")
        assert ingestion(described, settings.home, str(point)) == -signal.SIGKILL
    assert ingestion(described, settings.home) == 0
    require_sessions_of_file(context, [record for _, record in records], settings, tmp_path)


def test_shards_that_split_and_merge_between_runs_lose_and_double_nothing(
    kinesis: KinesisServer, settings: Settings
) -> None:
    kinesis.create("resharded")
    context = context_of(kinesis, "resharded", settings)
    for start, change in ((0, kinesis.split), (20, kinesis.merge), (40, kinesis.split), (60, None)):
        kinesis.send("resharded", numbered(start, start + 20))
        ingest(context, [DAY], "run", current=DAY)
        if change:
            change("resharded")
    assert sorted(map(int, payloads(context))) == list(range(80))
    ended = [cursor["is_ended"] for _, cursor in sorted(context.ledger.cursors().items())]
    assert ended == [True, True, True, True, False, False]


def test_a_connection_that_is_cut_amid_the_read_loses_and_doubles_nothing(
    kinesis: KinesisServer, settings: Settings
) -> None:
    kinesis.create("cut")
    kinesis.send("cut", [("k", b"%d" % number + b" " * 1000) for number in range(2000)])
    with Proxy(int(kinesis.url.rpartition(":")[2])) as proxy:
        context = context_of(kinesis, "cut", settings, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        proxy.disturb("cut", after=200_000, times=3)
        ingest(context, [DAY], "run", current=DAY)
        assert proxy.met.is_set()
    assert [int(value) for value in payloads(context)] == list(range(2000))


def test_aggregated_records_are_unpacked(kinesis: KinesisServer) -> None:
    kinesis.create("packed")
    kinesis.send("packed", [("a", aggregated(numbered(0, 50))), ("k", b"50")])
    source = KinesisStream(stream_of(kinesis, "packed"))
    (slice_,) = source.find()
    (block,) = source.read(slice_, str)
    assert [int(value) for value in block["payload"]] == list(range(51))


def test_an_iterator_that_has_expired_is_renewed(kinesis: KinesisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    kinesis.create("expiring")
    kinesis.send("expiring", numbered(0, 5))
    source = stream_of(kinesis, "expiring").source
    client = KinesisClient(source)  # pyright: ignore[reportArgumentType]
    (shard,) = client.stream().shards
    answers = client.answers(shard.id, None)
    assert len(next(answers).records) == 5
    kinesis.send("expiring", numbered(5, 7))
    expired = client._client.exceptions.ExpiredIteratorException
    get_records, times = client._client.get_records, iter([True])

    def expiring(**arguments: Any) -> Any:
        if next(times, False):
            raise expired({"Error": {"Code": "ExpiredIteratorException"}, "ResponseMetadata": {}}, "GetRecords")
        return get_records(**arguments)

    monkeypatch.setattr(client._client, "get_records", expiring)
    assert [record.data for record in next(answers).records] == [b"5", b"6"]


def test_a_data_stream_that_was_made_anew_is_told(kinesis: KinesisServer, settings: Settings) -> None:
    kinesis.create("anew")
    kinesis.send("anew", numbered(0, 3))
    context = context_of(kinesis, "anew", settings)
    ingest(context, [DAY], "run", current=DAY)
    created = context.ledger.cursors()["anew/shardId-000000000000"]["created"]
    while True:  # it has another time of creation, to the second
        kinesis.delete("anew")
        kinesis.create("anew")
        if KinesisClient(context.stream.source).stream().created != created:  # pyright: ignore[reportArgumentType]
            break
    kinesis.send("anew", numbered(10, 13))
    with pytest.raises(SourceRefusedError, match="the data stream was deleted and made anew"):
        ingest(context, [DAY], "run", current=DAY)
    resuming = context_of(kinesis, "anew", settings, on_lost="resume_at_earliest")
    ingest(resuming, [DAY], "run", current=DAY)
    assert sorted(map(int, payloads(resuming))) == [0, 1, 2, 10, 11, 12]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stream": "nothing"}, r"ResourceNotFoundException: .*not found\. Fix: correct source\.stream and"),
        ({"endpoint_url": f"http://127.0.0.1:{free_port()}"}, r"Could not connect .*; it was tried for 1s\. Fix: run"),
        ({"endpoint_url": "http://host.invalid"}, r"Could not connect .*; it was tried for 1s\. Fix: run again once"),
    ],
)
def test_what_is_wrong_is_said_with_place_and_fix(kinesis: KinesisServer, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceRefusedError, match=rf"^kinesis://us-east-1/.*{says}") as caught:
        KinesisStream(stream_of(kinesis, "wrong", **{"give_up_after": "1s", **changes})).find()
    assert "s3cr3t" not in str(caught.value)


def test_an_empty_stream_has_nothing_to_read(kinesis: KinesisServer) -> None:
    kinesis.create("empty", 2)
    assert KinesisStream(stream_of(kinesis, "empty")).find() == []


def test_a_day_is_asked_for_by_arrival_and_the_regular_reading_stays_where_it_is(
    kinesis: KinesisServer, settings: Settings
) -> None:
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    kinesis.create("past")
    kinesis.send("past", numbered(0, 60))
    described = stream(
        name="kinesis_past", start=str(yesterday), source=source_of(kinesis, "past"), columns=COLUMNS,
        landing={"by": "source_time"},
    )  # fmt: skip
    context = StreamContext.open(described, settings)
    assert ingest_past(context, str(yesterday), "run", newest=str(today)).rows == 0
    assert ingest_past(context, str(today), "run", newest=str(today)).rows == 60
    assert ingest_past(context, str(today), "again", newest=str(today)).read == 0
    assert {place.partition("@")[2] for place in context.ledger.cursors()} == {str(yesterday), str(today)}
    kinesis.send("past", numbered(60, 70))
    assert timedelta(0) < (context.delay() or timedelta(0)) < timedelta(days=1)
    assert ingest_past(context, str(today), "again", newest=str(today)).rows == 70
    assert ingest(context, [str(today)], "regular", current=str(today))[str(today)].rows == 70 + 70
    assert context.delay() == timedelta(0)
