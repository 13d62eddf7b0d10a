"""The jobs of a stream, and which ranges of partitions they are wanted for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from sessions_platform.contracts.calendar import Calendar
from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.audit import repeated_event_ids
from sessions_platform.operations.rebuild import Rebuilt, rebuild
from sessions_platform.operations.status import covering_ranges, pending_landing_partitions
from sessions_platform.orchestration.checks import SAMPLE_RECOMPUTATION, ProofByChecks
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.partitions import partitions_definition
from sessions_platform.orchestration.resources import Platform
from sessions_platform.pipeline.context import StreamContext

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

LANDING_ASSETS = ("raw_events", "events", "rejected_events")
SESSION_ASSETS = ("sessionized_events", "sessions")


def ingest_events(stream: Stream):
    """Landing files to published events and rejected events."""
    return _job(stream, "ingest_events", LANDING_ASSETS, "Take in what has landed: raw, accepted and rejected events.")


def refresh_sessions(stream: Stream):
    """Accepted events to the sessions table."""
    return _job(stream, "refresh_sessions", SESSION_ASSETS, "Bring sessions up to date with the accepted events.")


def materialize_all(stream: Stream):
    """The whole pipeline in one run; None where the two axes differ, for a run has one axis."""
    if partitions_definition(stream.landing_calendar) != partitions_definition(stream.session_calendar):
        return None
    return _job(stream, "materialize_all", LANDING_ASSETS + SESSION_ASSETS, "The whole pipeline, in one run.")


def audit_sample(stream: Stream):
    """Recomputes some users from all their events."""
    return dg.define_asset_job(
        job_name(stream, "audit_sample"),
        selection=_sample_check(stream),
        description="Hold the sessions of some users, drawn anew each time, against a plain loop over their events.",
        tags=_tags(stream),
    )


def audit_event_ids(stream: Stream) -> dg.JobDefinition:
    """Looks through the whole lake for ids that name two events."""

    @dg.op(name=f"{stream.name}__find_repeated_event_ids", retry_policy=TRANSIENT)
    def find(context: dg.OpExecutionContext, platform: Platform) -> None:
        stream_context = platform.stream_context(stream.name)
        with retried_when_transient():
            found = repeated_event_ids(stream_context)
            warehouse = stream_context.warehouse
            with stream_context.database.transaction() as connection:
                warehouse.replace_repeated_event_ids(connection, found)
        ids = found["event_id"].n_unique()
        table = f"{stream.name}.repeated_event_ids"
        context.add_output_metadata({"ids": ids, "events": found.height, "table": table})

    description = f"List every event id that stands under two users or times, in {stream.name}.repeated_event_ids."
    return job_of(stream, "audit_event_ids", find, description)


def rebuild_stream(stream: Stream) -> dg.JobDefinition:
    """Makes everything anew, beside what stands, and switches at once."""

    @dg.op(name=f"{stream.name}__make_anew_and_switch", retry_policy=TRANSIENT)
    def make_anew(context: dg.OpExecutionContext, platform: Platform) -> None:
        stream_context = platform.stream_context(stream.name)
        with retried_when_transient():
            proof = ProofByChecks(stream)
            rebuilt = rebuild(stream_context, context.run_id, proof, context.log.info)
        for asset, partition, rows in _rebuilt_partitions(rebuilt):
            key = dg.AssetKey([stream.name, asset])
            told = dg.AssetMaterialization(key, partition=partition, metadata={"dagster/row_count": rows})
            context.log_event(told)
        changed = rebuilt.changed
        told = {"inserted": changed.inserted, "updated": changed.updated, "deleted": changed.deleted}
        context.add_output_metadata({"sessions": sum(rebuilt.sessions.values()), **told})

    description = (
        "Make everything anew from the raw rows, and switch at once: after a change of a cadence, of the session "
        "timezone or of a column's type."
    )
    return job_of(stream, "rebuild", make_anew, description)


def stream_jobs(stream: Stream):
    every = materialize_all(stream)
    rare = [audit_sample(stream), audit_event_ids(stream), rebuild_stream(stream)]
    return [ingest_events(stream), refresh_sessions(stream), *([every] if every else []), *rare]


def job_name(stream: Stream, job: str) -> str:
    return f"{stream.name}__{job}"


def job_of(stream: Stream, job: str, op: dg.OpDefinition, description: str) -> dg.JobDefinition:
    """A job of one op, beside those of assets."""

    @dg.job(name=job_name(stream, job), description=description, tags=_tags(stream))
    def of_op() -> None:
        op()

    return of_op


def _tags(stream: Stream) -> dict[str, str]:
    return {"sessions/stream": stream.name}


def landing_ranges(stream_context: StreamContext) -> list[tuple[str, str]]:
    """Landing partitions that wait to be taken in, as ranges for one run each."""
    calendar = stream_context.stream.landing_calendar
    stale = pending_landing_partitions(stream_context, newest_partition(calendar))
    return _ranges(stale, calendar)


def session_ranges(stream_context: StreamContext) -> list[tuple[str, str]]:
    """Session partitions that wait for a refresh, as ranges for one run each."""
    stale = stream_context.ledger.stale_partitions(stream_context.stream.session_rule_version)
    return _ranges(stale, stream_context.stream.session_calendar)


def newest_partition(calendar: Calendar) -> str:
    """The partition that is going on; the last one of a stream that is over."""
    now = datetime.now(UTC)
    return calendar.key_of(now if calendar.end is None else min(now, calendar.end - timedelta(microseconds=1)))


def range_tags(first: str, last: str) -> dict[str, str]:
    return {RANGE_START: first, RANGE_END: last}


def _ranges(stale: list[str], calendar: Calendar) -> list[tuple[str, str]]:
    """Those that exist by now: an event may lie a little in the future, and waits until its partition begins."""
    first, newest = calendar.first_key, newest_partition(calendar)
    return covering_ranges([key for key in stale if first <= key <= newest], calendar)


def _sample_check(stream: Stream) -> dg.AssetSelection:
    return dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey([stream.name, "sessions"]), SAMPLE_RECOMPUTATION))


def _rebuilt_partitions(rebuilt: Rebuilt) -> Iterator[tuple[str, str, int]]:
    """What Dagster is told to be materialized: asset, partition, rows."""
    for landing in rebuilt.landings:
        rows = {"raw_events": landing.raw_rows, "events": landing.accepted, "rejected_events": landing.rejected}
        yield from ((asset, landing.landing_partition, count) for asset, count in rows.items())
    for version in rebuilt.sessionized:
        yield "sessionized_events", version.session_partition, version.rows
        yield "sessions", version.session_partition, rebuilt.sessions[version.session_partition]


def _job(stream: Stream, job: str, assets: tuple[str, ...], description: str):
    keys = [dg.AssetKey([stream.name, name]) for name in assets]
    selection = dg.AssetSelection.assets(*keys) - _sample_check(stream)
    return dg.define_asset_job(job_name(stream, job), selection=selection, description=description, tags=_tags(stream))
