"""Sensors: runs for pending landing partitions and stale session partitions, as soon as there are any.

Here belongs when a run is requested, and the back-off after failures. What is pending is read from the ledger each
time, so that nothing is missed; the only cursor is that of `new_records`, which says when a server was asked. Not here:
what is pending (`operations/status.py`), its ranges (`jobs.py`), when a server is asked (`looks.py`), which partitions
Dagster shows as failed (`failed_partitions.py`), evaluations that outlast a tick (`background.py`), whether the
stream's file is still the one that was loaded (`loaded_streams.py`), and runs at fixed times (`schedules.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.skipped import skipped_sentence
from sessions_platform.orchestration.asset_keys import source_key
from sessions_platform.orchestration.background import Evaluations, Unfinished
from sessions_platform.orchestration.failed_partitions import failed_partitions
from sessions_platform.orchestration.failures import read_again
from sessions_platform.orchestration.heartbeats import end_lost_runs
from sessions_platform.orchestration.jobs import (
    LANDING_ASSETS,
    RANGE_END,
    RANGE_START,
    SESSION_ASSETS,
    job_name,
    landing_ranges,
    range_tags,
    session_ranges,
)
from sessions_platform.orchestration.loaded_streams import STREAM, STREAM_VERSION, changed_since_loading
from sessions_platform.orchestration.looks import Pending, back_off, pending_records
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.sensor_names import NEW_FILES, NEW_RECORDS, STALE_SESSIONS, of_source
from sessions_platform.pipeline.context import StreamContext

Ranges = Callable[[StreamContext], list[tuple[str, str]]]

# Statuses of runs that have not ended.
ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FAILURES_COUNTED = 6  # from then on the back-off is the longest
_WAIT_SECONDS = 25.0  # of a tick for what is pending; Dagster gives up a tick after 60
_LONGEST_EVALUATION = timedelta(minutes=10)
# Dagster looks every five seconds which sensors are due, and stores each tick. Several streams have longer intervals,
# so that up to seven together have hardly more ticks than one alone; the demo's is not counted.
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 5, 30  # seconds
_FAILED_SHOWN = 3

_evaluations = Evaluations()


@dataclass(frozen=True)
class Tick:
    """What a tick knows before it reads what is pending.

    Attributes:
        failed: partitions that Dagster shows as failed.
        cursor: of the sensor.
        is_running: whether a run of the sensor's job has not ended.
    """

    failed: Sequence[str]
    cursor: str | None
    is_running: bool


class NoAnswerError(UserError):
    """What is pending could not be read within ten minutes; the message says of what."""


def interval(streams: int) -> int:
    """Seconds between two ticks of a sensor, where there are this many streams, the demo's among them."""
    # A second less, since of looks that are five seconds apart every other one would come just too early.
    return min(_SHORTEST_INTERVAL * max(streams - 1, 1), _LONGEST_INTERVAL) - 1


def new_events(stream: Stream, seconds: int = _LONGEST_INTERVAL) -> dg.SensorDefinition:
    """The sensor of a stream's source: `new_records` of a server, else `new_files`."""
    return new_records(stream, seconds) if of_source(stream) == NEW_RECORDS else new_files(stream, seconds)


def new_records(stream: Stream, seconds: int = _LONGEST_INTERVAL) -> dg.SensorDefinition:
    """Requests runs that read the new records of a server, as often as the stream states; says if it doesn't answer."""
    return _sensor(stream, NEW_RECORDS, "ingest_events", _pending_records, seconds)


def new_files(stream: Stream, seconds: int = _LONGEST_INTERVAL) -> dg.SensorDefinition:
    """Requests runs that ingest landing files that are new or have changed; says which files are skipped."""
    return _sensor(stream, NEW_FILES, "ingest_events", _pending_landing, seconds)


def stale_sessions(stream: Stream, seconds: int = _LONGEST_INTERVAL) -> dg.SensorDefinition:
    """Requests runs that refresh session partitions that changed events have made stale."""
    return _sensor(stream, STALE_SESSIONS, "refresh_sessions", _stale_sessions, seconds)


def _pending_records(stream_context: StreamContext, tick: Tick) -> Pending:
    return pending_records(stream_context, tick.failed, tick.cursor, is_read=tick.is_running)


def _pending_landing(stream_context: StreamContext, tick: Tick) -> Pending:
    stream_context.prepare()
    found = stream_context.found()
    return Pending(
        landing_ranges(stream_context, found, tick.failed), skipped_sentence(found, stream_context.stream.source.noun)
    )


def _stale_sessions(stream_context: StreamContext, tick: Tick) -> Pending:
    return Pending(session_ranges(stream_context, also=tick.failed))


