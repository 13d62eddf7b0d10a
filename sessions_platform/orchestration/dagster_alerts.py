"""The alerts that Dagster's storage makes fire: of runs, checks, sensors and the daemon.

They read Dagster's tables, as of 1.13, like the metrics (`dagster_metrics.py`), and for the same reason; nothing of
Dagster is imported, so that cron may look each minute. Not here: what the ledger makes fire (`operations/alerts.py`).
"""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlencode

import psycopg

from sessions_platform.contracts.asset_selection import keys_of
from sessions_platform.contracts.stream_folder import Streams
from sessions_platform.operations.alerts import Alert, Kind
from sessions_platform.orchestration.dagster_metrics import STREAM_OF_CHECK
from sessions_platform.orchestration.sensor_names import may_exist
from sessions_platform.settings import AlertSettings

OF_DAGSTER = (Kind.run_failed, Kind.check_failed, Kind.sensor_silent, Kind.daemon_dead)
_DAEMON_SILENT = timedelta(minutes=5)  # its heartbeat comes every 30 seconds

_RANGE_OF_RUNS = """
    select run_id, max(value) filter (where key = 'sessions/stream') as stream,
        max(value) filter (where key in ('dagster/asset_partition_range_start', 'dagster/partition')) as first,
        max(value) filter (where key in ('dagster/asset_partition_range_end', 'dagster/partition')) as last,
        bool_or(key = 'dagster/will_retry' and value = 'true') as is_tried_again
    from run_tags group by run_id"""
# The last failure of each job and range of partitions that no later success of the job has touched. A run that the
# daemon is to try again has not failed yet.
_FAILED_RUNS = f"""
with tagged as ({_RANGE_OF_RUNS}),
ended as (
    select run_id, status, coalesce(end_time, extract(epoch from update_timestamp)) as ended, pipeline_name as job,
        coalesce(stream, run_body::jsonb #>> '{{asset_selection,__frozenset__,0,path,-2}}', '') as stream,
        coalesce(first, '') as first, coalesce(last, '') as last, coalesce(is_tried_again, false) as is_tried_again
    from runs left join tagged using (run_id)
    where status in ('SUCCESS', 'FAILURE') and update_timestamp > now() at time zone 'UTC' - interval '30 days')
select distinct on (stream, job, first, last) run_id, stream, job, first, last, (
    select coalesce(
        event::jsonb #>> '{{dagster_event,event_specific_data,user_failure_data,description}}',
        event::jsonb #>> '{{dagster_event,event_specific_data,error,cause,message}}',
        event::jsonb #>> '{{dagster_event,event_specific_data,error,message}}',
        event::jsonb #>> '{{dagster_event,message}}')
    from event_logs
    where event_logs.run_id = failed.run_id and dagster_event_type in ('STEP_FAILURE', 'PIPELINE_FAILURE')
    order by dagster_event_type = 'STEP_FAILURE' desc, id limit 1)
from ended as failed
where status = 'FAILURE' and not is_tried_again and not exists (
    select from ended as later
    where later.status = 'SUCCESS' and later.stream = failed.stream and later.job = failed.job
        and later.ended > failed.ended
        and (failed.first = '' or later.first = '' or (later.first <= failed.last and later.last >= failed.first)))
order by stream, job, first, last, ended desc"""
_FAILED_CHECKS = f"""
with tagged as ({_RANGE_OF_RUNS}),
newest as (
    select distinct on (asset_key, check_name) *
    from (select * from asset_check_executions where execution_status in ('SUCCEEDED', 'FAILED')
          order by id desc limit 5000) as evaluated
    order by asset_key, check_name, id desc)
select run_id, {STREAM_OF_CHECK}, asset_key::jsonb ->> -1, check_name,
    evaluation_event::jsonb #>> '{{dagster_event,event_specific_data,severity,__enum__}}' = 'AssetCheckSeverity.WARN',
    evaluation_event::jsonb #>> '{{dagster_event,event_specific_data,description}}',
    coalesce(first, ''), coalesce(last, '')
from newest left join tagged using (run_id) where execution_status = 'FAILED' order by 2, 3, 4"""
_SENSORS = """
select instigator_body::jsonb #>> '{origin,job_name}' as name, good.at,
    (select coalesce(tick_body::jsonb #>> '{error,cause,message}', tick_body::jsonb #>> '{error,message}')
     from job_ticks where job_ticks.selector_id = instigators.selector_id and status = 'FAILURE' and timestamp > good.at
     order by timestamp desc limit 1)
from instigators, lateral (
    select greatest(max(timestamp), to_timestamp((
        instigator_body::jsonb #>> '{job_specific_data,last_sensor_start_timestamp}')::double precision)
        at time zone 'UTC') as at
    from job_ticks where job_ticks.selector_id = instigators.selector_id and status in ('SUCCESS', 'SKIPPED')) as good
where instigator_type = 'SENSOR' and status = 'RUNNING' and good.at < now() at time zone 'UTC' - %s::interval
order by 1"""
_DAEMON = """
select max(timestamp) from daemon_heartbeats
where exists (select from instigators where status = 'RUNNING')
having max(timestamp) < now() at time zone 'UTC' - %s::interval"""


