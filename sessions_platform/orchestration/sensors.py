"""Sensors: runs for pending landing partitions and stale session partitions, as soon as there are any.

Here belongs when a run is requested, and the back-off after failures. Sensors have no cursor: what is pending is read
from the ledger each time, so that nothing is missed. Not here: what is pending (`operations/status.py`), its ranges
(`jobs.py`), and runs at fixed times (`schedules.py`).
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.failures import read_again
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

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = timedelta(minutes=1), timedelta(minutes=30)
_FAILURES_COUNTED = 6  # from then on the back-off is the longest


def new_files(stream: Stream) -> dg.SensorDefinition:
    """Requests runs that ingest landing files that are new or have changed."""
    return _sensor(stream, "new_files", "ingest_events", landing_ranges)


def stale_sessions(stream: Stream) -> dg.SensorDefinition:
    """Requests runs that refresh session partitions that changed events have made stale."""
    return _sensor(stream, "stale_sessions", "refresh_sessions", session_ranges)


def wanted_runs(
    instance: dg.DagsterInstance,
    stream: Stream,
    job: str,
    ranges: list[tuple[str, str]],
    now: datetime | None = None,
) -> Iterator[dg.RunRequest]:
    """A run request for each range, unless a run of overlapping partitions is active or the last ones have failed.

    Requests have no run key, because Dagster would never again accept the same one, and the same partitions are
    requested many times.

    Args:
        instance: where runs are recorded.
        stream: whose job it is.
        job: its name without the stream.
        ranges: first and last partition of each run.
        now: the time to compare with failed runs; by default the current time.
    """
    name = job_name(stream, job)
    active = instance.get_runs(dg.RunsFilter(job_name=name, statuses=_ACTIVE))
    covered = [(run.tags.get(RANGE_START, ""), run.tags.get(RANGE_END, "")) for run in active]
    for first, last in ranges:
        overlaps = any(a <= last and first <= b for a, b in covered)
        if not overlaps and not _backs_off(instance, name, range_tags(first, last), now or datetime.now(UTC)):
            yield dg.RunRequest(job_name=name, tags=range_tags(first, last))


def _sensor(stream: Stream, name: str, job: str, ranges: Ranges) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{stream.name}__{name}",
        job_name=job_name(stream, job),
        minimum_interval_seconds=30,
        description=f"Requests {job} for all partitions that need it.",
    )
    def watch(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
        pending = read_again(lambda: ranges(platform.stream_context(stream.name)))
        runs = list(wanted_runs(context.instance, stream, job, pending))
        if not runs:
            return dg.SkipReason(f"{len(pending)} ranges are active or backing off" if pending else "nothing to do")
        return dg.SensorResult(run_requests=runs)

    return watch


def back_off(failures: int) -> timedelta:
    """How long to wait after this many failures in a row: 1, 2, 4, 8, 16 minutes, then 30."""
    return min(_FIRST_BACK_OFF * 2 ** (failures - 1), _LONGEST_BACK_OFF)


def _backs_off(instance: dg.DagsterInstance, job: str, tags: dict[str, str], now: datetime) -> bool:
    """Whether the last run of these partitions failed, less than the back-off ago."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=_FAILURES_COUNTED)
    failed = list(takewhile(lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE, records))
    return bool(failed) and now - failed[0].update_timestamp < back_off(len(failed))
