"""What targets share whose tables are committed one after another, each with a token of its own.

Not here: how one table is committed, which is the format's (`delta_tables.py`, `iceberg_tables.py`).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator

import stamina

from sessions_platform.storage.warehouses.base import Config, Target

_OVERTAKEN = 10  # times that a commit is made again


class TableByTable(Target[Config]):
    """A target whose delivery is complete when its last table is committed."""

    @abstractmethod
    def _tokens(self) -> list[int]:
        """The token of each table, 0 where it is not there."""

    def token(self) -> int:
        return min(self._tokens())

    def is_unfinished(self) -> bool:
        """Whether one table has a delivery that another has not."""
        return len(set(self._tokens())) > 1

    def _committed(
        self, commit: Callable[[str], None], overtaken: type[Exception] | tuple[type[Exception], ...]
    ) -> Iterator[str]:
        """Commit each table, again where another commit was first, and yield its name."""
        for table in reversed(list(self.tables)):  # sessions, which come first, last: they are then complete
            for attempt in stamina.retry_context(
                on=overtaken, attempts=_OVERTAKEN, wait_initial=0.05, wait_max=2, timeout=None
            ):
                with attempt:
                    commit(table)
            yield table
