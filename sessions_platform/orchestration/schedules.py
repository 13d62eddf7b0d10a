"""Schedules: the runs of the sensors at fixed times, for deployments without sensors, and the nightly audit and expiry.

Here belong the times. Not here: which runs are requested (`sensors.py`), and the jobs (`jobs.py`, `dead_letters.py`).
"""

from collections.abc import Iterator

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.clean_up import clean_up_nightly
from sessions_platform.orchestration.jobs import job_name, landing_ranges, session_ranges
from sessions_platform.orchestration.loaded_streams import changed_since_loading
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.sensors import Ranges, wanted_runs

Requests = Iterator[dg.RunRequest | dg.SkipReason]


def stream_schedules(stream: Stream) -> list[dg.ScheduleDefinition]:
    """All schedules of a stream; that of expiry only if rejected rows are kept for a limited time."""
    expiry = [expire_nightly(stream)] if stream.rejected.keep_for else []
    nightly = [audit_nightly(stream), clean_up_nightly(stream)]
    return [ingest_nightly(stream), refresh_hourly(stream), *nightly, *expiry]


def ingest_nightly(stream: Stream) -> dg.ScheduleDefinition:
    """Shortly after midnight, requests runs that ingest pending landing files."""

    @dg.schedule(
        name=f"{stream.name}__ingest_nightly", cron_schedule="5 0 * * *", job_name=job_name(stream, "ingest_events")
    )
    def ingest_nightly(context: dg.ScheduleEvaluationContext, platform: Platform) -> Requests:
        yield from _requests(context, platform, stream, "ingest_events", landing_ranges)

    return ingest_nightly


def refresh_hourly(stream: Stream) -> dg.ScheduleDefinition:
    """Every hour, requests runs that refresh stale session partitions."""

    @dg.schedule(
        name=f"{stream.name}__refresh_hourly", cron_schedule="35 * * * *", job_name=job_name(stream, "refresh_sessions")
    )
    def refresh_hourly(context: dg.ScheduleEvaluationContext, platform: Platform) -> Requests:
        yield from _requests(context, platform, stream, "refresh_sessions", session_ranges)

    return refresh_hourly


def audit_nightly(stream: Stream) -> dg.ScheduleDefinition:
    """Every night, compares the sessions of a sample of users with the reference implementation."""
    return dg.ScheduleDefinition(
        name=f"{stream.name}__audit_nightly", cron_schedule="45 3 * * *", job_name=job_name(stream, "audit_sample")
    )


def expire_nightly(stream: Stream) -> dg.ScheduleDefinition:
    """Every night, removes rows that were resolved or discarded longer ago than the stream keeps them."""
    return dg.ScheduleDefinition(
        name=f"{stream.name}__expire_nightly", cron_schedule="15 4 * * *", job_name=job_name(stream, "expire_rejected")
    )


def _requests(
    context: dg.ScheduleEvaluationContext, platform: Platform, stream: Stream, job: str, ranges: Ranges
) -> Requests:
    if changed := changed_since_loading(stream):
        yield dg.SkipReason(changed)
    else:
        yield from wanted_runs(context.instance, stream, job, ranges(platform.stream_context(stream.name)))
