"""Which offsets of a topic are new, as slices: from the stored cursor to where the topic ends now.

A cursor says of which topic its offset is, since one of the same name may have been made anew. Not here: reading the
messages (`log`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sessions_platform.contracts.kafka_source import KafkaSource
from sessions_platform.sources.base import Cursor, Found, Past, Skipped, Slice
from sessions_platform.sources.errors import SourceRefusedError

# Of offsets, not messages: some may be gone, or no messages but the marks of transactions.
SLICE_OFFSETS = 200_000

# As the names of Kafka's own files, so that slices in the order of their uris are in the order of their offsets.
_OFFSETS = re.compile(r"/(\d+)/(?:past=[^/:]+:)?(?:\d+:)?(\d{20})-(\d{20})$")


@dataclass(frozen=True)
class Bounds:
    """The offset of a partition's first message, and the one behind its last that is committed."""

    first: int
    end: int


@dataclass(frozen=True)
class Topic:
    """A topic as it is now: its id, by which one that was made anew differs, and its partitions by number."""

    id: str
    partitions: Mapping[int, Bounds]


@dataclass(frozen=True)
class Range:
    """Offsets of a partition: from `start` to `end`, which isn't one of them."""

    partition: int
    start: int
    end: int

    @classmethod
    def of(cls, uri: str) -> "Range":
        """What the uri of a slice says."""
        found = _OFFSETS.search(uri)
        assert found, uri
        return cls(*map(int, found.groups()))


@dataclass(frozen=True)
class _Position:
    """How far a partition was read, as its cursor has it; `restarts` counts how often it began anew."""

    offset: int
    topic_id: str
    restarts: int = 0


def new_offsets(source: KafkaSource, topic: Topic, cursors: Mapping[str, Mapping[str, Any]]) -> Found:
    """The slices after the stored cursors, partition by partition, and what was lost before them.

    Raises:
        SourceRefusedError: messages are gone that were not read, and the stream does not say to go on.
    """
    slices: list[Slice] = []
    skipped: list[Skipped] = []
    for partition, bounds in sorted(topic.partitions.items()):
        name = f"{source.topic}/{partition}"
        stored = cursors.get(name)
        position = _Position(**stored) if stored else _Position(bounds.first, topic.id)
        if lost := _lost(position, topic.id, bounds):
            skipped.append(_told(source, partition, lost))
            position = _resumed(position, topic.id, bounds)
        slices += _slices(name, position, bounds.end)
    return Found(slices, skipped)


def past_offsets(
    source: KafkaSource,
    topic: Topic,
    past: Past,
    bounds: tuple[Mapping[int, int], Mapping[int, int]],
    cursors: Mapping[str, Mapping[str, Any]],
) -> Found:
    """The slices of a time, as far as they were not read when it was asked for before.

    Args:
        source: the stream's.
        topic: as it is now.
        past: the time.
        bounds: the first offsets at its start and at its end, by partition.
        cursors: the stored ones. Each time has its own, and slices of their own, so that none is taken for another
            of a topic that had this name before.
    """
    slices: list[Slice] = []
    for partition, now in sorted(topic.partitions.items()):
        name = f"{source.topic}/{partition}"
        start = max(bounds[0].get(partition, now.end), now.first)
        position = _Position(start, topic.id)
        if stored := cursors.get(f"{name}@{past.name}"):
            read = _Position(**stored)
            again = _is_another(read, topic.id)
            position = _Position(start if again else max(start, read.offset), topic.id, read.restarts + again)
        slices += _slices(name, position, min(bounds[1].get(partition, now.end), now.end), past)
    return Found(slices)


def unread_offsets(source: KafkaSource, topic: Topic, cursors: Mapping[str, Mapping[str, Any]]) -> int:
    """How many offsets come after the stored cursors; what was lost before them is not counted."""
    count = 0
    for partition, bounds in topic.partitions.items():
        stored = cursors.get(f"{source.topic}/{partition}")
        position = _Position(**stored) if stored else _Position(bounds.first, topic.id)
        if _lost(position, topic.id, bounds):
            position = _resumed(position, topic.id, bounds)
        count += bounds.end - position.offset
    return count


def _lost(position: _Position, topic_id: str, bounds: Bounds) -> str | None:
    """What is gone that was not read; None if nothing is."""
    if _is_another(position, topic_id):
        return "the topic was deleted and made anew since it was read"
    if position.offset > bounds.end:
        return f"it was read up to offset {position.offset}, and ends at {bounds.end}: the topic was truncated"
    if position.offset < bounds.first:
        return f"the messages from offset {position.offset} to {bounds.first - 1} were deleted before they were read"
    return None


def _is_another(position: _Position, topic_id: str) -> bool:
    return bool(position.topic_id and topic_id) and position.topic_id != topic_id


def _resumed(position: _Position, topic_id: str, bounds: Bounds) -> _Position:
    """Where reading goes on; offsets that may be counted again get uris of their own."""
    is_again = _is_another(position, topic_id) or position.offset > bounds.end
    return _Position(bounds.first, topic_id, position.restarts + is_again)


def _told(source: KafkaSource, partition: int, lost: str) -> Skipped:
    place = f"{source.place}/{partition}"
    if source.on_lost == "fail":
        raise SourceRefusedError(
            f"{place}: {lost}. Fix: set source.on_lost to resume_at_earliest, to go on with the first message there "
            "is; what was read before stays."
        )
    return Skipped(place, f"{lost}; reading goes on with the first message there is")


def _slices(name: str, position: _Position, end: int, past: Past | None = None) -> Iterator[Slice]:
    again = f"{position.restarts}:" if position.restarts else ""
    place, cursor = (f"past={past.name}:{again}", f"{name}@{past.name}") if past else (again, name)
    for start in range(position.offset, end, SLICE_OFFSETS):
        to = min(start + SLICE_OFFSETS, end)
        after = {"offset": to, "topic_id": position.topic_id, "restarts": position.restarts}
        yield Slice(f"kafka://{name}/{place}{start:020}-{to:020}", "fixed", None, Cursor(cursor, after))
