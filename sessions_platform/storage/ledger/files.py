"""Landing files in the ledger: which there are, what was last read of each, and where their source continues.

Here: landing files, the cursors of their sources, and repairs, whose rows are landing files of the platform's own. Not
here: what was accepted of them (``landings``); the files themselves (``sources``) and their rows (``storage.lake``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from sessions_platform.sources.base import Cursor
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.stream_ledger import StaleWriteError, StreamLedger

# The fingerprint of a file of repaired rows, which is in no source.
_REPLAY = "replay"

_READ = """
update sessions_platform.landing_files f
set fingerprint = r.fingerprint, digest = r.digest, text_digest = r.text_digest, path = %s, rows = r.rows, bytes = %s,
    run_id = %s, read_at = now(), redacted_digest = null, sequence = nextval('sessions_platform.version')
from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
    as r (uri, fingerprint, digest, text_digest, rows)
where f.stream = %s and f.uri = r.uri"""
_MOVE = "update sessions_platform.landing_files set path = %s, bytes = %s where stream = %s and uri = any(%s)"
_UNCHANGED = """
update sessions_platform.landing_files f set fingerprint = r.fingerprint
from unnest(%s::text[], %s::text[]) as r (uri, fingerprint) where f.stream = %s and f.uri = r.uri"""
_REFUSED = """
update sessions_platform.landing_files f set refused_rows = r.refused
from unnest(%s::text[], %s::bigint[]) as r (uri, refused)
where f.stream = %s and f.uri = r.uri and f.refused_rows <> r.refused"""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A landing file as it was last read, at `seen_at`.

    Of one that was never read, `seen_at` is when a run first found it, and all fields after `seen_at` are None.
    `path` and `bytes` are of the raw file that has its rows, which may have those of other landing files, too: the rows
    of a raw file are those of all landing files that name its path, and no others. `rows` counts its own.
    """

    uri: str
    landing_partition: str
    seen_at: datetime
    fingerprint: str | None
    digest: str | None
    path: str | None
    rows: int | None
    bytes: int | None
    sequence: int | None
    redacted_digest: str | None = None  # of its bytes, where an erasure has rewritten it
    refused_rows: int = 0  # that were left out when it was read, because their users were erased
    text_digest: str | None = None  # of what it unpacks to; None where it was read before this was recorded
    placed_digest: str | None = None  # of the bytes that `ingest` has put there

    @property
    def stored(self) -> StoredFile:
        """The raw file that has its rows, with the number of its own. Raises ValueError if it was never read."""
        if self.path is None or self.rows is None or self.bytes is None:
            raise ValueError(f"{self.uri} was never read")
        return StoredFile(self.path, self.rows, self.bytes)

    @property
    def is_replay(self) -> bool:
        """Whether it contains repaired rows, which are not in the source."""
        return self.fingerprint == _REPLAY

    def has_content(self, digest: str) -> bool:
        """Whether a reading of this digest is what was read last: as it was delivered, or as an erasure left it."""
        return digest in (self.digest, self.redacted_digest)


@dataclass(frozen=True)
class ReadFile:
    """A landing file that was read: its digest, how many rows it has, and the raw file that had them before.

    `text_digest` is of what it unpacks to; None where that is its bytes.
    """

    uri: str
    fingerprint: str
    digest: str
    rows: int
    replaces: str | None
    text_digest: str | None = None


@dataclass(frozen=True)
class MovedRows:
    """Landing files whose raw rows, which did not change, are now in another raw file than `replaces`."""

    uris: Sequence[str]
    replaces: str
    stored: StoredFile


@dataclass(frozen=True)
class ReadBatch:
    """What is recorded in one transaction of landing files of one partition.

    Attributes:
        read: files whose rows were read.
        stored: the raw file with the rows of all of them; None where there are none.
        unchanged: the new fingerprint of files whose content is the same, by uri.
        moved: the other files of the raw files that files of `read` had before.
        cursors: where the source continues, in the order in which they were reached.
        refused: how many rows of each file were left out, because their users were erased, by uri.
        tombstones: how many the reading has regarded.
    """

    read: Sequence[ReadFile] = ()
    stored: StoredFile | None = None
    unchanged: Mapping[str, str] = field(default_factory=dict)
    moved: Sequence[MovedRows] = ()
    cursors: Sequence[Cursor] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    tombstones: int = 0


