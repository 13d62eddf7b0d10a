"""Reads a partition of a topic to a bound, and knows when it is there.

A consumer is silent where there is nothing more, and just as silent where no broker is left: so the bound is reached
only once a message at or behind it came, or the word that the partition ends there. Neither comes without the messages
before; marks of transactions and messages that compaction removed leave gaps that say nothing.

One consumer reads on from slice to slice, since what it has fetched ahead would have to be fetched again. Not here:
which offsets are read (`offsets`).
"""

import time
from collections.abc import Iterator, Sequence

from confluent_kafka import KafkaError

from sessions_platform.contracts.kafka_source import KafkaSource
from sessions_platform.contracts.values import spelled
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.kafka.cluster_errors import OUT_OF_RANGE, PARTITION_EOF, explained
from sessions_platform.sources.kafka.columns import Columns
from sessions_platform.sources.kafka.messages import Cluster, Consumer, Message
from sessions_platform.sources.kafka.offsets import Range

_WAIT = 0.2  # seconds: a run can be interrupted, and so long a partition's end is waited for if no message is there
_MOST = 10000  # messages of a block
_AT_ONCE = 1_000  # messages that are objects at the same time


class Log:
    """The messages of a topic. Close it, and open it again by reading on."""

    def __init__(self, cluster: Cluster, source: KafkaSource, block_bytes: int) -> None:
        self._cluster, self._source, self._block_bytes = cluster, source, block_bytes
        self._consumer: Consumer | None = None
        self._next: tuple[int, int] | None = None  # the partition and offset at which the consumer reads on
        self._reached = 0  # of that partition: all before it was read
        self._ahead: Sequence[Message] = ()  # what came from there on
        self._most = 100  # messages that are asked for at once, no more than about a block

    def close(self) -> None:
        """End the consumer."""
        consumer, self._consumer, self._next, self._ahead = self._consumer, None, None, ()
        if consumer is not None:
            consumer.close()

    def blocks(self, wanted: Range) -> Iterator[Columns]:
        """The messages of a range, in blocks of about `block_bytes`.

        Raises:
            SourceRefusedError: no message came for as long as the stream says, or the cluster refuses it.
            SourceUnavailableError: messages vanished meanwhile, and the stream says to go on with what there is.
        """
        block = Columns()
        try:
            for messages in self._messages(wanted):
                before = block.size
                block.add(messages)
                self._most = self._fitting((block.size - before) // len(messages))
                if block.size >= self._block_bytes or len(block) >= _MOST:
                    yield block
                    block = Columns()
            if block:
                yield block
        except BaseException:
            self.close()
            raise
        self._next = (wanted.partition, wanted.end)

    def _messages(self, wanted: Range) -> Iterator[list[Message]]:
        """The same messages, a few at a time; raises as `blocks` does."""
        consumer = self._at(wanted)
        progress = time.monotonic()
        while self._reached < wanted.end:
            before = self._reached
            # No more than can be there, or it would be waited for.
            most = min(self._most, wanted.end - self._reached)
            came, self._ahead = self._ahead or consumer.next(most, _WAIT), ()
            if messages := self._taken(came, wanted):
                yield messages
            if self._reached > before:
                progress = time.monotonic()
            elif time.monotonic() - progress > self._source.give_up_after.total_seconds():
                raise self._silent(wanted)

    def _at(self, wanted: Range) -> Consumer:
        """A consumer that reads on from the start of a range."""
        if self._consumer is None:
            self._consumer = self._cluster.consumer()
        if self._next != (wanted.partition, wanted.start):
            self._consumer.seek_to(wanted.partition, wanted.start)
            self._reached, self._ahead = wanted.start, ()
        self._next = None
        return self._consumer

    def _taken(self, came: Sequence[Message], wanted: Range) -> list[Message]:
        """Those of the range; the others are kept for the next one."""
        if came and not any(map(type(came[0]).error, came)):
            last = came[-1].offset()
            if last is not None and last < wanted.end:  # as nearly always
                self._reached = last + 1
                return list(came)
        taken: list[Message] = []
        for number, message in enumerate(came):
            error, offset = message.error(), message.offset()
            if error is not None and error.name() != PARTITION_EOF:
                self._require_harmless(error, wanted)
                continue
            assert offset is not None
            if error is not None:
                self._reached = max(self._reached, offset)
            elif offset >= wanted.end:
                self._reached, self._ahead = max(self._reached, wanted.end), came[number:]
                break
            else:
                taken.append(message)
                self._reached = offset + 1
        return taken

    def _fitting(self, size: int) -> int:
        """How many messages of such a size are asked for at once."""
        return max(1, min(_AT_ONCE, self._block_bytes // max(size, 1)))

    def _require_harmless(self, error: KafkaError, wanted: Range) -> None:
        place = f"{self._source.place}/{wanted.partition}"
        if error.name() != OUT_OF_RANGE:
            if failed := explained(place, error):
                raise failed
            return
        lost = f"{place}: the messages from offset {self._reached} on were deleted while they were read"
        if self._source.on_lost == "fail":
            raise SourceRefusedError(f"{lost}. Fix: run again, and it says what is lost and what can be done.")
        raise SourceUnavailableError(f"{lost}. Fix: nothing; the next attempt goes on with the first one there is.")

    def _silent(self, wanted: Range) -> SourceRefusedError:
        trouble = f": {said}" if (said := self._cluster.trouble()) else ""
        return SourceRefusedError(
            f"{self._source.place}/{wanted.partition} was read up to offset {self._reached} of {wanted.end}, and then "
            f"nothing came for {spelled(self._source.give_up_after)}{trouble}. Fix: start the brokers, or see their "
            "logs; then run again, and reading goes on."
        )
