"""Recognize session partitions that contain just what is to be loaded, so that their rows need not be compared.

A reload of unchanged sessions should cost next to nothing, and still correct manual edits of the table. So a load
records, for each partition that it leaves in a known state, two things in `loaded_partitions`: the digest of the rows
that were loaded, and a fingerprint of the rows as PostgreSQL stores them. A partition is unchanged where both are the
same at the next load.

The fingerprint is how many rows of the partition each transaction wrote last, by the hidden column `xmin`, which has
the id of the transaction that wrote this version of the row, and the number and type of each column. An update or an
insert has a transaction of another id; a deletion changes a count; and a column that was dropped and added again has
another number. So no edit goes unnoticed, without a trigger. A counting scan by the partition's index is much cheaper
than to encode, copy and compare the rows.

Not here: how sessions are encoded and their digest computed (`staged_sessions.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row
from psycopg.sql import SQL

from sessions_platform.storage.warehouses.postgres import statements as sql
from sessions_platform.storage.warehouses.postgres.staged_sessions import StagedSessions
from sessions_platform.storage.warehouses.postgres.tables import WarehouseTables


@dataclass(frozen=True)
class TransactionHorizon:
    """At some moment: all transactions before `oldest_running` had ended; `own` is the id of the current one."""

    oldest_running: int
    own: int

    def covers(self, writers: Sequence[int]) -> bool:
        """Whether every writer had ended by then, or is the current transaction.

        `xmin` has the lower 32 bits of a transaction id. So, as PostgreSQL does it, of two such ids the one is the
        later that is less than half the circle of 2^32 ahead of the other.
        """
        return all((writer - self.oldest_running) % 2**32 >= 2**31 or writer == self.own % 2**32 for writer in writers)


@dataclass(frozen=True)
class _Fingerprint:
    """A partition's rows as they are stored: how many each transaction wrote, into columns of which number and type."""

    session_partition: str
    rows: int
    writers: list[int]
    rows_of_writers: list[int]
    columns: str

    def __str__(self) -> str:
        written = [f"{writer}: {rows}" for writer, rows in zip(self.writers, self.rows_of_writers, strict=True)]
        return f"{', '.join(written)}; {self.columns}"


class LoadedPartitions:
    """One stream's records of what was loaded. Methods work inside the connection's transaction."""

    def __init__(self, tables: WarehouseTables) -> None:
        self._tables = tables

    def with_same_digest(
        self, connection: psycopg.Connection, sessions: StagedSessions, partitions: Sequence[str]
    ) -> dict[str, str]:
        """Those of the partitions into which the same sessions were loaded last, with the recorded fingerprint."""
        query = SQL("select session_partition, digest, written_by from {} where session_partition = any(%s)")
        rows = connection.execute(query.format(self._tables.loaded_partitions.identifier), [list(partitions)])
        return {
            partition: fingerprint
            for partition, digest, fingerprint in rows.fetchall()
            if digest == sessions.digest(partition)
        }

    def changed(self, connection: psycopg.Connection, sessions: StagedSessions, partitions: Sequence[str]) -> list[str]:
        """The partitions, except for those that contain just the staged sessions and were not edited since."""
        recorded = self.with_same_digest(connection, sessions, partitions)
        fingerprints = self._fingerprints(connection, list(recorded))
        current = {fingerprint.session_partition: str(fingerprint) for fingerprint in fingerprints}
        return [key for key in partitions if key not in recorded or recorded[key] != current.get(key)]

    def horizon(self, connection: psycopg.Connection) -> TransactionHorizon:
        """Of the moment before rows are compared, for `record`."""
        with connection.cursor(row_factory=class_row(TransactionHorizon)) as cursor:
            return cursor.execute(sql.TRANSACTION_HORIZON).fetchone() or TransactionHorizon(0, 0)

    def record(
        self,
        connection: psycopg.Connection,
        sessions: StagedSessions,
        appended: Sequence[str],
        compared: Sequence[str],
        horizon: TransactionHorizon,
    ) -> None:
        """Record what the partitions contain after a load, except for those that another transaction edited during it.

        Such an edit shows in the number of rows, or, where rows were compared, in a writer that had not ended when the
        comparison began. In a partition that was copied into an empty one, other writers would have added rows.
        """
        partitions = [*appended, *compared]
        table = self._tables.loaded_partitions.identifier
        delete = SQL("delete from {} where session_partition = any(%s)")
        connection.execute(delete.format(table), [partitions])
        known = [
            fingerprint
            for fingerprint in self._fingerprints(connection, partitions)
            if fingerprint.rows == sessions.rows.get(fingerprint.session_partition)
            and (fingerprint.session_partition in appended or horizon.covers(fingerprint.writers))
        ]
        with connection.cursor() as cursor:
            cursor.executemany(
                SQL("insert into {} values (%s, %s, %s)").format(table),
                [(each.session_partition, sessions.digest(each.session_partition), str(each)) for each in known],
            )

    def _fingerprints(self, connection: psycopg.Connection, partitions: Sequence[str]) -> list[_Fingerprint]:
        if not partitions:
            return []
        table = self._tables.sessions
        values = {
            "partitions": list(partitions),
            "table": table.identifier.as_string(),
            "columns": list(table.columns),
        }
        with connection.cursor(row_factory=class_row(_Fingerprint)) as cursor:
            return cursor.execute(sql.PARTITION_FINGERPRINTS.format(table=table.identifier), values).fetchall()
