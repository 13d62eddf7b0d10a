"""A stand-in for Kinesis: one data stream in memory, for tests that need no server.

Whether Kinesis says the same is tested on a server in `servers`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import dropwhile

from sessions_platform.contracts.kinesis_source import KinesisSource
from sessions_platform.sources.kinesis.client import Answer, DataStream, Record, Shard


@dataclass
class MemoryShard:
    """A shard, and its records in the order of their sequence numbers."""

    shard: Shard
    records: list[Record] = field(default_factory=list)


class MemoryKinesis:
    """One data stream. `at_once`: how many records an answer has at most; `empty`: answers without any before it."""

    def __init__(self) -> None:
        self.created = "2026-01-01T00:00:00+00:00"
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self.shards: dict[str, MemoryShard] = {}
        self.at_once, self.empty = 3, 1
        self.sequence = 7  # of one digit first, so that text would compare otherwise
        self.open("s0")

    def connect(self, source: KinesisSource) -> "MemoryKinesis":  # noqa: ARG002
        return self

    def clock(self) -> datetime:
        return self.now

    def open(self, name: str, *parents: str) -> None:
        self.shards[name] = MemoryShard(Shard(name, parents))

    def close(self, *names: str) -> None:
        for name in names:
            self.shards[name].shard = replace(self.shards[name].shard, is_closed=True)

    def send(self, shard: str, data: bytes, key: str = "k", arrived: datetime | None = None) -> None:
        self.shards[shard].records.append(Record(self.sequence, key, arrived or self.now, data))
        self.sequence += 1

    def stream(self) -> DataStream:
        return DataStream(self.created, timedelta(hours=24), [one.shard for one in self.shards.values()])

    def answers(
        self, shard: str, after: int | None, since: datetime | None = None, most: int | None = None
    ) -> Iterator[Answer]:
        one = self.shards[shard]
        left = [record for record in one.records if after is None or record.sequence_number > after]
        if after is None and since is not None:
            left = list(dropwhile(lambda record: record.arrived < since, left))
        for _ in range(self.empty):
            yield Answer([], timedelta(seconds=bool(left)), is_end=False)
        while left:
            at_once = min(self.at_once, most or self.at_once)
            came, left = left[:at_once], left[at_once:]
            yield Answer(came, timedelta(seconds=bool(left)), is_end=False)
        while not one.shard.is_closed:
            yield Answer([], timedelta(0), is_end=False)
        yield Answer([], timedelta(0), is_end=True)
