"""Sensors say what they watch. They remember nothing: what waits is read from the ledger, so nothing is forgotten."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.jobs import (
    RANGE_END,
    RANGE_START,
    job_name,
    landing_ranges,
    range_tags,
    session_ranges,
)
from sessions_platform.orchestration.resources import Platform
from sessions_platform.pipeline.context import StreamContext

Ranges = Callable[[StreamContext], list[tuple[str, str]]]

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FAILURES_COUNTED = 6


def new_files(stream: Stream) -> dg.SensorDefinition:
    """Takes in landing files that are new or have changed."""
    return _sensor(stream, "new_files", "ingest_events", landing_ranges)


def stale_sessions(stream: Stream) -> dg.SensorDefinition:
    """Refreshes the session partitions that changed events touch."""
    return _sensor(stream, "stale_sessions", "refresh_sessions", session_ranges)


def wanted_runs(
    instance: dg.DagsterInstance, stream: Stream, job: str, ranges: list[tuple[str, str]]
) -> Iterator[dg.RunRequest]:
    """One run a range, unless one that will do is under way or it failed a moment ago.

    No run key: Dagster remembers those for ever, and the same partitions are wanted again and again.
    """
    name = job_name(stream, job)
    active = instance.get_runs(dg.RunsFilter(job_name=name, statuses=_UNDER_WAY))
    taken = [(run.tags.get(RANGE_START, ""), run.tags.get(RANGE_END, "")) for run in active]
    for first, last in ranges:
        overlaps = any(a <= last and first <= b for a, b in taken)
        if not overlaps and not _backs_off(instance, name, range_tags(first, last)):
            yield dg.RunRequest(job_name=name, tags=range_tags(first, last))


def _sensor(stream: Stream, name: str, job: str, ranges: Ranges) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{stream.name}__{name}",
        job_name=job_name(stream, job),
        minimum_interval_seconds=30,
        description=f"Starts {job} for what waits.",
    )
    def watch(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
        pending = ranges(platform.stream_context(stream.name))
        runs = list(wanted_runs(context.instance, stream, job, pending))
        if not runs:
            return dg.SkipReason(f"{len(pending)} ranges wait, and are under way" if pending else "nothing waits")
        return dg.SensorResult(run_requests=runs)

    return watch


def _backs_off(instance: dg.DagsterInstance, job: str, tags: dict[str, str]) -> bool:
    """After each failure in a row wait twice as long, from one minute to half an hour."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=_FAILURES_COUNTED)
    failures = 0
    for record in records:
        if record.dagster_run.status is not dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
    if not failures:
        return False
    return datetime.now(UTC) - records[0].update_timestamp < timedelta(minutes=min(2 ** (failures - 1), 30))
