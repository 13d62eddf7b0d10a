"""The protocol that every source of raw records keeps, and the words it is stated in.

A source finds slices and reads each into blocks of raw rows. What belongs here is what the pipeline
may ask of any source. Not here: which sources there are and how a stream's file configures them
(`contracts.sources`), how a stream gets its own (`sources.registry`), how records are split and
decoded (`sources.formats`), and what has been read already (`storage.ledger`).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import polars as pl

# Stores the bytes of a slice that can't be read, or has no rows, and returns their path; equal bytes have one path.
Quarantine = Callable[[Iterable[bytes]], str]

# The stored position of each of a source's cursors, by name.
Cursors = Mapping[str, Mapping[str, Any]]
NO_CURSORS: Cursors = MappingProxyType({})

# The column with the time that a source says of each record (`SaysTimes`).
SOURCE_TIME = "source_time"

# Between the uri of an archive and the name of a member, as in Java's URLs of jar files.
IN_ARCHIVE = "!/"

# What ends the name of a file that is still being written.
UNFINISHED = (".tmp", ".part", "~")


def is_unfinished(name: str) -> bool:
    """Whether a file's name is of one that is hidden or still being written."""
    return name.startswith(".") or name.lower().endswith(UNFINISHED)


class Cursor(NamedTuple):
    """How far a part of a source has been read: `name` names the part, `position` is JSON that only the source reads.

    As in ``Cursor("orders/0", {"offset": 1200})``. The ledger stores it in the transaction that records the slice.
    """

    name: str
    position: Mapping[str, Any]


class Extent(NamedTuple):
    """Where in a file that may go on growing the rows of a slice lie, and which of them are settled.

    A row is settled once no text that is appended can change it: it has its line end, and no quote is open. All
    numbers count from the file's beginning, so that the next slice of the file begins where `settled_*` says.

    Attributes:
        first_row, first_byte: how many rows and bytes of the file are before the slice.
        read_bytes: how long the file was when it was read.
        settled_rows, settled_bytes: how many rows are settled, and where the last of them ends.
        settled_digest: SHA-256 of the file's bytes up to there, hex.
    """

    first_row: int
    first_byte: int
    read_bytes: int
    settled_rows: int
    settled_bytes: int
    settled_digest: str


class Span(NamedTuple):
    """Which rows of a growing file a slice is: those after `first_row` and `first_byte`, up to the byte `end`.

    `end` is None where it is the end of the file.
    """

    first_row: int = 0
    first_byte: int = 0
    end: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return self.end is not None and self.end <= self.first_byte


# Between the uri of a growing file and the landing partition in which a later slice of it was found.
FROM = "#from="


def file_uri(uri: str) -> str:
    """The uri of the file that a slice is part of."""
    return uri.partition(FROM)[0]


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a source that is read as a whole: a file, or a range of offsets.

    Attributes:
        uri: names the slice permanently, whatever it contains: ``landing/a.ndjson``, ``kafka://orders/0/100-200``.
        fingerprint: changes whenever the content may have changed, and is cheap to take; constant for a range of
            offsets, whose content can't change. A slice is read when its fingerprint isn't the recorded one.
        landing_partition: where its rows belong; None where the slice doesn't state it: it then belongs to the
            newest of the landing partitions that are being ingested when `find` first returns it.
        cursor: where the source continues once this slice is recorded; None for a source that needs none, such as
            files. A slice with a cursor has no landing partition, so that no slice before the cursor is left behind.
        span: of a growing file the rows that are meant; None for all of it.

    Raises:
        ValueError: it has both a landing partition and a cursor.
    """

    uri: str
    fingerprint: str
    landing_partition: str | None
    cursor: Cursor | None = None
    span: Span | None = None

    def __post_init__(self) -> None:
        if self.cursor is not None and self.landing_partition is not None:
            raise ValueError(f"{self.uri}: a slice with a cursor can't state its landing partition")


# Ends the part of a fingerprint that says of which state the content is; behind it is how it was divided into rows.
_DIVIDED = ":"


def divided_as(options: Mapping[str, Any]) -> str:
    """What ends a fingerprint of content that these options divide into rows; any JSON."""
    return _DIVIDED + hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]


def divided_alike(recorded: str | None, fingerprint: str) -> bool:
    """Whether content of this fingerprint is divided into rows as it was when the recorded one was.

    Fingerprints from before this was part of them count as alike.
    """
    before = (recorded or "").partition(_DIVIDED)[2]
    return not before or before == fingerprint.partition(_DIVIDED)[2]


class Skipped(NamedTuple):
    """What looks like a slice and can't be read as one, such as a link that leads nowhere; `place` is for people."""

    place: str
    reason: str


