"""Runs that have ended, as Dagster's storage tells them: steps with their times, what they wrote, why they failed.

Traces and lineage are made from these afterwards, so that a run never waits for whoever receives them, and a run that
was killed is told, too. Not here: what is made of them (`traces.py`, `open_lineage.py`), and who asks for them
(`run_exports.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from sessions_platform.orchestration.jobs import RANGE_END, RANGE_START
from sessions_platform.orchestration.loaded_streams import STREAM

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_STEP_EVENTS = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
}


@dataclass(frozen=True)
class Written:
    """What a step wrote of an asset: how many times (partitions count each), and rows in all, where it tells them."""

    asset: dg.AssetKey
    materializations: int
    rows: int | None


@dataclass(frozen=True)
class EndedStep:
    """A step of a run. One without an end of its own ended with its run.

    Attributes:
        name: the step's key.
        began: when its first attempt began, as Unix time in seconds.
        ended: when it ended, likewise.
        succeeded: whether it said so; a step whose process was killed says nothing.
        failure: the message of its failure, without a traceback, if it told one.
        retries: how many attempts there were beyond the first.
        written: what it wrote, by asset.
    """

    name: str
    began: float
    ended: float
    succeeded: bool
    failure: str | None
    retries: int
    written: Sequence[Written]


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended; `stream` and `partitions` are empty where its tags name none."""

    run_id: str
    job: str
    stream: str
    partitions: str
    status: dg.DagsterRunStatus
    began: float
    ended: float
    steps: Sequence[EndedStep]


def ended_since(
    instance: dg.DagsterInstance, since: datetime, but_not: Mapping[str, float], limit: int
) -> Iterator[tuple[float, EndedRun]]:
    """Runs that ended after a moment, in the order in which they ended, each with its end as Unix time.

    Args:
        instance: where runs are recorded.
        since: in UTC.
        but_not: runs, by id, that are left out.
        limit: how many are looked at, at most.
    """
    ended = dg.RunsFilter(statuses=_ENDED, updated_after=since)
    for record in instance.get_run_records(
        ended, limit=limit + len(but_not), order_by="update_timestamp", ascending=True
    ):
        if record.dagster_run.run_id not in but_not:
            yield record.update_timestamp.replace(tzinfo=UTC).timestamp(), _ended_run(instance, record)


def _ended_run(instance: dg.DagsterInstance, record: dg.RunRecord) -> EndedRun:
    run = record.dagster_run
    first, last = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
    ended = record.end_time or record.update_timestamp.replace(tzinfo=UTC).timestamp()
    return EndedRun(
        run_id=run.run_id,
        job=run.job_name,
        stream=run.tags.get(STREAM, ""),
        partitions=run.tags.get("dagster/partition") or (f"{first}..{last}" if first and last else ""),
        status=run.status,
        began=record.start_time or ended,
        ended=ended,
        steps=list(_steps(instance, run.run_id, ended)),
    )


def _steps(instance: dg.DagsterInstance, run_id: str, run_ended: float) -> Iterator[EndedStep]:
    by_step: dict[str, list[dg.EventLogEntry]] = {}
    for entry in instance.all_logs(run_id, of_type=_STEP_EVENTS):
        if entry.step_key:
            by_step.setdefault(entry.step_key, []).append(entry)
    for name, entries in by_step.items():
        yield _step(name, entries, run_ended)


def _step(name: str, entries: Sequence[dg.EventLogEntry], run_ended: float) -> EndedStep:
    events = [(entry.timestamp, entry.get_dagster_event()) for entry in entries]
    ends = [at for at, event in events if event.is_step_success or event.is_step_failure]
    failures = [_failure(event) for _, event in events if event.is_step_failure]
    return EndedStep(
        name=name,
        began=events[0][0],
        ended=ends[-1] if ends else run_ended,
        succeeded=any(event.is_step_success for _, event in events),
        failure=failures[-1] if failures else None,
        retries=sum(event.is_step_up_for_retry for _, event in events),
        written=list(_written(event for _, event in events if event.is_step_materialization)),
    )


def _failure(event: dg.DagsterEvent) -> str:
    """What a step said when it failed: its own words before Dagster's; the cause before what it led to."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = (data.error.cause or data.error) if data.error else None
    return error.message.strip() if error else event.message or "it failed"


def _written(events: Iterator[dg.DagsterEvent]) -> Iterator[Written]:
    rows: dict[dg.AssetKey, list[int | None]] = {}
    for event in events:
        made = event.step_materialization_data.materialization
        counted = made.metadata.get("dagster/row_count")
        rows.setdefault(made.asset_key, []).append(counted.value if isinstance(counted, dg.IntMetadataValue) else None)
    for asset, counts in rows.items():
        told = [count for count in counts if count is not None]
        yield Written(asset, len(counts), sum(told) if told else None)


def a_day_ago() -> datetime:
    """From when runs are told to who has been told nothing yet."""
    return datetime.now(UTC) - timedelta(days=1)
