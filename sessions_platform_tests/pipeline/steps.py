"""The stages of the pipeline as tests call them, and what the warehouse then contains.

`run_pipeline` is what runs; here are the arguments that tests leave out, and landing files in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import polars as pl

from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.load import LoadedSessions, load_sessions
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.pipeline.validate import ValidatedPartition, validate_partition
from sessions_platform.storage.warehouses.postgres.loader import Warehouse
from sessions_platform.storage.warehouses.postgres.tables import WarehouseTables
from sessions_platform_tests.memory_source import MemorySource

RUN = "a-run"


def put(context: StreamContext, uri: str, lines: list[bytes], landing_partition: str | None) -> None:
    """Write or replace a landing file."""
    assert isinstance(context.source, MemorySource)
    context.source.put(uri, lines, landing_partition)


def remove(context: StreamContext, uri: str) -> None:
    assert isinstance(context.source, MemorySource)
    context.source.remove(uri)


def ingest_and_publish(context: StreamContext, *landing_partitions: str) -> None:
    """Landing files to published events."""
    run_pipeline(context, landing_partitions, RUN, session_partitions=[])


def validated(context: StreamContext, landing_partition: str) -> ValidatedPartition:
    return validate_partition(context, landing_partition, context.raw_events([landing_partition]))


def load(context: StreamContext, *session_partitions: str) -> LoadedSessions:
    """Load what was sessionized last."""
    return load_sessions(context, context.sessionized_events(session_partitions), RUN)


def stale(context: StreamContext) -> list[str]:
    context.prepare()
    return context.stale_session_partitions()


def refresh(context: StreamContext) -> LoadedSessions | None:
    """Bring every stale session partition up to date."""
    return run_pipeline(context, [], RUN).loaded


def run_pending(context: StreamContext, newest: str | None = None) -> None:
    """Bring everything up to date, landing partitions and sessions."""
    run_pipeline(context, pending_landing_partitions(context, newest), RUN)


def table(context: StreamContext, name: str = "sessions") -> list[dict[str, Any]]:
    """The whole table, with the columns that the warehouse adds."""
    context.prepare()
    return context.database.query(f"select * from {context.stream.name}.{name} order by 1")


class _Interrupted(Warehouse):
    def __init__(self, tables: WarehouseTables, between: Callable[[], None]) -> None:
        super().__init__(tables)
        self._between = between

    def staged_sessions(self, frames: Iterable[pl.DataFrame]) -> AbstractContextManager[Any]:
        def interrupted() -> Iterator[pl.DataFrame]:
            for frame in frames:
                self._between()
                yield frame

        return super().staged_sessions(interrupted())


def interrupted(context: StreamContext, between: Callable[[], None]) -> StreamContext:
    """The same context, whose loads call `between` once they have computed sessions, before they are loaded."""
    other = replace(context)
    vars(other)["warehouse"] = _Interrupted(context.tables, between)
    return other
