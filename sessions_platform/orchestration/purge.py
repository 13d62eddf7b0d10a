"""Purging Dagster's own storage: old runs that nothing refers to any more, with their events and logs, and old ticks.

Dagster 1.13 purges no runs, and of ticks only those of sensors and schedules that still exist. Here: which runs can go
without a change in the state of any asset. Not here: the platform's own data (`operations/clean_up.py`).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field
from sqlalchemy import text

from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient

KEPT_FOR_DAYS = 90
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

# Dagster's tables, as of 1.13; it has no other way to ask this. By these kinds of events it derives whether a partition
# is materialized, failed, in progress or observed.
_RUNS_OF_LAST_EVENTS = text("""
select distinct run_id from event_logs where id in (
    select max(id) from event_logs
    where dagster_event_type in ('ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED',
        'ASSET_FAILED_TO_MATERIALIZE', 'ASSET_OBSERVATION')
    group by asset_key, partition, dagster_event_type)
union
select distinct run_id from asset_check_executions where id in (
    select max(id) from asset_check_executions group by asset_key, check_name, partition)""")
_ORIGINS = text("select run_id, value from run_tags where key in ('dagster/parent_run_id', 'dagster/root_run_id')")
# Its ticks have the time in UTC, without a time zone.
_OLD_TICKS = "from job_ticks where type = :kind and status = :status and timestamp < :before"
_COUNT_TICKS, _DELETE_TICKS = text(f"select count(*) {_OLD_TICKS}"), text(f"delete {_OLD_TICKS}")


class PurgeConfig(dg.Config):
    """Configuration of the op `purge_storage`."""

    keep_for_days: int = Field(KEPT_FOR_DAYS, ge=1, description="How long ended runs are kept in any case.")
    dry_run: bool = Field(False, description="Change nothing, and report what would be deleted.")


@dataclass(frozen=True)
class Purged:
    """How many runs and ticks were deleted, or would be; and how many old runs stay because they are needed."""

    runs: int
    ticks: int
    old_runs_needed: int

    @property
    def document(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def purge_job() -> dg.JobDefinition:
    """Deletes old runs and ticks from Dagster's storage; one job for all streams."""

    @dg.op(retry_policy=TRANSIENT)
    def purge_storage(context: dg.OpExecutionContext, config: PurgeConfig) -> None:
        with retried_when_transient():
            purged = purge(context.instance, timedelta(days=config.keep_for_days), dry_run=config.dry_run)
        context.add_output_metadata({"dry_run": config.dry_run, **purged.document})

    @dg.job(description="Delete old runs and ticks from Dagster's storage that no asset's state depends on.")
    def purge_dagster_storage() -> None:
        purge_storage()

    return purge_dagster_storage


def purge_weekly() -> dg.ScheduleDefinition:
    """Every Sunday, purges Dagster's storage."""
    return dg.ScheduleDefinition(name="purge_weekly", cron_schedule="15 5 * * 0", job_name="purge_dagster_storage")


def purge(instance: dg.DagsterInstance, keep_for: timedelta, *, dry_run: bool = False) -> Purged:
    """Delete runs that ended longer ago than this, with their events and logs; and all ticks after their retention.

    A run stays as long as it is needed: if it made the last event about a partition of an asset, or the last evaluation
    of a check, or if a run that stays was made from it. So no asset's state changes. Each run is deleted by itself: a
    killed purge is continued by the next one.

    Args:
        instance: whose storage is purged; ticks are kept as its retention says (in dagster.yaml).
        keep_for: how long ended runs are kept in any case.
        dry_run: change nothing, and report what would be deleted.
    """
    ended = dg.RunsFilter(statuses=_ENDED, updated_before=datetime.now(UTC) - keep_for)
    old = {record.dagster_run.run_id for record in instance.get_run_records(ended)}
    deletable = _without_origins(instance, old - _runs_of_last_events(instance))
    if not dry_run:
        for run_id in sorted(deletable):
            # The run itself is deleted last, so that the next purge finds one that was deleted in part.
            instance.event_log_storage.delete_events(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            instance.delete_run(run_id)
    return Purged(len(deletable), _purge_ticks(instance, dry_run=dry_run), len(old) - len(deletable))


def _runs_of_last_events(instance: dg.DagsterInstance) -> set[str]:
    """The runs of the last event of each kind about each partition, and of the last evaluation of each check."""
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        return set(connection.execute(_RUNS_OF_LAST_EVENTS).scalars())


def _without_origins(instance: dg.DagsterInstance, runs: set[str]) -> set[str]:
    """The runs without those that others, which stay, were made from by a retry or a re-execution."""
    storage: Any = instance.run_storage
    with storage.connect() as connection:
        made_from = connection.execute(_ORIGINS).all()
    while needed := {origin for run, origin in made_from if run not in runs and origin in runs}:
        runs = runs - needed
    return runs


def _purge_ticks(instance: dg.DagsterInstance, *, dry_run: bool) -> int:
    """Delete ticks after the instance's retention, also those of sensors and schedules that are gone; how many."""
    storage: Any = instance.schedule_storage
    with storage.connect() as connection:
        if dry_run:
            return sum(connection.execute(_COUNT_TICKS, ticks).scalar() for ticks in _tick_retention(instance))
        return sum(connection.execute(_DELETE_TICKS, ticks).rowcount for ticks in _tick_retention(instance))


def _tick_retention(instance: dg.DagsterInstance) -> Iterator[dict[str, Any]]:
    """Which ticks the instance's `retention` no longer keeps: kind, status, and before when they were."""
    now = datetime.now(UTC).replace(tzinfo=None)
    for kind in ("schedule", "sensor"):
        kept = (instance.get_settings("retention") or {}).get(kind, {}).get("purge_after_days", {})
        statuses = dict.fromkeys(("skipped", "success", "failure", "started"), kept) if isinstance(kept, int) else kept
        for status, days in statuses.items():
            if days >= 0:  # -1 is unlimited
                yield {"kind": kind.upper(), "status": status.upper(), "before": now - timedelta(days=days)}
