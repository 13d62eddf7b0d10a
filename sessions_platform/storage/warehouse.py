"""The warehouse: one schema a stream, with the tables `sessions` and `rejected_events`.

Tables derive from the contract. A load compares with what stands and changes only rows
that differ, in the transaction it is given, so that readers see the old or the new.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import polars as pl
import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composed, Identifier

from sessions_platform.contracts.events import REPEATED_EVENT_IDS
from sessions_platform.contracts.reasons import REASONS
from sessions_platform.contracts.rejections import REJECTED_EVENTS
from sessions_platform.contracts.sessions import KEPT_BY_WAREHOUSE, SESSION_CHANGES, session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.mistakes import Mistake
from sessions_platform.storage.database import lock
from sessions_platform.storage.dead_letters import DeadLetters

_TYPES: dict[pl.DataType, LiteralString] = {
    pl.String(): "text",
    pl.Int64(): "bigint",
    pl.Float64(): "double precision",
    pl.Boolean(): "boolean",
    pl.Datetime("us", "UTC"): "timestamp with time zone",
    REASONS: "jsonb",
}
_VIEW_NAME = "sessions_now"
_REJECTED_VIEW_NAME = "rejected_by_day"
_COPY_ROWS = 100_000
_NULL = "\\N"
_WHEN_REJECTED: dict[str, pl.DataType] = {"rejected_at": pl.Datetime("us", "UTC"), "run_id": pl.String()}


class WarehouseError(Mistake):
    """The tables that stand don't fit the contract; the message says which, and the mend."""


@dataclass(frozen=True)
class Loaded:
    """How many rows a load changed."""

    inserted: int
    updated: int
    deleted: int

    @property
    def changed(self) -> int:
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class _Table:
    name: str
    key: str | None
    columns: Mapping[str, pl.DataType]  # those that a load compares
    kept: Mapping[str, pl.DataType]  # those that stay while a row is unchanged
    indexes: tuple[tuple[str, ...], ...]