def wanted_runs(
    instance: dg.DagsterInstance,
    stream: Stream,
    job: str,
    ranges: list[tuple[str, str]],
    now: datetime | None = None,
    since: datetime | None = None,
) -> Iterator[dg.RunRequest]:
    """A run request for each range, unless a run of overlapping partitions is active or the last ones have failed.

    Requests have no run key, because Dagster would never again accept the same one, and the same partitions are
    requested many times. They name the state of the stream's file that they are for, and the run does nothing if it
    reads another one.

    Args:
        instance: where runs are recorded.
        stream: whose job it is.
        job: its name without the stream.
        ranges: first and last partition of each run.
        now: the time to compare with failed runs; by default the current time.
        since: when the ranges began to be read; what a run did after that may be missing from them.
    """
    name = job_name(stream, job)
    runs = list(instance.get_runs(dg.RunsFilter(job_name=name, statuses=ACTIVE)))
    if since:
        runs += instance.get_runs(dg.RunsFilter(job_name=name, updated_after=since))
    covered = [(run.tags.get(RANGE_START, ""), run.tags.get(RANGE_END, "")) for run in runs]
    version = stream.definition_version
    for first, last in ranges:
        tags = range_tags(first, last)
        overlaps = any(a <= last and first <= b for a, b in covered)
        if not overlaps and not backs_off(instance, name, tags, version, now or datetime.now(UTC)):
            yield dg.RunRequest(job_name=name, tags={**tags, STREAM: stream.name, STREAM_VERSION: version})


def _sensor(
    stream: Stream, name: str, job: str, pending_in: Callable[[StreamContext, Tick], Pending], seconds: int
) -> dg.SensorDefinition:
    sensor_name = f"{stream.name}__{name}"
    lands = job == "ingest_events"
    failed_of = failed_partitions(stream, LANDING_ASSETS if lands else SESSION_ASSETS, landing=lands)

    @dg.sensor(
        name=sensor_name,
        job_name=job_name(stream, job),
        minimum_interval_seconds=seconds,
        description=f"Requests {job} for all partitions that need it.",
    )
    def watch(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
        end_lost_runs(context.instance)
        if changed := changed_since_loading(stream):
            return dg.SkipReason(changed)
        if rest := _evaluations.rest(sensor_name):
            return dg.SkipReason(f"to read what is pending takes long, so it is read again in {rest:.0f} s")
        stream_context, instance = platform.stream_context(stream.name), context.instance
        tick = Tick(failed_of.of(instance), context.cursor, _is_running(instance, stream, job))
        pending = _evaluations.result(
            sensor_name, lambda: read_again(lambda: pending_in(stream_context, tick)), _WAIT_SECONDS
        )
        if isinstance(pending, Unfinished):
            return _not_yet(stream, pending.seconds)
        ranges, said, cursor, _ = pending.value
        runs = list(wanted_runs(instance, stream, job, ranges, since=pending.began_at))
        if runs:
            return dg.SensorResult(run_requests=runs, cursor=cursor, asset_events=_observed(stream, pending.value))
        found = f"{len(ranges)} ranges are active or backing off" if ranges else "nothing to do"
        reason = "; ".join(part for part in (found, _failed_sentence(tick.failed), said) if part)
        return dg.SensorResult(skip_reason=reason, cursor=cursor)

    return watch


def _is_running(instance: dg.DagsterInstance, stream: Stream, job: str) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(job_name=job_name(stream, job), statuses=ACTIVE), limit=1))


def _observed(stream: Stream, pending: Pending) -> list[dg.AssetObservation]:
    """What a server had for the runs that are requested, where it has said so."""
    if pending.unread is None:
        return []
    return [dg.AssetObservation(source_key(stream), metadata={"unread_records": pending.unread})]


def _failed_sentence(failed: Sequence[str]) -> str:
    """Which partitions are red and wait for the end of a run or of the back-off; empty where none is."""
    more = f" and {len(failed) - _FAILED_SHOWN} more" if len(failed) > _FAILED_SHOWN else ""
    return f"failed, and to be run again: {', '.join(failed[:_FAILED_SHOWN])}{more}" if failed else ""


def _not_yet(stream: Stream, seconds: float) -> dg.SkipReason:
    if seconds > _LONGEST_EVALUATION.total_seconds():
        raise NoAnswerError(
            f"{stream.name}: to read what is pending has taken {seconds:.0f} s and has not ended. Fix: see whether the "
            "landing folder and the database answer; reload the definitions to begin again."
        )
    return dg.SkipReason(f"what is pending is being read, for {seconds:.0f} s so far; a later tick takes the result")


def backs_off(instance: dg.DagsterInstance, job: str, tags: dict[str, str], version: str, now: datetime) -> bool:
    """Whether the last run of a job with these tags failed, less than the back-off ago.

    Runs that were requested for another state of the stream's file do not count: what failed then may succeed now.
    """
    records = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=_FAILURES_COUNTED)
    of_version = (r for r in records if r.dagster_run.tags.get(STREAM_VERSION, version) == version)
    failed = list(takewhile(lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE, of_version))
    return bool(failed) and now - failed[0].update_timestamp < back_off(len(failed))
