"""What Dagster's own storage measures of runs, steps, checks, sensors and daemons, as queries for metrics.

They read Dagster's tables, as of 1.13, since Dagster has no other way to ask these counts at once; nothing of Dagster
is imported, so that a scrape is quick. Times without a zone are UTC there. Not here: what the ledger measures
(`storage/ledger/metrics.py`).
"""

from sessions_platform.storage.metric_query import Metric, MetricQuery

# Keys of assets may have a prefix, then the stream's name, then the asset's; that of a source ends with the stream's.
STREAM_OF_CHECK = """case when check_name = 'source_is_fresh' then asset_key::jsonb ->> -1
        else coalesce(asset_key::jsonb ->> -2, asset_key::jsonb ->> -1) end"""
# Jobs and steps are named STREAM__NAME, where NAME may have such a separator, too, as in sessions__TARGET; steps may
# have a prefix. Runs that somebody started by hand for chosen assets have Dagster's job, and no tag that says a stream.
_STREAM_AND_STEP = """coalesce(tag.value, split_part(step_key, '__', 1)),
        regexp_replace(step_key, coalesce('^(.*__)?' || tag.value || '__', '^.*?__'), '')"""
_TAGS = "left join run_tags tag on tag.run_id = event_logs.run_id and tag.key = 'sessions/stream'"
_RUNS = MetricQuery(
    """
    select coalesce(tag.value, ''), regexp_replace(pipeline_name, '^[a-z][a-z0-9_]*?__', ''), lower(status), count(*),
        max(end_time)
    from runs left join run_tags tag on tag.run_id = runs.run_id and tag.key = 'sessions/stream'
    group by 1, 2, 3""",
    ("stream", "dagster_job", "status"),  # `job` is Prometheus' own label of what it scrapes, and overrules others
    (
        Metric("runs", "Runs that Dagster's storage has, until they are purged."),
        Metric("run_ended_timestamp_seconds", "When the last run of this status ended."),
    ),
)
_STEPS = MetricQuery(
    f"""
    select {_STREAM_AND_STEP},
        ((array_agg(event order by event_logs.id desc))[1]::jsonb
            #>> '{{dagster_event,event_specific_data,duration_ms}}')::double precision / 1000
    from (select id, run_id, step_key, event from event_logs
          where dagster_event_type = 'STEP_SUCCESS' and step_key is not null
          order by id desc limit 1000) as event_logs {_TAGS}
    group by 1, 2""",
    ("stream", "step"),
    (Metric("step_duration_seconds", "How long the step took when it last succeeded, of the newest thousand steps."),),
)
_FAILED_STEPS = MetricQuery(
    f"""
    select {_STREAM_AND_STEP},
        count(*) filter (where dagster_event_type = 'STEP_FAILURE'),
        count(*) filter (where dagster_event_type = 'STEP_UP_FOR_RETRY')
    from event_logs {_TAGS}
    where dagster_event_type in ('STEP_FAILURE', 'STEP_UP_FOR_RETRY') and step_key is not null
    group by 1, 2""",
    ("stream", "step"),
    (
        Metric("step_failures", "Times that the step failed, in the runs that Dagster's storage has."),
        Metric("step_retries", "Times that the step was tried again, in these runs."),
    ),
)
_CHECKS = MetricQuery(
    f"""
    select distinct on (asset_key, check_name) {STREAM_OF_CHECK}, asset_key::jsonb ->> -1, check_name,
        (execution_status = 'SUCCEEDED')::int
    from (select * from asset_check_executions where execution_status in ('SUCCEEDED', 'FAILED')
          order by id desc limit 5000) as newest
    order by asset_key, check_name, id desc""",
    ("stream", "asset", "check"),
    (Metric("check_passed", "1 where the check's last evaluation passed, else 0; of the newest 5000 evaluations."),),
)
_SENSORS = MetricQuery(
    """
    select instigator_body::jsonb #>> '{origin,job_name}', lower(instigator_type),
        (status in ('RUNNING', 'DECLARED_IN_CODE'))::int,
        extract(epoch from (
            select max(timestamp) from job_ticks
            where job_ticks.selector_id = instigators.selector_id and job_ticks.status in ('SUCCESS', 'SKIPPED')))
    from instigators""",
    ("name", "kind"),
    (
        Metric("automation_on", "1 where the sensor or schedule is switched on, else 0."),
        Metric("automation_ticked_timestamp_seconds", "When it was last evaluated without an error."),
    ),
)
_DAEMONS = MetricQuery(
    "select lower(daemon_type), extract(epoch from max(timestamp)) from daemon_heartbeats group by 1",
    ("daemon",),
    (Metric("daemon_heartbeat_timestamp_seconds", "When Dagster's daemon of this kind was last alive."),),
)

DAGSTER_METRICS = (_RUNS, _STEPS, _FAILED_STEPS, _CHECKS, _SENSORS, _DAEMONS)