class ReadWarning(NamedTuple):
    """A doubt about a slice that was read, as whether its encoding is the one that the stream states."""

    uri: str
    text: str


class Found(NamedTuple):
    """The slices that exist now, as `Source.find` returns them, and what was skipped on the way, by place."""

    slices: Sequence[Slice]
    skipped: Sequence[Skipped] = ()


class Reading(Protocol):
    """One pass over a slice's rows. Its attributes are final once all blocks have been taken.

    `digest` (SHA-256, hex) is of the bytes that were read. `text_bytes` is the total size of payloads and line
    terminators where no byte was lost; None where rows are not parts of a text, or where the text broke off.
    """

    digest: str
    text_bytes: int | None

    def __iter__(self) -> "Iterator[pl.DataFrame]":
        """Blocks of raw rows: the columns of RAW_EVENTS but landing_partition and source_uri.

        `position` counts from 1 through the slice. `preamble`, `line_terminator` and `header` describe rows of a
        text file; a source whose records are messages of their own leaves them null.
        """
        ...


@runtime_checkable
class Unpacking(Protocol):
    """The optional capability of a reading to tell packings of one text from different texts.

    `text_digest` (SHA-256, hex) is of the text that a compressed slice unpacks to, and final once all blocks have been
    taken; it is the digest of the bytes where a slice isn't compressed, or its text could not be read to its end.
    """

    text_digest: str


def text_digest_of(reading: Reading) -> str:
    """The digest of what a reading has unpacked; that of the bytes where it does not unpack anything."""
    return reading.text_digest if isinstance(reading, Unpacking) else reading.digest


@runtime_checkable
class Extending(Protocol):
    """The optional capability of a reading to say where in a growing file its rows lie; final like `text_digest`.

    None where the file can't be taken up again amid its text, as where it is compressed.
    """

    extent: Extent | None


def extent_of(reading: Reading) -> Extent | None:
    """Where the rows of a reading lie, if it can be taken up again where it ended."""
    return reading.extent if isinstance(reading, Extending) else None


@runtime_checkable
class KeepsFields(Protocol):
    """The optional capability of a reading to leave payloads to be made later of the rows' fields.

    Attributes:
        keeps_fields: False unless it is set before the first block is taken. Then blocks of a file with types may have
            fields (`contracts.raw_events`), and null instead of payloads.
    """

    keeps_fields: bool


@runtime_checkable
class SaysTimes(Protocol):
    """The optional capability of a reading to say the time that the source has of each record.

    Attributes:
        says_times: False unless it is set before the first block is taken. Then blocks have the column SOURCE_TIME
            (Datetime, us, UTC) as well, null where the source says none.
    """

    says_times: bool


@runtime_checkable
class Warns(Protocol):
    """The optional capability of a reading to tell a doubt about what it has read; sentences."""

    warnings: Sequence[str]


