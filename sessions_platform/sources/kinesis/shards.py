"""Where reading stands in the shards of a data stream, which of them may be read, and what is lost.

A shard that was split, or merged with another, is read to its end before its children are. Not here: the requests
(`client`), and how records become slices (`source`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sessions_platform.contracts.kinesis_source import KinesisSource
from sessions_platform.sources.base import Cursor, Past, Skipped
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.kinesis.client import DataStream, Shard


@dataclass(frozen=True)
class Position:
    """How far a shard was read, as its cursor has it.

    Attributes:
        created: of the data stream.
        read_at: when all records that there were then had been read.
        sequence_number: of the last record that was read; None if there was none.
        is_ended: whether the shard is closed, and read to its end; or to the end of a time that is past.
        restarts: how often a data stream of the same name began anew.
    """

    created: str
    read_at: str
    sequence_number: str | None = None
    is_ended: bool = False
    restarts: int = 0

    @property
    def after(self) -> int | None:
        """The sequence number as a number."""
        return None if self.sequence_number is None else int(self.sequence_number)

    def cursor(self, name: str) -> Cursor:
        """The cursor with this name that says so."""
        return Cursor(name, asdict(self))


# Between the name of a shard and that of a landing partition, in cursors of its time alone.
PAST = "@"


def name_of(source: KinesisSource, shard: str, past: Past | None = None) -> str:
    """The name of a shard's cursor; that of its own which a time that is past has."""
    return f"{source.stream}/{shard}{PAST}{past.name}" if past else f"{source.stream}/{shard}"


def positions(
    source: KinesisSource, cursors: Mapping[str, Mapping[str, Any]], past: Past | None = None
) -> dict[str, Position]:
    """The stored positions, by shard; not those of a Kafka topic of the same name that the stream read before."""
    begin, of = f"{source.stream}/", past.name if past else ""
    places = {name.removeprefix(begin).partition(PAST): at for name, at in cursors.items() if name.startswith(begin)}
    return {shard: Position(**at) for (shard, _, name), at in places.items() if name == of and "created" in at}


def parents_first(shards: Sequence[Shard]) -> Iterator[Shard]:
    """The shards, each behind its parents, as far as these are listed."""
    by_id = {shard.id: shard for shard in shards}
    seen: set[str] = set()

    def with_parents(shard: Shard) -> Iterator[Shard]:
        if shard.id not in seen:
            seen.add(shard.id)
            for parent in shard.parents:
                if parent in by_id:
                    yield from with_parents(by_id[parent])
            yield shard

    for shard in sorted(shards, key=lambda each: each.id):
        yield from with_parents(shard)


def lost(
    source: KinesisSource, stream: DataStream, stored: Mapping[str, Position], now: datetime
) -> Iterator[tuple[str, Skipped]]:
    """The shards of which records may be gone that were not read, and what is said of each.

    Raises:
        SourceRefusedError: there are any, and the stream does not say to go on.
    """
    listed = {shard.id for shard in stream.shards}
    for shard, position in sorted(stored.items()):
        reason = _lost(position, stream, shard in listed, now)
        if reason is None:
            continue
        place = f"{source.place}/{shard}"
        if source.on_lost == "fail":
            raise SourceRefusedError(
                f"{place}: {reason}. Fix: set source.on_lost to resume_at_earliest, to go on with the first record "
                "there is; what was read before stays."
            )
        yield shard, Skipped(place, f"{reason}; reading goes on with the first record there is")


def _lost(position: Position, stream: DataStream, is_listed: bool, now: datetime) -> str | None:
    if position.created != stream.created:
        return "the data stream was deleted and made anew since it was read"
    if position.is_ended:
        return None
    if not is_listed:
        return "the shard has expired before it was read to its end"
    if now - datetime.fromisoformat(position.read_at) > stream.retention:
        hours = stream.retention // timedelta(hours=1)
        return f"it was read last at {position.read_at}, and records are kept for {hours} hours: some may be gone"
    return None


def gone(source: KinesisSource, stream: DataStream, past: Past, now: datetime) -> list[Skipped]:
    """What is said of a time from which records are no longer kept."""
    if past.start >= now - stream.retention:
        return []
    hours = stream.retention // timedelta(hours=1)
    kept = f"records are kept for {hours} hours: of {past.name} those that are older can't be read any more"
    return [Skipped(source.place, kept)]
