"""sessionized_events → sessions: one row a session, in the warehouse."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from sessions_platform.contracts.calendar import label
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.lineage import find_merged_into
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import SessionVersion, StaleWriteError
from sessions_platform.storage.warehouses.postgres.loader import Loaded
from sessions_platform.transforms.summarize import summarize

_EVENTS_AT_ONCE = 256 * 1024


@dataclass(frozen=True)
class LoadedSessions:
    """What a load changed; `sessions` counts the rows of each partition that was loaded.

    A partition that a newer refresh has loaded meanwhile is left as it stands and not named.
    """

    changed: Loaded
    sessions: dict[str, int]


def load_sessions(
    context: StreamContext,
    sessionized: Dataset,
    run_id: str,
    prove: Callable[[str, pl.DataFrame], None] = lambda _partition, _sessions: None,
) -> LoadedSessions:
    """Load these sessionized partitions, all in one transaction.

    `prove` sees all sessions before they are loaded, some partitions at a time; what it raises stops the load.
    Raises Superseded where the stream was rebuilt since they were sessionized, and Mistake where
    another session rule has made them: their sessions would be neither the one's nor the other's.
    """
    paths = [file.path for files in sessionized.partitions.values() for file in files]
    versions = context.ledger.sessions_at(paths)
    if len(versions) < len(paths):
        raise StaleWriteError(f"{context.stream.name}: it was rebuilt since these sessions were made")
    _refuse_other_rules(context.stream, versions)
    warehouse, ledger = context.warehouse, context.ledger
    with (
        closing(prefetch(proven(context.stream, sessionized, prove))) as frames,
        warehouse.staged_sessions(frames) as sessions,
        context.database.transaction() as connection,
    ):
        staged = warehouse.stage_sessions(connection, sessions)
        ledger.lock(connection)
        standing = ledger.loaded_sessions(connection)
        overtaken = _overtaken(versions, standing)
        loading = [version for version in versions if version.session_partition not in overtaken]
        partitions = [version.session_partition for version in loading]
        replaced = [version for version in standing if version.session_partition in partitions]
        find = partial(find_merged_into, context, ledger.current(connection), replaced, loading)
        changed = warehouse.load_sessions(connection, sessions, partitions, run_id, find, staged)
        ledger.mark_loaded(connection, loading)
        return LoadedSessions(changed, {partition: sessions.rows.get(partition, 0) for partition in partitions})


def _refuse_other_rules(stream: Stream, versions: Sequence[SessionVersion]) -> None:
    others = [
        version.session_partition for version in versions if version.session_rule_version != stream.session_rule_version
    ]
    if others:
        raise UserError(
            f"{stream.name}: another session rule has made the sessionized_events of {label(others)}. "
            f"Fix: materialize sessionized_events first, or both together."
        )


def proven(stream: Stream, sessionized: Dataset, prove: Callable[[str, pl.DataFrame], None]) -> Iterator[pl.DataFrame]:
    """The sessions of some partitions, or of a part of a large one, at a time, once they are proved: newest first."""
    newest_first = replace(sessionized, partitions=dict(sorted(sessionized.partitions.items(), reverse=True)))
    for batch in newest_first.batches(_EVENTS_AT_ONCE):
        frames = whole_sessions(batch.blocks()) if batch.rows > _EVENTS_AT_ONCE else [batch.scan().collect()]
        for events in frames:
            sessions = summarize(events, stream)
            prove(label(list(batch.partitions)), sessions)
            yield sessions


def whole_sessions(blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same events, cut only between sessions, whose events rest one behind the other."""
    begun: pl.DataFrame | None = None
    for block in blocks:
        events = block if begun is None else pl.concat([begun, block])
        is_last = events["session_id"] == events["session_id"].last()
        begun = events.filter(is_last)
        if begun.height < events.height:
            yield events.filter(~is_last)
    if begun is not None:
        yield begun


def _overtaken(versions: Sequence[SessionVersion], standing: Sequence[SessionVersion]) -> list[str]:
    """Partitions of which the warehouse holds a state that has seen more."""
    seen = {version.session_partition: version.snapshot for version in standing}
    return [v.session_partition for v in versions if seen.get(v.session_partition, -1) > v.snapshot]
