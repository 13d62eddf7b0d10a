"""Kafka values in Avro, by a schema in a file and by a registry of our own: what becomes of them, and what is said."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.formats.avro.bounded import require_bounded
from sessions_platform.sources.formats.avro.values import readable_schema
from sessions_platform.sources.kafka.avro import decoded
from sessions_platform.sources.kafka.source import KafkaTopic
from sessions_platform_tests.pipeline.steps import ingest_and_publish
from sessions_platform_tests.sources.api_server import Api, Asked, Reply, serving
from sessions_platform_tests.sources.memory_cluster import MemoryCluster
from sessions_platform_tests.sources.schema_registry import Registry, avro, framed, record
from sessions_platform_tests.sources.stream_files import mistake
from sessions_platform_tests.streams import stream

DAY = "2026-01-01"
pytestmark = pytest.mark.usefixtures("on_day_one")


PLAIN = record(("id", "string"), ("user", "string"), ("ts", "string"), ("type", "string"))
NEWER = record(("type", "string"), ("url", ["null", "string"]), ("id", "string"), ("user", "string"), ("ts", "string"))
NESTED = {**record(("next", ["null", "Node"])), "name": "Node"}
CLICK = {"id": "e1", "user": "ann", "ts": "2026-01-01T12:00:00Z", "type": "view"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> MemoryCluster:
    cluster = MemoryCluster()
    monkeypatch.setattr("sessions_platform.sources.kafka.source.KafkaCluster", lambda _: cluster)
    return cluster


@pytest.fixture
def registry() -> Registry:
    return Registry(_1=PLAIN, _300=NEWER)


@pytest.fixture
def api(registry: Registry) -> Iterator[Api]:
    with serving(registry.answer) as api:
        yield api


def stream_of(avro: dict[str, Any], *, waits: str = "20s", **more: Any) -> Stream:
    source = {"type": "kafka", "bootstrap_servers": "a:9092", "topic": "clicks", "give_up_after": waits, "avro": avro}
    return stream(source=source, **more)


def by_registry(api: Api, **more: Any) -> dict[str, Any]:
    return {"registry": api.url, **more}


def rows(of: Stream) -> pl.DataFrame:
    """The block of raw rows that a topic has."""
    source = KafkaTopic(of)
    (slice_,) = source.find()
    return pl.concat(source.read(slice_, str))


def test_each_value_is_read_by_the_schema_that_it_names_which_is_asked_for_once(
    cluster: MemoryCluster, api: Api
) -> None:
    (partition,) = cluster.partitions
    for number in range(3):
        partition.send(framed(1, avro(PLAIN, {**CLICK, "id": f"e{number}"})))
        partition.send(framed(300, avro(NEWER, {**CLICK, "url": None})))
    read = rows(stream_of(by_registry(api)))
    assert json.loads(read["payload"][0]) == {**CLICK, "id": "e0"}
    assert json.loads(read["payload"][1]) == {**CLICK, "url": None}
    assert [json.loads(header)["schema_id"] for header in read["header"]] == [1, 300] * 3
    assert len(api.asked) == 2


def test_messages_become_events_and_broken_ones_are_rejected_with_their_bytes(
    cluster: MemoryCluster, api: Api, settings: Settings, request: pytest.FixtureRequest
) -> None:
    (partition,) = cluster.partitions
    whole = framed(1, avro(PLAIN, CLICK))
    broken = [whole[:-3], whole + b"\0", b"\0\1", b"\1" + whole[1:], b"text", framed(1, b"")]
    for value in (whole, *broken, json.dumps({**CLICK, "id": "e2"}).encode()):
        partition.send(value)
    name = f"avro_{abs(hash(request.node.nodeid)):x}"
    context = StreamContext.open(stream_of(by_registry(api), name=name), settings)
    ingest_and_publish(context, DAY)
    assert context.events([DAY]).scan().collect()["event_id"].to_list() == ["e1", "e2"]
    payloads = context.raw_events([DAY]).scan().collect().sort("position")["payload"].to_list()
    assert payloads[1:-1] == broken
    assert context.rejected_events([DAY]).scan().collect().height == len(broken)


def test_values_of_a_schema_in_a_file_keep_what_json_has_not(cluster: MemoryCluster, tmp_path: Path) -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}
    schema = record(
        ("at", {"type": "long", "logicalType": "timestamp-micros"}), ("sum", decimal), ("raw", "bytes"), ("n", "long")
    )
    (tmp_path / "click.avsc").write_text(json.dumps(schema))
    row = {
        "at": datetime(2026, 1, 1, 12, 0, 0, 123456, UTC),
        "sum": Decimal("1234567890123456789012345678.10"),
        "raw": b"\x00\xff",
        "n": 2**63 - 1,
    }
    cluster.partitions[0].send(avro(schema, row))
    of = stream_of({"schema_file": "click.avsc"}).model_copy(update={"path": tmp_path / "web.yaml"})
    assert json.loads(rows(of)["payload"][0]) == {
        "at": "2026-01-01T12:00:00.123456+00:00",
        "sum": "1234567890123456789012345678.10",
        "raw": "data:;base64,AP8=",
        "n": 2**63 - 1,
    }


@given(st.dictionaries(st.sampled_from(["id", "user", "ts", "type"]), st.text(), min_size=4))
def test_any_record_comes_out_as_it_was_written(row: dict[str, str]) -> None:
    assert json.loads(decoded(avro(PLAIN, row), 0, readable_schema(PLAIN))) == row


@given(st.binary())
def test_any_bytes_are_decoded_or_stay(value: bytes) -> None:
    result = decoded(value, 0, readable_schema(PLAIN))
    assert result == value or json.loads(result).keys() == CLICK.keys()


@pytest.mark.parametrize(
    ("schema", "is_bounded"),
    [
        (
            record(("a", {"type": "array", "items": ["null", "long"]}), ("m", {"type": "map", "values": "null"})),
            True,
        ),
        (record(("a", {"type": "array", "items": "null"})), False),
        (record(("a", {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}})), False),
        (record(("a", {"type": "array", "items": {**record(("n", "null")), "name": "Inner"}})), False),
        (NESTED, False),
        (record(("a", NESTED)), False),
        (
            record(("a", {**PLAIN, "name": "Inner"}), ("b", "Inner"), ("c", {"type": "array", "items": "Inner"})),
            True,
        ),
    ],
)
def test_a_schema_whose_values_outgrow_their_bytes_is_none_that_is_read(schema: Any, is_bounded: bool) -> None:
    with contextlib.nullcontext() if is_bounded else pytest.raises(ValueError, match=r"contains itself|take no bytes"):
        require_bounded(readable_schema(schema))


def test_a_value_of_an_unknown_schema_stops_the_run_or_is_rejected_as_the_stream_says(
    cluster: MemoryCluster, api: Api, settings: Settings, request: pytest.FixtureRequest
) -> None:
    cluster.partitions[0].send(unknown := framed(7, avro(PLAIN, CLICK)))
    name = f"avro_{abs(hash(request.node.nodeid)):x}"
    context = StreamContext.open(stream_of(by_registry(api), name=name), settings)
    with pytest.raises(SourceRefusedError, match=r"^kafka://a:9092/clicks: a value names schema 7, which .*Fix: corr"):
        ingest(context, [DAY], "run")
    assert context.ledger.cursors() == {}
    rejecting = StreamContext.open(stream_of(by_registry(api, on_unknown="reject"), name=name), settings)
    ingest(rejecting, [DAY], "run")
    assert rejecting.raw_events([DAY]).scan().collect()["payload"].to_list() == [unknown]


@pytest.mark.slow
def test_a_registry_that_is_down_is_tried_again_and_given_up_without_losing_a_message(
    cluster: MemoryCluster, api: Api, registry: Registry
) -> None:
    cluster.partitions[0].send(framed(1, avro(PLAIN, CLICK)))
    api.answering = lambda _: Reply(b"", 503)
    with pytest.raises(SourceRefusedError, match=r"answers 503 .*; it was tried for 1s\. Fix: run again once it answ"):
        rows(stream_of(by_registry(api), waits="1s"))
    failures = iter([Reply(b"", 503), Reply(b"{}", 200, length=9)])
    api.answering = lambda asked: next(failures, None) or registry.answer(asked)
    assert json.loads(rows(stream_of(by_registry(api)))["payload"][0]) == CLICK


def test_who_asks_is_said_to_the_named_host_alone(
    cluster: MemoryCluster, api: Api, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMA_PASSWORD", "s3cr3t")
    auth = {"basic": {"user": "reader", "password": {"env": "SCHEMA_PASSWORD"}}}
    cluster.partitions[0].send(framed(1, avro(PLAIN, CLICK)))
    rows(stream_of(by_registry(api, auth=auth)))
    assert api.asked[-1].headers["authorization"].startswith("Basic ")
    with serving(registry.answer) as other:
        api.answering = lambda _: Reply(b"", 302, {"Location": other.url})
        with pytest.raises(SourceRefusedError, match=r"a redirect to .*, which is not followed") as caught:
            rows(stream_of(by_registry(api, auth=auth)))
        assert other.asked == []
    api.answering = lambda _: Reply(b"", 401)
    with pytest.raises(SourceRefusedError, match=r"answers 401 .*Fix: correct source\.avro\.auth"):
        rows(stream_of(by_registry(api, auth=auth)))
    assert "s3cr3t" not in str(caught.value)


def _not_a_registry(_: Asked) -> Reply:
    return Reply(b"<html>", 404)


@pytest.mark.parametrize(
    ("answering", "says"),
    [
        (_not_a_registry, r"answers 404 .*Fix: correct source\.avro\.registry"),
        (lambda _: Reply(b'{"schema": "message A {}", "schemaType": "PROTOBUF"}'), "of another type than Avro"),
        (lambda _: Reply(b'{"schema": "\\"int\\"", "references": [{}]}'), "refers to other schemas"),
        (lambda _: Reply(b'{"schema": "{}"}'), "has no schema that can be read"),
        (lambda _: Reply(json.dumps({"schema": json.dumps(NESTED)}).encode()), "the type Node contains itself"),
        (lambda _: Reply(b"<html>"), "has no schema that can be read"),
    ],
)
def test_what_a_registry_has_not_is_a_sentence(cluster: MemoryCluster, api: Api, answering: Any, says: str) -> None:
    cluster.partitions[0].send(framed(1, avro(PLAIN, CLICK)))
    api.answering = answering
    with pytest.raises(SourceRefusedError, match=says):
        rows(stream_of(by_registry(api)))


@pytest.mark.parametrize(
    ("content", "says"), [(None, "can't be read: No such file"), ("{}", "is no Avro schema that can be read")]
)
def test_a_schema_file_that_is_none_is_told(
    cluster: MemoryCluster, tmp_path: Path, content: str | None, says: str
) -> None:
    cluster.partitions[0].send(b"x")
    if content:
        (tmp_path / "click.avsc").write_text(content)
    of = stream_of({"schema_file": "click.avsc"}).model_copy(update={"path": tmp_path / "web.yaml"})
    with pytest.raises(UserError, match=rf"^source\.avro\.schema_file: .*{says}"):
        rows(of)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("{}", "it needs either schema_file or registry"),
        ("{schema_file: a.avsc, registry: http://r}", "it needs either schema_file or registry"),
        ("{schema_file: a.avsc, auth: {bearer: {env: T}}}", "auth belongs to registry"),
        ("{registry: 'http://u:hunter2@r'}", "must not contain a user or password"),
        ("{schema_file: a.avsc}\n  format: logfmt", "values in Avro become JSON"),
    ],
)
def test_a_mistake_in_the_file_is_reported(tmp_path: Path, keys: str, says: str) -> None:
    lines = f"  type: kafka\n  bootstrap_servers: a:9092\n  topic: t\n  avro: {keys}\n"
    assert says in str(mistake(tmp_path, lines))
