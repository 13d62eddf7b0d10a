"""What the warehouse asks of PostgreSQL: to find, change and log the rows that differ, and its views."""

from psycopg.sql import SQL

STAGED = SQL("staged")
IN_ORDER = SQL("using btree ({columns})")
BY_RANGE = SQL("using brin ({columns})")
# For some hundred thousand bytes of the table a trace of the values in it, six thousand bytes long
BY_TRACE = SQL("""
using brin ({columns} text_bloom_ops(n_distinct_per_range = 5000)) with (pages_per_range = 64)""")
NOTED_OF_SESSIONS = """
case when (t.user_id, t.session_start) is distinct from (n.user_id, n.session_start)
    then array[t.user_id, n.user_id] end"""
DIFFER = SQL("""
create temporary table difference on commit drop as
select coalesce(n.{key}, t.{key}) as key, t.{key} is null as appears, n.{key} is null as vanishes, {noted} as noted,
    n.ctid as incoming, t.ctid as standing
from staged n full join (select ctid, * from {table} where {scope} = any(%(partitions)s)) t on t.{key} = n.{key}
where row({standing}) is distinct from row({incoming})
order by t.ctid, n.ctid""")
# Rows that stand under a partition that the load has nothing to do with
FIND_ELSEWHERE = SQL("""
update difference d set standing = t.ctid, appears = false from {table} t where d.appears and t.{key} = d.key""")
DELETE = SQL("""
delete from {table} t using difference d where d.vanishes and t.ctid = d.standing""")
UPDATE = SQL("""
update {table} t set {set} from staged n, difference d
where not d.appears and n.ctid = d.incoming and t.ctid = d.standing""")
INSERT = SQL("""
insert into {table} as t ({columns}, {stamped})
select {incoming}, {stamps} from difference d, staged n where d.appears and n.ctid = d.incoming""")
AND_LOG = SQL("""
with done as ({changing} returning t.session_id, t.session_partition)
insert into {changes} (session_id, change, merged_into, session_partition, run_id, changed_at) {log}""")
LOG_VANISHED = SQL("""
select session_id, 'vanished', merged_into, session_partition, %(run_id)s, now()
from done left join unnest(%(vanished)s::text[], %(successors)s::text[]) as successor (vanished_id, merged_into)
    on vanished_id = session_id""")
LOG_CHANGED = SQL("select session_id, 'changed', null, session_partition, %(run_id)s, now() from done")
LOG_APPEARED = SQL("select session_id, 'appeared', null, session_partition, %(run_id)s, now() from done")
LOG_APPENDED = SQL("""
insert into {changes} (session_id, change, session_partition, run_id, changed_at)
select session_id, 'appeared', session_partition, %(run_id)s, now()
from {table} where session_partition = any(%(partitions)s)""")
_UNCERTAIN = "select unnest(%(uncertain)s::text[]) as user_id"
UNCERTAIN = SQL(_UNCERTAIN)
# Whether a session is its user's last can change where one of the user's came, went or has moved.
CONCERNED_BY_DIFFERENCE = SQL("select distinct unnest(noted) as user_id from difference union " + _UNCERTAIN)
NEWCOMERS = SQL("""
create temporary table newcomers on commit drop as
select distinct user_id from {table} where session_partition = any(%(partitions)s)""")
CONCERNED_BY_APPENDED = SQL(
    """
select user_id from {table} where user_id in (select user_id from newcomers)
group by user_id having count(open_until) <> 1 or max(open_until) is distinct from max(session_end) + %(gap)s
union """
    + _UNCERTAIN
)
AT_REST = SQL("""
select session_partition, sum(rows)::bigint as rows, array_agg(writer::text::bigint order by writer::text) as writers,
    array_agg(rows order by writer::text) as rows_of, (
        select string_agg(attname || ' ' || attnum || ' ' || atttypid, ', ' order by attnum) from pg_attribute
        where attrelid = to_regclass(%(table)s) and attname = any(%(columns)s)) as columns
from (
    select session_partition, xmin as writer, count(*) as rows from {table}
    where session_partition = any(%(partitions)s) group by 1, 2
) written group by session_partition""")
# Who asks for no is_first does not pay for it: a join that nothing is read of is left out by the planner.
VIEW = SQL("""
create view {view} as
select coalesce(newest.event {is_before} t.open_until, false) as is_open, t.session_start = own.first as is_first, t.*
from {table} t
cross join (
    select max(last_event) as event from sessions_platform.landing_versions where stream = {stream} and is_current
) newest
left join (select user_id, min(session_start) as first from {table} group by user_id) own on own.user_id = t.user_id""")
REJECTED_VIEW_COMMENT = "Rejected rows by day of landing and by reason. A row counts once under each of its codes."
REJECTED_VIEW = SQL("""
create view {view} as
select left(t.landing_partition, 10)::date as day, reason ->> 'code' as code, count(distinct t.rejection_id) as rows
from {table} t, jsonb_array_elements(t.reasons) as reason
group by 1, 2""")
FIND_MARKS = SQL("""
create temporary table marks on commit drop as
select place, until
from (
    select ctid as place, open_until, case when rank() over of_user = 1 then session_end + %(gap)s end as until
    from {table} where user_id in (select user_id from concerned)
    window of_user as (partition by user_id order by session_start desc, session_end desc)
) own
where open_until is distinct from until
order by place""")
MARK_OPEN = SQL("update {table} t set open_until = m.until from marks m where t.ctid = m.place")
