"""A second type of source, as a contributor would add one: a log of topics that is read by offsets.

The configuration and the implementation are in this file; the tests put the one line into the table of types.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import pytest

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.sources import SOURCE_TYPES, SourceConfig
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.errors import UserError
from sessions_platform.operations.landing_files import place_files
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.base import NO_CURSORS, Cursor, Cursors, Quarantine, Slice
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.sources.stream_files import described, mistake
from sessions_platform_tests.streams import stream

# The messages of each partition of a topic.
TOPICS: dict[str, list[list[bytes]]] = {}
DAY_ONE, DAY_TWO = "2026-01-01", "2026-01-02"
pytestmark = pytest.mark.usefixtures("on_day_one")


class ToyConfig(SourceConfig):
    """Messages of a topic."""

    implementation: ClassVar[str] = f"{__name__}:ToySource"

    type: Literal["toy"]
    topic: str
    at_most: int = 3


class ToySource:
    def __init__(self, stream: Stream, settings: Settings) -> None:  # noqa: ARG002
        assert isinstance(stream.source, ToyConfig)
        self._config = stream.source

    def find(
        self,
        landing_partitions: Iterable[str] | None = None,  # noqa: ARG002
        cursors: Cursors = NO_CURSORS,
    ) -> list[Slice]:
        topic, most = self._config.topic, self._config.at_most
        found: list[Slice] = []
        for partition, messages in enumerate(TOPICS[topic]):
            name = f"{topic}/{partition}"
            for start in range(cursors.get(name, {"offset": 0})["offset"], len(messages), most):
                end = min(start + most, len(messages))
                offsets = f"{start}-{end}"
                found.append(Slice(f"toy://{name}/{offsets}", offsets, None, Cursor(name, {"offset": end})))
        return found

    def read(self, slice_: Slice, quarantine: Quarantine) -> "ToyReading":  # noqa: ARG002
        topic, partition, offsets = slice_.uri.removeprefix("toy://").split("/")
        start, end = map(int, offsets.split("-"))
        return ToyReading(TOPICS[topic][int(partition)][start:end])

    def partition_of(self, uri: str) -> str | None:  # noqa: ARG002
        return None


class ToyReading:
    text_bytes: int | None = None

    def __init__(self, messages: list[bytes]) -> None:
        self.digest = hashlib.sha256(b"\n".join(messages)).hexdigest()
        self._messages = messages

    def __iter__(self) -> Iterator[pl.DataFrame]:
        columns = {"payload": self._messages, "position": range(1, len(self._messages) + 1)}
        schema = {name: dtype for name, dtype in RAW_EVENTS.items() if name not in {"landing_partition", "source_uri"}}
        yield pl.DataFrame(columns, schema={name: schema[name] for name in columns}).select(
            pl.col(name) if name in columns else pl.lit(None, dtype).alias(name) for name, dtype in schema.items()
        )


def message(user: str, minute: int, name: str) -> bytes:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(minutes=minute)
    return json.dumps({"id": name, "user": user, "ts": at.isoformat(), "type": "view"}).encode()


@pytest.fixture
def toy(settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> StreamContext:
    """A stream of a name of its own, whose topic has two partitions, still empty."""
    monkeypatch.setitem(SOURCE_TYPES, "toy", ToyConfig)
    name = f"toy_{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    monkeypatch.setitem(TOPICS, name, [[], []])
    source = {"type": "toy", "topic": name, "format": "ndjson"}
    return StreamContext.open(stream(name=name, source=source), settings)


def test_messages_become_sessions_and_are_read_once(toy: StreamContext) -> None:
    first, second = TOPICS[toy.stream.name]
    first += [message("ann", minute, f"a{minute:02}") for minute in range(12)]
    second += [message("bob", 0, "b0"), b"not JSON", message("bob", 5, "b1"), message("bob", 90, "b2")]
    assert pending_landing_partitions(toy, DAY_ONE) == [DAY_ONE]
    ingest_and_publish(toy, DAY_ONE)
    refresh(toy)
    assert toy.ledger.cursors() == {f"{toy.stream.name}/0": {"offset": 12}, f"{toy.stream.name}/1": {"offset": 4}}
    raw = toy.raw_events([DAY_ONE]).scan().collect()
    assert raw.height == 16
    assert raw["payload"].sort().to_list() == sorted([*first, *second])
    assert all(raw[name].null_count() == 16 for name in ("preamble", "line_terminator", "header", "corrupt_reason"))
    assert [(row["user_id"], row["event_count"]) for row in by_user(toy)] == [("ann", 12), ("bob", 2), ("bob", 1)]
    assert pending_landing_partitions(toy, DAY_TWO) == []
    report = ingest(toy, [DAY_ONE], "again")[DAY_ONE]
    assert (report.files, report.rows, report.read, report.vanished) == (6, 16, 0, 0)


def test_reading_continues_behind_the_cursor(toy: StreamContext) -> None:
    first, _ = TOPICS[toy.stream.name]
    first += [message("ann", minute, f"a{minute:02}") for minute in range(4)]
    ingest_and_publish(toy, DAY_ONE)
    first[:4] = [b"compacted away"] * 4
    first += [message("ann", 4, "a04")]
    assert pending_landing_partitions(toy, DAY_TWO) == [DAY_TWO]
    assert ingest(toy, [DAY_ONE, DAY_TWO], "later")[DAY_TWO].rows == 1
    assert [file.uri.rpartition("/")[2] for file in toy.ledger.files([DAY_TWO])] == ["4-5"]
    assert b"compacted away" not in toy.raw_events([DAY_ONE, DAY_TWO]).scan().collect()["payload"].to_list()


def test_an_older_partition_takes_nothing_that_comes_after_a_cursor(toy: StreamContext) -> None:
    TOPICS[toy.stream.name][0] += [message("ann", 0, "a00")]
    assert ingest(toy, [DAY_ONE], "run", current=DAY_TWO)[DAY_ONE].rows == 0
    assert toy.ledger.cursors() == {}
    assert ingest(toy, [DAY_ONE], "run", newest=DAY_TWO)[DAY_ONE].rows == 0
    assert ingest(toy, [DAY_TWO], "run", current=DAY_TWO)[DAY_TWO].rows == 1


def test_a_slice_that_fails_leaves_the_cursor_before_it(toy: StreamContext, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = TOPICS[toy.stream.name]
    first += [message("ann", minute, f"a{minute:02}") for minute in range(12)]
    read = ToySource.read

    def failing(self: ToySource, slice_: Slice, quarantine: Quarantine) -> ToyReading:
        if slice_.uri.endswith("/6-9"):
            raise ConnectionError("the broker is gone")
        return read(self, slice_, quarantine)

    with monkeypatch.context() as broken:
        broken.setattr(ToySource, "read", failing)
        with pytest.raises(ConnectionError):
            ingest_and_publish(toy, DAY_ONE)
    assert toy.ledger.cursors() == {f"{toy.stream.name}/0": {"offset": 6}}
    first.append(message("ann", 12, "a12"))
    ingest_and_publish(toy, DAY_ONE)
    payloads = toy.raw_events([DAY_ONE]).scan().collect()["payload"].to_list()
    assert sorted(payloads) == sorted(first)


def test_it_accepts_no_files(toy: StreamContext, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"{}")
    with pytest.raises(UserError, match="does not read files"):
        place_files(toy, [tmp_path / "file"], DAY_ONE)


def test_a_slice_with_a_cursor_states_no_landing_partition() -> None:
    with pytest.raises(ValueError, match="can't state its landing partition"):
        Slice("toy://t/0/0-1", "0-1", DAY_ONE, Cursor("t/0", {"offset": 1}))


# The stream's file


@pytest.mark.parametrize(
    ("source", "line", "key", "says"),
    [
        (
            "  format: csv\n  type: pulsar\n",
            5,
            "source.type",
            "no source of type 'pulsar'. Fix: write 'files', 'postgres', 'mysql', 'http', 'kafka', 'kinesis' or 'toy'.",
        ),
        (
            "  type: [toy]\n  format: csv\n",
            4,
            "source.type",
            "no source of type ['toy']. Fix: write 'files', 'postgres', 'mysql', 'http', 'kafka', 'kinesis' or 'toy'.",
        ),
        ("  type: toy\n  format: csv\n", 3, "source.topic", "the key is missing"),
        ("  type: toy\n  topic: t\n  format: xls\n", 6, "source.format", "'ndjson', 'json', 'csv'"),
        ("  type: toy\n  topic: t\n  format: csv\n  topics: t\n", 7, "source.topics", "did you mean topic?"),
        ("  type: toy\n  topic: t\n  format: csv\n  files: a\n", 7, "source.files", "the key is not known"),
        ("  files: a\n  format: csv\n  topic: t\n", 6, "source.topic", "the key is not known"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_an_error_in_a_source_is_reported_with_its_line_and_key(
    tmp_path: Path, source: str, line: int, key: str, says: str
) -> None:
    problem = mistake(tmp_path, source)
    assert (problem.line, problem.key) == (line, key)
    assert says in str(problem)


@pytest.mark.usefixtures("toy")
def test_the_type_of_a_source_is_files_where_it_states_none(tmp_path: Path) -> None:
    plain = load_stream(described(tmp_path, "  files: a\n  format: csv\n"), tmp_path)
    typed = load_stream(described(tmp_path, "  type: files\n  files: a\n  format: csv\n"), tmp_path)
    assert plain == typed
    other = load_stream(described(tmp_path, "  type: toy\n  topic: t\n  format: csv\n"), tmp_path)
    assert isinstance(other.source, ToyConfig)
    assert other.contract_version == plain.contract_version  # rows are read alike, wherever they come from


def test_the_json_schema_knows_each_type_in_the_table(toy: StreamContext) -> None:  # noqa: ARG001
    schema: dict[str, Any] = Stream.model_json_schema()
    assert schema["properties"]["source"]["anyOf"] == [
        {"$ref": "#/$defs/FilesSource"},
        {"$ref": "#/$defs/PostgresSource"},
        {"$ref": "#/$defs/MysqlSource"},
        {"$ref": "#/$defs/HttpSource"},
        {"$ref": "#/$defs/KafkaSource"},
        {"$ref": "#/$defs/KinesisSource"},
        {"$ref": "#/$defs/ToyConfig"},
    ]


def by_user(context: StreamContext) -> list[dict[str, Any]]:
    return sorted(table(context), key=lambda row: (row["user_id"], row["session_start"]))
