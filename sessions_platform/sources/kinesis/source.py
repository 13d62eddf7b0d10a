"""A Kinesis data stream as a source: what one request answers is a slice, whose cursor is the place in its shard.

Records are known only once they were asked for, so `search` asks for them, and keeps them until they are read: some
megabytes in each round. A run reads up to what there was when its last round began. The configuration is
`contracts.kinesis_source.KinesisSource`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec

from sessions_platform.contracts.kinesis_source import KinesisSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import Settings
from sessions_platform.sources.base import NO_CURSORS, Cursors, Found, Past, Quarantine, Skipped, Slice
from sessions_platform.sources.errors import SourceUnavailableError
from sessions_platform.sources.kinesis.aggregation import user_records
from sessions_platform.sources.kinesis.client import Answer, DataStream, Kinesis, KinesisClient, Record, Shard
from sessions_platform.sources.kinesis.shards import (
    PAST,
    Position,
    gone,
    lost,
    name_of,
    parents_first,
    positions,
)
from sessions_platform.sources.messages import Block, MessageReading
from sessions_platform.sources.server import ServerRecords

ROUND_BYTES = 8_000_000


def _now() -> datetime:
    return datetime.now(UTC)


class KinesisStream(ServerRecords):
    """The records of one data stream."""

    def __init__(
        self,
        stream: Stream,
        connect: Callable[[KinesisSource], Kinesis] = KinesisClient,
        now: Callable[[], datetime] = _now,
    ) -> None:
        assert isinstance(stream.source, KinesisSource)
        self._source, self._connect, self._now = stream.source, connect, now
        self._kept: dict[str, Sequence[Record]] = {}
        self._has_more = False

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "KinesisStream":  # noqa: ARG003
        """The implementation that `contracts.kinesis_source.KinesisSource` names."""
        return cls(stream)

    def search(
        self,
        landing_partitions: Iterable[str] | None = None,  # noqa: ARG002  records belong to whichever run reads them
        cursors: Cursors = NO_CURSORS,
    ) -> Found:
        """The next records, some megabytes of them, and what was lost before them."""
        kinesis, now = self._connect(self._source), self._now()
        stream, stored = kinesis.stream(), positions(self._source, cursors)
        skipped = dict(lost(self._source, stream, stored, now))
        return self._found(kinesis, _Round(self._source, stream, stored, skipped.keys(), now), skipped.values())

    def search_past(self, past: Past, cursors: Cursors) -> Found:
        """The records that arrived in that time, some megabytes of them.

        Each shard is read up to the first answer whose last record arrived later. Kinesis does not promise that times
        of arrival increase: a record of that time behind this answer is left to the regular reading.
        """
        kinesis, now = self._connect(self._source), self._now()
        stream, stored = kinesis.stream(), positions(self._source, cursors, past)
        round_ = _PastRound(self._source, stream, stored, past, now)
        return self._found(kinesis, round_, gone(self._source, stream, past, now))

    def delay(self, cursors: Cursors) -> timedelta:
        """For how long the oldest record has waited; each shard that may be read is asked for one record."""
        kinesis, now = self._connect(self._source), self._now()
        stream, stored = kinesis.stream(), positions(self._source, cursors)
        round_ = _Round(self._source, stream, stored, (), now)
        answers = [next(kinesis.answers(shard, after, most=1), None) for shard, after in round_.readable()]
        return max((_waited(answer, now) for answer in answers if answer), default=timedelta(0))

    def _found(self, kinesis: Kinesis, round_: "_Round", skipped: Iterable[Skipped]) -> Found:
        self._has_more = round_.read(kinesis, self._now)
        self._kept = round_.records
        return Found(round_.slices, list(skipped))

    def has_more(self) -> bool:
        """Whether the last `search` has left records for the next one."""
        return self._has_more

    def read(self, slice_: Slice, quarantine: Quarantine) -> "AnswerReading":  # noqa: ARG002
        """A reading of records that the last `search` has returned."""
        if slice_.uri not in self._kept:
            raise SourceUnavailableError(f"{slice_.uri} is kept no longer. Fix: run again.")
        return AnswerReading(self._source.stream, slice_.uri, self._kept[slice_.uri])


def _waited(answer: Answer, now: datetime) -> timedelta:
    """Since when the first record of an answer has waited; else how far behind the shard's end the answer was."""
    return max(now - answer.records[0].arrived, timedelta(0)) if answer.records else answer.behind


