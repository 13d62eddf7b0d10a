"""The ledger of a stream: which version of each partition is current, and what is stale.

It is in the warehouse database, so that one transaction publishes a landing partition, or loads
a refresh, together with its record in the ledger.

Here: the whole ledger as one class, and how a rebuilt stream replaces the current one. Not here:
its parts, which are in ``files``, ``erasures``, ``landings``, ``sessions``, ``deliveries`` and ``score_models``; its
locks and transactions, which are in ``stream_ledger``; its tables, which are in ``storage.postgres.migrations``.
"""

from collections.abc import Sequence

import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.storage.ledger.deliveries import Deliveries, Delivery, TargetState
from sessions_platform.storage.ledger.erasures import ERASURE_RUN, Erasure, Erasures, ReplacedRows, Tombstone
from sessions_platform.storage.ledger.files import KnownFile, Repair
from sessions_platform.storage.ledger.lake_files import LakeFile, LakeFiles, Verification
from sessions_platform.storage.ledger.landings import Landings, LandingVersion, Snapshot
from sessions_platform.storage.ledger.score_models import ScoreModel, ScoreModels
from sessions_platform.storage.ledger.sessions import SessionVersion, SessionVersions
from sessions_platform.storage.ledger.stream_ledger import CalendarChangedError, StaleCursorError, StaleWriteError
from sessions_platform.storage.ledger.superseded import SupersededVersions
from sessions_platform.storage.postgres.migrations import ensure_current

__all__ = [
    "ERASURE_RUN",
    "CalendarChangedError",
    "Delivery",
    "Erasure",
    "KnownFile",
    "LakeFile",
    "LandingVersion",
    "Ledger",
    "Repair",
    "ReplacedRows",
    "ScoreModel",
    "SessionVersion",
    "Snapshot",
    "StaleCursorError",
    "StaleWriteError",
    "TargetState",
    "Tombstone",
    "Verification",
]

_REBUILT_TABLES = tuple(
    Identifier("sessions_platform", table)
    for table in ("streams", "landing_files", "landing_versions", "session_versions", "stale_partitions", "repairs")
)
# A rebuild changes neither how far sources were read nor what other warehouses contain, and no model.
_OTHER_TABLES = tuple(
    Identifier("sessions_platform", table)
    for table in ("source_cursors", "deliveries", "targets", "verifications", "score_models")
)
_DELETE = SQL("delete from {table} where stream = %(stream)s")
_RENAME = SQL("update {table} set stream = %(stream)s where stream = %(rebuilt)s")
_TRANSFER_FILE = """
insert into sessions_platform.landing_files
    (stream, uri, landing_partition, first_seen_at, fingerprint, digest, path, rows, bytes, sequence, run_id, read_at,
    redacted_digest, refused_rows, text_digest, placed_digest, extent, redacted_extent)
select %(stream)s, uri, %(partition)s, first_seen_at, fingerprint, digest, %(path)s, rows, bytes, sequence, run_id,
    read_at, redacted_digest, refused_rows, text_digest, placed_digest, extent, redacted_extent
from sessions_platform.landing_files where stream = %(source)s and uri = %(uri)s"""
_TRANSFER_REPAIRS = """
insert into sessions_platform.repairs
    (stream, rejection_id, payload_digest, landing_partition, uri, position, original_id, original_uri,
    original_position, rows, sequence, run_id, replayed_at)
select %(stream)s, rejection_id, payload_digest, %(partition)s, uri, position, original_id, original_uri,
    original_position, rows, sequence, run_id, replayed_at
from sessions_platform.repairs where stream = %(source)s and uri = %(uri)s"""


class Ledger(Erasures, Landings, SessionVersions, Deliveries, LakeFiles, SupersededVersions, ScoreModels):
    """All of one stream's ledger."""

    @property
    def shadow(self) -> "Ledger":
        """The ledger of the shadow stream, where this one is rebuilt. No stream's name has a tilde in it."""
        return Ledger(self.database, f"{self.stream}~next")

    def recorded_calendars(self) -> dict[str, str]:
        """The calendars that the current partitions were made with; empty for a new stream."""
        with self.database.transaction() as connection:
            ensure_current(connection)
            sql = "select calendars from sessions_platform.streams where stream = %s"
            row = connection.execute(sql, [self.stream]).fetchone()
        return row[0] if row else {}

    def delete_stream(self) -> None:
        """Delete everything of the stream from the ledger."""
        with self.database.transaction() as connection:
            ensure_current(connection)
            for table in (*_REBUILT_TABLES, *_OTHER_TABLES):
                connection.execute(_DELETE.format(table=table), {"stream": self.stream})

    def transfer(self, file: KnownFile, source: "Ledger", landing_partition: str, path: str | None) -> None:
        """Add a landing file as another ledger knows it, with its repairs, to this one.

        Args:
            file: a file that the source has.
            source: the ledger that knows it; its rows stay.
            landing_partition: the one that it belongs to here.
            path: its raw rows in the lake, for that partition; None where it was never read.
        """
        values = {"stream": self.stream, "source": source.stream, "uri": file.uri}
        values |= {"partition": landing_partition, "path": path}
        with self._writing() as connection:
            connection.execute(_TRANSFER_FILE, values)
            connection.execute(_TRANSFER_REPAIRS, values)

    def contains(self, connection: psycopg.Connection, files: Sequence[KnownFile]) -> bool:
        """Whether these are all landing files, as they were last read; they stay so until the transaction ends.

        The stream's lock is held.
        """
        self._lock_row(connection)
        sql = "select uri, sequence from sessions_platform.landing_files where stream = %s"
        return dict(connection.execute(sql, [self.stream]).fetchall()) == {file.uri: file.sequence for file in files}

    def replace_by(self, connection: psycopg.Connection, rebuilt: "Ledger") -> None:
        """Replace the stream's rows by those of a rebuilt one, which then has none. Both locks are held.

        The source's cursors, the deliveries and the models of scores stay as they are.
        """
        for table in _REBUILT_TABLES:
            connection.execute(_DELETE.format(table=table), {"stream": self.stream})
            connection.execute(_RENAME.format(table=table), {"stream": self.stream, "rebuilt": rebuilt.stream})
