"""Where raw rows come from: the one protocol that every source keeps."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

# Copies the bytes of a file to where they stay, and says where: the same place for the same bytes.
Quarantine = Callable[[Iterable[bytes]], str]


@dataclass(frozen=True)
class Cursor:
    """How far a source has been read: `position` is JSON that only the source understands, `name` says of what.

    As in ``Cursor("orders/0", {"offset": 1200})``. The ledger stores it in the transaction that records the slice.
    """

    name: str
    position: Mapping[str, Any]


@dataclass(frozen=True)
class Slice:
    """A file that a source has found. `uri` names it for ever, whatever it holds.

    `fingerprint` changes whenever the content may have changed, and is cheap to take.
    `landing_partition` is None where the place does not tell: such a file belongs to
    the landing partition that first saw it.
    """

    uri: str
    fingerprint: str
    landing_partition: str | None
    cursor: Cursor | None = None  # where the source goes on once this slice is recorded; None where it needs none


class Reading(Protocol):
    """One pass over a file's rows. What it says of itself holds once all blocks were taken.

    `digest` (SHA-256, hex) is of the bytes that were read. `text_bytes` is what payloads and
    line ends add up to where no byte was lost; None where rows are no pieces of a text, or
    the file broke off.
    """

    digest: str
    text_bytes: int | None

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Blocks of raw rows, as contracts.raw has them, but for landing_partition and source_uri."""
        ...


class Source(Protocol):
    def find(self, landing_partitions: Iterable[str] | None = None) -> list[Slice]:
        """The files that are there now, by uri; of these landing partitions, or all. Undated ones always."""
        ...

    def read(self, file: Slice, keep: Quarantine) -> Reading: ...

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a file's name tells, whether it is there or not; None where it tells none."""
        ...
