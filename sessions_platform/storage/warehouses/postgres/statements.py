"""SQL of the warehouse: to find, change and log the rows that differ, to keep `open_until` correct, and its views.

Only texts are here; who runs them, in which order, is in `merge.py`, `loader.py`, `open_until.py` and
`loaded_partitions.py`, and the tables' definitions are in `tables.py`. Names in braces are filled in by
psycopg.sql, %(names)s are parameters.

Temporary tables, all of which end with the transaction:

- `staged`: the rows to load, with the columns of their table.
- `difference`: one row for each key that differs. `incoming` and `current` are the ctids of its rows in `staged` and
  in the table, `appears` and `vanishes` say that there is none on the other side, and `affected_users` are the users
  whose sessions have to be looked at again, null where there are none.
- `new_users`: the users of session partitions that were copied into the table.
- `affected_users`: the users whose `open_until` may be wrong.
- `open_until_updates`: the ctids of their rows, with the value that they should have.
"""

from typing import LiteralString

from psycopg.sql import SQL

from sessions_platform.contracts.session_rule import SessionRule, TimeUnit

_FLOORED: dict[TimeUnit, LiteralString] = {
    "us": "{}",
    "ms": "date_trunc('milliseconds', {})",
    "s": "date_trunc('second', {})",
}
STAGED = SQL("staged")
BTREE = SQL("using btree ({columns})")
BRIN = SQL("using brin ({columns})")
# A Bloom filter of the column's values for each 64 pages, half a megabyte of the table: six thousand bytes.
BLOOM = SQL("""
using brin ({columns} text_bloom_ops(n_distinct_per_range = 5000)) with (pages_per_range = 64)""")

FIND_DIFFERENCES = SQL("""
create temporary table difference on commit drop as
select coalesce(n.{key}, t.{key}) as key, t.{key} is null as appears, n.{key} is null as vanishes,
    {affected_users} as affected_users, n.ctid as incoming, t.ctid as current
from staged n full join (select ctid, * from {table} where {scope} = any(%(partitions)s)) t on t.{key} = n.{key}
where row({current_columns}) is distinct from row({incoming_columns})
order by t.ctid, n.ctid""")
# Rows that exist under a partition that is not part of the load.
FIND_IN_OTHER_PARTITIONS = SQL("""
update difference d set current = t.ctid, appears = false from {table} t where d.appears and t.{key} = d.key""")
# As many rows as DELETE, UPDATE and INSERT have to change.
COUNT_DIFFERENCES = SQL("""
select count(*) filter (where vanishes), count(*) filter (where not appears and not vanishes),
    count(*) filter (where appears) from difference""")
DELETE = SQL("""
delete from {table} t using difference d where d.vanishes and t.ctid = d.current""")
UPDATE = SQL("""
update {table} t set {set} from staged n, difference d
where not d.appears and n.ctid = d.incoming and t.ctid = d.current""")
INSERT = SQL("""
insert into {table} as t ({columns}, {added_columns})
select {incoming_columns}, {added_values} from difference d, staged n where d.appears and n.ctid = d.incoming""")

AND_LOG = SQL("""
with done as ({changing} returning t.session_id, t.session_partition)
insert into {changes} (session_id, change, merged_into, session_partition, run_id, changed_at) {log}""")
LOG_VANISHED = SQL("""
select session_id, 'vanished', merged_into, session_partition, %(run_id)s, now()
from done left join unnest(%(vanished)s::text[], %(merged_into)s::text[]) as lineage (vanished_id, merged_into)
    on vanished_id = session_id""")
LOG_CHANGED = SQL("select session_id, 'changed', null, session_partition, %(run_id)s, now() from done")
LOG_APPEARED = SQL("select session_id, 'appeared', null, session_partition, %(run_id)s, now() from done")
LOG_APPENDED = SQL("""
insert into {changes} (session_id, change, session_partition, run_id, changed_at)
select session_id, 'appeared', session_partition, %(run_id)s, now()
from {table} where session_partition = any(%(partitions)s)""")

# The first key not before the partition, from the index: whether any row has it might be looked for in all rows.
HAS_ROWS = SQL("""
select key, key is not distinct from (
    select session_partition from {table} where session_partition >= key order by session_partition limit 1)
from unnest(%(partitions)s::text[]) as key""")

