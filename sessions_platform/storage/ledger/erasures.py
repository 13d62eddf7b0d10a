"""Erasures in the ledger: which users must not land again, and how far each erasure has come.

No user's id is stored, only keyed hashes (``storage.erasure_key``). Here: tombstones, the record of each erasure, and
the change of landing files and repairs that makes it effective. Not here: what is erased (``operations.erase``), and
how rows are recognized when they land (``pipeline.tombstones``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from sessions_platform.sources.base import Extent
from sessions_platform.storage.ledger.files import LandingFiles, MovedRows

# How the run_id of an erasure begins; by it the ledger recognizes the landing versions that erasures have published.
ERASURE_RUN = "erasure "


class Tombstone(NamedTuple):
    """What must not land again, as a keyed hash: a user's id, a payload of this size in bytes, or a file's digest.

    `key_check` tells whether a key is the one of the hash.
    """

    kind: str
    keyed_hash: str
    payload_bytes: int | None
    key_check: str


class Erasure(NamedTuple):
    """An erasure that has begun: its id, and what it has done so far (`operations.erase` says which keys)."""

    erasure_id: str
    progress: dict[str, Any]

    @property
    def run_id(self) -> str:
        """What the ledger records as the run of whatever it changes."""
        return f"{ERASURE_RUN}{self.erasure_id}"


@dataclass(frozen=True)
class ReplacedRows(MovedRows):
    """Landing files whose raw rows are now in another raw file, without some; `erased` counts those, by uri."""

    erased: Mapping[str, int]


class Erasures(LandingFiles):
    """The part of a stream's ledger that knows erasures."""

    def tombstones(self) -> list[Tombstone]:
        """What must not land again."""
        sql = """select kind, keyed_hash, payload_bytes, key_check from sessions_platform.tombstones
                 where stream = %s order by kind, keyed_hash"""
        return self._read(Tombstone, sql, [self.stream])

    def begin_erasure(self, erasure_id: str, users: Sequence[str], tombstones: Sequence[Tombstone]) -> Erasure:
        """Refuse users from now on, and record that their erasure has begun.

        Args:
            erasure_id: of a new erasure; one of the same users that was not finished is continued instead.
            users: keyed hashes of the users' ids, sorted.
            tombstones: of the users.
        """
        sql = """select erasure_id, progress from sessions_platform.erasures
                 where stream = %s and users = %s and finished_at is null order by begun_at limit 1"""
        with self.database.transaction() as connection:
            self.lock(connection)
            self.add_tombstones(connection, tombstones)
            row = connection.execute(sql, [self.stream, Jsonb(list(users))]).fetchone()
            if row is not None:
                return Erasure(*row)
            self._insert(connection, "erasures", {"erasure_id": erasure_id, "users": list(users)})
        return Erasure(erasure_id, {})

    def add_tombstones(self, connection: psycopg.Connection, tombstones: Sequence[Tombstone]) -> None:
        """Add tombstones; readings of slices that have begun without them are refused by `record_batch`."""
        self._lock_row(connection)
        rows = [(self.stream, t.kind, t.keyed_hash, t.payload_bytes, t.key_check) for t in tombstones]
        sql = """insert into sessions_platform.tombstones (stream, kind, keyed_hash, payload_bytes, key_check)
                 values (%s, %s, %s, %s, %s) on conflict do nothing"""
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)

    def record_progress(self, connection: psycopg.Connection, erasure: Erasure, progress: Mapping[str, Any]) -> Erasure:
        """Store what an erasure has done so far, and return it with that."""
        sql = "update sessions_platform.erasures set progress = %s where stream = %s and erasure_id = %s"
        connection.execute(sql, [Jsonb(dict(progress)), self.stream, erasure.erasure_id])
        return Erasure(erasure.erasure_id, dict(progress))

    def finish_erasure(self, erasure: Erasure, receipt: Mapping[str, Any]) -> None:
        """Record that an erasure is complete, and its receipt."""
        sql = """update sessions_platform.erasures set finished_at = now(), receipt = %s
                 where stream = %s and erasure_id = %s"""
        with self._writing() as connection:
            connection.execute(sql, [Jsonb(dict(receipt)), self.stream, erasure.erasure_id])

    def replace_raw_rows(
        self,
        connection: psycopg.Connection,
        replaced: Sequence[ReplacedRows],
        erased_ids: Sequence[str],
        run_id: str,
    ) -> None:
        """Make these the raw rows of landing files, which makes their partitions pending. The stream's lock is held.

        Fingerprint and digest stay those of the file as it was delivered.

        Args:
            connection: of the transaction that holds the stream's lock.
            replaced: raw files, and those without the rows in their place.
            erased_ids: rejection ids of erased rows, whose repairs are removed.
            run_id: of the erasure.

        Raises:
            StaleWriteError: a file was read again meanwhile, so that its rows are in another raw file.
        """
        self._lock_row(connection)
        self._check_paths(connection, {uri: rows.replaces for rows in replaced for uri in rows.uris})
        self.move_rows(connection, replaced)
        sql = """update sessions_platform.landing_files
                 set rows = rows - %s, run_id = %s, sequence = nextval('sessions_platform.version')
                 where stream = %s and uri = %s"""
        for uri, rows in ((uri, rows) for of_file in replaced for uri, rows in of_file.erased.items()):
            connection.execute(sql, [rows, run_id, self.stream, uri])
        connection.execute(
            """delete from sessions_platform.repairs
               where stream = %(stream)s and (original_id = any(%(ids)s) or rejection_id = any(%(ids)s))""",
            {"stream": self.stream, "ids": list(erased_ids)},
        )

    def record_redacted(self, uri: str, redacted_digest: str) -> None:
        """Record the digest that a landing file has once it is rewritten; its content then counts as unchanged."""
        sql = "update sessions_platform.landing_files set redacted_digest = %s where stream = %s and uri = %s"
        with self._writing() as connection:
            connection.execute(sql, [redacted_digest, self.stream, uri])

    def record_redacted_slice(self, uri: str, redacted_digest: str, before: Extent, after: Extent) -> None:
        """The same of a slice of a growing file, and where its rows lie: in the file as it is, and once rewritten."""
        sql = """update sessions_platform.landing_files
                 set redacted_digest = %s, extent = %s, redacted_extent = %s where stream = %s and uri = %s"""
        extents = [Jsonb(extent._asdict()) for extent in (before, after)]
        with self._writing() as connection:
            connection.execute(sql, [redacted_digest, *extents, self.stream, uri])

    def record_refused(self, uri: str, rows: int) -> None:
        """Record how many rows a landing file has whose users were erased; they are not among its raw rows."""
        sql = """update sessions_platform.landing_files set refused_rows = %s
                 where stream = %s and uri = %s and refused_rows <> %s"""
        with self._writing() as connection:
            connection.execute(sql, [rows, self.stream, uri, rows])

    def delivered_digests(self) -> dict[str, tuple[str, str]]:
        """The digests, of bytes and text, with which files were delivered, by those of what erasures left of them."""
        sql = """select redacted_digest, digest, coalesce(text_digest, digest) from sessions_platform.landing_files
                 where stream = %s and redacted_digest is not null and digest is not null order by digest desc"""
        with self.database.transaction(read_only=True) as connection:
            rows = connection.execute(sql, [self.stream]).fetchall()
        return {redacted: (digest, text_digest) for redacted, digest, text_digest in rows}

    def stale_since(self, run_id: str) -> list[str]:
        """The session partitions that the publications of a run have made stale and that are not loaded yet."""
        sql = """select distinct s.session_partition from sessions_platform.stale_partitions s
                 join sessions_platform.landing_versions v on v.stream = s.stream and v.version = s.version
                 where s.stream = %s and v.run_id = %s order by 1"""
        with self.database.transaction(read_only=True) as connection:
            return [key for (key,) in connection.execute(sql, [self.stream, run_id]).fetchall()]
