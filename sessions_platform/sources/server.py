"""What every source does that is a server and no files: its slices come after stored cursors.

Not here: what its file states (`contracts.server_source`), how long it is waited for (`patience`), what its errors
mean to whoever runs it (`errors`), and how its records become raw rows (`messages`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from sessions_platform.sources.base import NO_CURSORS, Cursors, Found, Quarantine, Reading, Slice


class ServerRecords(ABC):
    """A source whose slices state no landing partition: it is that of the run that reads them.

    It keeps the protocol `sources.base.Source`, and says what it skips (`sources.base.Searching`).
    """

    @abstractmethod
    def search(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> Found:
        """The slices after the stored cursors, in order, and what was skipped."""

    @abstractmethod
    def read(self, slice_: Slice, quarantine: Quarantine) -> Reading:
        """A reading of a slice that `search` has found."""

    def find(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> list[Slice]:
        """The slices as by `search`."""
        return list(self.search(landing_partitions, cursors).slices)

    def partition_of(self, uri: str) -> str | None:  # noqa: ARG002
        """None: no uri states a landing partition."""
        return None
