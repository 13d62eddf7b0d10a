"""The ledger: which version of each partition is current, and what waits for a refresh.

It lives in the warehouse database, so that one transaction publishes a landing
partition, or loads a refresh, together with what the ledger says of it. Versions are
drawn under the stream's lock: a snapshot that holds a version holds all before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, TypeVar

import psycopg
import psycopg.sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sessions_platform.errors import UserError
from sessions_platform.sources.base import Cursor
from sessions_platform.storage.lake.lake import StoredFile
from sessions_platform.storage.ledger.schema import make_tables
from sessions_platform.storage.postgres.database import Database, lock

Row = TypeVar("Row")

_BEGIN = "insert into sessions_platform.streams values (%s, %s) on conflict do nothing"

_OF_A_STREAM = tuple(
    psycopg.sql.Identifier("sessions_platform", table)
    for table in ("streams", "landing_files", "landing_versions", "session_versions", "stale_partitions", "repairs")
)
_FORGET = psycopg.sql.SQL("delete from {table} where stream = %(stream)s")
# A rebuild changes neither how far sources were read nor what other warehouses contain.
_KEPT_BY_A_REBUILD = tuple(
    psycopg.sql.Identifier("sessions_platform", table) for table in ("source_cursors", "deliveries")
)
_RENAME = psycopg.sql.SQL("update {table} set stream = %(stream)s where stream = %(rebuilt)s")
_ADOPT = """
insert into sessions_platform.landing_files
    (stream, uri, landing_partition, first_seen_at, fingerprint, digest, path, rows, bytes, sequence, run_id, read_at)
select %(stream)s, uri, %(partition)s, first_seen_at, fingerprint, digest, %(path)s, rows, bytes, sequence, run_id,
    read_at
from sessions_platform.landing_files where stream = %(of)s and uri = %(uri)s"""
_ADOPT_MENDS = """
insert into sessions_platform.repairs
    (stream, rejection_id, payload_digest, landing_partition, uri, position, original_id, original_uri,
    original_position, sequence, run_id, replayed_at)
select %(stream)s, rejection_id, payload_digest, %(partition)s, uri, position, original_id, original_uri,
    original_position, sequence, run_id, replayed_at
from sessions_platform.repairs where stream = %(of)s and uri = %(uri)s"""

# What stands in the place of the fingerprint of a file whose rows are mended ones: no source finds it.
_REPLAY = "replay"


_WAITING = """
select session_partition from sessions_platform.stale_partitions where stream = %(stream)s
union
select session_partition from sessions_platform.session_versions
where stream = %(stream)s and is_current and (session_rule_version <> %(policy)s or snapshot < (
    select max(version) from sessions_platform.landing_versions
    where stream = %(stream)s and session_rule_version <> %(policy)s))
order by 1"""
_OF_SESSION_VERSION = """session_partition, version, path, rows, bytes, duplicates_across, conflicts_across,
    first_event, last_event, longest_activity_chain_seconds, snapshot, session_rule_version"""


class CalendarChangedError(UserError):
    """A stream's cadence or timezone is another than its partitions were made with."""


class StaleWriteError(RuntimeError):
    """A newer state of the same partition was published meanwhile; this one must not replace it."""


@dataclass(frozen=True)
class KnownFile:
    """A landing file as it was last read, at `seen_at`; until then when it was found, and the rest is None."""

    uri: str
    landing_partition: str
    seen_at: datetime
    fingerprint: str | None
    digest: str | None
    path: str | None
    rows: int | None
    bytes: int | None
    sequence: int | None

    @property
    def stored(self) -> StoredFile:
        if self.path is None or self.rows is None or self.bytes is None:
            raise ValueError(f"{self.uri} was never read")
        return StoredFile(self.path, self.rows, self.bytes)

    @property
    def is_replay(self) -> bool:
        """Whether it holds mended rows, and no source will ever find it."""
        return self.fingerprint == _REPLAY


