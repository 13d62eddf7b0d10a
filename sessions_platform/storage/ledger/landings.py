"""Published landing partitions in the ledger: which version of each is current.

Here: landing versions, and the snapshot of all current ones. Not here: the landing files that they were made from
(``files``), and the sessions made from them (``sessions``).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from sessions_platform.storage.ledger.stream_ledger import StaleWriteError, StreamLedger

_COLUMNS = """landing_partition, version, raw_sequence, events_path, rejected_path, raw_rows, accepted, rejected,
    duplicates, skipped, repeated_lines, rejected_by_reason, first_event, last_event, contract_version,
    reference_digests, coalesce(rejected_stretches, rejected) as rejected_stretches"""


class LandingVersion(NamedTuple):
    """The published state of one landing partition: its files in the lake, and counts of rows."""

    landing_partition: str
    version: int
    raw_sequence: int  # the highest of the landing files that it was made of
    events_path: str
    rejected_path: str
    raw_rows: int
    accepted: int
    rejected: int
    duplicates: int
    skipped: int
    repeated_lines: int
    rejected_by_reason: dict[str, int]
    first_event: datetime | None
    last_event: datetime | None
    contract_version: str
    reference_digests: dict[str, str]
    rejected_stretches: int  # rows of the file at rejected_path, each of which stands for one rejected row or several


class Snapshot(NamedTuple):
    """All current landing versions of a stream; `version` is the newest of them, 0 where there is none."""

    version: int
    landings: tuple[LandingVersion, ...]


class Landings(StreamLedger):
    """The part of a stream's ledger that knows its published landing partitions."""

    def landings(self) -> list[LandingVersion]:
        """The current landing versions, by landing partition."""
        return list(self.snapshot().landings)

    def snapshot(self) -> Snapshot:
        """The current landing versions, as of one moment."""
        with self.database.transaction(read_only=True) as connection:
            landings = tuple(self.current(connection))
        return Snapshot(max((landing.version for landing in landings), default=0), landings)

    def snapshot_at(self, version: int) -> Snapshot:
        """The landing versions that were current when this version was the newest."""
        sql = f"""select distinct on (landing_partition) {_COLUMNS} from sessions_platform.landing_versions
                 where stream = %s and version <= %s order by landing_partition, version desc"""
        return Snapshot(version, tuple(self._read(LandingVersion, sql, [self.stream, version])))

    def current(self, connection: psycopg.Connection) -> list[LandingVersion]:
        """The current landing versions as the transaction sees them, by landing partition."""
        sql = f"""select {_COLUMNS} from sessions_platform.landing_versions where stream = %s and is_current
                 order by landing_partition"""
        return self._read_in(connection, LandingVersion, sql, [self.stream])

    def observed_before(self, landing_partition: str, besides: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The observed schema of the newest published partition before this one that has rows, by its key.

        Args:
            landing_partition: the key that it is before.
            besides: keys of partitions that are left out.

        Returns:
            One entry, or none if there is no such partition; the schema as it was passed to `publish`.
        """
        sql = """select landing_partition, observed_schema from sessions_platform.landing_versions
                 where stream = %s and is_current and landing_partition < %s and landing_partition <> all(%s)
                     and (observed_schema ->> 'rows')::bigint > 0
                 order by landing_partition desc limit 1"""
        with self.database.transaction(read_only=True) as connection:
            return dict(connection.execute(sql, [self.stream, landing_partition, list(besides)]).fetchall())

    def observed_fields(self, landing_partition: str) -> list[str]:
        """The paths of the fields that the rows of a published landing partition have, sorted."""
        sql = """select jsonb_object_keys(observed_schema -> 'fields') from sessions_platform.landing_versions
                 where stream = %s and landing_partition = %s and is_current order by 1"""
        with self.database.transaction(read_only=True) as connection:
            return [path for (path,) in connection.execute(sql, [self.stream, landing_partition]).fetchall()]

    def publish(self, connection: psycopg.Connection, landing: Mapping[str, Any], affected: Iterable[str]) -> int:
        """Make a validated landing partition current, and the sessions that it changes stale. The lock is held.

        Args:
            connection: of the transaction that holds the stream's lock.
            landing: the columns of landing_versions but for stream, version and is_current.
            affected: the session partitions whose sessions it may change.

        Returns:
            The version that it has now, higher than all before.

        Raises:
            StaleWriteError: rows that were read later are published already.
        """
        where = [self.stream, landing["landing_partition"]]
        newer = connection.execute(
            """select max(raw_sequence) from sessions_platform.landing_versions
               where stream = %s and landing_partition = %s and is_current""",
            where,
        ).fetchone()
        if newer and newer[0] is not None and newer[0] > landing["raw_sequence"]:
            raise StaleWriteError(f"landing partition {where[1]}: rows that were read later are published already")
        connection.execute(
            """update sessions_platform.landing_versions set is_current = false
               where stream = %s and landing_partition = %s and is_current""",
            where,
        )
        version = _next_version(connection)
        self._insert(connection, "landing_versions", {**landing, "version": version, "is_current": True})
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into sessions_platform.stale_partitions values (%s, %s, %s)",
                [(self.stream, partition, version) for partition in affected],
            )
        return version


def _next_version(connection: psycopg.Connection) -> int:
    row = connection.execute("select nextval('sessions_platform.version')").fetchone()
    assert row is not None
    return row[0]
