"""Validated landing partitions → current events and rejected_events, in one transaction.

Here belongs what that transaction contains: the new landing version, the session partitions that it invalidates, the
links of anonymous ids, and the dead-letter queue. Not here: how rows are validated (`validate.py`) and which session
partitions are affected (`invalidation.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import psycopg

from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.identity import links_in
from sessions_platform.pipeline.invalidation import AffectedSearch
from sessions_platform.pipeline.validate import ValidatedPartition
from sessions_platform.storage.lake.errors import MissingFileError
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.storage.ledger.run_heartbeats import refuse_ended
from sessions_platform.storage.warehouses.postgres.loader import Loaded

# How often a publication gives the lock back where others have published while it read what it invalidates. After that
# it reads under the lock, so that it comes to an end.
_ATTEMPTS = 4


@dataclass(frozen=True)
class Published:
    """A publication: its version in the ledger, the affected session partitions, changes of the queue, and links."""

    version: int
    affected: tuple[str, ...]
    rejected: Loaded
    links: int  # pairs of an anonymous id and a user


def publish(
    context: StreamContext, validated: ValidatedPartition, run_id: str, affected: Sequence[str] | None = None
) -> Published:
    """Make a validated landing partition current, in one transaction with what it invalidates and rejects.

    Args:
        context: the stream's.
        validated: what to publish.
        run_id: recorded with it.
        affected: the session partitions that it invalidates; by default those of all activity chains with an event
            that is other than in the published state, whose file has to be there for that.

    Raises:
        StaleWriteError: rows that were read later are published already, or users of these were erased.
        RunEndedError: the run was found lost meanwhile.
    """
    context.prepare()
    try:
        return _publish(context, validated, run_id, affected)
    except MissingFileError as missing:
        if missing.path in (validated.events.path, validated.rejected.path):
            raise StaleWriteError("users of these rows were erased, and their files removed") from missing
        raise
    except StaleWriteError:
        for file in (validated.events, validated.rejected):
            context.lake.remove(file.path)  # it may contain rows of users who were erased meanwhile
        raise


def _publish(
    context: StreamContext, validated: ValidatedPartition, run_id: str, affected: Sequence[str] | None
) -> Published:
    links = list(links_in(context, [validated.events.path]))  # before the lock, for reading takes long
    search = AffectedSearch(context, validated.landing_partition, validated.events.path, validated.span)
    for attempt in range(_ATTEMPTS):
        if affected is None:
            search.begin()
        is_last = attempt == _ATTEMPTS - 1
        with context.database.transaction() as connection:
            context.ledger.lock(connection)
            refuse_ended(connection, run_id)
            landings = context.ledger.current(connection)
            if affected is not None or is_last or search.is_short(landings):
                found = search.by(landings) if affected is None else affected
                return _write(connection, context, validated, run_id, found, links)
    raise AssertionError("the last attempt publishes")


def _write(
    connection: psycopg.Connection,
    context: StreamContext,
    validated: ValidatedPartition,
    run_id: str,
    affected: Sequence[str],
    links: Sequence[pl.DataFrame],
) -> Published:
    """Write what a publication changes, under the stream's lock."""
    version = context.ledger.publish(connection, landing_row(context, validated, run_id), affected)
    identity_links = context.warehouse.identity_links
    identity_links.replace(connection, links, [validated.landing_partition])
    linked = identity_links.counts(connection, [validated.landing_partition])
    frames = context.lake.blocks([validated.rejected.path], REJECTED_EVENTS)
    loaded = context.warehouse.load_rejected(connection, frames, [validated.landing_partition], run_id)
    return Published(version, tuple(affected), loaded, linked.get(validated.landing_partition, 0))


def landing_row(context: StreamContext, validated: ValidatedPartition, run_id: str) -> dict[str, object]:
    """A validated landing partition as a row of the ledger's landing versions, by column."""
    return {
        "landing_partition": validated.landing_partition,
        "raw_sequence": validated.raw_sequence,
        "raw_files": [{"uri": file.uri, "digest": file.digest, "path": file.path} for file in validated.raw_files],
        "events_path": validated.events.path,
        "rejected_path": validated.rejected.path,
        "raw_rows": validated.raw_rows,
        "accepted": validated.events.rows,
        "rejected": validated.rejected_rows,
        "rejected_stretches": validated.rejected.rows,
        "duplicates": validated.duplicates,
        "skipped": validated.skipped,
        "repeated_lines": validated.repeated_lines,
        "rejected_by_reason": validated.rejected_by_reason,
        "first_event": validated.first_event,
        "last_event": validated.last_event,
        "reference_digests": validated.references.digests,
        "observed_schema": {"rows": validated.observed.rows, "fields": validated.observed.fields},
        "contract_version": context.stream.contract_version,
        "session_rule_version": context.stream.session_rule_version,
        "run_id": run_id,
    }
