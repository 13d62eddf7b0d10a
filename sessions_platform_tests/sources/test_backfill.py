"""A backfill asks a source for the records of a landing partition's time: what was not read is read, nothing is counted
twice, and the regular reading goes on where it was, whatever is killed in between."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sessions_platform.cli.run import _is_backfill
from sessions_platform.errors import UserError
from sessions_platform.operations.landing_places import partitions_of
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest, ingest_past
from sessions_platform.settings import Settings
from sessions_platform.sources.kafka import offsets
from sessions_platform.sources.kafka.source import KafkaTopic
from sessions_platform.sources.kinesis.source import KinesisStream
from sessions_platform.storage.ledger.files import LandingFiles
from sessions_platform.storage.postgres import embedded
from sessions_platform_tests.pipeline.steps import ingest_and_publish
from sessions_platform_tests.sources.api_server import Asked, Reply, serving
from sessions_platform_tests.sources.memory_cluster import MemoryCluster
from sessions_platform_tests.sources.memory_kinesis import MemoryKinesis
from sessions_platform_tests.sources.shop import COLUMNS, Shop
from sessions_platform_tests.streams import DAY_ONE, stream

KAFKA = {"type": "kafka", "bootstrap_servers": "a:9092", "topic": "clicks", "give_up_after": "1ms"}
DAYS = [f"2026-01-{number:02}" for number in range(1, 6)]
BY_SOURCE = {"by": "source_time"}
KINESIS = {"type": "kinesis", "stream": "clicks", "region": "eu-west-1"}
NO_ID = {name: {} for name in ("user_id", "event_type")} | {"event_timestamp": {"formats": ["%+"]}}


@pytest.fixture(autouse=True)
def _on_day_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_platform.pipeline.ingest.newest_partition", lambda _: DAYS[-1])


def at(number: int, hour: int = 12) -> datetime:
    return DAY_ONE + timedelta(days=number - 1, hours=hour)


def payload(number: int, moment: datetime) -> bytes:
    return json.dumps({"id": f"e{number:04}", "user": "ann", "ts": moment.isoformat(), "type": "view"}).encode()


def send(cluster: MemoryCluster, number: int, moment: datetime, partition: int = 0) -> None:
    time = (1, round(moment.timestamp() * 1000))
    cluster.partitions[partition].send(payload(number, moment), time=time)


def kafka(settings: Settings, cluster: MemoryCluster, name: str) -> StreamContext:
    described = stream(name=name, source=KAFKA, landing=BY_SOURCE)
    return StreamContext.open(described, settings, KafkaTopic(described, cluster))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"past_{abs(hash(request.node.nodeid)) % 10**12}"


def accepted(context: StreamContext) -> dict[str, list[str]]:
    """The ids of the accepted events of each day, once for each time that they are counted."""
    events = context.events(DAYS).scan().select("landing_partition", "event_id").collect().sort("event_id")
    return {day: events.filter(landing_partition=day)["event_id"].to_list() for day in DAYS}


def test_a_day_of_a_topic_is_read_before_the_rest_and_counted_once(settings: Settings, name: str) -> None:
    cluster = MemoryCluster()
    for number in range(10):
        send(cluster, number, at(1 + number // 2))
    context = kafka(settings, cluster, name)
    assert ingest_past(context, DAYS[2], "run").rows == 2
    assert context.ledger.cursors() == {"clicks/0@2026-01-03": {"offset": 6, "topic_id": "first", "restarts": 0}}
    assert ingest_past(context, DAYS[2], "again").read == 0
    ingest_and_publish(context, *DAYS)
    assert context.ledger.cursors()["clicks/0"]["offset"] == 10
    assert accepted(context) == {day: [f"e{2 * n:04}", f"e{2 * n + 1:04}"] for n, day in enumerate(DAYS)}
    assert ingest_past(context, DAYS[3], "later").read == 1  # what was read is a duplicate
    ingest_and_publish(context, *DAYS)
    landing = {landing.landing_partition: landing for landing in context.ledger.landings()}[DAYS[3]]
    assert (landing.raw_rows, landing.accepted, landing.duplicates, landing.rejected) == (4, 2, 2, 0)


def test_a_topic_that_was_made_anew_is_asked_anew(settings: Settings, name: str) -> None:
    cluster = MemoryCluster()
    send(cluster, 0, at(3))
    context = kafka(settings, cluster, name)
    ingest_past(context, DAYS[2], "run")
    cluster.id, cluster.partitions[0].messages, cluster.partitions[0].end = "second", {}, 0
    send(cluster, 1, at(3))
    ingest(context, DAYS, "regular")  # it has not been read before
    assert ingest_past(context, DAYS[2], "run").rows == 1 + 1 + 1


STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(1, 5), st.integers(0, 23), st.integers(0, 1)), max_size=5),  # what is sent
        st.sampled_from(["regular", "past"]),
        st.integers(1, 5),  # which day
        st.sampled_from(["to its end", "killed at commit", "killed while reading"]),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@given(steps=STEPS)
@hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_backfills_and_regular_readings_in_any_order_count_each_message_once(
    settings: Settings, name: str, steps: list[Any]
) -> None:
    cluster, sent = MemoryCluster(2), 0
    context = kafka(settings, cluster, f"{name}_{next(_numbers)}")
    context.prepare()
    of_day: dict[str, list[str]] = {day: [] for day in DAYS}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(offsets, "SLICE_OFFSETS", 3)
        for messages, way, number, end in steps:
            for day, hour, partition in messages:
                send(cluster, sent, at(day, hour), partition)
                of_day[DAYS[day - 1]].append(f"e{sent:04}")
                sent += 1
            before = regular_offsets(context)
            do(context, way, DAYS[number - 1], end)
            after = regular_offsets(context)
            assert all(after[partition] >= offset for partition, offset in before.items())
            assert way == "regular" or after == before
        ingest_and_publish(context, *DAYS)
        assert accepted(context) == of_day
        for landing in context.ledger.landings():
            assert landing.raw_rows == landing.accepted + landing.duplicates


_numbers = iter(range(1_000_000))


def regular_offsets(context: StreamContext) -> dict[str, int]:
    return {name: at_["offset"] for name, at_ in context.ledger.cursors().items() if "@" not in name}


class KilledError(Exception):
    pass


def kill(*_: object) -> None:
    raise KilledError


def do(context: StreamContext, way: str, day: str, end: str) -> None:
    context.prepare()
    with pytest.MonkeyPatch.context() as patched, suppress(KilledError):
        if end == "killed at commit":
            patched.setattr(LandingFiles, "move_rows", kill)
        if end == "killed while reading":
            patched.setattr(KafkaTopic, "read", kill)
        if way == "regular":
            ingest(context, DAYS, "run")
        else:
            ingest_past(context, day, "run")


# Kinesis


def kinesis(settings: Settings, twin: MemoryKinesis, name: str, **changes: Any) -> StreamContext:
    described = stream(name=name, source=KINESIS, landing=BY_SOURCE, **changes)
    return StreamContext.open(described, settings, KinesisStream(described, twin.connect, twin.clock))


def put(twin: MemoryKinesis, number: int, moment: datetime, shard: str = "s0") -> None:
    twin.send(shard, payload(number, moment), arrived=moment)


def test_a_day_of_a_data_stream_is_read_by_arrival_and_counted_once(settings: Settings, name: str) -> None:
    twin = MemoryKinesis()
    twin.now = at(5)
    for number in range(6):
        put(twin, number, at(1 + number // 2))  # the first three days; then the shard is split
    twin.close("s0")
    twin.open("s1", "s0")
    twin.open("s2", "s0")
    for number in range(6, 10):
        put(twin, number, at(2 + number // 4, hour=number), "s1" if number % 2 else "s2")  # days 3 and 4
    context = kinesis(settings, twin, name)
    told = ingest_past(context, DAYS[2], "run")
    assert told.rows == 2 + 2
    assert [one.reason for one in told.skipped] == [
        "records are kept for 24 hours: of 2026-01-03 those that are older can't be read any more"
    ]
    assert {place.partition("@")[2] for place in context.ledger.cursors()} == {DAYS[2]}
    assert ingest_past(context, DAYS[2], "again").read == 0
    ingest_and_publish(context, *DAYS)  # from the oldest on, as if nothing had been asked for
    regular = {place: at_ for place, at_ in context.ledger.cursors().items() if "@" not in place}
    assert regular.keys() == {"clicks/s0", "clicks/s1", "clicks/s2"}
    days = {day: ids for day, ids in accepted(context).items() if ids}
    assert [number for ids in days.values() for number in ids] == [f"e{number:04}" for number in range(10)]
    assert ingest_past(context, DAYS[3], "later").read == 3  # the end of the one that was split, too
    after = context.ledger.cursors()
    assert {place: after[place] for place in regular} == regular
    ingest_and_publish(context, *DAYS)
    landing = {landing.landing_partition: landing for landing in context.ledger.landings()}[DAYS[2]]
    assert (landing.raw_rows, landing.accepted, landing.duplicates, landing.rejected) == (8, 4, 4, 0)


def test_a_backfill_that_goes_on_tells_that_a_shard_expired_meanwhile(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_platform.sources.kinesis.source.ROUND_BYTES", 1)
    twin = MemoryKinesis()
    twin.now, twin.at_once = at(3, hour=20), 1
    put(twin, 0, at(3, hour=10))
    put(twin, 1, at(3, hour=11))
    context = kinesis(settings, twin, name)
    with monkeypatch.context() as patched:
        patched.setattr(KinesisStream, "has_more", lambda _: False)  # as if it were killed behind the first round
        assert ingest_past(context, DAYS[2], "run").rows == 1
    twin.now = at(5)
    twin.close("s0")
    del twin.shards["s0"]
    twin.open("s1", "s0")
    put(twin, 2, at(3, hour=12), "s1")
    put(twin, 3, at(3, hour=13), "s1")
    told = ingest_past(context, DAYS[2], "again")
    assert told.rows == 1 + 2
    assert [one.reason for one in told.skipped] == [
        "records are kept for 24 hours: of 2026-01-03 those that are older can't be read any more"
    ]


@pytest.mark.slow
def test_of_a_time_a_shard_is_read_up_to_the_answer_that_ends_later(settings: Settings, name: str) -> None:
    twin = MemoryKinesis()
    twin.now = at(5)
    for number, day in enumerate([3, 4, 3, 3, 4, 4, 3]):  # in answers of three
        put(twin, number, at(day))
    context = kinesis(settings, twin, name)
    assert ingest_past(context, DAYS[2], "run").rows == 3
    ingest_and_publish(context, *DAYS)
    ids = [each for of_day in accepted(context).values() for each in of_day]
    assert sorted(ids) == [f"e{number:04}" for number in range(7)]


@pytest.mark.slow
def test_backfilled_records_have_the_ids_of_their_places(settings: Settings, name: str) -> None:
    columns = {**NO_ID, "user_id": {"from": "user"}, "event_type": {"from": "type"}}
    columns["event_timestamp"] = {"from": "ts", "formats": ["%+"]}
    columns["event_id"] = {"join": ["^shard", "^sequence_number", "^sub_sequence_number"]}
    twin = MemoryKinesis()
    twin.now = at(5)
    put(twin, 0, at(3))
    put(twin, 0, at(3))  # the same payload once more is another event
    context = kinesis(settings, twin, name, columns=columns)
    ingest_past(context, DAYS[2], "run")
    ingest_and_publish(context, *DAYS)
    (ids,) = [ids for ids in accepted(context).values() if ids]
    assert len(set(ids)) == len(ids) == 2


@pytest.mark.slow
def test_backfills_and_regular_readings_of_shards_in_any_order_count_each_record_once(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_platform.sources.kinesis.source.ROUND_BYTES", 200)
    twin, chance, sent = MemoryKinesis(), Random(name), 0
    twin.now = at(5)
    context = kinesis(settings, twin, name)
    shards, of_day = ["s0"], {day: list[str]() for day in DAYS}
    for step in range(8):
        for _ in range(chance.randrange(5)):
            day = chance.randrange(1, 6)
            put(twin, sent, at(day, chance.randrange(24)), chance.choice(shards))
            of_day[DAYS[day - 1]].append(f"e{sent:04}")
            sent += 1
        if step == 4:
            twin.close("s0")
            shards = ["s1", "s2"]
            for shard in shards:
                twin.open(shard, "s0")
        with suppress(KilledError), pytest.MonkeyPatch.context() as patched:
            context.prepare()
            if chance.random() < 0.4:
                patched.setattr(*chance.choice([(LandingFiles, "move_rows", kill), (KinesisStream, "read", kill)]))
            if chance.random() < 0.5:
                ingest_past(context, chance.choice(DAYS), "run")
            else:
                ingest(context, DAYS, "run")
    ingest_and_publish(context, *DAYS)
    assert accepted(context) == {day: sorted(ids) for day, ids in of_day.items()}


# Tables and APIs


@pytest.fixture
def shop(settings: Settings, name: str) -> Iterator[Shop]:
    shop = Shop(embedded.attach(settings.home).url(), name)
    yield shop
    shop.connection.close()


def test_a_day_of_a_table_has_rows_that_became_visible_after_the_lag(shop: Shop, settings: Settings) -> None:
    source = shop.source({"cursor": "updated_at", "key": "id", "lag": "1m"})
    described = stream(name=shop.name, source=source, columns=COLUMNS, landing=BY_SOURCE)
    context = StreamContext.open(described, settings)
    shop.sell(0, "2026-01-02T00:00:00Z")
    shop.sell(1, "2026-01-04T12:00Z")
    ingest(context, DAYS, "run")
    regular = context.ledger.cursors()
    for number, moment in enumerate(
        ["2026-01-01T23:59:59.999999Z", "2026-01-02T23:59:59.999999Z", "2026-01-03T00:00Z"]
    ):
        shop.sell(2 + number, moment)
    ingest(context, DAYS, "run")
    assert context.ledger.cursors() == regular  # it passed all of them
    assert ingest_past(context, DAYS[1], "run").rows == 1 + 2
    assert ingest_past(context, DAYS[1], "again").read == 0
    cursors = context.ledger.cursors()
    assert {name: cursors[name] for name in regular} == regular
    shop.sell(9, "2026-01-02T13:00Z")
    assert ingest_past(context, DAYS[1], "again").rows == 3 + 3
    ingest_and_publish(context, *DAYS)
    days = {day: ids for day, ids in accepted(context).items() if ids}
    assert days == {DAYS[1]: ["e00000", "e00003", "e00009"], DAYS[3]: ["e00001"]}


def test_a_day_of_an_api_is_asked_for_by_its_parameters_page_by_page(settings: Settings, name: str) -> None:
    records = [payload(number, at(1 + number // 4, number % 4)) for number in range(20)]

    def answering(asked: Asked) -> Reply:
        since, until = asked.params.get("since", ""), asked.params.get("until", "9")
        wanted = [record for record in records if since <= json.loads(record)["ts"] < until]
        start = 2 * (int(asked.params.get("page", 1)) - 1)
        return Reply(b"[" + b",".join(wanted[start : start + 2]) + b"]")

    with serving(answering) as api:
        since = {"param": "since", "field": "ts", "until": "until", "format": "%Y-%m-%d"}
        source = {"type": "http", "url": api.url, "pages": {"number": "page"}, "since": since}
        context = StreamContext.open(stream(name=name, source=source, landing=BY_SOURCE), settings)
        assert ingest_past(context, DAYS[2], "run").rows == 4
        assert api.asked[0].params == {"since": "2026-01-03", "until": "2026-01-04", "page": "1"}
        assert ingest_past(context, DAYS[2], "again").read == 0
        records.append(payload(20, at(3, 9)))
        assert ingest_past(context, DAYS[2], "again").rows == 9
        ingest_and_publish(context, *DAYS)
        of_days = accepted(context)
    assert of_days[DAYS[2]] == ["e0008", "e0009", "e0010", "e0011", "e0020"]
    assert sum(map(len, of_days.values())) == 21


# What can't be asked for


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "files are found by their names. Fix: none; a run reads all that the source gives"),
        ({"source": KAFKA}, "Fix: state landing: {by: source_time}"),
        ({"source": {"type": "http", "url": "https://a.b/c"}}, "it has no time by which records can be asked for"),
        (
            {
                "source": KAFKA,
                "landing": BY_SOURCE,
                "columns": NO_ID,
            },
            "made of the payload and its number among equal ones, so that what was read before would be counted twice. "
            "Fix: give the stream a column event_id, not nullable, as in event_id: {join: [^partition, ^offset]}",
        ),
        (
            {"source": KINESIS, "landing": BY_SOURCE, "columns": NO_ID},
            "as in event_id: {join: [^shard, ^sequence_number, ^sub_sequence_number]}",
        ),
    ],
)
def test_a_source_that_knows_no_past_says_so(settings: Settings, name: str, changes: dict[str, Any], says: str) -> None:
    context = StreamContext.open(stream(name=name, **changes), settings)
    with pytest.raises(UserError, match="the past can't be asked for") as refused:
        ingest_past(context, DAYS[1], "run")
    assert says in str(refused.value)


def test_a_time_is_whole_landing_partitions() -> None:
    calendar = stream().landing_calendar
    assert partitions_of(calendar, at(1), at(3, 0)) == (DAYS[0], DAYS[1])
    assert partitions_of(calendar, at(1) - timedelta(days=400), at(2, 1)) == (DAYS[0], DAYS[1])
    for since, until in ((at(2), at(2)), (at(1) - timedelta(days=9), at(1, 0))):
        with pytest.raises(UserError, match="there are no landing partitions"):
            partitions_of(calendar, since, until)


@pytest.mark.parametrize(
    ("files", "partition", "since", "until", "says"),
    [
        ([], None, None, None, "there is nothing to ingest"),
        ([], None, at(1), None, "belong together"),
        ([Path("a")], None, at(1), at(2), "takes no files"),
        ([], DAYS[0], at(1), at(2), "no --partition"),
    ],
)
def test_the_command_says_what_it_takes(
    files: list[Path], partition: str | None, since: datetime | None, until: datetime | None, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        _is_backfill(files, partition, since, until)
    assert _is_backfill([], None, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert not _is_backfill([Path("a")], None, None, None)