class _Round:
    """What one `search` reads: its slices, and the records of each by its uri."""

    def __init__(
        self,
        source: KinesisSource,
        stream: DataStream,
        stored: dict[str, Position],
        restarted: Iterable[str],
        now: datetime,
        past: Past | None = None,
    ) -> None:
        self.slices: list[Slice] = []
        self.records: dict[str, Sequence[Record]] = {}
        self._source, self._stream, self._now = source, stream, now
        self._positions, self._restarted, self._bytes = stored, set(restarted), 0
        self._past = past

    def read(self, kinesis: Kinesis, clock: Callable[[], datetime]) -> bool:
        """Read all shards as far as they may be read; whether there is more than one round reads."""
        self._end_expired()
        for shard in parents_first(self._stream.shards):
            position = self._position(shard.id)
            if not self._may_be_read(shard):
                continue
            since = self._past.start if self._past else None
            for answer in map(self._of_time, kinesis.answers(shard.id, position.after, since)):
                position = self._add(shard, position, answer)
                if self._bytes >= ROUND_BYTES:
                    return True
                if position.is_ended:
                    break
                if not shard.is_closed and answer.behind <= clock() - self._now:
                    break
            self._refresh(shard.id, position)
        return False

    def readable(self) -> Iterator[tuple[str, int | None]]:
        """The shards that may be read now, and the sequence number behind which each is."""
        return ((shard.id, self._position(shard.id).after) for shard in self._stream.shards if self._may_be_read(shard))

    def _may_be_read(self, shard: Shard) -> bool:
        """Whether it has not ended, and its parents have."""
        listed = {each.id for each in self._stream.shards}
        waits = any(parent in listed and not self._position(parent).is_ended for parent in shard.parents)
        return not waits and not self._position(shard.id).is_ended

    def _of_time(self, answer: Answer) -> Answer:
        """What of an answer is asked for."""
        return answer

    def _position(self, shard: str) -> Position:
        stored = self._positions.get(shard)
        if stored is not None and stored.created == self._stream.created:
            return stored
        restarts = 0 if stored is None else stored.restarts + 1
        return Position(self._stream.created, self._now.isoformat(), restarts=restarts)

    def _add(self, shard: Shard, position: Position, answer: Answer) -> Position:
        """Make a slice of an answer that says anything; the position after it."""
        records = answer.records
        if not records and not answer.is_end:
            return position
        last = str(records[-1].sequence_number) if records else position.sequence_number
        read_at = (self._now - answer.behind).isoformat()
        after = replace(position, sequence_number=last, read_at=read_at, is_ended=answer.is_end)
        first = records[0].sequence_number if records else position.after or 0
        self._slice(shard.id, after, f"{first:056}-{int(last or 0):056}{'' if records else '-end'}", records)
        self._bytes += sum(len(record.data) for record in records)
        return after

    def _refresh(self, shard: str, position: Position) -> None:
        """Store that a shard was read though it has nothing new, before it looks as if it had not been read."""
        unread = self._now - datetime.fromisoformat(position.read_at)
        if not position.is_ended and (unread > self._stream.retention / 2 or self._is_still_lost(shard)):
            after = replace(position, read_at=self._now.isoformat())
            self._slice(shard, after, f"{position.after or 0:056}-read-at-{after.read_at}", ())

    def _is_still_lost(self, shard: str) -> bool:
        """Whether its stored position says so still, since there was nothing to read."""
        name = name_of(self._source, shard)
        return shard in self._restarted and all(one.cursor and one.cursor.name != name for one in self.slices)

    def _end_expired(self) -> None:
        """Shards that are gone have ended."""
        listed = {shard.id for shard in self._stream.shards}
        for shard in sorted(self._restarted - listed):
            self._slice(shard, replace(self._positions[shard], is_ended=True), "expired", ())

    def _slice(self, shard: str, after: Position, what: str, records: Sequence[Record]) -> None:
        name = name_of(self._source, shard, self._past)
        again = f"{after.restarts}:" if after.restarts else ""
        uri = f"kinesis://{name}/{again}{what}"
        self._positions[shard], self.records[uri] = after, records
        self.slices.append(Slice(uri, "fixed", None, after.cursor(name)))


class _PastRound(_Round):
    """What one `search_past` reads. A shard ends here with the first answer whose last record arrived too late."""

    def __init__(
        self, source: KinesisSource, stream: DataStream, stored: dict[str, Position], past: Past, now: datetime
    ) -> None:
        super().__init__(source, stream, stored, (), now, past)
        self._end = past.end

    def _of_time(self, answer: Answer) -> Answer:
        """An answer without records that arrived later. It is the shard's end if its last one did."""
        is_over = bool(answer.records) and answer.records[-1].arrived >= self._end
        records = [record for record in answer.records if record.arrived < self._end]
        return Answer(records, answer.behind, answer.is_end or is_over)

    def _refresh(self, shard: str, position: Position) -> None:
        """Nothing: it is asked for once more, or not."""


class AnswerReading(MessageReading):
    """One pass over the records of a slice; aggregated ones are unpacked."""

    def __init__(self, stream: str, uri: str, records: Sequence[Record]) -> None:
        super().__init__(uri)
        self._stream, self._records = stream, records
        self._shard = uri.split("/")[3].partition(PAST)[0]

    def blocks(self) -> Iterator[Block]:
        """All records at once."""
        rows = [row for record in self._records for row in self._rows(record)]
        if rows:
            payloads, headers, times = zip(*rows, strict=True)
            yield Block(payloads, lambda: times, headers)

    def _rows(self, record: Record) -> Iterator[tuple[bytes, bytes, datetime]]:
        """The payload, the envelope and the time of arrival of each record in a record."""
        place = {
            "stream": self._stream,
            "shard": self._shard,
            "sequence_number": str(record.sequence_number),
            "timestamp": round(record.arrived.timestamp() * 1000),
        }
        for number, (key, data) in enumerate(user_records(record.partition_key, record.data)):
            header = msgspec.json.encode({**place, "sub_sequence_number": number, "partition_key": key})
            yield data, header, record.arrived
