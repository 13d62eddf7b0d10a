"""Raw rows of records that are no parts of a file: rows of a table, messages, elements of a page."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.scanner.library import scanner
from sessions_platform.sources.base import SOURCE_TIME

# The compiled library is asked for no fewer: it would take longer than Python does.
MIN_RECORDS = 100

_OF_SLICE = [name for name in RAW_EVENTS if name not in ("landing_partition", "source_uri")]
_TIME = pl.Datetime("us", "UTC")
Times = Sequence[datetime | None]


class MessageDigest:
    """A digest of records that tells where each of them ends."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, payloads: Sequence[bytes]) -> Sequence[bytes] | pl.Series:
        """Add further records, and return them: as a column (Binary), where that costs nothing."""
        library = scanner() if len(payloads) >= MIN_RECORDS else None
        if library and (framed := library.framed(payloads)):
            text, column = framed
            self._digest.update(text)
            return column
        parts = [b""] * (2 * len(payloads))
        parts[::2] = [b"%d\n" % size for size in map(len, payloads)]
        parts[1::2] = payloads
        self._digest.update(b"".join(parts))
        return payloads

    def hexdigest(self) -> str:
        """SHA-256, hex."""
        return self._digest.hexdigest()


def digest_of(payloads: Sequence[bytes]) -> str:
    """The digest of these records."""
    digest = MessageDigest()
    digest.add(payloads)
    return digest.hexdigest()


@dataclass(frozen=True)
class Block:
    """Some records of a reading.

    Attributes:
        payloads: of each record.
        times: makes the source's time of each, where that is wanted.
        headers: the envelope of each, if it has one.
        positions: of each in its slice, if they do not follow each other.
        values: of each, as it was sent, where payloads are made of them; the digest is of these.
    """

    payloads: Sequence[bytes]
    times: Callable[[], Times] | None = None
    headers: Sequence[bytes] | pl.Series | None = None
    positions: Sequence[int] | None = None
    values: Sequence[bytes] | None = None

    def rows(self, payloads: Sequence[bytes] | pl.Series, first: int, *, with_times: bool) -> pl.DataFrame:
        """As raw rows (see `sources.base.Reading`), with these payloads.

        Columns are put together without expressions, whose evaluation takes longer than all else of a block.

        Args:
            payloads: one or more.
            first: the position of the first row, where they follow each other.
            with_times: whether there is a column SOURCE_TIME, too.
        """
        height = len(payloads)
        positions = range(first, first + height) if self.positions is None else self.positions
        given = {"position": positions, "payload": payloads, "header": self.headers}
        columns = [_column(name, given.get(name), height) for name in _OF_SLICE]
        if with_times:
            times = self.times() if self.times else [None] * height
            columns.append(pl.Series(SOURCE_TIME, times, dtype=_TIME))
        return pl.DataFrame(columns)


def _column(name: str, values: "Sequence[Any] | pl.Series | None", height: int) -> pl.Series:
    """A column of RAW_EVENTS; of nulls where there are no values."""
    if values is None:
        return pl.Series(name, [None], dtype=RAW_EVENTS[name]).new_from_index(0, height)
    return pl.Series(name, values, dtype=RAW_EVENTS[name])


class MessageReading(ABC):
    """One pass over records (see `sources.base.Reading`, and `SaysTimes`).

    Args:
        place: of which the digest is, too, where records of the same bytes at another place are others.
    """

    text_bytes: int | None = None

    def __init__(self, place: str = "") -> None:
        self.digest = ""
        self.says_times = False
        self._place = place

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """The records, in order."""

    def __iter__(self) -> Iterator[pl.DataFrame]:
        read, first = MessageDigest(), 1
        if self._place:
            read.add([self._place.encode()])
        for block in self.blocks():
            records = block.payloads if block.values is None else block.values
            added = read.add(records)
            payloads = added if records is block.payloads else block.payloads
            yield block.rows(payloads, first, with_times=self.says_times)
            first += len(block.payloads)
        self.digest = read.hexdigest()


class PayloadReading(MessageReading):
    """One pass over records that come one by one, in blocks of about `block_bytes`.

    Args:
        block_bytes: how large a block is.
        time_field: the name of the field of each record that is its source's time; None if there is none.
    """

    def __init__(self, block_bytes: int, time_field: str | None = None) -> None:
        super().__init__()
        self._block_bytes, self._time_field = block_bytes, time_field

    @abstractmethod
    def payloads(self) -> Iterator[bytes]:
        """The records, in order."""

    def blocks(self) -> Iterator[Block]:
        """The records, in blocks."""
        block: list[bytes] = []
        size = 0
        for payload in self.payloads():
            block.append(payload)
            size += len(payload)
            if size >= self._block_bytes:
                yield self._block(block)
                block, size = [], 0
        if block:
            yield self._block(block)

    def _block(self, payloads: list[bytes]) -> Block:
        field = self._time_field
        return Block(payloads, (lambda: times_in(payloads, [field])) if field is not None else None)


def times_in(payloads: Sequence[bytes], keys: Sequence[str]) -> Times:
    """The time in a field of each record, ISO 8601; without an offset it is in UTC. None where it is no time."""
    return [_moment(value_in(payload, keys)) for payload in payloads]


def value_in(payload: bytes, keys: Sequence[str]) -> Any:
    """The value to which these keys lead, of a JSON object; None where there is none."""
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # it is rejected later on, with the reason
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None
