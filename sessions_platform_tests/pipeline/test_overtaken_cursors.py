"""Two runs that read one source with cursors at the same time: what one has read, the other does not read again."""

import json
from collections.abc import Callable, Iterable, Iterator

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.base import NO_CURSORS, Cursor, Cursors, Quarantine, Slice
from sessions_platform.sources.messages import Block, MessageReading
from sessions_platform.storage.ledger.ledger import StaleCursorError
from sessions_platform_tests.streams import stream

DAY, NEXT_DAY = "2026-01-01", "2026-01-02"


class Log:
    """Messages by offset, in slices of at most two; `meanwhile` is done before each slice is read."""

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = messages
        self.meanwhile: Callable[[], None] = lambda: None

    def find(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> list[Slice]:  # noqa: ARG002
        starts = range(cursors.get("log", {"offset": 0})["offset"], len(self.messages), 2)
        ends = [min(start + 2, len(self.messages)) for start in starts]
        return [
            Slice(f"log://{start}-{end}", "fixed", None, Cursor("log", {"offset": end}))
            for start, end in zip(starts, ends, strict=True)
        ]

    def read(self, slice_: Slice, quarantine: Quarantine) -> "LogReading":  # noqa: ARG002
        self.meanwhile()
        start, end = map(int, slice_.uri.removeprefix("log://").split("-"))
        return LogReading(self.messages[start:end])

    def partition_of(self, uri: str) -> str | None:  # noqa: ARG002
        return None


class LogReading(MessageReading):
    def __init__(self, messages: list[bytes]) -> None:
        super().__init__()
        self._messages = messages

    def blocks(self) -> Iterator[Block]:
        yield Block(self._messages)


def message(number: int) -> bytes:
    return json.dumps({"id": f"e{number}"}).encode()


@pytest.fixture
def run(settings: Settings, request: pytest.FixtureRequest) -> Callable[[Log], StreamContext]:
    described = stream(name=f"log_{abs(hash(request.node.nodeid)):x}")

    def context_of(log: Log) -> StreamContext:
        return StreamContext.open(described, settings, log)

    return context_of


def read(context: StreamContext) -> list[bytes]:
    ingest(context, [DAY], "run", current=DAY)
    return sorted(context.raw_events([DAY]).scan().collect()["payload"])


def test_what_another_run_has_read_meanwhile_is_not_read_again(run: Callable[[Log], StreamContext]) -> None:
    messages = [message(0)]
    one, other = Log(messages), Log(messages)

    def overtake() -> None:
        one.meanwhile = lambda: None
        messages.append(message(1))  # so that the other's slice has another end, and another name
        read(run(other))

    one.meanwhile = overtake
    assert read(run(one)) == [message(0), message(1)]
    assert run(one).ledger.cursors() == {"log": {"offset": 2}}


def test_a_run_that_is_overtaken_again_and_again_gives_up(run: Callable[[Log], StreamContext]) -> None:
    messages = [message(0)]
    one, other = Log(messages), Log(messages)

    def overtake() -> None:
        messages.append(message(len(messages)))
        read(run(other))
        messages.append(message(len(messages)))

    one.meanwhile = overtake
    with pytest.raises(StaleCursorError, match="log was read further by another run meanwhile"):
        read(run(one))
    one.meanwhile = lambda: None
    assert read(run(one)) == sorted(messages)


def test_what_a_killed_run_had_only_found_is_read_in_the_partition_of_the_next_run(
    run: Callable[[Log], StreamContext],
) -> None:
    log = Log([message(number) for number in range(4)])

    def die() -> None:
        raise ConnectionError("killed")

    log.meanwhile = die
    with pytest.raises(ConnectionError):
        read(run(log))
    log.meanwhile = lambda: None
    log.messages.append(message(4))
    ingest(run(log), [NEXT_DAY], "run", current=NEXT_DAY)
    assert sorted(run(log).raw_events([DAY, NEXT_DAY]).scan().collect()["payload"]) == log.messages


def test_of_a_run_that_is_killed_before_it_records_its_file_nothing_counts_and_no_file_is_written_again(
    run: Callable[[Log], StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log([message(0)])
    context = run(log)

    def die(*_: object, **__: object) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as killed:
        killed.setattr(type(context.ledger), "record_batch", die)
        with pytest.raises(ConnectionError):
            read(context)
    folder = context.folder("raw_events", DAY)
    (left,) = context.lake.filesystem.list(folder)
    log.messages.append(message(1))  # the next run's file has other rows from the same offset on
    assert read(run(log)) == log.messages
    assert left in context.lake.filesystem.list(folder)
    assert [file.path for file in context.ledger.files([DAY]) if file.path == left] == []
