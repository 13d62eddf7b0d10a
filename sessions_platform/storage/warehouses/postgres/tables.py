"""The warehouse's tables and views, as the stream's contract has them, and how they are created and widened.

Here: columns, keys, indexes, defaults and comments, and the DDL that makes an existing schema have them. Columns are
only added; a column of another type is an error with its fix. A rebuild, which loads every row again, gives columns
other types (`retype`) and removes those of sessions that the contract no longer has (`drop_obsolete`). Not here: the
ledger's tables, and changes to these tables that no contract asks for (migrations), the dead-letter queue's table and
view (`dead_letters.py`), the view of users' pasts (`user_sessions.py`), and loading (`loader.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from sessions_platform.contracts.column_types import (
    IDENTITY_LINK_TYPES,
    REJECTED_EVENT_TYPES,
    REPEATED_EVENT_ID_TYPES,
    SCORED_PARTITION_TYPES,
    SESSION_CHANGE_TYPES,
    SESSION_SCORE_TYPES,
    WAREHOUSE_TYPES,
    OwnType,
    StoredType,
    session_types,
)
from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.database import lock
from sessions_platform.storage.postgres.migrations import ensure_current
from sessions_platform.storage.postgres.roles import as_owner
from sessions_platform.storage.warehouses.postgres import statements as sql
from sessions_platform.storage.warehouses.postgres.dead_letters import DeadLetters
from sessions_platform.storage.warehouses.postgres.identity_views import LINKS, IdentityViews
from sessions_platform.storage.warehouses.postgres.relations import Relation, relations
from sessions_platform.storage.warehouses.postgres.user_sessions import UserSessionsView

_TYPES: dict[StoredType, LiteralString] = {
    ColumnType.string: "text",
    ColumnType.integer: "bigint",
    ColumnType.float: "double precision",
    ColumnType.boolean: "boolean",
    ColumnType.timestamp: "timestamp with time zone",
    OwnType.reasons: "jsonb",
}
SCORES = "session_scores"
_VIEW_NAME = "sessions_now"
_REJECTED_VIEW_NAME = "rejected_by_day"
# Percent of a page that new rows fill. A changed row that still fits into its page needs no new entry in any index.
_FILLFACTOR = 66
# What `loaded_partitions.py` records; written_by is the fingerprint of the stored rows.
_LOADED_PARTITIONS: dict[str, StoredType] = dict.fromkeys(
    ("session_partition", "digest", "written_by"), ColumnType.string
)
_FIRST_REJECTION: dict[str, StoredType] = {"rejected_at": ColumnType.timestamp, "run_id": ColumnType.string}


class WarehouseError(UserError):
    """An existing table has a column of another type than the contract; the message says which, and the fix."""


@dataclass(frozen=True)
class Table:
    """A table as the contract has it. An existing one may have more columns, of an older contract.

    Attributes:
        schema: the stream's name.
        name: of the table.
        key: its primary key, if it has one.
        columns: those of the contract, which a load compares.
        uncompared_columns: those that the warehouse sets, and that an unchanged row keeps.
        btree_indexes: the columns of each.
        defaults: SQL expressions by column.
        of_older_rows: SQL constants by column: what rows have that were stored before there was the column. These are
            the last columns of a new table, too.
        brin_columns: indexed by ranges of pages, because their values grow from row to row.
        bloom_columns: texts that are always written and rarely searched: a Bloom filter for each range of pages.
        fillfactor: how many percent of a page new rows fill.
        on_insert: SQL expressions by column, for columns that are not compared; `n` is the staged row.
        on_update: SQL assignments besides those of the compared columns; `t` is the current row, `n` the staged one.
        affected_users: an SQL expression, for a row that differs: the users whose `open_until` it may change.
    """

    schema: str
    name: str
    key: str | None
    columns: Mapping[str, StoredType]
    uncompared_columns: Mapping[str, StoredType]
    btree_indexes: tuple[tuple[str, ...], ...]
    defaults: Mapping[str, LiteralString] = field(default_factory=dict)
    of_older_rows: Mapping[str, LiteralString] = field(default_factory=dict)
    brin_columns: tuple[str, ...] = ()
    bloom_columns: tuple[str, ...] = ()
    fillfactor: int = 100
    on_insert: Mapping[str, LiteralString] = field(default_factory=dict)
    on_update: tuple[LiteralString, ...] = ()
    affected_users: LiteralString = "null"

    @property
    def every_column(self) -> dict[str, StoredType]:
        """All columns of the contract, and those that the warehouse adds; those of `of_older_rows` last."""
        added = {name: self.columns[name] for name in self.of_older_rows}
        before = {name: dtype for name, dtype in self.columns.items() if name not in added}
        return {**before, **self.uncompared_columns, **added}

    @property
    def identifier(self) -> Identifier:
        """Schema and name, quoted for a statement."""
        return Identifier(self.schema, self.name)


class WarehouseTables:
    """One stream's tables and views, from its contract. Methods work inside the connection's transaction."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        open_until_of_new = sql.open_until_of(stream.session, "n.session_end", "n.tool_session_id")
        self.sessions = Table(
            stream.name,
            "sessions",
            "session_id",
            session_types(stream),
            WAREHOUSE_TYPES,
            (("session_partition",), ("user_id", "session_start")),
            fillfactor=_FILLFACTOR,
            on_insert={"open_until": "n.open_until", "loaded_at": "now()"},
            # A session that only ends at another time stays its owner's last, or stays not the last.
            on_update=(
                f"open_until = case when t.open_until is not null then {open_until_of_new} end",
                "loaded_at = now()",
            ),
            affected_users=sql.AFFECTED_USERS_OF_SESSIONS[stream.session.id is not None],
            defaults={"loaded_at": "now()"},
        )
        self.rejected_events = Table(
            stream.name,
            "rejected_events",
            "rejection_id",
            REJECTED_EVENT_TYPES,
            _FIRST_REJECTION,
            (("landing_partition",),),
            on_insert={"rejected_at": "now()", "run_id": "%(run_id)s"},
            of_older_rows={"rows": "1"},
        )
        self.session_changes = Table(
            stream.name,
            "session_changes",
            None,
            SESSION_CHANGE_TYPES,
            {},
            (),
            brin_columns=("changed_at",),
            bloom_columns=("session_id",),
        )
        self.loaded_partitions = Table(
            stream.name, "loaded_partitions", "session_partition", _LOADED_PARTITIONS, {}, ()
        )
        self.repeated_event_ids = Table(
            stream.name, "repeated_event_ids", None, REPEATED_EVENT_ID_TYPES, {}, (("event_id",),)
        )
        self.identity_links = Table(
            stream.name, LINKS, None, IDENTITY_LINK_TYPES, {}, (("landing_partition",), ("anonymous_id",), ("user_id",))
        )
        self.session_scores = Table(
            stream.name, SCORES, None, SESSION_SCORE_TYPES, {}, (("session_id",), ("session_partition",))
        )
        self.scored_partitions = Table(
            stream.name, "scored_partitions", "session_partition", SCORED_PARTITION_TYPES, {}, ()
        )
        shown, by_person = list(self.sessions.every_column), stream.persons is not None
        self._identity_views = IdentityViews(stream.name, stream.identity, shown, by_person=by_person)
        self.dead_letters = DeadLetters(stream.name)
        self.user_sessions = UserSessionsView(stream)
        self._tables = (
            self.sessions,
            self.rejected_events,
            self.session_changes,
            self.repeated_event_ids,
            self.loaded_partitions,
            *([self.identity_links] if stream.identity else []),
            *([self.session_scores, self.scored_partitions] if stream.scores else []),
        )

    def prepare(self, connection: psycopg.Connection) -> None:
        """Create what is missing and add columns that are new; nothing where all is there already.

        A database of an older version is upgraded first: a column that a migration renames would be added under its
        new name, and the values of the old one be lost.

        Args:
            connection: in a transaction that has written nothing yet, unless the database is known to be upgraded.

        Raises:
            NewerDatabaseError: a later version of the program has upgraded the database.
            WarehouseError: a column has another type.
        """
        ensure_current(connection)
        existing, queue = relations(connection, self.stream.name), list(self.rejected_events.every_column)
        views_exist = self._views_exist(existing) and self.dead_letters.is_current(existing, queue)
        views_exist = views_exist and self._identity_views.are_current(existing)
        views_exist = views_exist and self.user_sessions.is_current(existing)
        if views_exist and all(self._is_complete(existing, table) for table in self._tables):
            return
        lock(connection, "sessions_platform")
        with as_owner(connection):
            connection.execute(SQL("create schema if not exists {}").format(Identifier(self.stream.name)))
            for table in self._tables:
                self._create(connection, table)
            self._create_views(connection)
            self._identity_views.prepare(connection)
            self.user_sessions.prepare(connection)
            self.dead_letters.prepare(connection, queue)

    def retype(self, connection: psycopg.Connection) -> None:
        """Give columns the types of the contract where they have others. Such columns are null afterwards.

        Only for a rebuild, which loads every row again in the same transaction.

        Raises:
            WarehouseError: an object that is not the platform's own, such as a user's view, depends on such a column.
        """
        existing = relations(connection, self.stream.name)
        for table in self._tables:
            for name, dtype in table.columns.items():
                if existing[table.name].columns.get(name, _TYPES[dtype]) == _TYPES[dtype]:
                    continue
                with as_owner(connection):
                    self._drop_views_of_sessions(connection)
                    self._retype_column(connection, table, name, _TYPES[dtype])

    def obsolete(self, connection: psycopg.Connection) -> list[str]:
        """The columns of the existing table `sessions` that the contract does not have, sorted; values are old."""
        existing = relations(connection, self.stream.name)[self.sessions.name].columns
        return sorted(set(existing) - set(self.sessions.every_column))

    def drop_obsolete(self, connection: psycopg.Connection) -> None:
        """Remove the columns of the table `sessions` that the contract does not have; only for a rebuild.

        Raises:
            WarehouseError: an object that is not the platform's own, such as a user's view, depends on such a column.
        """
        for column in self.obsolete(connection):
            parts = {"table": self.sessions.identifier, "column": Identifier(column)}
            with as_owner(connection):
                self._drop_views_of_sessions(connection)
                try:
                    connection.execute(SQL("alter table {table} drop column {column}").format(**parts))
                except psycopg.errors.DependentObjectsStillExist as error:
                    raise WarehouseError(
                        f"{self.stream.name}.sessions: column {column}, which the stream no longer has, can't be "
                        f"dropped: {error.diag.message_detail}. Fix: drop that, then rebuild."
                    ) from None

    def index(self, connection: psycopg.Connection, table: Table) -> None:
        """Create the table's missing indexes, besides the primary key's. For a new table: after its first rows.

        Building an index over a million rows at once takes a fifth of the time that filling it row by row takes. An
        existing index of the expected name is left as it is, of whatever kind.
        """
        wanted = [(columns, sql.BTREE) for columns in table.btree_indexes]
        wanted += [((name,), sql.BRIN) for name in table.brin_columns]
        wanted += [((name,), sql.BLOOM) for name in table.bloom_columns]
        for columns, kind in wanted:
            name = f"{table.name}_{'_'.join(columns)}_idx"
            where = [Identifier(self.stream.name, name).as_string()]
            if connection.execute("select to_regclass(%s)", where).fetchone() == (None,):
                on = SQL(", ").join(map(Identifier, columns))
                parts = [Identifier(name), table.identifier, kind.format(columns=on)]
                with as_owner(connection):
                    connection.execute(SQL("create index {} on {} {}").format(*parts))

    def _drop_views_of_sessions(self, connection: psycopg.Connection) -> None:
        """Those that `prepare` makes again."""
        connection.execute(SQL("drop view if exists {}").format(Identifier(self.stream.name, _VIEW_NAME)))
        self.user_sessions.drop(connection)
        self._identity_views.drop_of_sessions(connection)

    def _create_views(self, connection: psycopg.Connection) -> None:
        """Create those that are not up to date; others may be used by views of somebody else."""
        existing = relations(connection, self.stream.name)
        if existing[_VIEW_NAME].comment != self._view_comment:
            self._create_view(connection)
        if existing[_REJECTED_VIEW_NAME].comment != sql.REJECTED_VIEW_COMMENT:
            self._create_rejected_view(connection)

    def _create_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _VIEW_NAME)
        connection.execute(SQL("drop view if exists {}").format(view))
        comparison = SQL("<" if self.stream.session.gap_inclusive else "<=")
        parts = {"table": self.sessions.identifier, "is_before": comparison, "stream": self.stream.name}
        connection.execute(sql.VIEW.format(view=view, **parts))
        connection.execute(SQL("comment on view {} is {}").format(view, self._view_comment))

    def _create_rejected_view(self, connection: psycopg.Connection) -> None:
        view = Identifier(self.stream.name, _REJECTED_VIEW_NAME)
        connection.execute(sql.REJECTED_VIEW.format(view=view, table=self.rejected_events.identifier))
        connection.execute(SQL("comment on view {} is {}").format(view, sql.REJECTED_VIEW_COMMENT))

    @property
    def _view_comment(self) -> str:
        """Describes the view, and is compared to find out whether an existing view is up to date."""
        until = "before" if self.stream.session.gap_inclusive else "not after"
        columns = ", ".join(self.sessions.columns)
        return (
            f"Sessions; open while the stream's newest event is {until} open_until, first where the user has none "
            f"before. Columns: {columns}."
        )

    def _views_exist(self, existing: Mapping[str, Relation]) -> bool:
        comments = existing[_VIEW_NAME].comment, existing[_REJECTED_VIEW_NAME].comment
        return comments == (self._view_comment, sql.REJECTED_VIEW_COMMENT)

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

    def _missing(self, existing: Mapping[str, str], table: Table) -> dict[str, StoredType]:
        """The table's columns that are not among the existing ones."""
        wanted = table.every_column
        for name, dtype in wanted.items():
            if name in existing and existing[name] != _TYPES[dtype]:
                raise WarehouseError(
                    f"{self.stream.path}: column {name}: the table {self.stream.name}.{table.name} has it as "
                    f"{existing[name]}, the contract says {_TYPES[dtype]}. Fix: run "
                    f"`sessions-platform rebuild {self.stream.name}`, give the column another name, or change its type "
                    f"back."
                )
        return {name: dtype for name, dtype in wanted.items() if name not in existing}

    def _is_complete(self, existing: Mapping[str, Relation], table: Table) -> bool:
        _, columns, with_default = existing[table.name]
        return not self._missing(columns, table) and table.defaults.keys() <= with_default

    def _create(self, connection: psycopg.Connection, table: Table) -> None:
        name = table.identifier
        _, existing, with_default = relations(connection, self.stream.name)[table.name]
        missing = self._missing(existing, table)
        if not existing:
            missing = {column: table.columns[column] for column in table.of_older_rows}
            columns = definitions({n: d for n, d in table.every_column.items() if n not in missing})
            make = SQL("create table {} ({}) with (fillfactor = {})")
            connection.execute(make.format(name, columns, table.fillfactor))
            if table.key:
                connection.execute(SQL("alter table {} add primary key ({})").format(name, Identifier(table.key)))
        for column, dtype in missing.items():
            parts = name, definitions({column: dtype}), SQL(table.of_older_rows.get(column, "null"))
            connection.execute(SQL("alter table {} add column {} default {}").format(*parts))
        for column in sorted(table.defaults.keys() - with_default):
            default = SQL("alter table {} alter column {} set default {}")
            connection.execute(default.format(name, Identifier(column), SQL(table.defaults[column])))


def definitions(columns: Mapping[str, StoredType]) -> Composed:
    """Columns with their types, as in `create table`."""
    return SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(_TYPES[dtype])) for name, dtype in columns.items())


def sql_type(dtype: StoredType) -> str:
    """The type of a column, as PostgreSQL's catalog spells it."""
    return _TYPES[dtype]
