"""Lake files in the ledger: which files all current rows are in, and how one is replaced by another of the same rows.

Here: the files of all assets alike, and what the last verification found. Not here: what a new version of a partition
is, which comes with other rows (``files``, ``landings``, ``sessions``).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.stream_ledger import StreamLedger

_REPLACE: dict[str, LiteralString] = {
    "raw_events": """update sessions_platform.landing_files set path = %(new)s, bytes = %(bytes)s
                     where stream = %(stream)s and path = %(old)s
                         and (%(uris)s::text[] is null or uri = any(%(uris)s))""",
    "events": """update sessions_platform.landing_versions set events_path = %(new)s
                 where stream = %(stream)s and events_path = %(old)s""",
    "rejected_events": """update sessions_platform.landing_versions set rejected_path = %(new)s
                          where stream = %(stream)s and rejected_path = %(old)s""",
    "sessionized_events": """update sessions_platform.session_versions
                             set path = %(new)s, rows = %(rows)s, bytes = %(bytes)s
                             where stream = %(stream)s and path = %(old)s""",
}


class LakeFile(NamedTuple):
    """A lake file that contains current rows.

    Attributes:
        asset: raw_events, events, rejected_events or sessionized_events.
        partition: the key of its partition.
        path: where it is in the lake.
        rows: how many it has.
        bytes: its length; None where the ledger does not record it.
        version: of the partition; of raw rows their sequence.
        is_loaded: whether readers see its rows; False for sessionized events that are written and not loaded yet.
    """

    asset: str
    partition: str
    path: str
    rows: int
    bytes: int | None
    version: int
    is_loaded: bool


class Verification(NamedTuple):
    """What the last verification of a stream found; `problems` are records of what is not repaired."""

    deep: bool
    files: int
    without_checksum: int
    problems: list[dict[str, Any]]
    verified_at: datetime


class LakeFiles(StreamLedger):
    """The part of a stream's ledger that knows which lake files are needed."""

    def lake_files(self, partitions: Sequence[str] | None = None) -> list[LakeFile]:
        """The files of all current rows, by asset in the order of the pipeline; of sessions also the newest written.

        Args:
            partitions: keys of landing or session partitions; all by default.
        """
        sql: LiteralString = """select asset, partition, path, rows, bytes, version, is_loaded
            from sessions_platform.current_files
            where stream = %(stream)s and (%(all)s or partition = any(%(partitions)s))
            order by array_position(array['raw_events', 'events', 'rejected_events', 'sessionized_events'], asset),
                partition, path"""
        values = {"stream": self.stream, "all": partitions is None, "partitions": list(partitions or [])}
        with self.database.transaction(read_only=True) as connection:
            return self._read_in(connection, LakeFile, sql, values)

    def paths_in_use(self) -> set[str]:
        """The lake files that the stream's current state consists of; all others are superseded, or being written."""
        return {file.path for file in self.lake_files()}

    def replace_file(self, file: LakeFile, stored: StoredFile, uris: Sequence[str] | None = None) -> bool:
        """Record another file with the same rows. No version changes, so nothing becomes stale or pending by it.

        Args:
            file: the one that is replaced.
            stored: the one with the same rows.
            uris: of raw rows the landing files whose rows it has; all of the replaced file by default.

        Returns:
            False where the ledger no longer names the old file, because newer rows came meanwhile.
        """
        values = {"stream": self.stream, "old": file.path, "new": stored.path, "uris": uris}
        with self._writing() as connection:
            updated = connection.execute(_REPLACE[file.asset], {**values, "rows": stored.rows, "bytes": stored.bytes})
        return updated.rowcount > 0

    def mark_stale(self, session_partitions: Sequence[str]) -> None:
        """Have session partitions computed and loaded again, although no event has changed."""
        with self._writing() as connection:
            self.lock(connection)
            connection.execute(
                """insert into sessions_platform.stale_partitions (stream, session_partition, version)
                   select %s, unnest(%s::text[]), coalesce(max(version), 0) from sessions_platform.landing_versions
                   where stream = %s and is_current
                   on conflict do nothing""",
                [self.stream, list(session_partitions), self.stream],
            )

    def record_verification(
        self, *, deep: bool, files: int, without_checksum: int, problems: Sequence[dict[str, Any]], run_id: str
    ) -> None:
        """Record what a verification found, in place of what the one before had found."""
        sql = """insert into sessions_platform.verifications (stream, deep, files, without_checksum, problems, run_id)
                 values (%s, %s, %s, %s, %s, %s)
                 on conflict (stream) do update
                 set deep = excluded.deep, files = excluded.files, without_checksum = excluded.without_checksum,
                     problems = excluded.problems, run_id = excluded.run_id, verified_at = now()"""
        row = [self.stream, deep, files, without_checksum, Jsonb(list(problems)), run_id]
        with self._writing() as connection:
            connection.execute(sql, row)

    def verification(self) -> Verification | None:
        """The last verification; None where there was none."""
        sql = """select deep, files, without_checksum, problems, verified_at
                 from sessions_platform.verifications where stream = %s"""
        return next(iter(self._read(Verification, sql, [self.stream])), None)
