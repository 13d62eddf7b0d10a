"""A stand-in for a Kafka cluster: one topic in memory, for tests that need no server.

It says what a consumer of confluent_kafka says, silence included. Whether Kafka says so, too, is tested in `servers`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka import KafkaError

from sessions_platform.sources.kafka.messages import Message
from sessions_platform.sources.kafka.offsets import Bounds, Topic


@dataclass(frozen=True)
class StoredMessage:
    """A message, or an event of the consumer, as confluent_kafka has it."""

    at: int
    payload: bytes | None = None
    of_key: bytes | None = None
    with_headers: Sequence[tuple[str, bytes | None]] | None = None
    time: tuple[int, int] = (1, 1_767_268_800_000)
    failed: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.failed

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return self.time

    def key(self) -> bytes | None:
        return self.of_key

    def value(self) -> bytes | None:
        return self.payload

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        return self.with_headers


@dataclass
class MemoryPartition:
    """The messages that are visible, by offset, and where the partition begins and ends."""

    messages: dict[int, StoredMessage] = field(default_factory=dict)
    first: int = 0
    end: int = 0

    def send(self, payload: bytes | None, key: bytes | None = None, **more: object) -> None:
        self.messages[self.end] = StoredMessage(self.end, payload, key, **more)  # pyright: ignore[reportArgumentType]
        self.end += 1

    def mark(self, offsets: int = 1) -> None:
        """Offsets without a message, as the marks of transactions and aborted messages."""
        self.end += offsets

    def delete_to(self, offset: int) -> None:
        self.first = offset
        self.messages = {at: message for at, message in self.messages.items() if at >= offset}


class MemoryCluster:
    """One topic. `is_dead`: no broker answers; `at_once`: how many messages a consumer has ready at most."""

    def __init__(self, partitions: int = 1) -> None:
        self.id = "first"
        self.partitions = [MemoryPartition() for _ in range(partitions)]
        self.is_dead = False
        self.at_once = 3
        self.consumers = 0

    def topic(self) -> Topic:
        return Topic(self.id, {number: Bounds(one.first, one.end) for number, one in enumerate(self.partitions)})

    def offsets_at(self, moment: datetime) -> dict[int, int]:
        least = moment.timestamp() * 1000
        later = {
            number: [offset for offset, message in one.messages.items() if message.time[1] >= least]
            for number, one in enumerate(self.partitions)
        }
        return {number: min(offsets, default=self.partitions[number].end) for number, offsets in later.items()}

    def consumer(self) -> "MemoryConsumer":
        self.consumers += 1
        return MemoryConsumer(self)

    def trouble(self) -> str:
        return "Connection refused" if self.is_dead else ""


class MemoryConsumer:
    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self._partition, self._at, self._said_end = 0, 0, -1

    def seek_to(self, partition: int, offset: int) -> None:
        self._partition, self._at, self._said_end = partition, offset, -1

    def next(self, most: int, timeout: float) -> Sequence[Message]:  # noqa: ARG002
        if self._cluster.is_dead:
            return []
        log = self._cluster.partitions[self._partition]
        if not log.first <= self._at <= log.end:
            return [StoredMessage(self._at, failed=KafkaError(KafkaError._AUTO_OFFSET_RESET))]
        ready = [message for offset, message in log.messages.items() if offset >= self._at]
        came = ready[: min(most, self._cluster.at_once)]
        self._at = came[-1].at + 1 if came else log.end
        if len(came) == len(ready) < most and self._said_end != log.end:
            self._at = self._said_end = log.end
            came.append(StoredMessage(log.end, failed=KafkaError(KafkaError._PARTITION_EOF)))
        return came

    def close(self) -> None:
        self._cluster.consumers -= 1
