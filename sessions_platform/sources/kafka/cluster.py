"""The brokers of a topic, by confluent_kafka: what the topic is now, and consumers of it.

Offsets are in the ledger: a consumer is assigned to a partition, is in no group, and commits nothing. Not here: what
errors mean (`cluster_errors`).
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import confluent_kafka
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from sessions_platform.contracts.kafka_source import FIXED, KafkaSource
from sessions_platform.contracts.secrets import FromEnvironment, text_of
from sessions_platform.contracts.values import spelled
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.kafka.cluster_errors import (
    ALL_BROKERS_DOWN,
    explained,
    may_pass,
    refused,
    said,
    unavailable,
)
from sessions_platform.sources.kafka.messages import Consumer, Message
from sessions_platform.sources.kafka.offsets import Bounds, Topic
from sessions_platform.sources.patience import patiently

Result = TypeVar("Result")

# What a stream may set otherwise. The client fetches ahead up to the bound of its queue; by its own defaults it reads
# half as fast, and takes up to 64 MB for each consumer.
_DEFAULTS = {
    "client.id": "sessions-platform",
    "group.id": "sessions-platform",  # the client insists on one
    "check.crcs": True,
    "max.partition.fetch.bytes": 8 << 20,
    "queued.max.messages.kbytes": 32 << 10,
    "queued.min.messages": 1_000_000,
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 10,
}
_LONGEST_REQUEST = timedelta(seconds=60)
_TICK = 0.1  # seconds, in which a run can be interrupted
# It would print each lost connection to standard error.
_silent = logging.Logger("kafka", logging.CRITICAL + 1)


class KafkaCluster:
    """The cluster that a stream's source names."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source
        self._last_error: KafkaError | None = None

    def topic(self) -> Topic:
        """The topic as it is now; its partitions end where the first transaction is open.

        Raises:
            SourceRefusedError: it can't be read, or no broker has answered for as long as the stream says.
            UserError: an environment variable with a secret is not set.
        """
        return self._patiently(self._described)

    def offsets_at(self, moment: datetime) -> dict[int, int]:
        """Of each partition the offset of the first message of this time or later; where it ends if there is none.

        Raises as `topic` does.
        """
        return self._patiently(lambda: self._found_at(moment))

    def _patiently(self, work: Callable[[], Result]) -> Result:
        bound = self._source.give_up_after
        try:
            return patiently(work, lambda error: isinstance(error, SourceUnavailableError), bound)
        except SourceUnavailableError as failed:
            raise SourceRefusedError(
                f"{failed}; it was tried for {spelled(bound)}. Fix: start the brokers, or correct "
                "source.bootstrap_servers."
            ) from None

    def consumer(self) -> Consumer:
        """A new consumer."""
        return _Consumer(self._made(confluent_kafka.Consumer, {**_DEFAULTS, **self._settings(), **FIXED}), self._source)

    def trouble(self) -> str:
        """What the client said last of its connections; empty if nothing."""
        return said(self._last_error) if self._last_error else ""

    def _described(self) -> Topic:
        self._last_error = None
        admin = self._made(AdminClient, {"client.id": _DEFAULTS["client.id"], **self._settings()})
        name = self._source.topic
        described = self._awaited(admin, admin.describe_topics(TopicCollection([name]), **self._patience)[name])
        places = [TopicPartition(name, partition.id) for partition in described.partitions]
        first = self._offsets(admin, places, cast("OffsetSpec", OffsetSpec.earliest()))
        end = self._offsets(admin, places, cast("OffsetSpec", OffsetSpec.latest()))
        return Topic(str(described.topic_id), {number: Bounds(first[number], end[number]) for number in first})

    def _found_at(self, moment: datetime) -> dict[int, int]:
        self._last_error = None
        admin = self._made(AdminClient, {"client.id": _DEFAULTS["client.id"], **self._settings()})
        name = self._source.topic
        described = self._awaited(admin, admin.describe_topics(TopicCollection([name]), **self._patience)[name])
        places = [TopicPartition(name, partition.id) for partition in described.partitions]
        when = OffsetSpec.for_timestamp(round(moment.timestamp() * 1000))
        found = self._answered(admin, places, when)
        end = self._offsets(admin, places, cast("OffsetSpec", OffsetSpec.latest()))
        if any(offset < 0 for offset in found.values()) and self._answered(admin, places, when) != found:
            raise SourceUnavailableError(f"{self._source.place} can't be read: its leaders are changing")
        return {number: end[number] if offset < 0 else offset for number, offset in found.items()}

    def _offsets(self, admin: AdminClient, places: list[TopicPartition], which: OffsetSpec) -> dict[int, int]:
        """The first or last offset of each partition, by its number."""
        offsets = self._answered(admin, places, which)
        if unknown := [partition for partition, offset in offsets.items() if offset < 0]:
            # While a partition's leader is being elected, the client may answer so, without an error.
            raise SourceUnavailableError(
                f"{self._source.place}/{unknown[0]} can't be read: no broker says where the partition ends"
            )
        return offsets

    def _answered(self, admin: AdminClient, places: list[TopicPartition], which: OffsetSpec) -> dict[int, int]:
        """The same; less than 0 where there is no such message, or where nobody says it."""
        asked = admin.list_offsets(
            dict.fromkeys(places, which), isolation_level=IsolationLevel.READ_COMMITTED, **self._patience
        )
        return {place.partition: self._awaited(admin, future).offset for place, future in asked.items()}

    @property
    def _patience(self) -> dict[str, float]:
        return {"request_timeout": min(self._source.give_up_after, _LONGEST_REQUEST).total_seconds()}

    def _awaited(self, admin: AdminClient, future: "Future[Any]") -> Any:
        """The answer to a request. The client waits for brokers that refuse it: meanwhile its errors are looked at."""
        while True:
            admin.poll(0)
            if self._last_error and not may_pass(self._last_error):
                raise refused(self._source.place, self._last_error)
            try:
                return future.result(timeout=_TICK)
            except NotYet:
                continue
            except KafkaException as error:
                raise self._failed(error) from None

    def _made(self, client: Callable[[dict[str, Any]], Result], settings: dict[str, Any]) -> Result:
        try:
            return client({**settings, "error_cb": self._note, "logger": _silent})
        except KafkaException as error:
            raise self._failed(error) from None

    def _failed(self, failed: KafkaException) -> Exception:
        (error, *_) = failed.args
        return explained(self._source.place, error) or unavailable(self._source.place, self._last_error or error)

    def _note(self, error: KafkaError) -> None:
        """Keep what says most: that all brokers are down says less than why."""
        if self._last_error is None or error.name() != ALL_BROKERS_DOWN:
            self._last_error = error

    def _settings(self) -> dict[str, Any]:
        stated = {
            name: value.read(f"source.settings.{name}") if isinstance(value, FromEnvironment) else value
            for name, value in self._source.settings.items()
        }
        return {**stated, "bootstrap.servers": text_of(self._source.bootstrap_servers, "source.bootstrap_servers")}


class _Consumer:
    """confluent_kafka's consumer of one topic."""

    def __init__(self, consumer: confluent_kafka.Consumer, source: KafkaSource) -> None:
        self._consumer, self._topic = consumer, source.topic
        self.close = consumer.close

    def seek_to(self, partition: int, offset: int) -> None:
        """Read this partition from this offset on."""
        self._consumer.assign([TopicPartition(self._topic, partition, offset)])

    def next(self, most: int, timeout: float) -> Sequence[Message]:
        """As many as are asked for, or those that have come when the time is over."""
        return self._consumer.consume(most, timeout)
