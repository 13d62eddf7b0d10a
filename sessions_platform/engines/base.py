"""The protocol of an engine, and of the context that it may use.

An engine reads the accepted events of the lake and computes sessions. It writes no table and no
ledger row: ``pipeline.sessionize`` stores what it yields, so that every engine's results are
published in the same transaction and under the same versions. Two engines given the same landing
versions must yield the same rows: those of ``transforms.reference_sessionizer``. To add an engine, see
``engines.registry``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import polars as pl

from sessions_platform.contracts.stream import Stream
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.sessionize import Sessionized

if TYPE_CHECKING:
    from sessions_platform.storage.lake.spill import Spill


class EngineContext(Protocol):
    """What an engine may use; ``pipeline.context.StreamContext`` is one."""

    @property
    def stream(self) -> Stream: ...

    @property
    def lake(self) -> Lake: ...

    @property
    def memory(self) -> MemoryBudget:
        """How many bytes of rows may be in memory together."""
        ...

    @property
    def spark(self) -> str:
        """The master or Connect server of Spark, as `SESSIONS_SPARK` states it."""
        ...

    def spill(self, schema: Mapping[str, pl.DataType], buckets: int = 1, by: pl.Expr | None = None) -> "Spill":
        """Storage on disk for rows with these columns, divided into buckets by the hash `by` (UInt64)."""
        ...

    def buckets_for(self, size: int) -> int:
        """How many buckets `size` bytes of rows need; at least one."""
        ...


class SessionEngine(Protocol):
    """Computes the sessions of one stream. ``engines.registry.open_engine`` makes one for a context."""

    def batches(self, partitions: list[str], landings: Sequence[LandingVersion]) -> Iterator[list[str]]:
        """Divide neighbouring session partitions into batches that one call of ``sessionize`` computes.

        Args:
            partitions: keys of session partitions, ascending, without a gap; at least one.
            landings: the published landing partitions of one snapshot.

        Yields:
            Every key once, in order; no batch is empty. An engine may compute all of them before the first, and keep
            the results until the last one was taken.
        """
        ...

    def sessionize(self, partitions: Sequence[str], landings: Sequence[LandingVersion]) -> Iterator[Sessionized]:
        """Compute all sessions that start in a batch of session partitions.

        Args:
            partitions: a batch that ``batches`` made.
            landings: the same as for ``batches``. Events that continue a session lie in any of them,
                also beyond the partitions' own window.

        Yields:
            The result in parts, each with whole sessions; a session's events are together and in
            ``time_order``. A part is taken only after the one before it was stored.
        """
        ...
