"""A stream's source as Dagster shows it: an external asset, observations of it, and the check whether it is fresh.

Not here: what is read of it (`assets.py`), when (`sensors.py`), and what fresh means (`operations/freshness.py`).
"""

from datetime import timedelta

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.freshness import Freshness, freshness
from sessions_platform.orchestration.asset_keys import source_key
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.jobs import job_name
from sessions_platform.orchestration.loaded_streams import STREAM
from sessions_platform.orchestration.resources import Platform

SOURCE_IS_FRESH = "source_is_fresh"
_SHORTEST_WINDOW = timedelta(minutes=1)  # that Dagster takes
_DESCRIPTION = "The newest event that was read is not older than `source.fresh_within` of the stream's file."


def source_metadata(stream: Stream) -> dict[str, dg.MetadataValue]:
    """Where a source is, without secrets, and the stream's file."""
    about = {name: dg.MetadataValue.text(value) for name, value in stream.source.about.items()}
    return {"stream_file": dg.MetadataValue.path(str(stream.path)), **about}


def freshness_policy(stream: Stream) -> dg.FreshnessPolicy | None:
    """How old the last materialization may be: as old as the newest event, where the stream says how old that may be.

    Of Dagster's own page and alerts; the check looks at the times of events, which Dagster does not know.
    """
    within = stream.source.fresh_within
    return dg.FreshnessPolicy.time_window(fail_window=max(within, _SHORTEST_WINDOW)) if within else None


def observation(stream: Stream, fresh: Freshness) -> dg.AssetObservation:
    """What was seen of a source just now."""
    return dg.AssetObservation(source_key(stream), metadata=fresh.document)


def source_is_fresh(stream: Stream) -> dg.AssetChecksDefinition:
    """The check whether events come in; it has a job and a schedule of its own, since nothing runs where none come."""

    @dg.asset_check(
        asset=source_key(stream), name=SOURCE_IS_FRESH, description=_DESCRIPTION, retry_policy=TRANSIENT, blocking=False
    )
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        with retried_when_transient():
            fresh = freshness(platform.stream_context(stream.name))
        context.op_execution_context.log_event(observation(stream, fresh))
        said = {"problem": fresh.problem} if fresh.problem else {}
        severity = dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=not fresh.problem, metadata={**said, **fresh.document}, severity=severity)

    return check


def check_source_job(stream: Stream):
    """Runs the check alone."""
    key = dg.AssetCheckKey(source_key(stream), SOURCE_IS_FRESH)
    return dg.define_asset_job(
        job_name(stream, "check_source"),
        selection=dg.AssetSelection.checks(key),
        description="See how old the newest event is, and how many records of the source were not read.",
        tags={STREAM: stream.name},
    )


def check_source_hourly(stream: Stream) -> dg.ScheduleDefinition:
    """Every hour, checks whether the source is fresh."""
    name = f"{stream.name}__check_source_hourly"
    return dg.ScheduleDefinition(name=name, cron_schedule="50 * * * *", job_name=job_name(stream, "check_source"))
