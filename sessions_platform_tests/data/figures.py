"""Known results for the sessions of each recorded file, as columns of a query over the table `sessions`."""

FIGURES = """count(*) as sessions,
    count(distinct user_id) as users,
    sum(event_count)::bigint as events,
    sum(duration_seconds) as total_duration_s,
    percentile_cont(0.5) within group (order by duration_seconds) as median_duration_s,
    max(duration_seconds) as max_duration_s,
    count(*) filter (where event_count = 1) as single_event_sessions,
    max(event_count) as max_events"""

FIGURES_AND_SPAN = (
    f"select {FIGURES}, min(session_start) as time_min, max(session_end) as time_max from {{schema}}.sessions"
)
