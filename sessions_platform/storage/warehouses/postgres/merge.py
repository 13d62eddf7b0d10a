"""Change just those rows of a table that differ from staged ones.

Here: the steps that sessions and rejected events share, each inside the caller's transaction. First the rows are
staged in a temporary table, then the keys that differ are found, then rows are deleted, updated and inserted, and
the sessions among them logged in `session_changes`. Not here: which partitions are compared at all (`loader.py`), and
the texts of the statements (`statements.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from psycopg.sql import SQL, Composable, Identifier

from sessions_platform.contracts.column_types import StoredType
from sessions_platform.contracts.polars_types import dtypes
from sessions_platform.storage.warehouses.postgres import statements as sql
from sessions_platform.storage.warehouses.postgres.copy_encoder import CopyEncoder, copy_rows
from sessions_platform.storage.warehouses.postgres.row_counts import check_count
from sessions_platform.storage.warehouses.postgres.tables import Table, definitions


@dataclass(frozen=True)
class Loaded:
    """How many rows a load changed."""

    inserted: int
    updated: int
    deleted: int

    @property
    def changed(self) -> int:
        """The sum of all three."""
        return self.inserted + self.updated + self.deleted

    def __add__(self, other: "Loaded") -> "Loaded":
        return Loaded(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)


def stage(connection: psycopg.Connection, table: Table, frames: Iterable[pl.DataFrame]) -> None:
    """Copy frames with the table's columns into the temporary table `staged`. Takes no lock that others wait for."""
    encoder = CopyEncoder(dtypes(table.columns))
    make_staging_table(connection, table.columns)
    rows = (chunk for frame in frames for chunk in encoder.rows(frame))
    copy_rows(connection, sql.STAGED, table.columns, rows)
    connection.execute("analyze staged")


def make_staging_table(connection: psycopg.Connection, columns: Mapping[str, StoredType]) -> None:
    """Create the temporary table `staged`, empty and with these columns, in place of an earlier one."""
    connection.execute("drop table if exists pg_temp.staged")
    make = SQL("create temporary table staged ({}) on commit drop")
    connection.execute(make.format(definitions(columns)))


def find_differences(connection: psycopg.Connection, table: Table, scope: str, partitions: Sequence[str]) -> None:
    """Make the temporary table `difference`: what differs between the staged rows and the current ones.

    Args:
        connection: within a transaction that has staged all rows of these partitions.
        table: that the rows belong to.
        scope: the column with the partition.
        partitions: whose current rows are compared.
    """
    connection.execute("drop table if exists pg_temp.difference")
    parts = _parts(table)
    statement = sql.FIND_DIFFERENCES.format(scope=Identifier(scope), **parts)
    connection.execute(statement, {"partitions": list(partitions)})
    connection.execute("analyze difference (key)")
    connection.execute(sql.FIND_IN_OTHER_PARTITIONS.format(**parts))


def apply_differences(
    connection: psycopg.Connection, table: Table, values: Mapping[str, Any], changes: Table | None = None
) -> Loaded:
    """Delete, update and insert what `find_differences` found.

    Args:
        connection: of the same transaction.
        table: that is changed.
        values: the parameters of the table's expressions, and of the log.
        changes: the table in which changed sessions are logged, in the same statements; None for other tables.

    Raises:
        RowsLostError: a trigger that is not the platform's left out rows.
        RowsChangedMeanwhileError: another transaction changed rows that differ.
    """
    parts = _parts(table)

    def change(statement: SQL, log: SQL) -> int:
        changing = statement.format(**parts)
        if changes is not None:
            changing = sql.AND_LOG.format(changing=changing, log=log, changes=changes.identifier)
        return connection.execute(changing, values).rowcount

    sent = connection.execute(sql.COUNT_DIFFERENCES).fetchone() or ()
    with in_physical_order(connection):
        deleted = change(sql.DELETE, sql.LOG_VANISHED)
        updated = change(sql.UPDATE, sql.LOG_CHANGED)
        inserted = change(sql.INSERT, sql.LOG_APPEARED)
    for what, *counts in zip(("deleted", "updated", "inserted"), sent, (deleted, updated, inserted), strict=True):
        check_count(connection, table, what, *counts)
    return Loaded(inserted, updated, deleted)


@contextmanager
def in_physical_order(connection: psycopg.Connection) -> Iterator[None]:
    """Change rows that are joined by ctid in their order on the disk; in any other, each would load a page again."""
    connection.execute("set local enable_hashjoin = off; set local enable_mergejoin = off")
    yield
    connection.execute("set local enable_hashjoin = on; set local enable_mergejoin = on")


def _parts(table: Table) -> dict[str, Composable]:
    """The values of the statements' names in braces."""
    names = [Identifier(name) for name in table.columns]
    compared = [SQL("{0} = n.{0}").format(name) for name in names]
    return {
        "table": table.identifier,
        "key": Identifier(table.key or ""),
        "columns": SQL(", ").join(names),
        "current_columns": SQL(", ").join(SQL("t.{}").format(name) for name in names),
        "incoming_columns": SQL(", ").join(SQL("n.{}").format(name) for name in names),
        "set": SQL(", ").join([*compared, *(SQL(assignment) for assignment in table.on_update)]),
        "added_columns": SQL(", ").join(map(Identifier, table.on_insert)),
        "added_values": SQL(", ").join(map(SQL, table.on_insert.values())),
        "affected_users": SQL(table.affected_users),
    }
