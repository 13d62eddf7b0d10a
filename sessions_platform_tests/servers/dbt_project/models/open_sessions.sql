{{ config(enabled=target.type == 'postgres') }}
select count(*) as sessions
from {{ source(var('source'), 'sessions_now') }}
where is_open
