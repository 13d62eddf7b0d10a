"""sessionized_events → sessions: one row a session, in the warehouse.

Here belongs the transaction of a load: which versions it takes, that they are checked before, and that newer ones are
not overwritten. Not here: how rows reach PostgreSQL (`storage/warehouses`), how events become a session's row
(`transforms/summarize.py`), and where the events of vanished sessions have gone (`lineage.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from sessions_platform.contracts.calendar import label
from sessions_platform.contracts.schemas.sessions import sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.engines.accepted_events import KnownPairs
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.lineage import find_merged_into
from sessions_platform.pipeline.quality import CheckResult, ContractCheck, stop_if_failed
from sessions_platform.storage.lake.errors import MissingFileError
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import SessionVersion, StaleWriteError
from sessions_platform.storage.ledger.run_heartbeats import refuse_ended
from sessions_platform.storage.warehouses.postgres.loader import Loaded
from sessions_platform.transforms.summarize import summarize

_EVENTS_AT_ONCE = 256 * 1024


@dataclass(frozen=True)
class LoadedSessions:
    """What a load changed.

    `sessions` counts the rows of each partition that was loaded; one of which a newer version is loaded already stays
    as it is, and is not among them. `check` is the result of `keeps_contract`.
    """

    changed: Loaded
    sessions: dict[str, int]
    check: CheckResult


def load_sessions(context: StreamContext, sessionized: Dataset, run_id: str) -> LoadedSessions:
    """Load sessionized partitions, all in one transaction, once all of their sessions are checked.

    Args:
        context: the stream's.
        sessionized: the partitions, as `StreamContext.sessionized_events` has them.
        run_id: recorded with each row that changes.

    Raises:
        CheckFailedError: a session breaks the contract. Nothing is loaded.
        StaleWriteError: the stream was rebuilt since the partitions were sessionized.
        RunEndedError: the run was found lost meanwhile.
        UserError: they were made by another session rule, so that their sessions would be mixed with those of this.
    """
    context.prepare()
    paths = [file.path for files in sessionized.partitions.values() for file in files]
    versions = context.ledger.sessions_at(paths)
    if len(versions) < len(paths):
        raise StaleWriteError(f"{context.stream.name}: it was rebuilt since these sessions were made")
    _refuse_other_rules(context.stream, versions)
    known = _known_pairs(context, versions)
    warehouse, ledger, check = context.warehouse, context.ledger, ContractCheck("sessions")
    with (
        closing(prefetch(checked_sessions(context.stream, sessionized, check))) as frames,
        warehouse.staged_sessions(frames) as sessions,
        context.database.transaction() as connection,
    ):
        staged = warehouse.stage_sessions(connection, sessions)
        ledger.lock(connection)
        refuse_ended(connection, run_id)
        loaded = ledger.loaded_sessions(connection)
        newer = {version.session_partition: version.snapshot for version in loaded}
        loading = [v for v in versions if newer.get(v.session_partition, -1) <= v.snapshot]
        partitions = [version.session_partition for version in loading]
        replaced = [version for version in loaded if version.session_partition in partitions]
        find = partial(find_merged_into, context, ledger.current(connection), replaced, loading, known=known)
        changed = warehouse.load_sessions(connection, sessions, partitions, run_id, find, staged)
        ledger.mark_loaded(connection, loading)
        counts = {partition: sessions.rows.get(partition, 0) for partition in partitions}
    return LoadedSessions(changed, counts, check.result())


def _known_pairs(context: StreamContext, versions: Sequence[SessionVersion]) -> KnownPairs:
    """The pairs of all landing versions, read before the stream's lock is held, where sessions by person may vanish."""
    known, partitions = KnownPairs(context.lake, context.stream), {version.session_partition for version in versions}
    if context.stream.persons is None:
        return known
    with context.database.transaction(read_only=True) as connection:
        loaded = context.ledger.loaded_sessions(connection)
    if any(version.session_partition in partitions for version in loaded):
        with suppress(MissingFileError):  # an erasure has removed it meanwhile: under the lock others are current
            known.of(landing.events_path for landing in context.ledger.landings())
    return known


def _refuse_other_rules(stream: Stream, versions: Sequence[SessionVersion]) -> None:
    made_by_others = [
        version.session_partition for version in versions if version.session_rule_version != stream.session_rule_version
    ]
    if made_by_others:
        raise UserError(
            f"{stream.name}: another session rule has made the sessionized_events of {label(made_by_others)}. "
            f"Fix: materialize sessionized_events first, or both together."
        )


def checked_sessions(stream: Stream, sessionized: Dataset, check: ContractCheck) -> Iterator[pl.DataFrame]:
    """The sessions of sessionized partitions, summarized and checked, newest partitions first.

    Args:
        stream: whose contract the sessions have to keep.
        sessionized: the partitions.
        check: counts the rows.

    Yields:
        Sessions of several small partitions, or of a part of a large one.

    Raises:
        CheckFailedError: a session breaks the contract.
    """
    schema = sessions_schema(stream)
    newest_first = replace(sessionized, partitions=dict(sorted(sessionized.partitions.items(), reverse=True)))
    for batch in newest_first.batches(_EVENTS_AT_ONCE):
        frames = whole_sessions(batch.blocks()) if batch.rows > _EVENTS_AT_ONCE else [batch.scan().collect()]
        for events in frames:
            sessions = summarize(events, stream)
            check.add_rows(schema, label(list(batch.partitions)), [sessions])
            stop_if_failed([check.result()])
            yield sessions


def whole_sessions(blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same events in frames that never divide a session; in `blocks` a session's events are contiguous."""
    return whole_groups(blocks, "session_id")


def whole_groups(blocks: Iterable[pl.DataFrame], column: str) -> Iterator[pl.DataFrame]:
    """The same rows in frames that never divide those of one value of the column; in `blocks` they are contiguous."""
    begun: pl.DataFrame | None = None
    for block in blocks:
        rows = block if begun is None else pl.concat([begun, block])
        if rows.is_empty():
            continue
        is_last = rows.select(pl.col(column).eq_missing(pl.col(column).last())).to_series()
        begun = rows.filter(is_last)
        if begun.height < rows.height:
            yield rows.filter(~is_last)
    if begun is not None:
        yield begun
