select session_partition as day, count(*) as sessions, sum(event_count) as events
from {{ source(var('source'), 'sessions') }}
group by session_partition
