"""The stages of the pipeline in a row, and what the warehouse then holds."""

from collections.abc import Callable
from typing import Any

from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.load import LoadedSessions, load_sessions
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.validate import ValidatedPartition, publish, validate_partition
from sessions_platform_tests.memory_source import MemorySource

RUN = "a-run"


def put(context: StreamContext, uri: str, lines: list[bytes], landing_partition: str | None) -> None:
    """Write or replace a landing file."""
    assert isinstance(context.source, MemorySource)
    context.source.put(uri, lines, landing_partition)


def remove(context: StreamContext, uri: str) -> None:
    assert isinstance(context.source, MemorySource)
    context.source.remove(uri)


def take_in(context: StreamContext, *landing_partitions: str) -> None:
    """Landing files to published events."""
    ingest(context, landing_partitions, RUN)
    for partition in landing_partitions:
        publish(context, validated(context, partition), RUN)


def validated(context: StreamContext, landing_partition: str) -> ValidatedPartition:
    return validate_partition(context, landing_partition, context.raw_events([landing_partition]))


def load(
    context: StreamContext, *session_partitions: str, prove: Callable[..., None] = lambda *_: None
) -> LoadedSessions:
    """Load what was sessionized last."""
    return load_sessions(context, context.sessionized_events(session_partitions), RUN, prove)


def stale(context: StreamContext) -> list[str]:
    return context.ledger.stale_partitions(context.stream.session_rule_version)


def refresh(context: StreamContext) -> LoadedSessions | None:
    """Bring every session partition that waits up to date."""
    partitions = stale(context)
    if not partitions:
        return None
    sessionize_partitions(context, partitions, RUN)
    return load(context, *partitions)


def take_in_what_waits(context: StreamContext, newest: str | None = None) -> None:
    """Bring everything up to date, landing partitions and sessions."""
    if partitions := pending_landing_partitions(context, newest):
        take_in(context, *partitions)
    refresh(context)


def table(context: StreamContext, name: str = "sessions") -> list[dict[str, Any]]:
    """The whole table, with what the warehouse keeps by itself."""
    return context.database.query(f"select * from {context.stream.name}.{name} order by 1")
