"""The jobs of a stream, and the ranges of partitions that they have to run for.

Here belong which assets or operations a job consists of, and pending partitions as ranges for one run each. Not here:
when a job is started (`sensors.py`, `schedules.py`), the jobs of the dead-letter queue (`dead_letters.py`), and what is
pending (`operations/status.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import dagster as dg

from sessions_platform.contracts.calendar import Calendar, newest_partition
from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.audit import repeated_event_ids
from sessions_platform.operations.rebuild import Rebuilt, rebuild
from sessions_platform.operations.status import covering_ranges, pending_landing_partitions
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.checks import SAMPLE_RECOMPUTATION
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.loaded_streams import STREAM
from sessions_platform.orchestration.partitions import partitions_definition
from sessions_platform.orchestration.resources import Platform
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.scores import due_scores
from sessions_platform.sources.base import Found

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PAST = "sessions_platform/past"  # of runs that ask the source for the time of their partitions

LANDING_ASSETS = ("raw_events", "events", "rejected_events")
SESSION_ASSETS = ("sessionized_events", "sessions")


def ingest_events_job(stream: Stream):
    """From the source to published events and rejected events."""
    return _job(stream, "ingest_events", LANDING_ASSETS, "Ingest what is new: raw, accepted and rejected events.")


def backfill_source_job(stream: Stream):
    """From what the source has of the time of each partition; None where it can't be asked for that."""
    if stream.no_past:
        return None
    return _job(
        stream,
        "backfill_source",
        LANDING_ASSETS,
        "Ask the source for the records of the time of each landing partition, be they read or not; what was read is a "
        "duplicate.",
        tags={PAST: "true"},
    )


def refresh_sessions_job(stream: Stream):
    """From accepted events to the sessions table."""
    return _job(
        stream, "refresh_sessions", _session_assets(stream), "Bring sessions up to date with the accepted events."
    )


def materialize_all_job(stream: Stream):
    """The whole pipeline in one run; None where the two calendars differ, since a run has one kind of partitions."""
    if partitions_definition(stream.landing_calendar) != partitions_definition(stream.session_calendar):
        return None
    return _job(stream, "materialize_all", LANDING_ASSETS + _session_assets(stream), "The whole pipeline, in one run.")


def _session_assets(stream: Stream) -> tuple[str, ...]:
    """Those of a refresh: sessions are scored in the run that changes them."""
    return (*SESSION_ASSETS, "session_scores") if stream.scores else SESSION_ASSETS


def audit_sample_job(stream: Stream):
    """Recomputes the sessions of a random sample of users."""
    return dg.define_asset_job(
        job_name(stream, "audit_sample"),
        selection=_sample_check(stream),
        description="Compare the sessions of some users, drawn at random, with the reference implementation.",
        tags=_tags(stream),
    )


def audit_event_ids_job(stream: Stream) -> dg.JobDefinition:
    """Searches the whole lake for event ids that are used for two events."""

    @dg.op(name=f"{stream.name}__find_repeated_event_ids", retry_policy=TRANSIENT)
    def find(context: dg.OpExecutionContext, platform: Platform) -> None:
        stream_context = platform.stream_context(stream.name)
        with retried_when_transient():
            events = repeated_event_ids(stream_context)
            with stream_context.database.transaction() as connection:
                stream_context.warehouse.replace_repeated_event_ids(connection, events)
        ids = events["event_id"].n_unique()
        table = f"{stream.name}.repeated_event_ids"
        context.add_output_metadata({"ids": ids, "events": events.height, "table": table})

    description = f"List event ids that several users or times have, in {stream.name}.repeated_event_ids."
    return job_of(stream, "audit_event_ids", find, description)


def rebuild_job(stream: Stream) -> dg.JobDefinition:
    """Recomputes everything as a shadow build, and swaps it in at once."""

    @dg.op(name=f"{stream.name}__rebuild_and_swap", retry_policy=TRANSIENT)
    def rebuild_and_swap(context: dg.OpExecutionContext, platform: Platform) -> None:
        stream_context = platform.stream_context(stream.name)
        with retried_when_transient():
            rebuilt = rebuild(stream_context, context.run_id, context.log.info)
        for asset, partition, rows in _rebuilt_partitions(rebuilt):
            metadata = {"dagster/row_count": rows}
            context.log_event(dg.AssetMaterialization(key(stream, asset), partition=partition, metadata=metadata))
        changed = rebuilt.changed
        counts = {"inserted": changed.inserted, "updated": changed.updated, "deleted": changed.deleted}
        context.add_output_metadata({"sessions": sum(rebuilt.sessions.values()), **counts})

    description = (
        "Recompute everything from the raw rows as a shadow build, and swap it in: after a change of a cadence, of the "
        "session timezone or of a column's type."
    )
    return job_of(stream, "rebuild", rebuild_and_swap, description)


