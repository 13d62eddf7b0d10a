"""Where raw rows come from: the one protocol that every source keeps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import polars as pl


@dataclass(frozen=True)
class LandingFile:
    """A file that a source has found. `uri` names it for ever, whatever it holds.

    `fingerprint` changes whenever the content may have changed, and is cheap to take.
    `landing_partition` is None where the place does not tell: such a file belongs to
    the landing partition that first saw it.
    """

    uri: str
    fingerprint: str
    landing_partition: str | None


class Unreadable(Exception):
    """The rest of a file is no data of its format; the message is a sentence that says why."""


class Reading(Protocol):
    """One pass over a file's rows. `digest` (SHA-256, hex) is of the bytes that were read, once all were."""

    digest: str

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Blocks of raw rows: position, payload, header, unreadable, as contracts.raw has them."""
        ...


class Source(Protocol):
    def find(self, landing_partitions: Iterable[str] | None = None) -> list[LandingFile]:
        """The files that are there now, by uri; of these landing partitions, or all. Undated ones always."""
        ...

    def read(self, file: LandingFile) -> Reading: ...

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a file's name tells, whether it is there or not; None where it tells none."""
        ...