class Warehouse:
    """One stream's tables. Methods that take a connection work inside its transaction."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.sessions = _Table(
            "sessions",
            "session_id",
            session_columns(stream),
            KEPT_BY_WAREHOUSE,
            (("session_partition",), ("user_id", "session_start")),
        )
        self.rejected_events = _Table(
            "rejected_events", "rejection_id", REJECTED_EVENTS, _WHEN_REJECTED, (("landing_partition",),)
        )
        self.session_changes = _Table("session_changes", None, SESSION_CHANGES, {}, (("session_id",), ("changed_at",)))
        self.repeated_event_ids = _Table("repeated_event_ids", None, REPEATED_EVENT_IDS, {}, (("event_id",),))
        self.dead_letters = DeadLetters(stream.name)
        self._tables = (self.sessions, self.rejected_events, self.session_changes, self.repeated_event_ids)

    def prepare(self, connection: psycopg.Connection) -> None:
        """Make or widen the tables. Raises WarehouseError where a column changed its type."""
        queue = [*self.rejected_events.columns, *self.rejected_events.kept]
        views_stand = self._views_stand(connection) and self.dead_letters.stands(connection, queue)
        if views_stand and all(self._missing(connection, table) == {} for table in self._tables):
            return
        lock(connection, "sessions_platform")
        connection.execute(SQL("create schema if not exists {}").format(Identifier(self.stream.name)))
        for table in self._tables:
            self._create(connection, table)
        self._create_view(connection)
        self._create_rejected_view(connection)
        self.dead_letters.prepare(connection, queue)

    def retype(self, connection: psycopg.Connection) -> None:
        """Empty the columns that have another type now, and give it to them; whoever calls loads every row anew.

        Raises WarehouseError where something that is not the platform's own depends on such a column.
        """
        view = Identifier(self.stream.name, _VIEW_NAME)
        for table in self._tables:
            standing = self._standing(connection, table)
            for name, dtype in table.columns.items():
                if standing.get(name, _TYPES[dtype]) != _TYPES[dtype]:
                    connection.execute(SQL("drop view if exists {}").format(view))
                    self._retype_column(connection, table, name, _TYPES[dtype])

    def stage(self, connection: psycopg.Connection, table: _Table, frames: Iterable[pl.DataFrame]) -> None:
        """Copy frames into a temporary table that ends with the transaction. Takes no lock that others wait for."""
        columns = _definitions(table.columns)
        connection.execute("drop table if exists pg_temp.staged")
        connection.execute(SQL("create temporary table staged ({}) on commit drop").format(columns))
        names = SQL(", ").join(map(Identifier, table.columns))
        statement = SQL("copy staged ({}) from stdin (format csv, null {})").format(names, _NULL)
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for frame in frames:
                for part in frame.iter_slices(_COPY_ROWS):
                    copy.write(_as_csv(part, table.columns))
        connection.execute("analyze staged")

    def load_staged_sessions(
        self,
        connection: psycopg.Connection,
        session_partitions: Sequence[str],
        run_id: str,
        find_successors: Callable[[Sequence[str]], Mapping[str, str]],
    ) -> Loaded:
        """Make the sessions of these partitions those that are staged, and log what changed. The stream's lock is held.

        `find_successors` tells, for sessions that vanish, which ones hold their earliest surviving events.
        """
        self._note_users_concerned(connection, session_partitions)
        vanished = self._vanishing(connection, session_partitions)
        successors = find_successors(vanished) if vanished else {}
        given = {"run_id": run_id, "vanished": list(successors), "successors": list(successors.values())}
        stamps: dict[str, LiteralString] = {"loaded_at": "now()"}
        loaded = self._merge(connection, self.sessions, "session_partition", session_partitions, stamps, given)
        if loaded.changed:
            connection.execute(_MARK_OPEN.format(table=self._name(self.sessions)), {"gap": self.stream.session.gap})
        return loaded

    def load_rejected(
        self,
        connection: psycopg.Connection,
        frames: Iterable[pl.DataFrame],
        landing_partitions: Sequence[str],
        run_id: str,
    ) -> Loaded:
        """Make the rejected rows of landing partitions those of the frames; known ones keep when they first came.

        The queue is told which of them are resolved by it, and which are open again. The stream's lock is held.
        """
        given = {"run_id": run_id, "contract": self.stream.contract_version}
        self.stage(connection, self.rejected_events, frames)
        self.dead_letters.before_load(connection, landing_partitions, given)
        stamps: dict[str, LiteralString] = {"rejected_at": "now()", "run_id": "%(run_id)s"}
        loaded = self._merge(connection, self.rejected_events, "landing_partition", landing_partitions, stamps, given)
        self.dead_letters.after_load(connection, landing_partitions, given)
        return loaded

    def replace_repeated_event_ids(self, connection: psycopg.Connection, found: pl.DataFrame) -> None:
        """Make the table what the newest audit has found."""
        table = self.repeated_event_ids
        self.stage(connection, table, [found])
        connection.execute(SQL("delete from {}").format(self._name(table)))
        connection.execute(SQL("insert into {} select * from staged").format(self._name(table)))

    def partitions(self, connection: psycopg.Connection) -> dict[str, list[str]]:
        """The session partitions of the standing sessions, the landing partitions of the standing rejected rows."""
        found: dict[str, list[str]] = {}
        for table, column in ((self.sessions, "session_partition"), (self.rejected_events, "landing_partition")):
            sql = SQL("select distinct {} from {}").format(Identifier(column), self._name(table))
            found[column] = [key for (key,) in connection.execute(sql).fetchall()]
        return found

    def sample_users(self, connection: psycopg.Connection, size: int, start: str) -> list[str]:
        """The users of some sessions: those whose ids come next after `start`. Ids are random, as md5 is."""
        sql = SQL("select user_id from {} where session_id >= %s order by session_id limit %s")
        rows = connection.execute(sql.format(self._name(self.sessions)), [start, size]).fetchall()
        return sorted({user for (user,) in rows})

    def sessions_of(self, connection: psycopg.Connection, users: Sequence[str]) -> list[dict[str, Any]]:
        """All sessions of these users, with the columns of the contract."""
        columns = SQL(", ").join(map(Identifier, self.sessions.columns))
        sql = SQL("select {} from {} where user_id = any(%s)").format(columns, self._name(self.sessions))
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql, [list(users)]).fetchall()

    def totals(self, connection: psycopg.Connection) -> dict[str, float]:
        """Sessions, users, events in sessions, total duration (seconds)."""
        sql = SQL(
            """select count(*), count(distinct user_id), coalesce(sum(event_count), 0)::bigint,
                      coalesce(extract(epoch from sum(session_end - session_start)), 0)::double precision from {}"""
        ).format(self._name(self.sessions))
        names = ("sessions", "users", "events_in_sessions", "total_duration_seconds")
        return dict(zip(names, connection.execute(sql).fetchone() or (), strict=True))

    def _merge(
        self,
        connection: psycopg.Connection,
        table: _Table,
        scope: str,
        partitions: Sequence[str],
        stamps: Mapping[str, LiteralString],
        values: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Delete, update and insert what differs between the staged rows and those that stand in the partitions."""
        parts = self._parts(table, scope, stamps)
        given = {"partitions": list(partitions), **(values or {})}
        logs = table is self.sessions
        deleted = self._change(connection, _DELETE, parts, given, _LOG_VANISHED if logs else None)
        updated = self._change(connection, _UPDATE, parts, given, _LOG_CHANGED if logs else None)
        inserted = self._change(connection, _INSERT, parts, given, _LOG_APPEARED if logs else None)
        return Loaded(inserted, updated, deleted)

    def _change(
        self,
        connection: psycopg.Connection,
        statement: SQL,
        parts: Mapping[str, Any],
        given: Mapping[str, Any],
        log: SQL | None,
    ) -> int:
        """Run a statement, and log the sessions that it changes in the same breath; how many they are."""
        changing = statement.format(**parts)
        if log is not None:
            changes = self._name(self.session_changes)
            changing = _AND_LOG.format(changing=changing, log=log, changes=changes)
        return connection.execute(changing, given).rowcount

    def _parts(self, table: _Table, scope: str, stamps: Mapping[str, LiteralString]) -> dict[str, Any]:
        # rejected_events keep the stamps of the first time, sessions take new ones when they change
        restamped = stamps if table is self.sessions else {}
        columns = list(table.columns)
        return {
            "table": self._name(table),
            "key": Identifier(table.key or ""),
            "scope": Identifier(scope),
            "columns": SQL(", ").join(map(Identifier, columns)),
            "standing": SQL(", ").join(SQL("t.{}").format(Identifier(name)) for name in columns),
            "incoming": SQL(", ").join(SQL("n.{}").format(Identifier(name)) for name in columns),
            "set": SQL(", ").join(
                [SQL("{0} = n.{0}").format(Identifier(name)) for name in columns]
                + [SQL("{} = {}").format(Identifier(name), SQL(value)) for name, value in restamped.items()]
            ),
            "stamped": SQL(", ").join(map(Identifier, stamps)),
            "stamps": SQL(", ").join(SQL(value) for value in stamps.values()),
        }

    def _note_users_concerned(self, connection: psycopg.Connection, session_partitions: Sequence[str]) -> None:
        """The users whose sessions a load may end, open or take away."""
        sql = """create temporary table concerned on commit drop as
                 select user_id from staged union select user_id from {} where session_partition = any(%s)"""
        connection.execute(SQL(sql).format(self._name(self.sessions)), [list(session_partitions)])
        connection.execute("analyze concerned")

    def _vanishing(self, connection: psycopg.Connection, session_partitions: Sequence[str]) -> list[str]:
        sql = """select session_id from {} t where session_partition = any(%s)
                 and not exists (select from staged n where n.session_id = t.session_id)"""
        rows = connection.execute(SQL(sql).format(self._name(self.sessions)), [list(session_partitions)])
        return [session_id for (session_id,) in rows.fetchall()]

    def _create_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _VIEW_NAME)
        connection.execute(SQL("drop view if exists {}").format(view))
        comparison = SQL("<" if self.stream.session.gap_inclusive else "<=")
        parts = {"table": self._name(self.sessions), "is_before": comparison, "stream": self.stream.name}
        connection.execute(_VIEW.format(view=view, **parts))
        connection.execute(SQL("comment on view {} is {}").format(view, self._view_comment))

    def _create_rejected_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _REJECTED_VIEW_NAME)
        connection.execute(SQL("drop view if exists {}").format(view))
        connection.execute(_REJECTED_VIEW.format(view=view, table=self._name(self.rejected_events)))
        connection.execute(SQL("comment on view {} is {}").format(view, _REJECTED_VIEW_COMMENT))

    @property
    def _view_comment(self) -> str:
        """Says what the view holds, and so tells whether it is still right."""
        until = "before" if self.stream.session.gap_inclusive else "not after"
        columns = ", ".join(self.sessions.columns)
        return (
            f"Sessions; open while the stream's newest event is {until} open_until, first where the user has none "
            f"before. Columns: {columns}."
        )

    def _views_stand(self, connection: psycopg.Connection) -> bool:
        sql = "select obj_description(to_regclass(%s), 'pg_class'), obj_description(to_regclass(%s), 'pg_class')"
        names = [f"{self.stream.name}.{view}" for view in (_VIEW_NAME, _REJECTED_VIEW_NAME)]
        return connection.execute(sql, names).fetchone() == (self._view_comment, _REJECTED_VIEW_COMMENT)

    def _retype_column(self, connection: psycopg.Connection, table: _Table, column: str, dtype: LiteralString) -> None:
        retype = SQL("alter table {table} alter {column} type {dtype} using null")
        parts = {"table": self._name(table), "column": Identifier(column), "dtype": SQL(dtype)}
        try:
            connection.execute(retype.format(**parts))
        except psycopg.errors.FeatureNotSupported as error:
            raise WarehouseError(
                f"{self.stream.name}.{table.name}: column {column} can't become {dtype}: {error.diag.message_detail}. "
                f"Mend: drop that, rebuild, and make it again."
            ) from None

    def _standing(self, connection: psycopg.Connection, table: _Table) -> dict[str, str]:
        """The columns of the table that stands, and their types; none where there is no table."""
        rows = connection.execute(
            "select column_name, data_type from information_schema.columns where table_schema = %s and table_name = %s",
            [self.stream.name, table.name],
        ).fetchall()
        return dict(rows)

    def _missing(self, connection: psycopg.Connection, table: _Table) -> dict[str, pl.DataType] | None:
        """Columns that the standing table lacks; None where there is no table."""
        standing = self._standing(connection, table)
        if not standing:
            return None
        wanted = {**table.columns, **table.kept}
        for name, dtype in wanted.items():
            if name in standing and standing[name] != _TYPES[dtype]:
                self._refuse(table, name, standing[name], _TYPES[dtype])
        return {name: dtype for name, dtype in wanted.items() if name not in standing}

    def _refuse(self, table: _Table, column: str, standing: str, wanted: str) -> None:
        raise WarehouseError(
            f"{self.stream.path}: column {column}: the table {self.stream.name}.{table.name} holds it as {standing}, "
            f"the contract says {wanted}. Mend: run `sessions-platform rebuild {self.stream.name}`, give the column "
            f"another name, or change its type back."
        )

    def _create(self, connection: psycopg.Connection, table: _Table) -> None:
        name = self._name(table)
        missing = self._missing(connection, table)
        if missing is None:
            columns = _definitions({**table.columns, **table.kept})
            connection.execute(SQL("create table {} ({})").format(name, columns))
            if table.key:
                connection.execute(SQL("alter table {} add primary key ({})").format(name, Identifier(table.key)))
            for index in table.indexes:
                on = SQL(", ").join(map(Identifier, index))
                connection.execute(SQL("create index on {} ({})").format(name, on))
        for column, dtype in (missing or {}).items():
            added = _definitions({column: dtype})
            connection.execute(SQL("alter table {} add column {}").format(name, added))

    def _name(self, table: _Table) -> Identifier:
        return Identifier(self.stream.name, table.name)