def raw_files(files: Iterable[KnownFile]) -> list[StoredFile]:
    """The raw files of landing files, each once, with the number of their rows; of those that were read, in order."""
    stored: dict[str, StoredFile] = {}
    for file in files:
        if file.path is not None:
            before = stored.get(file.path)
            stored[file.path] = replace(file.stored, rows=file.stored.rows + (before.rows if before else 0))
    return list(stored.values())


@dataclass(frozen=True)
class Repair:
    """A raw row, at `position` of `uri`, that replaces a rejected one; or `rows` of them, one after the other.

    A repaired row may be rejected and repaired again; the original row is the one of a landing file
    that was repaired first. A later repair has a higher sequence. Where a rejected row stands for several, its repair
    has as many: the first replaces the one at `original_position`, and so on.
    """

    rejection_id: str
    payload_digest: str
    landing_partition: str
    uri: str
    position: int
    original_id: str
    original_uri: str
    original_position: int
    sequence: int = 0
    rows: int = 1


class LandingFiles(StreamLedger):
    """The part of a stream's ledger that knows its landing files, cursors and repairs."""

    def assign(self, uris: Iterable[str], landing_partition: str) -> None:
        """Assign files to a landing partition; a file that has one already keeps it."""
        sql = """insert into sessions_platform.landing_files (stream, uri, landing_partition)
                 select %s, uri, %s from unnest(%s::text[]) as given (uri) on conflict do nothing"""
        with self._writing() as connection:
            connection.execute(sql, [self.stream, landing_partition, list(uris)])

    def files(self, landing_partitions: Sequence[str] | None = None) -> list[KnownFile]:
        """The landing files of these partitions, or of all, by uri."""
        sql = """select uri, landing_partition, coalesce(read_at, first_seen_at) as seen_at,
                        fingerprint, digest, path, rows, bytes, sequence, redacted_digest, refused_rows,
                        text_digest, placed_digest
                 from sessions_platform.landing_files
                 where stream = %s and (%s::text[] is null or landing_partition = any(%s)) order by uri"""
        wanted = list(landing_partitions) if landing_partitions is not None else None
        return self._read(KnownFile, sql, [self.stream, wanted, wanted])

    def fingerprints(self) -> dict[str, tuple[str, str | None]]:
        """Landing partition and last fingerprint of every landing file, by uri; no more, as there may be very many."""
        sql = "select uri, landing_partition, fingerprint from sessions_platform.landing_files where stream = %s"
        with self.database.transaction(read_only=True) as connection:
            return {
                uri: (partition, fingerprint) for uri, partition, fingerprint in connection.execute(sql, [self.stream])
            }

    def newest_sequences(self) -> dict[str, int]:
        """The highest sequence of the files of each landing partition that has any that was read."""
        sql = """select landing_partition, max(sequence) from sessions_platform.landing_files
                 where stream = %s and sequence is not null group by landing_partition"""
        with self.database.transaction(read_only=True) as connection:
            return dict(connection.execute(sql, [self.stream]).fetchall())

    def uris_by_digest(self, digests: Iterable[str]) -> dict[str, list[str]]:
        """The landing files whose bytes, or whose text, were last read with one of these digests, in order, by digest.

        A file whose bytes have a digest comes before one whose text has it.
        """
        sql = """select d, array_agg(uri order by digest <> d, uri)
                 from sessions_platform.landing_files, unnest(%s::text[]) as wanted (d)
                 where stream = %s and (digest = d or text_digest = d) group by d"""
        with self.database.transaction(read_only=True) as connection:
            return dict(connection.execute(sql, [list(digests), self.stream]).fetchall())

    def digests_of(self, uris: Iterable[str]) -> dict[str, str | None]:
        """The digest with which each of these files was last read, None if never, by uri; of those that are known."""
        sql = "select uri, digest from sessions_platform.landing_files where stream = %s and uri = any(%s)"
        with self.database.transaction(read_only=True) as connection:
            return dict(connection.execute(sql, [self.stream, list(uris)]).fetchall())

    def record_placed(self, uri: str, digest: str) -> None:
        """Record the digest of the bytes that `ingest` puts at a uri that is assigned to a landing partition."""
        sql = "update sessions_platform.landing_files set placed_digest = %s where stream = %s and uri = %s"
        with self._writing() as connection:
            connection.execute(sql, [digest, self.stream, uri])

    def sequences(self, connection: psycopg.Connection, uris: Sequence[str]) -> dict[str, int]:
        """The sequence of the last reading of each of these files; none is read again before the transaction ends."""
        sql = "select uri, sequence from sessions_platform.landing_files where stream = %s and uri = any(%s) for share"
        return dict(connection.execute(sql, [self.stream, list(uris)]).fetchall())

    def record_file(
        self, uri: str, fingerprint: str, digest: str, stored: StoredFile, run_id: str, cursor: Cursor | None = None
    ) -> None:
        """Record what was read of a landing file, and where its source continues, in one transaction.

        A later reading has a higher sequence.

        Args:
            uri: a file that is assigned to a landing partition.
            fingerprint: the source's, by which it recognizes the same content.
            digest: SHA-256 of the file's bytes, hex.
            stored: its raw rows in the lake.
            run_id: the run that read it.
            cursor: where the source continues; None leaves all cursors as they are.
        """
        sql = """update sessions_platform.landing_files
                 set fingerprint = %s, digest = %s, path = %s, rows = %s, bytes = %s, run_id = %s, read_at = now(),
                     text_digest = %s, redacted_digest = null, sequence = nextval('sessions_platform.version')
                 where stream = %s and uri = %s"""
        values = [fingerprint, digest, stored.path, stored.rows, stored.bytes, run_id, digest, self.stream, uri]
        with self._writing() as connection:
            connection.execute(sql, values)
            self._record_cursor(connection, cursor, run_id)

    def record_batch(self, batch: ReadBatch, run_id: str) -> None:
        """Record what was read of several landing files, in one transaction; each gets a sequence as by `record_file`.

        Raises:
            StaleWriteError: another run has read one of them meanwhile, so that it is in another raw file than it was;
                or users were erased meanwhile, whose rows may be among these.
        """
        paths: dict[str, str | None] = {file.uri: file.replaces for file in batch.read}
        paths |= {uri: moved.replaces for moved in batch.moved for uri in moved.uris}
        with self._writing() as connection:
            self._require_tombstones(connection, batch.tombstones)
            self._check_paths(connection, paths)
            if batch.stored:
                self._record_read(connection, batch.read, batch.stored, run_id)
            self.move_rows(connection, batch.moved)
            connection.execute(_UNCHANGED, [list(batch.unchanged), list(batch.unchanged.values()), self.stream])
            connection.execute(_REFUSED, [list(batch.refused), list(batch.refused.values()), self.stream])
            for cursor in {cursor.name: cursor for cursor in batch.cursors}.values():  # the last of each name
                self._record_cursor(connection, cursor, run_id)

    def move_rows(self, connection: psycopg.Connection, moved: Iterable[MovedRows]) -> None:
        """Record that the rows of landing files, which stay the same, are in another raw file."""
        for rows in moved:
            connection.execute(_MOVE, [rows.stored.path, rows.stored.bytes, self.stream, list(rows.uris)])

    def record_unchanged(self, uri: str, fingerprint: str, run_id: str = "", cursor: Cursor | None = None) -> None:
        """Record a new fingerprint of a landing file whose content is the same; it keeps its sequence.

        `cursor` is stored in the same transaction, as by `record_file`.
        """
        sql = "update sessions_platform.landing_files set fingerprint = %s where stream = %s and uri = %s"
        with self._writing() as connection:
            connection.execute(sql, [fingerprint, self.stream, uri])
            self._record_cursor(connection, cursor, run_id)

    def cursors(self) -> dict[str, dict[str, Any]]:
        """The position of each of the source's cursors, by name."""
        sql = "select name, position from sessions_platform.source_cursors where stream = %s order by name"
        with self.database.transaction(read_only=True) as connection:
            return dict(connection.execute(sql, [self.stream]).fetchall())

    def repairs(self, landing_partitions: Sequence[str] | None = None) -> list[Repair]:
        """The repairs in these landing partitions, or in all, in the order in which they were made."""
        sql = """select rejection_id, payload_digest, landing_partition, uri, position, original_id, original_uri,
                        original_position, sequence, rows
                 from sessions_platform.repairs
                 where stream = %s and (%s::text[] is null or landing_partition = any(%s)) order by sequence"""
        wanted = list(landing_partitions) if landing_partitions is not None else None
        return self._read(Repair, sql, [self.stream, wanted, wanted])

    def record_repairs(
        self, connection: psycopg.Connection, stored: StoredFile, repairs: Sequence[Repair], digest: str, run_id: str
    ) -> None:
        """Record a file of repaired rows, which makes its landing partition pending. The stream's lock is held.

        Readings in progress end first, and later ones begin afterwards, because both lock the
        stream's row. So sequences are in the order of commits.

        Args:
            connection: of the transaction that holds the stream's lock.
            stored: the raw rows in the lake.
            repairs: of all rows, in one landing partition and uri; their `sequence` is not read.
            digest: SHA-256 of the rows, hex.
            run_id: the run that repaired them.
        """
        self._lock_row(connection)
        connection.execute(
            """insert into sessions_platform.landing_files (stream, uri, landing_partition, fingerprint, digest, path,
                   rows, bytes, run_id, read_at, sequence)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, now(), nextval('sessions_platform.version'))""",
            [
                *(self.stream, repairs[0].uri, repairs[0].landing_partition, _REPLAY, digest),
                *(stored.path, stored.rows, stored.bytes, run_id),
            ],
        )
        for repair in repairs:
            row = {**vars(repair), "run_id": run_id}
            del row["sequence"]
            self._insert(connection, "repairs", row)

    def _require_tombstones(self, connection: psycopg.Connection, regarded: int) -> None:
        """Reject rows that were read before users were erased; none is erased before the transaction ends."""
        sql = "select count(*) from sessions_platform.tombstones where stream = %s"
        if connection.execute(sql, [self.stream]).fetchone() != (regarded,):
            raise StaleWriteError(f"{self.stream}: users were erased since these landing files were read")

    def _check_paths(self, connection: psycopg.Connection, paths: Mapping[str, str | None]) -> None:
        """Reject files that are in another raw file by now; none is read by others before the transaction ends."""
        sql = """select uri, path from sessions_platform.landing_files where stream = %s and uri = any(%s)
                 order by uri for update"""
        if dict(connection.execute(sql, [self.stream, list(paths)]).fetchall()) != paths:
            raise StaleWriteError(f"{self.stream}: landing files were read by another run meanwhile")

    def _record_read(
        self, connection: psycopg.Connection, read: Sequence[ReadFile], stored: StoredFile, run_id: str
    ) -> None:
        rows = ((f.uri, f.fingerprint, f.digest, f.text_digest or f.digest, f.rows) for f in read)
        columns = zip(*rows, strict=True)
        values = [stored.path, stored.bytes, run_id, *map(list, columns), self.stream]
        connection.execute(_READ, values)

    def _record_cursor(self, connection: psycopg.Connection, cursor: Cursor | None, run_id: str) -> None:
        if cursor is None:
            return
        sql = """insert into sessions_platform.source_cursors (stream, name, position, run_id)
                 values (%s, %s, %s, %s)
                 on conflict (stream, name) do update
                 set position = excluded.position, run_id = excluded.run_id, updated_at = now()"""
        connection.execute(sql, [self.stream, cursor.name, Jsonb(dict(cursor.position)), run_id])