@dataclass(frozen=True)
class Repair:
    """A raw row, at `position` of `uri`, that was written in the stead of a rejected one.

    The root is the row of a landing file that was mended first.
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


@dataclass(frozen=True)
class LandingVersion:
    """The published state of one landing partition."""

    landing_partition: str
    version: int
    raw_sequence: int
    events_path: str
    rejected_path: str
    raw_rows: int
    accepted: int
    rejected: int
    duplicates: int
    rejected_by_reason: dict[str, int]
    first_event: datetime | None
    last_event: datetime | None
    contract_version: str
    reference_digests: dict[str, str]


@dataclass(frozen=True)
class Snapshot:
    """All current landing versions of a stream; `version` is the newest of any that it holds."""

    version: int
    landings: tuple[LandingVersion, ...]


@dataclass(frozen=True)
class SessionVersion:
    """One written state of one session partition; loaded into the warehouse or not yet."""

    session_partition: str
    version: int
    path: str
    rows: int
    bytes: int
    duplicates_across: int
    conflicts_across: int
    first_event: datetime | None
    last_event: datetime | None
    longest_activity_chain_seconds: float
    snapshot: int
    session_rule_version: str

    @property
    def stored(self) -> StoredFile:
        return StoredFile(self.path, self.rows, self.bytes)


@dataclass(frozen=True)
class Delivery:
    """The sessions of one partition as a target besides the warehouse database last took them.

    `version` is that of the session version, `digest` that of its rows.
    """

    target: str
    session_partition: str
    version: int
    digest: str


class Ledger:
    """What one stream's ledger says. Reads take a transaction of their own, writes one that is given."""

    def __init__(self, database: Database, stream: str) -> None:
        self.database = database
        self.stream = stream
        self._calendars: Mapping[str, str] = {}

    def prepare(self, calendars: Mapping[str, str]) -> None:
        """Make the tables where they are missing, and note the stream's calendars.

        Raises CalendarChanged where the stream began with others.
        """
        self._calendars = calendars
        with self.database.transaction() as connection:
            make_tables(connection)
            connection.execute(_BEGIN, [self.stream, Jsonb(dict(calendars))])
            self._hold(connection)

    def lock(self, connection: psycopg.Connection) -> None:
        """One publication or load of the stream at a time; readers go on.

        Raises CalendarChanged where the stream was rebuilt meanwhile, and keys mean other times.
        """
        lock(connection, f"sessions_platform/{self.stream}")
        self._hold(connection)

    def _hold(self, connection: psycopg.Connection) -> None:
        """Until the transaction ends the stream is not replaced by a rebuilt one."""
        row = connection.execute(
            "select calendars from sessions_platform.streams where stream = %s for share", [self.stream]
        ).fetchone()
        for key, value in row[0].items() if row else ():
            if self._calendars.get(key, value) != value:
                raise CalendarChangedError(
                    f"{self.stream}: {key}: it is {self._calendars[key]} here, and the stream's partitions were made "
                    f"with {value}. Fix: run `sessions-platform rebuild {self.stream}`, or write {value} again; "
                    f"after a rebuild, reload the code location in Dagster."
                )

    @contextmanager
    def _writing(self) -> Iterator[psycopg.Connection]:
        with self.database.transaction() as connection:
            self._hold(connection)
            yield connection

    # Landing files

    def assign(self, uris: Iterable[str], landing_partition: str) -> None:
        """Files belong to the landing partition that first saw them."""
        rows = [(self.stream, uri, landing_partition) for uri in uris]
        sql = """insert into sessions_platform.landing_files (stream, uri, landing_partition)
                 values (%s, %s, %s) on conflict do nothing"""
        with self._writing() as connection, connection.cursor() as cursor:
            cursor.executemany(sql, rows)

    def files(self, landing_partitions: Sequence[str] | None = None) -> list[KnownFile]:
        sql = """select uri, landing_partition, coalesce(read_at, first_seen_at) as seen_at,
                        fingerprint, digest, path, rows, bytes, sequence
                 from sessions_platform.landing_files
                 where stream = %s and (%s::text[] is null or landing_partition = any(%s)) order by uri"""
        asked = list(landing_partitions) if landing_partitions is not None else None
        return self._read(KnownFile, sql, [self.stream, asked, asked])

    def record_file(
        self, uri: str, fingerprint: str, digest: str, stored: StoredFile, run_id: str, cursor: Cursor | None = None
    ) -> None:
        """Record what was read of a landing file, and where its source goes on, in one transaction.

        A later reading has a higher sequence.
        """
        sql = """update sessions_platform.landing_files
                 set fingerprint = %s, digest = %s, path = %s, rows = %s, bytes = %s, run_id = %s, read_at = now(),
                     sequence = nextval('sessions_platform.version')
                 where stream = %s and uri = %s"""
        values = [fingerprint, digest, stored.path, stored.rows, stored.bytes, run_id, self.stream, uri]
        with self._writing() as connection:
            connection.execute(sql, values)
            self._record_cursor(connection, cursor, run_id)

    def record_unchanged(self, uri: str, fingerprint: str, run_id: str = "", cursor: Cursor | None = None) -> None:
        """Record a new fingerprint of a landing file whose content is the same; it keeps its sequence."""
        sql = "update sessions_platform.landing_files set fingerprint = %s where stream = %s and uri = %s"
        with self._writing() as connection:
            connection.execute(sql, [fingerprint, self.stream, uri])
            self._record_cursor(connection, cursor, run_id)

    def cursors(self) -> dict[str, dict[str, Any]]:
        """The position where the source goes on, by the name of its cursor."""
        sql = "select name, position from sessions_platform.source_cursors where stream = %s order by name"
        with self.database.transaction(read_only=True) as connection:
            return dict(connection.execute(sql, [self.stream]).fetchall())

    def _record_cursor(self, connection: psycopg.Connection, cursor: Cursor | None, run_id: str) -> None:
        if cursor is None:
            return
        sql = """insert into sessions_platform.source_cursors (stream, name, position, run_id)
                 values (%s, %s, %s, %s)
                 on conflict (stream, name) do update
                 set position = excluded.position, run_id = excluded.run_id, updated_at = now()"""
        connection.execute(sql, [self.stream, cursor.name, Jsonb(dict(cursor.position)), run_id])

    # Mended rows

    def repairs(self, landing_partitions: Sequence[str] | None = None) -> list[Repair]:
        sql = """select rejection_id, payload_digest, landing_partition, uri, position, original_id, original_uri,
                        original_position, sequence
                 from sessions_platform.repairs
                 where stream = %s and (%s::text[] is null or landing_partition = any(%s)) order by sequence"""
        asked = list(landing_partitions) if landing_partitions is not None else None
        return self._read(Repair, sql, [self.stream, asked, asked])

    def record_repairs(
        self, connection: psycopg.Connection, stored: StoredFile, repairs: Sequence[Repair], digest: str, run_id: str
    ) -> None:
        """Note a file of mended rows, which from now on waits to be judged. The stream's lock is held."""
        # Readings that go on end first, and later ones come later: so the sequence is the order of commits.
        connection.execute("select from sessions_platform.streams where stream = %s for update", [self.stream])
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
            row = {**vars(repair), "stream": self.stream, "run_id": run_id}
            del row["sequence"]
            _insert(connection, "repairs", row)

    def sequences(self, connection: psycopg.Connection, uris: Sequence[str]) -> dict[str, int]:
        """By which reading the ledger knows these files; they are not read again before the transaction ends."""
        sql = "select uri, sequence from sessions_platform.landing_files where stream = %s and uri = any(%s) for share"
        return dict(connection.execute(sql, [self.stream, list(uris)]).fetchall())

    # Landing partitions

    def landings(self) -> list[LandingVersion]:
        return list(self.snapshot().landings)

    def snapshot(self) -> Snapshot:
        with self.database.transaction(read_only=True) as connection:
            landings = tuple(self.current(connection))
        return Snapshot(max((landing.version for landing in landings), default=0), landings)

    def current(self, connection: psycopg.Connection) -> list[LandingVersion]:
        sql = """select landing_partition, version, raw_sequence, events_path, rejected_path, raw_rows, accepted,
                        rejected, duplicates, rejected_by_reason, first_event, last_event, contract_version,
                        reference_digests
                 from sessions_platform.landing_versions where stream = %s and is_current
                 order by landing_partition"""
        with connection.cursor(row_factory=class_row(LandingVersion)) as cursor:
            return cursor.execute(sql, [self.stream]).fetchall()

    def observed_before(self, landing_partition: str, besides: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The shape of the newest published partition before this one that has rows, by its key; besides some."""
        sql = """select landing_partition, observed_schema from sessions_platform.landing_versions
                 where stream = %s and is_current and landing_partition < %s and landing_partition <> all(%s)
                     and (observed_schema ->> 'rows')::bigint > 0
                 order by landing_partition desc limit 1"""
        with self.database.transaction(read_only=True) as connection:
            return dict(connection.execute(sql, [self.stream, landing_partition, list(besides)]).fetchall())

    def publish(self, connection: psycopg.Connection, landing: Mapping[str, Any], affected: Iterable[str]) -> int:
        """Make a judged landing partition current and note what it touches; the stream's lock is held.

        `landing` has the columns of landing_versions. Raises Superseded where rows read later
        were published already.
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
        _insert(
            connection, "landing_versions", {**landing, "stream": self.stream, "version": version, "is_current": True}
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into sessions_platform.stale_partitions values (%s, %s, %s)",
                [(self.stream, partition, version) for partition in affected],
            )
        return version

    # Session partitions

    def write_sessions(self, versions: Sequence[Mapping[str, Any]]) -> None:
        """Note written session partitions; they are current once loaded."""
        with self._writing() as connection:
            for version in versions:
                _insert(connection, "session_versions", {**version, "stream": self.stream})

    def newest_sessions(self, session_partitions: Sequence[str] | None = None) -> list[SessionVersion]:
        """The newest written version of each session partition, loaded or not."""
        sql = f"""select distinct on (session_partition) {_OF_SESSION_VERSION}
                 from sessions_platform.session_versions
                 where stream = %s and (%s::text[] is null or session_partition = any(%s))
                 order by session_partition, snapshot desc, version desc"""
        asked = list(session_partitions) if session_partitions is not None else None
        return self._read(SessionVersion, sql, [self.stream, asked, asked])

    def sessions_at(self, paths: Sequence[str]) -> list[SessionVersion]:
        """The written versions that rest in these lake files."""
        sql = f"""select {_OF_SESSION_VERSION} from sessions_platform.session_versions
                 where stream = %s and path = any(%s) order by session_partition"""
        return self._read(SessionVersion, sql, [self.stream, list(paths)])

    def loaded_sessions(self, connection: psycopg.Connection) -> list[SessionVersion]:
        """The versions that the warehouse holds."""
        sql = f"""select {_OF_SESSION_VERSION} from sessions_platform.session_versions
                 where stream = %s and is_current order by session_partition"""
        with connection.cursor(row_factory=class_row(SessionVersion)) as cursor:
            return cursor.execute(sql, [self.stream]).fetchall()

    def mark_loaded(self, connection: psycopg.Connection, loaded: Sequence[SessionVersion]) -> None:
        """These versions are in the warehouse now: what they have seen waits no longer. The lock is held.

        Raises Superseded where the ledger has them no longer, because the stream was rebuilt meanwhile.
        """
        partitions = [version.session_partition for version in loaded]
        values = [partitions, [version.version for version in loaded], [version.snapshot for version in loaded]]
        connection.execute(
            """update sessions_platform.session_versions set is_current = false
               where stream = %s and session_partition = any(%s) and is_current""",
            [self.stream, partitions],
        )
        found = connection.execute(
            """update sessions_platform.session_versions set is_current = true, loaded_at = now()
               where stream = %s and version = any(%s)""",
            [self.stream, values[1]],
        )
        if found.rowcount < len(loaded):
            raise StaleWriteError(f"{self.stream}: it was rebuilt since these sessions were made")
        connection.execute(
            """delete from sessions_platform.stale_partitions w
               using unnest(%s::text[], %s::bigint[]) as loaded (session_partition, snapshot)
               where w.stream = %s and w.session_partition = loaded.session_partition
                   and w.version <= loaded.snapshot""",
            [partitions, values[2], self.stream],
        )

    def stale_partitions(self, session_rule_version: str) -> list[str]:
        """Session partitions to refresh: touched by a change, or made by another session rule.

        So are all that have not seen a change whose touch was told by another rule, for chains
        are as long as the rule has them.
        """
        with self.database.transaction(read_only=True) as connection:
            return self.stale_partitions_in(connection, session_rule_version)

    def stale_partitions_in(self, connection: psycopg.Connection, session_rule_version: str) -> list[str]:
        """The same, as a transaction that is going on sees it."""
        rows = connection.execute(_WAITING, {"stream": self.stream, "policy": session_rule_version}).fetchall()
        return [partition for (partition,) in rows]

    # Deliveries to other warehouses

    def deliveries(self, target: str) -> dict[str, Delivery]:
        """What was last delivered to a target, by session partition."""
        sql = """select target, session_partition, version, digest from sessions_platform.deliveries
                 where stream = %s and target = %s order by session_partition"""
        return {row.session_partition: row for row in self._read(Delivery, sql, [self.stream, target])}

    def record_delivery(self, delivery: Delivery, run_id: str) -> None:
        """Record what a target contains now, in a transaction of its own."""
        sql = """insert into sessions_platform.deliveries (stream, target, session_partition, version, digest, run_id)
                 values (%s, %s, %s, %s, %s, %s)
                 on conflict (stream, target, session_partition) do update
                 set version = excluded.version, digest = excluded.digest, run_id = excluded.run_id,
                     delivered_at = now()"""
        row = [delivery.target, delivery.session_partition, delivery.version, delivery.digest]
        with self._writing() as connection:
            connection.execute(sql, [self.stream, *row, run_id])

    # A stream that is rebuilt

    @property
    def shadow(self) -> "Ledger":
        """Where a stream is rebuilt while it stands. No stream's name has a tilde in it."""
        return Ledger(self.database, f"{self.stream}~next")

    def recorded_calendars(self) -> dict[str, str]:
        """The calendars that the standing partitions were made with; empty for a stream without any."""
        with self.database.transaction() as connection:
            make_tables(connection)
            sql = "select calendars from sessions_platform.streams where stream = %s"
            row = connection.execute(sql, [self.stream]).fetchone()
        return row[0] if row else {}

    def delete_stream(self) -> None:
        """Leave nothing of the stream in the ledger."""
        with self.database.transaction() as connection:
            make_tables(connection)
            for table in (*_OF_A_STREAM, *_KEPT_BY_A_REBUILD):
                connection.execute(_FORGET.format(table=table), {"stream": self.stream})

    def transfer(self, file: KnownFile, of: "Ledger", landing_partition: str, path: str | None) -> None:
        """Take a landing file, with the mends that it holds, over as another ledger knows it, for this partition."""
        given = {"stream": self.stream, "of": of.stream, "uri": file.uri, "partition": landing_partition, "path": path}
        with self._writing() as connection:
            connection.execute(_ADOPT, given)
            connection.execute(_ADOPT_MENDS, given)

    def contains(self, connection: psycopg.Connection, files: Sequence[KnownFile]) -> bool:
        """Whether these are the landing files, as they were last read; they stay so until the transaction ends.

        The stream's lock is held.
        """
        connection.execute("select from sessions_platform.streams where stream = %s for update", [self.stream])
        sql = "select uri, sequence from sessions_platform.landing_files where stream = %s"
        return dict(connection.execute(sql, [self.stream]).fetchall()) == {file.uri: file.sequence for file in files}

    def replace_by(self, connection: psycopg.Connection, rebuilt: "Ledger") -> None:
        """What another ledger says is said of this stream from now on. Both locks are held."""
        for table in _OF_A_STREAM:
            connection.execute(_FORGET.format(table=table), {"stream": self.stream})
            connection.execute(_RENAME.format(table=table), {"stream": self.stream, "rebuilt": rebuilt.stream})

    def _read(self, row: type[Row], sql: LiteralString, values: list[Any]) -> list[Row]:
        with (
            self.database.transaction(read_only=True) as connection,
            connection.cursor(row_factory=class_row(row)) as cursor,
        ):
            return cursor.execute(sql, values).fetchall()


def _next_version(connection: psycopg.Connection) -> int:
    row = connection.execute("select nextval('sessions_platform.version')").fetchone()
    assert row is not None
    return row[0]


def _insert(connection: psycopg.Connection, table: str, values: Mapping[str, Any]) -> None:
    adapted = {name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in values.items()}
    columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, adapted))
    holes = psycopg.sql.SQL(", ").join(map(psycopg.sql.Placeholder, adapted))
    statement = psycopg.sql.SQL("insert into sessions_platform.{} ({}) values ({})")
    connection.execute(statement.format(psycopg.sql.Identifier(table), columns, holes), adapted)
