"""What the source asks of a cluster and of its client: the part of confluent_kafka's interface that is used.

Tests that need no server put a stand-in in its place.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from confluent_kafka import KafkaError

from sessions_platform.sources.kafka.offsets import Topic


class Message(Protocol):
    """A message, or what the client says in its place: then `error` is not None."""

    def error(self) -> KafkaError | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Any: ...


class Consumer(Protocol):
    """Reads one partition from an offset on; messages are fetched ahead in the background."""

    def seek_to(self, partition: int, offset: int) -> None:
        """From now on read this partition, from this offset on."""
        ...

    def next(self, most: int, timeout: float) -> Sequence[Message]:
        """So many messages, or those that have come after so many seconds."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Cluster(Protocol):
    """The brokers that have a topic."""

    def topic(self) -> Topic:
        """The topic as it is now. Raises SourceRefusedError where it can't be read, or no broker answers in time."""
        ...

    def offsets_at(self, moment: datetime) -> Mapping[int, int]:
        """Of each partition the offset of the first message of this time or later; where it ends if there is none."""
        ...

    def consumer(self) -> Consumer:
        """A new consumer."""
        ...

    def trouble(self) -> str:
        """What the client said last of its connections; empty if nothing."""
        ...
