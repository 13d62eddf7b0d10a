"""The warehouse's tables and views: what they are made of, and how they are made and widened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString

import polars as pl
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from sessions_platform.contracts.events import REPEATED_EVENT_IDS
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.sessions import KEPT_BY_WAREHOUSE, SESSION_CHANGES, session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.database import lock
from sessions_platform.storage.warehouses.postgres import statements as sql
from sessions_platform.storage.warehouses.postgres.dead_letters import DeadLetters

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
# Percent of a page. A row that changes where its page has room needs no new entry in any index.
_FILLED = 66
# By which a reload recognises that it would change nothing: the digest of what was loaded last, and which
# transactions wrote the rows since, so that no edit goes unseen, by whomever.
_LOADED_PARTITIONS: dict[str, pl.DataType] = {
    "session_partition": pl.String(),
    "digest": pl.String(),
    "written_by": pl.String(),
}
_WHEN_REJECTED: dict[str, pl.DataType] = {"rejected_at": pl.Datetime("us", "UTC"), "run_id": pl.String()}


class WarehouseError(UserError):
    """The tables that stand don't fit the contract; the message says which, and the mend."""


@dataclass(frozen=True)
class Table:
    """A table as the contract has it. One that stands may have more columns, of an older contract."""

    schema: str
    name: str
    key: str | None
    columns: Mapping[str, pl.DataType]  # those that a load compares
    kept: Mapping[str, pl.DataType]  # those that stay while a row is unchanged
    indexes: tuple[tuple[str, ...], ...]
    defaults: Mapping[str, LiteralString] = field(default_factory=dict)
    grows_by: tuple[str, ...] = ()  # columns whose values grow from row to row
    sought_by: tuple[str, ...] = ()  # text that is written always and looked for now and then
    fillfactor: int = 100  # how much of a page new rows fill
    on_insert: Mapping[str, LiteralString] = field(default_factory=dict)  # columns beside those that are compared
    on_update: tuple[LiteralString, ...] = ()
    noted: LiteralString = "null"  # beside the key of a row that differs

    @property
    def identifier(self) -> Identifier:
        return Identifier(self.schema, self.name)


