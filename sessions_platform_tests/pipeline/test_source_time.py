"""`landing: {by: source_time}`: each record of a server is in the landing partition of the time that the server has of
it, once, whatever is killed, and whoever else reads at the same time; the cursor moves with all of its rows or not."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.base import NO_CURSORS, Cursor, Cursors, Quarantine, Slice
from sessions_platform.sources.messages import Block, MessageReading, times_in
from sessions_platform.storage.ledger.files import LandingFiles
from sessions_platform_tests.streams import DAY_ONE, PLAIN, stream

KAFKA = {"type": "kafka", "bootstrap_servers": "a:9092", "topic": "clicks"}
SLICE = 4
Message = tuple[datetime | None, bytes]


def day(number: int) -> str:
    return f"2026-01-{number:02}"


def at(number: int, hour: int = 12) -> datetime:
    return DAY_ONE + timedelta(days=number - 1, hours=hour)


class Log:
    """Messages with times, in slices of four; `meanwhile` is done before each slice is read."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.meanwhile: Callable[[], None] = lambda: None

    def find(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> list[Slice]:  # noqa: ARG002
        starts = range(cursors.get("log", {"offset": 0})["offset"], len(self.messages), SLICE)
        ends = [min(start + SLICE, len(self.messages)) for start in starts]
        return [
            Slice(f"log://{start}-{end}", "fixed", None, Cursor("log", {"offset": end}))
            for start, end in zip(starts, ends, strict=True)
        ]

    def read(self, slice_: Slice, quarantine: Quarantine) -> "LogReading":  # noqa: ARG002
        self.meanwhile()
        start, end = map(int, slice_.uri.removeprefix("log://").split("-"))
        return LogReading(slice_.uri, self.messages[start:end])

    def partition_of(self, uri: str) -> str | None:  # noqa: ARG002
        return None


class LogReading(MessageReading):
    def __init__(self, uri: str, messages: list[Message]) -> None:
        super().__init__(uri)
        self._messages = messages

    def blocks(self) -> Iterator[Block]:
        for message in self._messages:
            yield Block([message[1]], lambda moment=message[0]: [moment])


@pytest.fixture
def open_log(settings: Settings, request: pytest.FixtureRequest) -> Callable[..., StreamContext]:
    numbers = iter(range(1_000_000))

    def opened(log: Log, of: StreamContext | None = None) -> StreamContext:
        """A context of a stream of a name of its own, or of the same stream as another one."""
        name = of.stream.name if of else f"dated_{abs(hash(request.node.nodeid)) % 10**9}_{next(numbers)}"
        described = stream(name=name, source=KAFKA, landing={"by": "source_time"})
        return StreamContext.open(described, settings, log)

    return opened


def run(context: StreamContext, number: int) -> None:
    ingest(context, [day(number)], "run", current=day(number))


def stored(context: StreamContext) -> dict[str, list[bytes]]:
    """The payloads of each landing partition that has any, sorted."""
    partitions = [day(number) for number in range(1, 10)]
    rows = context.raw_events(partitions).scan().select("landing_partition", "payload").collect().sort("payload")
    return {
        key: part["payload"].to_list() for (key,), part in rows.partition_by("landing_partition", as_dict=True).items()
    }


def test_a_slice_that_spans_partitions_has_its_rows_in_each_of_them_and_they_are_pending(
    open_log: Callable[..., StreamContext],
) -> None:
    log = Log([(at(1), b"a"), (at(3), b"b"), (at(2), b"c"), (at(3, 23), b"d"), (at(1), b"e")])
    context = open_log(log)
    run(context, 3)
    assert stored(context) == {day(1): [b"a", b"e"], day(2): [b"c"], day(3): [b"b", b"d"]}
    assert context.ledger.cursors() == {"log": {"offset": 5}}
    assert pending_landing_partitions(context, day(3)) == [day(1), day(2), day(3)]
    uris = {file.uri: file.landing_partition for file in context.ledger.files()}
    assert uris == {
        "log://0-4": day(3),
        "log://0-4#landing=2026-01-01": day(1),
        "log://0-4#landing=2026-01-02": day(2),
        "log://4-5": day(3),  # it has no row there, and says that the slice was read
        "log://4-5#landing=2026-01-01": day(1),
    }
    rows = context.raw_events([day(1)]).scan().select("source_uri", "position", "payload").collect().sort("payload")
    assert rows.rows() == [("log://0-4#landing=2026-01-01", 1, b"a"), ("log://4-5#landing=2026-01-01", 1, b"e")]


def test_records_without_a_time_or_ahead_of_it_belong_to_the_run_and_too_old_ones_to_the_first_partition(
    open_log: Callable[..., StreamContext],
) -> None:
    log = Log([(None, b"none"), (at(9), b"ahead"), (at(1) - timedelta(days=400), b"old")])
    context = open_log(log)
    run(context, 3)
    assert stored(context) == {day(1): [b"old"], day(3): [b"ahead", b"none"]}


def test_more_than_fits_into_memory_is_written_amid_the_slice(open_log: Callable[..., StreamContext]) -> None:
    log = Log([(at(1), b"a"), (at(1), b"b"), (at(2), b"c"), (at(1), b"d"), (at(2), b"e")])
    opened = open_log(log)
    context = replace(opened, memory=replace(opened.memory, bucket=1))
    run(context, 2)
    assert stored(context) == {day(1): [b"a", b"b", b"d"], day(2): [b"c", b"e"]}
    of_first = [file.uri for file in context.ledger.files() if file.uri.startswith("log://0-4#")]
    assert of_first == [f"log://0-4#landing=2026-01-01{part}" for part in ("", "&part=2", "&part=3")]


def test_rows_of_other_partitions_are_recorded_in_turn(open_log: Callable[..., StreamContext]) -> None:
    """Else a run with a later sequence could publish a partition before these rows of it are committed."""
    context = open_log(Log([(at(1), b"a")]))
    context.prepare()
    with ThreadPoolExecutor() as threads:
        with context.database.transaction() as connection:
            context.ledger.lock(connection)
            running = threads.submit(run, context, 3)
            while not (waits := _is_anyone_waiting(context)) and not running.done():
                wait([running], timeout=0.02)
            assert waits
        running.result()
    assert stored(context) == {day(1): [b"a"]}


def _is_anyone_waiting(context: StreamContext) -> bool:
    sql = "select pid from pg_locks where locktype = 'advisory' and not granted"
    return bool(context.database.query(sql))


def test_a_slice_without_rows_of_its_own_is_no_lost_file(open_log: Callable[..., StreamContext]) -> None:
    context = open_log(Log([(at(1), b"a")]))
    run(context, 3)
    assert next(file for file in context.ledger.files() if file.uri == "log://0-1").rows == 0
    assert verify(context, "run", deep=True).problems == []


MOMENTS = st.none() | st.builds(at, st.integers(1, 4), st.integers(0, 23))
STEPS = st.lists(
    st.tuples(
        st.lists(MOMENTS, max_size=6),  # messages that come
        st.sampled_from(["run", "killed while reading", "killed at commit", "overtaken"]),
        st.integers(0, 2),  # at which slice
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@given(steps=STEPS)
@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_record_is_once_in_the_partition_of_its_time_whatever_happens(
    open_log: Callable[..., StreamContext], steps: list[Any]
) -> None:
    log = Log([])
    context = open_log(log)
    for number, (moments, what, slice_number) in enumerate(steps, start=4):
        log.messages += [(moment, b"%04d" % (len(log.messages) + at_)) for at_, moment in enumerate(moments)]
        _do(context, log, open_log, what, slice_number, number)
        assert_complete(context, log, context.ledger.cursors().get("log", {"offset": 0})["offset"])
    run(context, 9)
    assert_complete(context, log, len(log.messages))


def assert_complete(context: StreamContext, log: Log, upto: int) -> None:
    """Up to the cursor all records are stored, each where its time says, and none behind it."""
    rows = sorted((payload, key) for key, payloads in stored(context).items() for payload in payloads)
    assert [payload for payload, _ in rows] == [payload for _, payload in log.messages[:upto]]
    for (_, key), (moment, _) in zip(rows, log.messages[:upto], strict=True):
        assert moment is None or key == f"{moment:%Y-%m-%d}"


class KilledError(Exception):
    pass


def _do(
    context: StreamContext, log: Log, open_log: Callable[..., StreamContext], what: str, at_slice: int, number: int
) -> None:
    """One run of this day, which comes to its end, or not."""
    reads = iter(range(1_000))

    def kill() -> None:
        if next(reads) == at_slice:
            raise KilledError

    def overtake() -> None:
        if next(reads) == at_slice:
            run(open_log(Log(log.messages), context), number)

    log.meanwhile = {"killed while reading": kill, "overtaken": overtake}.get(what, lambda: None)
    with pytest.MonkeyPatch.context() as patched:
        if what == "killed at commit":  # after the files are recorded, before the transaction ends
            patched.setattr(LandingFiles, "move_rows", lambda *_: kill())
        with suppress(KilledError):
            run(context, number)
    log.meanwhile = lambda: None


# What a source says


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        pytest.param('"2026-01-01T12:00:00.5+02:00"', datetime(2026, 1, 1, 10, 0, 0, 500_000, UTC), id="PostgreSQL"),
        pytest.param('"2026-01-01T12:00:00"', at(1), id="timestamp without time zone"),
        pytest.param('"2026-01-01 12:00:00.000000"', at(1), id="MariaDB"),
        pytest.param('"2026-01-01"', at(1, 0), id="a date"),
        pytest.param('"2026-01-01T12:00:00Z"', at(1), id="an API"),
        pytest.param('"infinity"', None, id="no moment"),
        pytest.param('"0000-00-00 00:00:00"', None, id="no date"),
        pytest.param("null", None, id="null"),
        pytest.param("1767268800", None, id="a number"),
    ],
)
def test_the_time_of_a_record_is_read_as_servers_write_it(value: str, moment: datetime | None) -> None:
    assert times_in([b'{"a": {"at": %b}}' % value.encode()], ["a", "at"]) == [moment]
    assert times_in([b"{broken", b"\xff", b"[]"], ["a", "at"]) == [None, None, None]


# The stream's file


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"files": "a/*.ndjson", "format": "ndjson"}, "this source says no time of its records"),
        ({"type": "http", "url": "https://a.b/c"}, "this source says no time of its records"),
    ],
)
def test_a_source_without_times_refuses_it(source: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        stream(source=source, landing={"by": "source_time"})


def test_what_may_be_read_twice_into_one_partition_needs_an_event_id() -> None:
    columns = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}
    source = {"type": "http", "url": "https://a.b/c", "since": {"param": "since", "field": "at"}}
    of = {"source": source, "landing": {"by": "source_time"}}
    assert stream(**of).landing.by == "source_time"
    with pytest.raises(ValueError, match="add event_id"):
        stream(**of, columns=columns)


def test_it_makes_no_published_partition_pending() -> None:
    assert stream(source=KAFKA).contract_version == stream(source=KAFKA, landing={"by": "source_time"}).contract_version