def stream_jobs(stream: Stream):
    """All jobs of a stream but those of its dead-letter queue."""
    both = [ingest_events_job(stream), refresh_sessions_job(stream)]
    whole, backfill = materialize_all_job(stream), backfill_source_job(stream)
    rare = [audit_sample_job(stream), audit_event_ids_job(stream), rebuild_job(stream)]
    return [*both, *(job for job in (whole, backfill) if job), *rare]


def job_name(stream: Stream, job: str) -> str:
    """A job's name in Dagster; the stream's is part of it."""
    return f"{stream.name}__{job}"


def job_of(stream: Stream, job: str, op: dg.OpDefinition, description: str) -> dg.JobDefinition:
    """A job of one op, for what is not an asset."""

    @dg.job(name=job_name(stream, job), description=description, tags=_tags(stream))
    def of_op() -> None:
        op()

    return of_op


def _tags(stream: Stream) -> dict[str, str]:
    return {STREAM: stream.name}


def landing_ranges(
    stream_context: StreamContext, found: Found | None = None, also: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pending landing partitions, as ranges for one run each.

    Args:
        stream_context: the stream's.
        found: what there is in the source; searched here by default.
        also: partitions that are to be run although nothing of them is pending.
    """
    calendar = stream_context.stream.landing_calendar
    pending = pending_landing_partitions(stream_context, newest_partition(calendar), found)
    return _ranges(sorted({*pending, *also}), calendar)


def session_ranges(
    stream_context: StreamContext, landing_partition: str | None = None, also: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Stale session partitions, as ranges for one run each.

    Args:
        stream_context: the stream's.
        landing_partition: where it is named, only those that it made stale.
        also: partitions that are to be run although they are not stale.
    """
    stream_context.prepare()
    calendar = stream_context.stream.session_calendar
    if landing_partition is None:
        return _ranges(sorted({*stream_context.stale_session_partitions(), *also}), calendar)
    return _ranges(stream_context.ledger.stale_because_of(landing_partition), calendar)


def score_ranges(stream_context: StreamContext) -> list[tuple[str, str]]:
    """Session partitions whose scores are due, as ranges for one run each."""
    if not stream_context.stream.scores:
        return []
    return _ranges(due_scores(stream_context).partitions, stream_context.stream.session_calendar)


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags by which Dagster runs a job for a range of partitions."""
    return {RANGE_START: first, RANGE_END: last}


def _ranges(partitions: list[str], calendar: Calendar) -> list[tuple[str, str]]:
    """Ranges of the partitions that have begun; later ones, of events in the near future, stay pending until then."""
    first, newest = calendar.first_key, newest_partition(calendar)
    return covering_ranges([key for key in partitions if first <= key <= newest], calendar)


def _sample_check(stream: Stream) -> dg.AssetSelection:
    return dg.AssetSelection.checks(dg.AssetCheckKey(key(stream, "sessions"), SAMPLE_RECOMPUTATION))


def _rebuilt_partitions(rebuilt: Rebuilt) -> Iterator[tuple[str, str, int]]:
    """What is reported to Dagster as materialized: asset, partition, rows."""
    for landing in rebuilt.landings:
        rows = {"raw_events": landing.raw_rows, "events": landing.accepted, "rejected_events": landing.rejected}
        yield from ((asset, landing.landing_partition, count) for asset, count in rows.items())
    yield from (("identity_links", partition, links) for partition, links in rebuilt.links.items())
    for version in rebuilt.sessionized:
        yield "sessionized_events", version.session_partition, version.rows
        yield "sessions", version.session_partition, rebuilt.sessions[version.session_partition]


def _job(
    stream: Stream, job: str, assets: tuple[str, ...], description: str, tags: Mapping[str, str] = MappingProxyType({})
):
    # Links are made in the step that makes events.
    made = (*assets, "identity_links") if stream.identity and "events" in assets else assets
    keys = [key(stream, name) for name in made]
    selection = dg.AssetSelection.assets(*keys) - _sample_check(stream)
    return dg.define_asset_job(
        job_name(stream, job), selection=selection, description=description, tags={**_tags(stream), **tags}
    )
