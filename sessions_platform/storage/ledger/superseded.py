"""Superseded versions in the ledger: which lake files are still needed, and rows that are old enough to go.

Here: what housekeeping asks of the ledger. Not here: what makes a version superseded (``landings``, ``sessions``), and
the files themselves (``storage.lake``).
"""

from datetime import timedelta

import psycopg

from sessions_platform.storage.ledger.stream_ledger import StreamLedger

# A landing version is superseded once the next one of its partition is published. A session version is superseded once
# a newer one is loaded; if none was loaded since, once a newer one was written.
_VERSIONS = """
with current as materialized (
    select * from sessions_platform.current_files where stream = any(%(streams)s)
), landing as (
    select version, events_path, rejected_path, raw_files,
        events_path in (select path from current)
            or lead(published_at) over partitions > now() - %(keep_for)s as is_needed
    from sessions_platform.landing_versions where stream = any(%(streams)s)
    window partitions as (partition by stream, landing_partition order by version)
), session as (
    select v.version, v.path,
        v.path in (select path from current) or coalesce((
            select coalesce(min(n.loaded_at), min(n.written_at)) from sessions_platform.session_versions n
            where n.stream = v.stream and n.session_partition = v.session_partition
                and (n.snapshot, n.version) > (v.snapshot, v.version)
        ) > now() - %(keep_for)s, false) as is_needed
    from sessions_platform.session_versions v where v.stream = any(%(streams)s)
)"""
_NEEDED_FILES = f"""{_VERSIONS}
select path from current
union select events_path from landing where is_needed
union select rejected_path from landing where is_needed
union select file ->> 'path' from landing, jsonb_array_elements(raw_files) as file where is_needed
union select path from session where is_needed"""
# Of raw files that no version was made of it is not known when they were superseded: when their file was read again.
_REREAD_PARTITIONS = """
select distinct landing_partition from sessions_platform.landing_files
where stream = any(%(streams)s) and read_at > now() - %(keep_for)s"""
_OF_VERSIONS = """
select distinct file ->> 'path' from sessions_platform.landing_versions, jsonb_array_elements(raw_files) as file
where stream = any(%(streams)s)"""
_DELETE_LANDINGS = f"""{_VERSIONS}
delete from sessions_platform.landing_versions t using landing v where v.version = t.version and not v.is_needed"""
_DELETE_SESSIONS = f"""{_VERSIONS}
delete from sessions_platform.session_versions t using session v where v.version = t.version and not v.is_needed"""
_COUNT_VERSIONS = f"""{_VERSIONS}
select (select count(*) from landing where not is_needed) + (select count(*) from session where not is_needed)"""


class SupersededVersions(StreamLedger):
    """The part of a stream's ledger that knows what is superseded, and since when. Times are the database's."""

    def needed_files(self, keep_for: timedelta) -> tuple[set[str], set[str], set[str]]:
        """Which lake files have to stay, those of a shadow build included.

        Args:
            keep_for: how long files of a superseded version are still needed.

        Returns:
            The paths that are current, or were until so long ago; the paths of raw files that any version was made
            of; and the landing partitions of which a file was read so recently.
        """
        values = self._values(keep_for)
        with self.database.transaction(read_only=True) as connection:
            needed, of_versions, reread = (
                {row[0] for row in connection.execute(sql, values)}
                for sql in (_NEEDED_FILES, _OF_VERSIONS, _REREAD_PARTITIONS)
            )
        return needed, of_versions, reread

    def superseded_versions(self, keep_for: timedelta) -> int:
        """How many versions were superseded longer ago than this."""
        with self.database.transaction(read_only=True) as connection:
            row = connection.execute(_COUNT_VERSIONS, self._values(keep_for)).fetchone()
        return row[0] if row else 0

    def delete_superseded(self, connection: psycopg.Connection, keep_for: timedelta) -> int:
        """Delete the rows of versions that were superseded longer ago than this. The stream's lock is held.

        Returns:
            How many there were.
        """
        values = self._values(keep_for)
        return sum(connection.execute(sql, values).rowcount for sql in (_DELETE_LANDINGS, _DELETE_SESSIONS))

    def _values(self, keep_for: timedelta) -> dict[str, object]:
        return {"streams": [self.stream, f"{self.stream}~next"], "keep_for": keep_for}
