"""Session partitions in the ledger: which versions were written and loaded, and which are stale.

Not here: the sessions themselves (``storage.warehouses``), their events (``storage.lake``), and what was delivered to
warehouses besides the database (``deliveries``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.erasures import ERASURE_RUN
from sessions_platform.storage.ledger.run_heartbeats import keep_from_being_ended, refuse_ended
from sessions_platform.storage.ledger.stream_ledger import StaleWriteError, StreamLedger

_SELECT_STALE = """
select session_partition from sessions_platform.stale_partitions where stream = %(stream)s
union
select session_partition from sessions_platform.session_versions
where stream = %(stream)s and is_current and (session_rule_version <> %(rule)s or snapshot < (
    select max(version) from sessions_platform.landing_versions
    where stream = %(stream)s and session_rule_version <> %(rule)s))
order by 1"""
_COLUMNS = """session_partition, version, path, rows, bytes, duplicates_across, conflicts_across,
    simultaneous_events, events_outside_sessions, events_without_tool_id, first_event, last_event,
    longest_activity_chain_seconds, snapshot, session_rule_version"""


class SessionVersion(NamedTuple):
    """One written state of one session partition, loaded into the warehouse or not.

    `snapshot` is the newest landing version that it was made of, 0 where there was none. `simultaneous_events` is 0 of
    versions that were written before they were counted. `events_outside_sessions` are passive ones that no session
    holds; `events_without_tool_id` those whose session the rule decided, in a stream that takes sessions from a tool.
    """

    session_partition: str
    version: int
    path: str
    rows: int
    bytes: int
    duplicates_across: int
    conflicts_across: int
    simultaneous_events: int
    events_outside_sessions: int
    events_without_tool_id: int
    first_event: datetime | None
    last_event: datetime | None
    longest_activity_chain_seconds: float
    snapshot: int
    session_rule_version: str

    @property
    def stored(self) -> StoredFile:
        """Its sessionized events in the lake."""
        return StoredFile(self.path, self.rows, self.bytes)


class SessionVersions(StreamLedger):
    """The part of a stream's ledger that knows its session partitions."""

    def write_sessions(self, versions: Sequence[Mapping[str, Any]]) -> None:
        """Record written session partitions; they are current once they are loaded.

        Args:
            versions: of each the columns of session_versions but for stream, version and is_current.

        Raises:
            StaleWriteError: users were erased since their snapshot was taken; the sessions may be theirs.
            RunEndedError: the run was found lost meanwhile, and others may have written the same partitions.
        """
        with self._writing() as connection:
            self._refuse_before_erasure(connection, min((version["snapshot"] for version in versions), default=None))
            for run_id in {version["run_id"] for version in versions}:
                keep_from_being_ended(connection, run_id)
                refuse_ended(connection, run_id)
            for version in versions:
                self._insert(connection, "session_versions", version)

    def _refuse_before_erasure(self, connection: psycopg.Connection, snapshot: int | None) -> None:
        sql = """select max(version) from sessions_platform.landing_versions
                 where stream = %s and starts_with(run_id, %s) having max(version) > %s"""
        if snapshot is not None and connection.execute(sql, [self.stream, ERASURE_RUN, snapshot]).fetchone():
            raise StaleWriteError(f"{self.stream}: users were erased since these sessions were made")

    def newest_sessions(self, session_partitions: Sequence[str] | None = None) -> list[SessionVersion]:
        """The newest written version of each of these session partitions, or of all, loaded or not.

        The newest is made of the newest snapshot; of several such, the one that was written last.
        """
        sql = f"""select distinct on (session_partition) {_COLUMNS}
                 from sessions_platform.session_versions
                 where stream = %s and (%s::text[] is null or session_partition = any(%s))
                 order by session_partition, snapshot desc, version desc"""
        wanted = list(session_partitions) if session_partitions is not None else None
        return self._read(SessionVersion, sql, [self.stream, wanted, wanted])

    def sessions_at(self, paths: Sequence[str]) -> list[SessionVersion]:
        """The written versions that are stored in these lake files, by session partition."""
        sql = f"""select {_COLUMNS} from sessions_platform.session_versions
                 where stream = %s and path = any(%s) order by session_partition"""
        return self._read(SessionVersion, sql, [self.stream, list(paths)])

    def loaded_sessions(self, connection: psycopg.Connection) -> list[SessionVersion]:
        """The versions that the warehouse contains, by session partition."""
        sql = f"""select {_COLUMNS} from sessions_platform.session_versions
                 where stream = %s and is_current order by session_partition"""
        return self._read_in(connection, SessionVersion, sql, [self.stream])

    def mark_loaded(self, connection: psycopg.Connection, loaded: Sequence[SessionVersion]) -> None:
        """Record that the warehouse contains these versions; what their snapshots contain is no longer stale.

        The stream's lock is held, and the same transaction loads them.

        Raises:
            StaleWriteError: the ledger no longer has them, because the stream was rebuilt meanwhile.
        """
        partitions = [version.session_partition for version in loaded]
        connection.execute(
            """update sessions_platform.session_versions set is_current = false
               where stream = %s and session_partition = any(%s) and is_current""",
            [self.stream, partitions],
        )
        updated = connection.execute(
            """update sessions_platform.session_versions set is_current = true, loaded_at = now()
               where stream = %s and version = any(%s)""",
            [self.stream, [version.version for version in loaded]],
        )
        if updated.rowcount < len(loaded):
            raise StaleWriteError(f"{self.stream}: it was rebuilt since these sessions were made")
        connection.execute(
            """delete from sessions_platform.stale_partitions w
               using unnest(%s::text[], %s::bigint[]) as loaded (session_partition, snapshot)
               where w.stream = %s and w.session_partition = loaded.session_partition
                   and w.version <= loaded.snapshot""",
            [partitions, [version.snapshot for version in loaded], self.stream],
        )

    def stale_partitions(self, session_rule_version: str) -> list[str]:
        """The session partitions to refresh, sorted.

        Those are affected by a change that is not loaded yet, or made by another session rule. So are
        all whose snapshot lacks a change for which another rule determined the affected partitions: how
        far a change reaches depends on the activity chains, whose length the rule limits.
        """
        with self.database.transaction(read_only=True) as connection:
            return self.stale_partitions_in(connection, session_rule_version)

    def stale_partitions_in(self, connection: psycopg.Connection, session_rule_version: str) -> list[str]:
        """The same, as the connection's transaction sees it."""
        rows = connection.execute(_SELECT_STALE, {"stream": self.stream, "rule": session_rule_version}).fetchall()
        return [partition for (partition,) in rows]

    def stale_because_of(self, landing_partition: str) -> list[str]:
        """The stale session partitions that changes of one landing partition have made so, sorted."""
        sql = """select distinct session_partition from sessions_platform.stale_partitions w
                 join sessions_platform.landing_versions l using (stream, version)
                 where stream = %s and landing_partition = %s order by session_partition"""
        with self.database.transaction(read_only=True) as connection:
            return [key for (key,) in connection.execute(sql, [self.stream, landing_partition]).fetchall()]
