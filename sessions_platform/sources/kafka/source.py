"""A Kafka topic as a source: ranges of offsets are slices, and the ledger has the offsets.

What is new is found by `offsets`, and read by `log`; the configuration is `contracts.kafka_source.KafkaSource`.
"""

from collections.abc import Iterable, Iterator
from typing import cast

from sessions_platform.contracts.kafka_source import KafkaSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.base import NO_CURSORS, Cursors, Found, Past, Quarantine, Slice
from sessions_platform.sources.kafka.avro import Values, values_of
from sessions_platform.sources.kafka.cluster import KafkaCluster
from sessions_platform.sources.kafka.columns import Columns
from sessions_platform.sources.kafka.envelope import beginning_of, envelopes, moment_of
from sessions_platform.sources.kafka.log import Log
from sessions_platform.sources.kafka.messages import Cluster
from sessions_platform.sources.kafka.offsets import Range, new_offsets, past_offsets, unread_offsets
from sessions_platform.sources.messages import Block, MessageReading
from sessions_platform.sources.server import ServerRecords


class KafkaTopic(ServerRecords):
    """The messages of one topic."""

    def __init__(self, stream: Stream, cluster: Cluster | None = None, block_bytes: int = BLOCK_BYTES) -> None:
        assert isinstance(stream.source, KafkaSource)
        self._source = stream.source
        self._cluster = cluster or KafkaCluster(stream.source)
        self._values = values_of(stream.source, stream.path.parent)
        self._log = Log(self._cluster, stream.source, block_bytes)
        self._last: str | None = None

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "KafkaTopic":
        """The implementation that `contracts.kafka_source.KafkaSource` names."""
        return cls(stream, block_bytes=settings.block_bytes)

    def search(
        self,
        landing_partitions: Iterable[str] | None = None,  # noqa: ARG002  messages belong to whichever run reads them
        cursors: Cursors = NO_CURSORS,
    ) -> Found:
        """The offsets after the stored cursors, as the topic is now, and what was lost before it was read."""
        found = new_offsets(self._source, self._cluster.topic(), cursors)
        self._last = found.slices[-1].uri if found.slices else None
        return found

    def search_past(self, past: Past, cursors: Cursors) -> Found:
        """The offsets from the first message of that time up to the first one of its end."""
        bounds = self._cluster.offsets_at(past.start), self._cluster.offsets_at(past.end)
        found = past_offsets(self._source, self._cluster.topic(), past, bounds, cursors)
        self._last = found.slices[-1].uri if found.slices else None
        return found

    def unread(self, cursors: Cursors, most: int) -> int:
        """How many offsets come after the stored ones; some of them may have no message."""
        return min(unread_offsets(self._source, self._cluster.topic(), cursors), most)

    def read(self, slice_: Slice, quarantine: Quarantine) -> "SliceReading":  # noqa: ARG002
        """A reading of the offsets that a slice's uri says."""
        is_last = slice_.uri == self._last
        return SliceReading(self._log, self._values, self._source.topic, slice_.uri, is_last=is_last)


class SliceReading(MessageReading):
    """One pass over the messages of a slice.

    Positions count offsets, so that where there is no message they have a gap as well: a row's offset is the first of
    its uri, and its position, less 1.
    """

    def __init__(self, log: Log, values: Values, topic: str, uri: str, *, is_last: bool) -> None:
        super().__init__(uri)
        self._values = values
        self._log, self._is_last = log, is_last
        self._range = Range.of(uri)
        self._beginning = beginning_of(topic, self._range.partition)

    def blocks(self) -> Iterator[Block]:
        """The messages, as they are fetched."""
        for columns in self._log.blocks(self._range):
            yield self._block(columns)
        if self._is_last:
            self._log.close()

    def _block(self, columns: Columns) -> Block:
        sent = columns.values
        values = cast("list[bytes]", sent) if all(sent) else [value or b"" for value in sent]
        return Block(
            headers=envelopes(columns, self._beginning, self._values.said(values)),
            payloads=self._values.payloads(values),
            times=lambda: list(map(moment_of, columns.kinds, columns.times)),
            positions=columns.offsets(self._range.start - 1),
            values=values,
        )
