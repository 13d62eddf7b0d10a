"""What the ledger measures of all streams at once, as queries for metrics.

Labels are streams, assets, targets and codes of rejections, never partitions, files or users, so that their number
stays bounded. A shadow stream (`NAME~next`, of a rebuild) is left out. Not here: how metrics are served
(`orchestration/metrics.py`).
"""

from sessions_platform.storage.metric_query import Metric, MetricQuery

_STREAM = ("stream",)

_LANDINGS = MetricQuery(
    """
    select stream, count(*), extract(epoch from max(published_at)), extract(epoch from max(last_event))
    from sessions_platform.landing_versions where is_current and strpos(stream, '~') = 0 group by stream""",
    _STREAM,
    (
        Metric("landing_partitions", "Published landing partitions."),
        Metric("published_timestamp_seconds", "When a landing partition was last published."),
        Metric("newest_event_timestamp_seconds", "The time of the newest accepted event."),
    ),
)
_ROWS = MetricQuery(
    """
    select stream, outcome, sum(rows)
    from sessions_platform.landing_versions, lateral (values ('accepted', accepted), ('rejected', rejected),
        ('duplicate', duplicates), ('skipped', skipped)) as judged (outcome, rows)
    where is_current and strpos(stream, '~') = 0 group by stream, outcome""",
    ("stream", "outcome"),
    (Metric("rows", "Rows of the published landing partitions, by what became of them; together all raw rows."),),
)
_REJECTED = MetricQuery(
    """
    select stream, code, sum(rows::bigint)
    from sessions_platform.landing_versions, lateral jsonb_each_text(rejected_by_reason) as reasons (code, rows)
    where is_current and strpos(stream, '~') = 0 group by stream, code""",
    ("stream", "reason"),
    (Metric("rejected_rows", "Rejected rows by code; a row with several reasons counts for each."),),
)
_FILES = MetricQuery(
    """
    with read as (
        select stream, landing_partition, count(*) as files, max(sequence) as sequence, max(read_at) as read_at
        from sessions_platform.landing_files where strpos(stream, '~') = 0 group by stream, landing_partition)
    select read.stream, sum(files), extract(epoch from max(read_at)),
        count(*) filter (where read.sequence > coalesce(current.raw_sequence, -1)),
        extract(epoch from min(read_at) filter (where read.sequence > coalesce(current.raw_sequence, -1)))
    from read left join sessions_platform.landing_versions current
        on current.stream = read.stream and current.landing_partition = read.landing_partition and current.is_current
    group by read.stream""",
    _STREAM,
    (
        Metric("landing_files", "Landing files, or slices of another source, that the ledger knows."),
        Metric("read_timestamp_seconds", "When something was last read of the source."),
        Metric("unpublished_landing_partitions", "Landing partitions with rows that were read and are not published."),
        Metric("unpublished_since_timestamp_seconds", "Since when the first of these waits; absent where none does."),
    ),
)
_STALE_SINCE = MetricQuery(
    """
    select stream, extract(epoch from min(published_at))
    from sessions_platform.stale_partitions join sessions_platform.landing_versions using (stream, version)
    where strpos(stream, '~') = 0 group by stream""",
    _STREAM,
    (Metric("stale_since_timestamp_seconds", "When the first change was published that no load includes yet."),),
)
_SESSIONS = MetricQuery(
    """
    select stream, count(*), sum(rows), sum(duplicates_across), extract(epoch from max(loaded_at)),
        max(longest_activity_chain_seconds)
    from sessions_platform.session_versions where is_current and strpos(stream, '~') = 0 group by stream""",
    _STREAM,
    (
        Metric("session_partitions", "Loaded session partitions."),
        Metric("session_events", "Events in the loaded sessions."),
        Metric("repeated_events", "Events that landed again in another landing partition, counted once."),
        Metric("loaded_timestamp_seconds", "When sessions were last loaded."),
        Metric("longest_activity_chain_seconds", "The longest run of events of a user without a silence."),
    ),
)
_LAKE = MetricQuery(
    """
    with raw_files as (
        select stream, path, max(bytes) as bytes, sum(rows) as rows
        from sessions_platform.landing_files where path is not null group by stream, path),
    files as (
        select stream, 'raw_events' as asset, count(*) as files, sum(rows) as rows, sum(bytes) as bytes
        from raw_files group by stream
        union all
        select stream, asset, count(*), sum(rows), null
        from sessions_platform.landing_versions,
            lateral (values ('events', accepted), ('rejected_events', rejected)) as written (asset, rows)
        where is_current group by stream, asset
        union all
        select stream, 'sessionized_events', count(*), sum(rows), sum(bytes)
        from sessions_platform.session_versions where is_current group by stream)
    select * from files where strpos(stream, '~') = 0""",
    ("stream", "asset"),
    (
        Metric("lake_files", "Lake files with current rows."),
        Metric("lake_rows", "Their rows."),
        Metric("lake_bytes", "Their size, of the assets whose sizes the ledger knows: raw and sessionized events."),
    ),
)
# A target that got nothing yet is not in the ledger, and so is not known here.
_DELIVERIES = MetricQuery(
    """
    select known.stream, known.target,
        count(*) filter (where delivered.version is null or delivered.version < snapshot),
        extract(epoch from max(delivered_at))
    from (select distinct stream, target from sessions_platform.deliveries) as known
    left join sessions_platform.session_versions loaded on loaded.stream = known.stream and loaded.is_current
    left join sessions_platform.deliveries delivered on delivered.stream = known.stream
        and delivered.target = known.target and delivered.session_partition = loaded.session_partition
    where strpos(known.stream, '~') = 0 and loaded.session_partition is not null
    group by known.stream, known.target""",
    ("stream", "target"),
    (
        Metric("deliveries_behind", "Loaded session partitions whose newest state another warehouse lacks."),
        Metric("delivered_timestamp_seconds", "When something was last delivered to it."),
    ),
)
_VERIFICATIONS = MetricQuery(
    """
    select stream, jsonb_array_length(problems), extract(epoch from verified_at)
    from sessions_platform.verifications""",
    _STREAM,
    (
        Metric("verification_problems", "What the last verification found and could not repair."),
        Metric("verified_timestamp_seconds", "When lake, ledger and warehouse were last verified."),
    ),
)
_RUNS = MetricQuery(
    """
    select count(*), extract(epoch from min(began_at)) from sessions_platform.run_heartbeats
    where beat_at > now() - interval '45 seconds' and ended_at is null""",
    (),
    (
        Metric("active_runs", "Runs whose process is alive."),
        Metric("oldest_active_run_timestamp_seconds", "When the first of them began."),
    ),
)

LEDGER_METRICS = (
    _LANDINGS,
    _ROWS,
    _REJECTED,
    _FILES,
    _STALE_SINCE,
    _SESSIONS,
    _LAKE,
    _DELIVERIES,
    _VERIFICATIONS,
    _RUNS,
)