class Source(Protocol):
    """Where a stream's raw records come from."""

    def find(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> list[Slice]:
        """The slices that exist now.

        Args:
            landing_partitions: only slices of these, and those that state none; None for all.
            cursors: the stored positions. A source with cursors returns what comes after them.

        Returns:
            Slices in the order in which they are to be read: with cursors by position, else by uri.
        """
        ...

    def read(self, slice_: Slice, quarantine: Quarantine) -> Reading:
        """A reading of a slice that `find` returned. Iterating it raises FileNotFoundError where it vanished."""
        ...

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a uri states, whether its slice exists or not; None where it states none."""
        ...


@runtime_checkable
class FileLanding(Protocol):
    """The optional capability of a source to read files that are put into its landing folders."""

    def path_of(self, uri: str) -> Path:
        """The path of a slice."""
        ...

    def uri_of(self, path: Path) -> str:
        """The uri of the slice at a path."""
        ...

    def partition_of_name(self, name: str) -> str | None:
        """The landing partition that a file's name states by itself; None where it states none."""
        ...

    def uris_at(self, path: Path) -> list[str]:
        """The uris of all slices at a path: of an archive, its own and those of its members."""
        ...

    def opened(self, uri: str) -> FileIO:
        """The bytes of a slice. Raises OSError where there is none."""
        ...

    def is_archived(self, slice_: Slice) -> bool:
        """Whether a slice is an archive or a member of one, which is not replaced alone."""
        ...

    def finds(self, path: Path) -> bool:
        """Whether `find` returns a file at an absolute path, once there is one."""
        ...

    def name_for(self, stem: str, partition_key: str) -> str:
        """A name of this stem by which `find` finds a file of a landing partition, for content that has no name."""
        ...

    def landing_path(self, name: str, partition_key: str | None = None) -> Path:
        """Where to put a file of this name, for `find` to return it. Raises UserError where it never would."""
        ...


@runtime_checkable
class Growing(Protocol):
    """The optional capability of a source to have slices that go on growing, and to read spans of them."""

    @property
    def may_grow(self) -> bool:
        """Whether what is appended to its files later may be a slice of its own."""
        ...

    def beginnings(self, uri: str, sizes: Sequence[int]) -> tuple[list[str | None], int]:
        """The SHA-256 (hex) of the first so many bytes of a file, and its size now.

        Args:
            uri: of the file.
            sizes: in rising order. Of one that is longer than the file the digest is None.

        Raises:
            OSError: there is no such file now.
        """
        ...


@runtime_checkable
class Searching(Protocol):
    """The optional capability of a source to say what it skips; its `find` returns the slices alone."""

    def search(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> Found:
        """The slices as by `Source.find`, and what was skipped."""
        ...


@runtime_checkable
class Locating(Protocol):
    """The optional capability of a source that finds nothing to say what lies near the place where it looks."""

    def is_empty(self) -> bool:
        """Whether `find` would return nothing; it looks no further than the first slice."""
        ...

    def near(self) -> str:
        """A sentence: where slices are looked for, what is there instead, and what to do."""
        ...


@runtime_checkable
class InRounds(Protocol):
    """The optional capability of a source whose slices are known only once they were asked for, as pages are."""

    def has_more(self) -> bool:
        """Whether the last `find` left slices for another one, which is to follow once those it found are recorded."""
        ...


class Past(NamedTuple):
    """A time that a source is asked for: from `start` on and before `end` (UTC); `name` is that of its partition."""

    name: str
    start: datetime
    end: datetime


@runtime_checkable
class KnowsPast(Protocol):
    """The optional capability of a source to find the records of a time by its own clock, be they read or not."""

    def search_past(self, past: Past, cursors: Cursors) -> Found:
        """The slices of that time which are new since it was asked for last, with cursors of their own.

        They move no cursor of `Source.find`. Where `InRounds.has_more` says so, others follow.
        """
        ...


@runtime_checkable
class FetchesAhead(Protocol):
    """The optional capability of a source to fetch a slice while the one before it is worked on."""

    def will_read(self, slices: Sequence[Slice]) -> None:
        """These slices, which `find` returned, are read next, in this order. Others may be, or none."""
        ...


def will_read(source: "Source", slices: Sequence[Slice]) -> None:
    """As of `FetchesAhead`; nothing of another source."""
    if isinstance(source, FetchesAhead):
        source.will_read(slices)


@runtime_checkable
class CountsUnread(Protocol):
    """The optional capability of a source to say, without reading them, how many records were not read."""

    def unread(self, cursors: Cursors, most: int) -> int | None:
        """How many records come after the stored positions; `most` if there are more. None where it can't be said."""
        ...


@runtime_checkable
class SaysDelay(Protocol):
    """The optional capability of a source to say for how long records have waited to be read, where it counts none."""

    def delay(self, cursors: Cursors) -> timedelta:
        """How long ago the oldest record came that is after the stored positions; zero if there is none."""
        ...


def delay(source: Source, cursors: Cursors) -> timedelta | None:
    """As of `SaysDelay`; None of a source that can't say it."""
    return source.delay(cursors) if isinstance(source, SaysDelay) else None


def unread(source: Source, cursors: Cursors, most: int) -> int | None:
    """As of `CountsUnread`; None of a source that can't say it."""
    return source.unread(cursors, most) if isinstance(source, CountsUnread) else None


def search(source: Source, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> Found:
    """The slices of any source, and what was skipped by one that says so; arguments as of `Source.find`."""
    if isinstance(source, Searching):
        return source.search(landing_partitions, cursors)
    return Found(source.find(landing_partitions, cursors))