_DELETE = SQL("""
delete from {table} t where t.{scope} = any(%(partitions)s)
    and not exists (select from staged n where n.{key} = t.{key})""")
_UPDATE = SQL("""
update {table} t set {set} from staged n
where t.{key} = n.{key} and row({standing}) is distinct from row({incoming})""")
_INSERT = SQL("""
insert into {table} as t ({columns}, {stamped})
select {incoming}, {stamps} from staged n where not exists (select from {table} t where t.{key} = n.{key})""")
_AND_LOG = SQL("""
with done as ({changing} returning t.session_id, t.session_partition)
insert into {changes} (session_id, change, successor_id, session_partition, run_id, changed_at) {log}""")
_LOG_VANISHED = SQL("""
select session_id, 'vanished', successor_id, session_partition, %(run_id)s, now()
from done left join unnest(%(vanished)s::text[], %(successors)s::text[]) as successor (vanished_id, successor_id)
    on vanished_id = session_id""")
_LOG_CHANGED = SQL("select session_id, 'changed', null, session_partition, %(run_id)s, now() from done")
_LOG_APPEARED = SQL("select session_id, 'appeared', null, session_partition, %(run_id)s, now() from done")
# Who asks for no is_first does not pay for it: a join that nothing is read of is left out by the planner.
_VIEW = SQL("""
create view {view} as
select coalesce(newest.event {is_before} t.open_until, false) as is_open, t.session_start = own.first as is_first, t.*
from {table} t
cross join (
    select max(last_event) as event from sessions_platform.landing_versions where stream = {stream} and is_current
) newest
left join (select user_id, min(session_start) as first from {table} group by user_id) own on own.user_id = t.user_id""")
_REJECTED_VIEW_COMMENT = "Rejected rows by day of landing and by reason. A row counts once under each of its codes."
_REJECTED_VIEW = SQL("""
create view {view} as
select left(t.landing_partition, 10)::date as day, reason ->> 'code' as code, count(distinct t.rejection_id) as rows
from {table} t, jsonb_array_elements(t.reasons) as reason
group by 1, 2""")
_MARK_OPEN = SQL("""
update {table} t set open_until = last.until
from (
    select session_id, case when rank() over of_user = 1 then session_end + %(gap)s end as until
    from {table} where user_id in (select user_id from concerned)
    window of_user as (partition by user_id order by session_start desc, session_end desc)
) last
where t.session_id = last.session_id and t.open_until is distinct from last.until""")


def _definitions(columns: Mapping[str, pl.DataType]) -> Composed:
    return SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(_TYPES[dtype])) for name, dtype in columns.items())


def _as_csv(frame: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> bytes:
    """CSV in which text is always quoted, so that a null is never mistaken for text that looks like one."""
    as_json = [
        pl.format("[{}]", pl.col(name).list.eval(pl.element().struct.json_encode()).list.join(",")).alias(name)
        for name, dtype in columns.items()
        if dtype == REASONS
    ]
    text = (
        frame.select(*columns)
        .with_columns(as_json)
        .write_csv(
            include_header=False,
            quote_style="non_numeric",
            null_value=_NULL,
            datetime_format="%Y-%m-%dT%H:%M:%S%.6f%:z",
        )
    )
    return text.encode()
