"""The dead-letter queue in the warehouse: decisions about rejected rows, and the view of rows with their status.

Decisions are only added, by people and by loads; no materialization removes one. A row's status is its newest
decision's, or `open` where there is none. It is `resolved` as long as the row, or a repair of it, is an accepted
event; a load that finds otherwise opens it again. Here are the table, the view and the SQL; what people may decide,
and how rows are repaired, is in `operations/dead_letters.py` and `operations/replay.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable, Composed, Identifier
from psycopg.types.json import Jsonb

from sessions_platform.storage.warehouses.postgres.relations import Relation

DECISIONS = "rejection_decisions"
VIEW = "dead_letters"
REJECTED = "rejected_events"
_ROWS = "rows"  # the view's last column: views of somebody else may use those that were there before it

LoadValues = Mapping[str, Any]  # contract (version) and run_id


class Status(StrEnum):
    """The status of a row. An expired one is no longer in the queue."""

    open = "open"
    resolved = "resolved"
    discarded = "discarded"
    expired = "expired"


class DeadLetters:
    """One stream's queue. All methods work inside the connection's transaction; writers hold the stream's lock."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self._names: dict[str, Composable] = {
            "decisions": Identifier(stream, DECISIONS),
            "view": Identifier(stream, VIEW),
            "rejected": Identifier(stream, REJECTED),
            "index": Identifier(f"{DECISIONS}_rejection_id_decision_id_idx"),
            "stream": SQL("{}").format(stream),
        }

    def prepare(self, connection: psycopg.Connection, columns: Sequence[str]) -> None:
        """Create the table of decisions and the view; `columns` are those of the table of rejected rows."""
        connection.execute(self._sql(_DECISIONS_TABLE))
        connection.execute(self._sql(_DECISIONS_INDEX))
        shown = SQL(", ").join(SQL("t.{}").format(Identifier(name)) for name in columns if name != _ROWS)
        try:
            with connection.transaction():
                connection.execute(self._sql(_VIEW, columns=shown))
        except psycopg.errors.InvalidTableDefinition:  # it has other columns, or in another order
            connection.execute(self._sql("drop view {view}"))
            connection.execute(self._sql(_VIEW, columns=shown))
        connection.execute(self._sql("comment on view {view} is {comment}", comment=_comment(columns)))

    def is_current(self, existing: Mapping[str, Relation], columns: Sequence[str]) -> bool:
        """Whether `prepare` would change nothing in a schema with these relations."""
        return existing[VIEW].comment == _comment(columns)

    # Called by a load of rejected rows: the first before, the second after it changes rows.

    def before_load(
        self, connection: psycopg.Connection, landing_partitions: Sequence[str], values: LoadValues
    ) -> None:
        """Resolve rows that are no longer rejected, and do not load expired ones again. The new rows are staged."""
        values = {**values, "stream": self.stream, "partitions": list(landing_partitions)}
        connection.execute("drop table if exists pg_temp.accepted_repairs")
        connection.execute(self._sql(_FIND_ACCEPTED_REPAIRS), values)
        connection.execute(self._sql(_RESOLVE_NO_LONGER_REJECTED), values)
        connection.execute(self._sql(_KEEP_DISCARDED), values)
        connection.execute(self._sql(_UNSTAGE_EXPIRED), values)

    def after_load(self, connection: psycopg.Connection, landing_partitions: Sequence[str], values: LoadValues) -> None:
        """Resolve rows of which a repair is accepted now, and open again those of which none is any longer."""
        values = {**values, "partitions": list(landing_partitions)}
        connection.execute(self._sql(_RESOLVE), values)
        connection.execute(self._sql(_REOPEN), values)

    # What people query and decide

    def find(
        self,
        connection: psycopg.Connection,
        *,
        status: Status | None = None,
        code: str | None = None,
        landing_partition: str | None = None,
        id_prefix: str = "",
        ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of the queue with their status that match all arguments, by landing partition, file and position.

        `code` is one of the row's reasons; `id_prefix` is how the rejection_id begins.
        """
        values = {
            "status": status.value if status else None,
            "code": Jsonb([{"code": code}]) if code else None,
            "partition": landing_partition,
            "prefix": f"{id_prefix}%",
            "ids": list(ids) if ids is not None else None,
            "limit": limit,
        }
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(self._sql(_FIND), values).fetchall()

    def history(self, connection: psycopg.Connection, rejection_ids: Sequence[str]) -> list[dict[str, Any]]:
        """All decisions about these rows, oldest first; also of rows that have left the queue."""
        sql = "select * from {decisions} where rejection_id = any(%s) order by decision_id"
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(self._sql(sql), [list(rejection_ids)]).fetchall()

    def decide(
        self, connection: psycopg.Connection, rejection_ids: Sequence[str], status: Status, because: str, by: str
    ) -> None:
        """Add a decision about each of these rows."""
        sql = """insert into {decisions} (rejection_id, status, because, decided_by)
                 select id, %s, %s, %s from unnest(%s::text[]) as id"""
        connection.execute(self._sql(sql), [status.value, because, by, list(rejection_ids)])

    def pending_repairs(self, connection: psycopg.Connection, rejection_ids: Sequence[str]) -> set[str]:
        """Those of these rows of which a repair is pending: stored, and not validated yet."""
        values = {"stream": self.stream, "ids": list(rejection_ids)}
        return {name for (name,) in connection.execute(_PENDING_REPAIRS, values).fetchall()}

    def repairs(self, connection: psycopg.Connection, rejection_ids: Sequence[str]) -> list[dict[str, Any]]:
        """All repairs that were made of these rows, oldest first."""
        sql = """select rejection_id, payload_digest, uri, position, run_id, replayed_at from sessions_platform.repairs
                 where stream = %s and rejection_id = any(%s) order by sequence"""
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql, [self.stream, list(rejection_ids)]).fetchall()

    def expire(self, connection: psycopg.Connection, keep_for: timedelta, by: str) -> dict[str, int]:
        """Remove rows that have been resolved or discarded for longer than `keep_for`; returns how many by status."""
        values = {"keep_for": keep_for, "by": by}
        return dict(connection.execute(self._sql(_EXPIRE), values).fetchall())

    def _sql(self, text: LiteralString, **parts: Any) -> Composed:
        return SQL(text).format(**self._names, **parts)


def _comment(columns: Sequence[str]) -> str:
    """Describes the view, and is compared to find out whether an existing view is up to date."""
    return f"The dead-letter queue: rejected rows with what was decided about them. Columns: {', '.join(columns)}."


_DECISIONS_TABLE = """
create table if not exists {decisions} (
    decision_id bigint generated always as identity primary key,
    rejection_id text not null,
    status text not null check (status in ('open', 'resolved', 'discarded', 'expired')),
    because text not null,
    decided_by text not null,
    replacement_uri text, replacement_position bigint,
    decided_at timestamptz not null default now()
)"""
_DECISIONS_INDEX = "create index if not exists {index} on {decisions} (rejection_id, decision_id desc)"

_VIEW = """
create or replace view {view} as
select {columns}, coalesce(d.status, 'open') as status, d.because, d.decided_by, d.decided_at, d.replacement_uri,
    d.replacement_position, t.rows
from {rejected} t
left join lateral (
    select * from {decisions} where rejection_id = t.rejection_id order by decision_id desc limit 1
) d on true"""

_FIND = """
select * from {view}
where (%(status)s::text is null or status = %(status)s)
    and (%(code)s::jsonb is null or reasons @> %(code)s)
    and (%(partition)s::text is null or landing_partition = %(partition)s)
    and rejection_id like %(prefix)s
    and (%(ids)s::text[] is null or rejection_id = any(%(ids)s))
order by landing_partition, source_uri, position limit %(limit)s"""

# Rejected rows of which another version is accepted: the original row, or a repair of it. Every row that is rejected
# is staged, or one that stands for it; so an original row or repair that is not staged is accepted. (Orphaned repairs
# are not staged either; but then nothing of the same original row is staged, so that there is nothing for them to
# resolve.)
_FIND_ACCEPTED_REPAIRS = """
create temporary table accepted_repairs on commit drop as
with repaired as materialized (
    select * from sessions_platform.repairs where stream = %(stream)s and landing_partition = any(%(partitions)s)
), validated as (
    select m.original_id, m.uri, m.position, m.sequence, n.rejection_id
    from repaired m left join pg_temp.staged n on n.source_uri = m.uri
        and n.position < m.position + m.rows and m.position < n.position + n.rows
    union all
    select m.original_id, m.original_uri, m.original_position, 0, n.rejection_id
    from (select distinct original_id, original_uri, original_position from repaired) m
    left join pg_temp.staged n on n.rejection_id = m.original_id
), accepted as (
    select distinct on (original_id) original_id, uri, position from validated where rejection_id is null
    order by original_id, sequence desc
)
select validated.rejection_id, accepted.uri, accepted.position
from validated join accepted on accepted.original_id = validated.original_id where validated.rejection_id is not null"""

# Rows that are rejected as part of another stretch than before leave the queue without a decision.
_RESOLVE_NO_LONGER_REJECTED = """
insert into {decisions} (rejection_id, status, because, decided_by)
select t.rejection_id, 'resolved', 'not rejected under contract ' || %(contract)s, %(run_id)s
from {view} t
where t.landing_partition = any(%(partitions)s) and t.status = 'open'
    and not exists (select from pg_temp.staged n where n.rejection_id = t.rejection_id)
    and not exists (
        select from pg_temp.staged n where n.source_uri = t.source_uri and n.payload = t.payload
            and n.position < t.position + t.rows and t.position < n.position + n.rows)"""

# A stretch all of whose rows were discarded, as other stretches, is discarded.
_KEEP_DISCARDED = """
insert into {decisions} (rejection_id, status, because, decided_by)
select n.rejection_id, 'discarded', min(t.because), min(t.decided_by)
from {view} t join pg_temp.staged n on n.source_uri = t.source_uri and n.payload = t.payload
    and n.position < t.position + t.rows and t.position < n.position + n.rows
where t.landing_partition = any(%(partitions)s) and t.status = 'discarded'
    and not exists (select from {rejected} o where o.rejection_id = n.rejection_id)
group by n.rejection_id, n.rows
having sum(least(t.position + t.rows, n.position + n.rows) - greatest(t.position, n.position)) = n.rows"""

# A row that expired when it was resolved is loaded again, and opened, once no repair of it is accepted any longer.
_UNSTAGE_EXPIRED = """
delete from pg_temp.staged n
where n.rejection_id in (select rejection_id from {decisions} where status = 'expired')
    and exists (
        select from (
            select array_agg(status order by decision_id desc) as statuses from {decisions} d
            where d.rejection_id = n.rejection_id
        ) decided
        where statuses[1] = 'expired' and (
            statuses[2] = 'discarded' or n.rejection_id in (select rejection_id from pg_temp.accepted_repairs))
    )"""

_RESOLVE = """
insert into {decisions} (rejection_id, status, because, decided_by, replacement_uri, replacement_position)
select t.rejection_id, 'resolved', 'a repair of it is accepted', %(run_id)s, c.uri, c.position
from pg_temp.accepted_repairs c join {view} t on t.rejection_id = c.rejection_id where t.status = 'open'"""

_REOPEN = """
insert into {decisions} (rejection_id, status, because, decided_by)
select t.rejection_id, 'open', 'nothing of it is accepted under contract ' || %(contract)s, %(run_id)s
from {view} t
where t.landing_partition = any(%(partitions)s) and t.status in ('resolved', 'expired')
    and not exists (select from pg_temp.accepted_repairs c where c.rejection_id = t.rejection_id)"""

_PENDING_REPAIRS = """
select distinct wanted.id
from unnest(%(ids)s::text[]) as wanted (id)
join sessions_platform.repairs own on own.stream = %(stream)s and own.rejection_id = wanted.id
join sessions_platform.repairs r on r.stream = own.stream and r.original_id = own.original_id
join sessions_platform.landing_files f on f.stream = r.stream and f.uri = r.uri
left join sessions_platform.landing_versions v
    on v.stream = r.stream and v.landing_partition = r.landing_partition and v.is_current
where v.version is null or v.raw_sequence < f.sequence"""

_EXPIRE = """
with removed as (
    delete from {rejected} t using {view} q
    where q.rejection_id = t.rejection_id and q.status in ('resolved', 'discarded')
        and q.decided_at < now() - %(keep_for)s
    returning t.rejection_id, q.status
), recorded as (
    insert into {decisions} (rejection_id, status, because, decided_by)
    select rejection_id, 'expired', status || ' for longer than ' || %(keep_for)s, %(by)s from removed
)
select status, count(*) from removed group by status"""
