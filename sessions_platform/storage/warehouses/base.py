"""What a warehouse besides PostgreSQL has to offer.

PostgreSQL is the system of record: one transaction there loads sessions and records it in the ledger. Any further
warehouse is a target: `pipeline/deliver.py` delivers to it after sessions were loaded, reads back what it has
delivered, and records it in the ledger. A target is one file with one subclass of `Target`, whose keys are in
`contracts/targets.py`. Not here: which partitions are delivered, and when.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import polars as pl

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import TargetConfig
from sessions_platform.errors import UserError

PARTITION = "session_partition"
Columns = Mapping[str, pl.DataType]
Config = TypeVar("Config", bound=TargetConfig)


class TargetError(UserError):
    """A target can't be delivered to; the message says which, why, and the fix. It has no row and no secret."""


class LaterDeliveryError(TargetError):
    """A later delivery than this one has changed the target."""


@dataclass(frozen=True)
class Changes:
    """What one delivery changes: the rows of some session partitions.

    Attributes:
        token: a number that is greater for a later delivery.
        partitions: all partitions whose rows are replaced, sorted; of some there may be no rows any longer.
        rows: the new rows of a table's partition in frames of the table's columns; may be called several times.
    """

    token: int
    partitions: Sequence[str]
    rows: Callable[[str, str], Iterator[pl.DataFrame]]

    def rows_of(self, table: str) -> Iterator[pl.DataFrame]:
        """The new rows of all partitions of a table."""
        for partition in self.partitions:
            yield from self.rows(table, partition)


class Target(ABC, Generic[Config]):
    """A warehouse to which the sessions of one stream are delivered.

    Attributes:
        name: its name in the stream's file and in the ledger. A target of another name gets everything again.
        config: its keys.
        stream: whose sessions it gets.
        tables: the columns of each of its tables, with the types String, Int64, Float64, Boolean and UTC
            microseconds. Each table has the column `PARTITION`, without nulls.
    """

    def __init__(self, name: str, config: Config, stream: Stream, tables: Mapping[str, Columns]) -> None:
        self.name, self.config, self.stream, self.tables = name, config, stream, tables

    @property
    def shown(self) -> str:
        """How messages call it."""
        return f"{self.stream.name}: target {self.name} ({self.config.place})"

    def error(self, reason: str, fix: str) -> TargetError:
        """An error of this target; both are clauses without a full stop."""
        return TargetError(f"{self.shown}: {reason}. Fix: {fix}.")

    def require_own(self, stream: str, token: int, delivering: int) -> None:
        """Refuse to deliver where another stream's sessions are, or those of a later delivery.

        Args:
            stream: whose sessions the target has.
            token: of the delivery that made them.
            delivering: the token of this delivery.
        """
        if stream != self.stream.name:
            raise self.error(f"it has the sessions of the stream {stream}", "name another place for one of the two")
        if token > delivering:
            raise LaterDeliveryError(f"{self.shown}: a later delivery has changed it. Fix: none, that one is newer.")

    def require_types(self, table: str, found: Mapping[str, str], wanted: Mapping[str, str], fix: str) -> None:
        """Refuse a table in which a column has another type than it needs; one that it lacks is none.

        Args:
            table: one of `tables`.
            found: the types there by column, as the target names them.
            wanted: those that the stream's columns have there.
            fix: a clause without a full stop.
        """
        for name, needed in wanted.items():
            if (is_now := found.get(name, needed)) != needed:
                raise self.error(f"{table}.{name} is {is_now} there, and {needed} in the stream", fix)

    @abstractmethod
    def token(self) -> int:
        """The token of the delivery that made the target what it is; 0 where there was none, or nothing is there.

        Raises:
            TargetError: it can't be reached or read.
        """

    def is_unfinished(self) -> bool:
        """Whether it has parts of a delivery that was killed, in tables or beside them; `apply` removes them.

        Raises:
            TargetError: it can't be reached or read.
        """
        return False

    @abstractmethod
    def apply(self, changes: Changes) -> None:
        """Replace the rows of the partitions in all tables, and keep the token, in one transaction.

        Tables that are not there are made, and columns that a table lacks are added. Applied again, it changes nothing.

        Raises:
            LaterDeliveryError: the target has a greater token; nothing has changed.
            TargetError: it can't be reached, refuses, is full, or a column is there with another type; nothing has
                changed, unless the docs of the target say otherwise.
        """

    @abstractmethod
    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """The rows that the target has, in any order.

        Args:
            table: one of `tables`.
            partitions: of which; all of them where this is None.

        Yields:
            Frames with the columns of the table in order and of the same types; a column that the target lacks is null.

        Raises:
            TargetError: it can't be reached or read.
        """
