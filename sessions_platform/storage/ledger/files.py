"""Landing files in the ledger: which there are, what was last read of each, and where their source continues.

Here: landing files, the cursors of their sources, and repairs, whose rows are landing files of the platform's own. Not
here: what was accepted of them (``landings``); the files themselves (``sources``) and their rows (``storage.lake``).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from sessions_platform.sources.base import FROM, Cursor, Extent, file_uri
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.stream_ledger import StaleCursorError, StaleWriteError, StreamLedger

# The fingerprint of a file of repaired rows, which is in no source.
_REPLAY = "replay"

# Sequences are taken before the join, whose order may be any: files have them in the order in which they were read.
_READ = """
with r as materialized (
    select *, nextval('sessions_platform.version') as sequence
    from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])
        as file (uri, fingerprint, digest, text_digest, rows, extent))
update sessions_platform.landing_files f
set fingerprint = r.fingerprint, digest = r.digest, text_digest = r.text_digest, path = %s, rows = r.rows, bytes = %s,
    run_id = %s, read_at = now(), redacted_digest = null, sequence = r.sequence, extent = r.extent::jsonb,
    redacted_extent = null
from r where f.stream = %s and f.uri = r.uri"""
# Of slices with a cursor: where they belong is recorded with their rows, whatever a run that ended before has recorded.
_ASSIGN_READ = """
insert into sessions_platform.landing_files (stream, uri, landing_partition)
select %s, uri, partition from unnest(%s::text[], %s::text[]) as given (uri, partition)
on conflict (stream, uri) do update set landing_partition = excluded.landing_partition"""
_MOVE = "update sessions_platform.landing_files set path = %s, bytes = %s where stream = %s and uri = any(%s)"
_UNCHANGED = """
update sessions_platform.landing_files f set fingerprint = r.fingerprint
from unnest(%s::text[], %s::text[]) as r (uri, fingerprint) where f.stream = %s and f.uri = r.uri"""
_REFUSED = """
update sessions_platform.landing_files f set refused_rows = r.refused
from unnest(%s::text[], %s::bigint[]) as r (uri, refused)
where f.stream = %s and f.uri = r.uri and f.refused_rows <> r.refused"""


class KnownFile(NamedTuple):
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
    extent: dict[str, Any] | None = None  # where its rows lie, in a file that may grow
    redacted_extent: dict[str, Any] | None = None  # the same, where an erasure has rewritten the file

    @classmethod
    def unread(cls, uri: str, landing_partition: str) -> "KnownFile":
        """One that a run has just found."""
        now = datetime.now(UTC)
        return cls(
            uri, landing_partition, now, fingerprint=None, digest=None, path=None, rows=None, bytes=None, sequence=None
        )

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

    @property
    def extents(self) -> list[Extent]:
        """Where its rows lie in its file: as an erasure has left it, or is about to, and as it was read."""
        return [Extent(**extent) for extent in (self.redacted_extent, self.extent) if extent is not None]


class ReadFile(NamedTuple):
    """A landing file that was read: its digest, how many rows it has, and the raw file that had them before.

    `text_digest` is of what it unpacks to; None where that is its bytes. `extent` is where its rows lie in a file that
    may grow. `landing_partition` is that of a slice with a cursor; None where it was assigned before.
    """

    uri: str
    fingerprint: str
    digest: str
    rows: int
    replaces: str | None
    text_digest: str | None = None
    extent: Extent | None = None
    landing_partition: str | None = None


@dataclass(frozen=True)
class MovedRows:
    """Landing files whose raw rows, which did not change, are now in another raw file than `replaces`."""

    uris: Sequence[str]
    replaces: str
    stored: StoredFile


@dataclass(frozen=True)
class ReadBatch:
    """What is recorded in one transaction of landing files; but for `dated`, of one partition.

    Attributes:
        read: files whose rows were read.
        stored: the raw file with the rows of all of them; None where there are none.
        unchanged: the new fingerprint of files whose content is the same, by uri.
        moved: the other files of the raw files that files of `read` had before.
        cursors: where the source continues, in the order in which they were reached.
        refused: how many rows of each file were left out, because their users were erased, by uri.
        dated: raw files, and the landing files whose rows each has; of any partitions.
        tombstones: how many the reading has regarded.
        cursors_before: the position of each cursor when the slices were found, by name; none for a new one.
    """

    read: Sequence[ReadFile] = ()
    stored: StoredFile | None = None
    unchanged: Mapping[str, str] = field(default_factory=dict)
    moved: Sequence[MovedRows] = ()
    cursors: Sequence[Cursor] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    dated: Sequence[tuple[StoredFile, Sequence[ReadFile]]] = ()
    tombstones: int = 0
    cursors_before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def raw_files(files: Iterable[KnownFile]) -> list[StoredFile]:
    """The raw files of landing files, each once, with the number of their rows; of those that were read, in order."""
    stored: dict[str, StoredFile] = {}
    for file in files:
        if file.path is not None:
            before = stored.get(file.path)
            stored[file.path] = file.stored._replace(rows=file.stored.rows + (before.rows if before else 0))
    return list(stored.values())


class Repair(NamedTuple):
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


def _json_of(extent: Extent | None) -> str | None:
    return None if extent is None else json.dumps(extent._asdict())


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
                        text_digest, placed_digest, extent, redacted_extent
                 from sessions_platform.landing_files
                 where stream = %s and (%s::text[] is null or landing_partition = any(%s)) order by uri"""
        wanted = list(landing_partitions) if landing_partitions is not None else None
        return self._read(KnownFile, sql, [self.stream, wanted, wanted])

    def slices_of_changed(self, fingerprints: Mapping[str, str]) -> dict[str, list[KnownFile]]:
        """The known slices, in the order of their rows, of files that have several or another fingerprint, by uri.

        Args:
            fingerprints: of files that may go on growing, by uri.
        """
        sql = """with changed as (
                     select distinct g.uri from unnest(%s::text[], %s::text[]) as g (uri, fingerprint)
                     join sessions_platform.landing_files f on split_part(f.uri, %s, 1) = g.uri
                     where f.stream = %s and (f.uri <> g.uri or f.fingerprint is distinct from g.fingerprint))
                 select f.uri, landing_partition, coalesce(read_at, first_seen_at) as seen_at,
                        fingerprint, digest, path, rows, bytes, sequence, redacted_digest, refused_rows,
                        text_digest, placed_digest, extent, redacted_extent
                 from sessions_platform.landing_files f join changed c on split_part(f.uri, %s, 1) = c.uri
                 where f.stream = %s and f.fingerprint is distinct from %s"""
        uris, marks = list(fingerprints), list(fingerprints.values())
        values = [uris, marks, FROM, self.stream, FROM, self.stream, _REPLAY]
        slices: dict[str, list[KnownFile]] = {}
        for file in self._read(KnownFile, sql, values):
            slices.setdefault(file_uri(file.uri), []).append(file)
        return {
            uri: sorted(files, key=lambda file: (file.landing_partition, file.uri)) for uri, files in slices.items()
        }

    def fingerprints(self) -> dict[str, tuple[str, str | None]]:
        """Landing partition and last fingerprint of every landing file, by uri; no more, as there may be very many."""
        sql = "select uri, landing_partition, fingerprint from sessions_platform.landing_files where stream = %s"
        with self.database.transaction(read_only=True) as connection:
            return {
                uri: (partition, fingerprint) for uri, partition, fingerprint in connection.execute(sql, [self.stream])
            }

    def last_read(self) -> datetime | None:
        """When records were read last; None where none were."""
        sql = "select max(read_at) from sessions_platform.landing_files where stream = %s and rows > 0"
        with self.database.transaction(read_only=True) as connection:
            row = connection.execute(sql, [self.stream]).fetchone()
            return row[0] if row else None

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

    def record_batch(self, batch: ReadBatch, run_id: str) -> None:
        """Record what was read of several landing files, and where their source continues, in one transaction.

        A later reading has a higher sequence. Files that were not read keep theirs, and other cursors theirs.

        Raises:
            StaleCursorError: another run has moved one of the cursors meanwhile.
            StaleWriteError: another run has read one of them meanwhile, so that it is in another raw file than it was;
                or users were erased meanwhile, whose rows may be among these.
        """
        read = [*batch.read, *(file for _, files in batch.dated for file in files)]
        paths: dict[str, str | None] = {file.uri: file.replaces for file in read}
        paths |= {uri: moved.replaces for moved in batch.moved for uri in moved.uris}
        # Rows of a partition that other runs may read, too: one that is committed later with an earlier sequence than
        # theirs would not be pending.
        with self._writing_in_turn() if batch.dated else self._writing() as connection:
            self._require_tombstones(connection, batch.tombstones)
            for cursor in {cursor.name: cursor for cursor in batch.cursors}.values():  # the last of each name
                self._move_cursor(connection, cursor, batch.cursors_before.get(cursor.name), run_id)
            placed = {file.uri: file.landing_partition for file in read if file.landing_partition}
            connection.execute(_ASSIGN_READ, [self.stream, list(placed), list(placed.values())])
            self._check_paths(connection, paths)
            if batch.stored:
                self._record_read(connection, batch.read, batch.stored, run_id)
            for stored, files in batch.dated:
                self._record_read(connection, files, stored, run_id)
            self.move_rows(connection, batch.moved)
            connection.execute(_UNCHANGED, [list(batch.unchanged), list(batch.unchanged.values()), self.stream])
            connection.execute(_REFUSED, [list(batch.refused), list(batch.refused.values()), self.stream])

    def move_rows(self, connection: psycopg.Connection, moved: Iterable[MovedRows]) -> None:
        """Record that the rows of landing files, which stay the same, are in another raw file."""
        for rows in moved:
            connection.execute(_MOVE, [rows.stored.path, rows.stored.bytes, self.stream, list(rows.uris)])

    def record_unchanged(self, uri: str, fingerprint: str) -> None:
        """Record a new fingerprint of a landing file whose content is the same; it keeps its sequence."""
        with self._writing() as connection:
            connection.execute(_UNCHANGED, [[uri], [fingerprint], self.stream])

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
            row = {**repair._asdict(), "run_id": run_id}
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
        rows = ((f.uri, f.fingerprint, f.digest, f.text_digest or f.digest, f.rows, _json_of(f.extent)) for f in read)
        columns = zip(*rows, strict=True)
        values = [*map(list, columns), stored.path, stored.bytes, run_id, self.stream]
        connection.execute(_READ, values)

    def _move_cursor(
        self, connection: psycopg.Connection, cursor: Cursor, before: Mapping[str, Any] | None, run_id: str
    ) -> None:
        """Store a cursor's position, if the one before it is the stored one still."""
        values = [Jsonb(dict(cursor.position)), run_id, self.stream, cursor.name]
        if before is None:
            sql = """insert into sessions_platform.source_cursors (position, run_id, stream, name)
                     values (%s, %s, %s, %s) on conflict (stream, name) do nothing"""
            moved = connection.execute(sql, values)
        else:
            sql = """update sessions_platform.source_cursors set position = %s, run_id = %s, updated_at = now()
                     where stream = %s and name = %s and position = %s"""
            moved = connection.execute(sql, [*values, Jsonb(dict(before))])
        if not moved.rowcount:
            raise StaleCursorError(f"{self.stream}: {cursor.name} was read further by another run meanwhile")
