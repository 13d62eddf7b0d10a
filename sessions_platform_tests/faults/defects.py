"""Defects that a process of a trial plants in itself: work that is acknowledged before it is done.

Here: what each changes, and the command that it affects. Not here: the trials that detect them (`test_defects.py`).
"""

from collections.abc import Callable
from typing import Any

from sessions_platform.pipeline import run
from sessions_platform.pipeline.raw_files import RawFileWriter
from sessions_platform.sources.base import Slice
from sessions_platform.storage.warehouses.postgres.loader import Warehouse


def acknowledged_before_loaded() -> None:
    """What is stale is forgotten in a transaction of its own, before the load that refreshes it."""
    right = run.load_sessions

    def load_sessions(context: Any, *arguments: Any) -> Any:
        with context.database.transaction() as connection:
            connection.execute(
                "delete from sessions_platform.stale_partitions where stream = %s", [context.stream.name]
            )
        return right(context, *arguments)

    run.load_sessions = load_sessions


def recorded_before_read() -> None:
    """A landing file counts as read before its rows are in the lake."""
    right = RawFileWriter.add

    def add(self: RawFileWriter, slice_: Slice) -> None:
        self._context.ledger.record_unchanged(slice_.uri, slice_.fingerprint)
        right(self, slice_)

    RawFileWriter.add = add


def published_in_two_transactions() -> None:
    """A landing partition is current before its rejected rows are in the warehouse."""
    right = Warehouse.load_rejected

    def load_rejected(self: Warehouse, connection: Any, *arguments: Any) -> Any:
        connection.commit()
        return right(self, connection, *arguments)

    setattr(Warehouse, "load_rejected", load_rejected)  # noqa: B010  a test double of another signature


DEFECTS: dict[str, Callable[[], None]] = {
    defect.__name__: defect
    for defect in (acknowledged_before_loaded, recorded_before_read, published_in_two_transactions)
}


def plant(name: str) -> None:
    """Plant a defect in this process, for as long as it lives."""
    DEFECTS[name]()