# Whether a session is its owner's last can change where one of the owner's sessions came, went or has moved in time,
# or where another session rule made it: the owner of a session is its user, or its user and the tool's id.
OWNERS: dict[bool, LiteralString] = {False: "user_id", True: "user_id, tool_session_id"}
AFFECTED_USERS_OF_SESSIONS: dict[bool, LiteralString] = {
    False: """
case when (t.user_id, t.session_start, t.session_rule_version) is distinct from
        (n.user_id, n.session_start, n.session_rule_version)
    then array[t.user_id, n.user_id] end""",
    True: """
case when (t.user_id, t.session_start, t.session_rule_version, t.tool_session_id) is distinct from
        (n.user_id, n.session_start, n.session_rule_version, n.tool_session_id)
    then array[t.user_id, n.user_id] end""",
}
_AMBIGUOUS = "select unnest(%(ambiguous)s::text[]) as user_id"
AMBIGUOUS_USERS = SQL(_AMBIGUOUS)
USERS_AFFECTED_BY_DIFFERENCES = SQL(
    "select distinct unnest(affected_users) as user_id from difference union " + _AMBIGUOUS
)
NEW_USERS = SQL("""
create temporary table new_users on commit drop as
select distinct user_id from {table} where session_partition = any(%(partitions)s)""")
USERS_AFFECTED_BY_APPENDED = SQL(
    """
select user_id from {table} where user_id in (select user_id from new_users)
group by {owner} having count(open_until) <> 1 or max(open_until) is distinct from {open_until}
union """
    + _AMBIGUOUS
)
FIND_OPEN_UNTIL_UPDATES = SQL("""
create temporary table open_until_updates on commit drop as
select row_id, new_value
from (
    select ctid as row_id, open_until, case when rank() over of_owner = 1 then {open_until} end as new_value
    from {table} where user_id in (select user_id from affected_users)
    window of_owner as (partition by {owner} order by session_start desc, session_end desc)
) own
where open_until is distinct from new_value
order by row_id""")
UPDATE_OPEN_UNTIL = SQL(
    "update {table} t set open_until = u.new_value from open_until_updates u where t.ctid = u.row_id"
)

PARTITION_FINGERPRINTS = SQL("""
select session_partition, sum(rows)::bigint as rows, array_agg(writer::text::bigint order by writer::text) as writers,
    array_agg(rows order by writer::text) as rows_of_writers, (
        select string_agg(attname || ' ' || attnum || ' ' || atttypid, ', ' order by attnum) from pg_attribute
        where attrelid = to_regclass(%(table)s) and attname = any(%(columns)s)) as columns
from (
    select session_partition, xmin as writer, count(*) as rows from {table}
    where session_partition = any(%(partitions)s) group by 1, 2
) written group by session_partition""")
TRANSACTION_HORIZON = """
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest_running,
    pg_current_xact_id()::text::bigint as own"""

# A query that does not select is_first does not pay for it: the planner leaves out a join whose columns are not used.
VIEW = SQL("""
create view {view} as
select coalesce(newest.event {is_before} t.open_until, false) as is_open, t.session_start = own.first as is_first, t.*
from {table} t
cross join (
    select max(last_event) as event from sessions_platform.landing_versions where stream = {stream} and is_current
) newest
left join (select user_id, min(session_start) as first from {table} group by user_id) own on own.user_id = t.user_id""")
REJECTED_VIEW_COMMENT = (
    "Rejected raw rows by day of landing and by reason; one that stands for several counts as these. A row counts once "
    "under each of its codes."
)
REJECTED_VIEW = SQL("""
create or replace view {view} as
select left(t.landing_partition, 10)::date as day, reason.code, sum(t.rows)::bigint as rows
from {table} t,
    lateral (select distinct every ->> 'code' as code from jsonb_array_elements(t.reasons) as every) reason
group by 1, 2""")


def open_until_of(rule: SessionRule, end: LiteralString, tool_session_id: LiteralString) -> LiteralString:
    """Until when a session with this end may be continued, as `transforms/open_until.py` has it.

    Args:
        rule: the stream's session rule; the parameters `open_for` and `id_within` are its keys of these names.
        end: an SQL expression of type timestamptz.
        tool_session_id: an SQL expression of the tool's id; only used where the rule names one.
    """
    by_rule = _FLOORED[rule.silence_begins].format(end) + " + %(open_for)s"
    if not rule.id:
        return by_rule
    return "case when " + tool_session_id + " is null then " + by_rule + " else " + end + " + %(id_within)s end"