class WarehouseTables:
    """One stream's tables and views, made of its contract. Methods work inside the connection's transaction."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.sessions = Table(
            stream.name,
            "sessions",
            "session_id",
            session_columns(stream),
            KEPT_BY_WAREHOUSE,
            (("session_partition",), ("user_id", "session_start")),
            fillfactor=_FILLED,
            on_insert={"open_until": "n.open_until", "loaded_at": "now()"},
            # Whether it is its user's last session does not change by its own end.
            on_update=(
                "open_until = case when t.open_until is not null then n.session_end + %(gap)s end",
                "loaded_at = now()",
            ),
            noted=sql.NOTED_OF_SESSIONS,
            defaults={"loaded_at": "now()"},
        )
        self.rejected_events = Table(
            stream.name,
            "rejected_events",
            "rejection_id",
            REJECTED_EVENTS,
            _WHEN_REJECTED,
            (("landing_partition",),),
            on_insert={"rejected_at": "now()", "run_id": "%(run_id)s"},
        )
        self.session_changes = Table(
            stream.name,
            "session_changes",
            None,
            SESSION_CHANGES,
            {},
            (),
            grows_by=("changed_at",),
            sought_by=("session_id",),
        )
        self.loaded_partitions = Table(
            stream.name, "loaded_partitions", "session_partition", _LOADED_PARTITIONS, {}, ()
        )
        self.repeated_event_ids = Table(
            stream.name, "repeated_event_ids", None, REPEATED_EVENT_IDS, {}, (("event_id",),)
        )
        self.dead_letters = DeadLetters(stream.name)
        self._tables = (
            self.sessions,
            self.rejected_events,
            self.session_changes,
            self.repeated_event_ids,
            self.loaded_partitions,
        )

    def prepare(self, connection: psycopg.Connection) -> None:
        """Make or widen the tables. Raises WarehouseError where a column changed its type."""
        queue = [*self.rejected_events.columns, *self.rejected_events.kept]
        views_stand = self._views_stand(connection) and self.dead_letters.stands(connection, queue)
        if views_stand and all(self._stands(connection, table) for table in self._tables):
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

    def index(self, connection: psycopg.Connection, table: Table) -> None:
        """Make the indexes that are missing beside the key's: of a new table once its first rows are there.

        To fill an index with a million rows at once takes a fifth of the time that filling it row by row takes.
        """
        wanted = [(columns, sql.IN_ORDER) for columns in table.indexes]
        wanted += [((name,), sql.BY_RANGE) for name in table.grows_by]
        wanted += [((name,), sql.BY_TRACE) for name in table.sought_by]
        for columns, kind in wanted:
            name = f"{table.name}_{'_'.join(columns)}_idx"
            where = [Identifier(self.stream.name, name).as_string()]
            if connection.execute("select to_regclass(%s)", where).fetchone() == (None,):
                on = SQL(", ").join(map(Identifier, columns))
                parts = [Identifier(name), table.identifier, kind.format(columns=on)]
                connection.execute(SQL("create index {} on {} {}").format(*parts))

    def _create_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _VIEW_NAME)
        connection.execute(SQL("drop view if exists {}").format(view))
        comparison = SQL("<" if self.stream.session.gap_inclusive else "<=")
        parts = {"table": self.sessions.identifier, "is_before": comparison, "stream": self.stream.name}
        connection.execute(sql.VIEW.format(view=view, **parts))
        connection.execute(SQL("comment on view {} is {}").format(view, self._view_comment))

    def _create_rejected_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _REJECTED_VIEW_NAME)
        connection.execute(SQL("drop view if exists {}").format(view))
        connection.execute(sql.REJECTED_VIEW.format(view=view, table=self.rejected_events.identifier))
        connection.execute(SQL("comment on view {} is {}").format(view, sql.REJECTED_VIEW_COMMENT))

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
        query = "select obj_description(to_regclass(%s), 'pg_class'), obj_description(to_regclass(%s), 'pg_class')"
        names = [f"{self.stream.name}.{view}" for view in (_VIEW_NAME, _REJECTED_VIEW_NAME)]
        return connection.execute(query, names).fetchone() == (self._view_comment, sql.REJECTED_VIEW_COMMENT)

    def _retype_column(self, connection: psycopg.Connection, table: Table, column: str, dtype: LiteralString) -> None:
        retype = SQL("alter table {table} alter {column} type {dtype} using null")
        parts = {"table": table.identifier, "column": Identifier(column), "dtype": SQL(dtype)}
        try:
            connection.execute(retype.format(**parts))
        except psycopg.errors.FeatureNotSupported as error:
            raise WarehouseError(
                f"{self.stream.name}.{table.name}: column {column} can't become {dtype}: {error.diag.message_detail}. "
                f"Fix: drop that, rebuild, and make it again."
            ) from None

    def _standing(self, connection: psycopg.Connection, table: Table) -> dict[str, str]:
        """The columns of the table that stands, and their types; none where there is no table."""
        rows = connection.execute(
            "select column_name, data_type from information_schema.columns where table_schema = %s and table_name = %s",
            [self.stream.name, table.name],
        ).fetchall()
        return dict(rows)

    def _missing(self, connection: psycopg.Connection, table: Table) -> dict[str, pl.DataType] | None:
        """Columns that the standing table lacks; None where there is no table."""
        standing = self._standing(connection, table)
        if not standing:
            return None
        wanted = {**table.columns, **table.kept}
        for name, dtype in wanted.items():
            if name in standing and standing[name] != _TYPES[dtype]:
                self._refuse(table, name, standing[name], _TYPES[dtype])
        return {name: dtype for name, dtype in wanted.items() if name not in standing}

    def _stands(self, connection: psycopg.Connection, table: Table) -> bool:
        """Whether nothing is to be made or widened."""
        return self._missing(connection, table) == {} and self._lack_defaults(connection, table) == []

    def _lack_defaults(self, connection: psycopg.Connection, table: Table) -> list[str]:
        query = """select attname from pg_attribute where attrelid = to_regclass(%s) and attname = any(%s)
                 and not atthasdef and not attisdropped"""
        rows = connection.execute(query, [table.identifier.as_string(), list(table.defaults)]).fetchall()
        return [name for (name,) in rows]

    def _refuse(self, table: Table, column: str, standing: str, wanted: str) -> None:
        raise WarehouseError(
            f"{self.stream.path}: column {column}: the table {self.stream.name}.{table.name} holds it as {standing}, "
            f"the contract says {wanted}. Fix: run `sessions-platform rebuild {self.stream.name}`, give the column "
            f"another name, or change its type back."
        )

    def _create(self, connection: psycopg.Connection, table: Table) -> None:
        name = table.identifier
        missing = self._missing(connection, table)
        if missing is None:
            columns = definitions({**table.columns, **table.kept})
            make = SQL("create table {} ({}) with (fillfactor = {})")
            connection.execute(make.format(name, columns, table.fillfactor))
            if table.key:
                connection.execute(SQL("alter table {} add primary key ({})").format(name, Identifier(table.key)))
        for column, dtype in (missing or {}).items():
            added = definitions({column: dtype})
            connection.execute(SQL("alter table {} add column {}").format(name, added))
        for column in self._lack_defaults(connection, table):
            default = SQL("alter table {} alter column {} set default {}")
            connection.execute(default.format(name, Identifier(column), SQL(table.defaults[column])))


def definitions(columns: Mapping[str, pl.DataType]) -> Composed:
    """Columns and their types, as `create table` has them."""
    return SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(_TYPES[dtype])) for name, dtype in columns.items())