class Pages:
    """The URLs of pages of Dagster's UI."""

    def __init__(self, ui_url: str) -> None:
        self._url = ui_url.rstrip("/")

    def of_stream(self, stream: str) -> str:
        """The page of a stream's assets."""
        return f"{self._url}/asset-groups?{urlencode({'asset-selection': keys_of(stream)})}"

    def of_run(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self._url}/runs/{run_id}"

    @property
    def of_automation(self) -> str:
        """The page of all sensors and schedules."""
        return f"{self._url}/automation"

    @property
    def of_health(self) -> str:
        """The page of the daemons."""
        return f"{self._url}/health"


def dagster_alerts(
    connection: psycopg.Connection, streams: Streams, settings: AlertSettings, pages: Pages
) -> Iterator[Alert]:
    """The alerts that Dagster's storage makes fire.

    While the daemon is dead no sensor is said to be silent, since all of them are.

    Args:
        connection: to Dagster's storage.
        streams: what is left of others, or of sensors that these no longer have, has no alerts.
        settings: when they fire.
        pages: the UI's.
    """
    yield from _failed_runs(connection, streams, pages)
    yield from _failed_checks(connection, streams, pages)
    dead = list(_dead_daemon(connection, pages))
    yield from dead or _silent_sensors(connection, streams, settings.sensor_silent, pages)


def _failed_runs(connection: psycopg.Connection, streams: Streams, pages: Pages) -> Iterator[Alert]:
    for run_id, stream, job, first, last, cause in connection.execute(_FAILED_RUNS).fetchall():
        name = job.removeprefix(f"{stream}__")
        if not stream or _is_of(streams, stream, name, "deliver_"):
            partition = _range(first, last)
            fix = "see the cause; once it is gone, run again: what the run had not done is pending"
            subject = f"{name} {partition}".strip()
            yield Alert(
                Kind.run_failed, stream, subject, cause or "It says no reason.", fix, pages.of_run(run_id), partition
            )


def _failed_checks(connection: psycopg.Connection, streams: Streams, pages: Pages) -> Iterator[Alert]:
    for run_id, stream, asset, check, is_warning, said, first, last in connection.execute(_FAILED_CHECKS).fetchall():
        if _is_of(streams, stream, asset, "sessions__"):
            yield Alert(
                Kind.check_failed,
                stream,
                f"{asset} {check}",
                said or f"The check {check} of {asset} failed.",
                "see its metadata in the UI, and docs/glossary.md, Checks",
                pages.of_run(run_id),
                _range(first, last),
                "warning" if is_warning else "error",
            )


def _is_of(streams: Streams, stream: str, name: str, before_target: str) -> bool:
    """Whether a stream has a job or an asset; those of a target it has only with the target."""
    if name.startswith(before_target):
        return streams.may_have_target(stream, name.removeprefix(before_target))
    return streams.has(stream)


def _silent_sensors(
    connection: psycopg.Connection, streams: Streams, limit: timedelta, pages: Pages
) -> Iterator[Alert]:
    for name, since, error in connection.execute(_SENSORS, [limit]).fetchall():
        if not may_exist(name, streams):
            continue
        stream, separator, _ = name.partition("__")
        cause = f"It was last evaluated without an error at {since:%Y-%m-%d %H:%M} UTC. {error or ''}".strip()
        fix = "see its last tick; correct what it says, or reload the definitions"
        yield Alert(Kind.sensor_silent, stream if separator else "", name, cause, fix, pages.of_automation)


def _dead_daemon(connection: psycopg.Connection, pages: Pages) -> Iterator[Alert]:
    for (since,) in connection.execute(_DAEMON, [_DAEMON_SILENT]).fetchall():
        cause = f"No daemon of Dagster was alive since {since:%Y-%m-%d %H:%M} UTC: sensors and schedules do nothing."
        fix = "start `dagster-daemon run`, or `sessions-platform dev`"
        yield Alert(Kind.daemon_dead, "", "", cause, fix, pages.of_health)


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first}..{last}"
