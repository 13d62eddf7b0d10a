"""Deliveries in the ledger: what each target, a warehouse besides the database, contains of a stream.

Here: which state of each partition was delivered last, the fencing tokens, and why the last delivery failed. Not here:
which states are due (`pipeline.deliver`), and the targets themselves (`storage.warehouses`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sessions_platform.storage.ledger.stream_ledger import StaleWriteError, StreamLedger

# The database's clock, so that tokens grow also where the ledger is new and the target is not.
_BEGIN = """
insert into sessions_platform.targets (stream, target, token)
values (%s, %s, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
on conflict (stream, target) do update set token = greatest(targets.token + 1, excluded.token)
returning token"""
_RECORD = """
insert into sessions_platform.deliveries (stream, target, session_partition, version, digest, run_id)
values (%s, %s, %s, %s, %s, %s)
on conflict (stream, target, session_partition) do update
set version = excluded.version, digest = excluded.digest, run_id = excluded.run_id, delivered_at = now()"""
_SUCCEEDED = """
update sessions_platform.targets set failure = null, failed_at = null where stream = %s and target = %s"""
_WRITTEN = """
update sessions_platform.targets set delivered_token = token, delivered_at = now() where stream = %s and target = %s"""


class Delivery(NamedTuple):
    """The sessions of one partition as they were last delivered to a target besides the warehouse database.

    Attributes:
        target: the name of the target.
        session_partition: the key of the partition.
        version: the *snapshot* of the session version that was delivered, not that version's own number: by the
            snapshot the load, too, decides which of two states is newer. A partition that is no longer loaded keeps it.
        digest: of the session rule and of all rows (`pipeline.deliver.StateDigest`).
    """

    target: str
    session_partition: str
    version: int
    digest: str


class TargetState(NamedTuple):
    """What is known of a target as a whole.

    `token` is that of the delivery that began last, `delivered_token` that of the last recorded one that has changed
    the target, 0 where there was none, and `delivered_at` is when. `failure` says why the last delivery failed, None
    where it did not.
    """

    target: str
    token: int = 0
    delivered_token: int = 0
    delivered_at: datetime | None = None
    failure: str | None = None
    failed_at: datetime | None = None


class Deliveries(StreamLedger):
    """The part of a stream's ledger that knows its targets."""

    def known_targets(self) -> list[str]:
        """The names of all targets to which a delivery has begun, those that have left the stream's file, too."""
        sql = "select target from sessions_platform.targets where stream = %s order by target"
        with self.database.transaction(read_only=True) as connection:
            return [target for (target,) in connection.execute(sql, [self.stream])]

    def target_state(self, target: str) -> TargetState:
        """What is known of a target."""
        sql = """select target, token, delivered_token, delivered_at, failure, failed_at
                 from sessions_platform.targets where stream = %s and target = %s"""
        return next(iter(self._read(TargetState, sql, [self.stream, target])), TargetState(target))

    def deliveries(self, target: str) -> dict[str, Delivery]:
        """What was last delivered to a target, by session partition."""
        sql = """select target, session_partition, version, digest from sessions_platform.deliveries
                 where stream = %s and target = %s order by session_partition"""
        return {row.session_partition: row for row in self._read(Delivery, sql, [self.stream, target])}

    def begin_delivery(self, target: str) -> int:
        """A fencing token: greater than that of every delivery that has begun before."""
        with self._writing() as connection:
            row = connection.execute(_BEGIN, [self.stream, target]).fetchone()
            assert row is not None
            return row[0]

    def record_deliveries(
        self, target: str, token: int, deliveries: Sequence[Delivery], run_id: str, *, has_written: bool = True
    ) -> None:
        """Record a delivery that has succeeded, in a transaction of its own.

        Args:
            target: its name.
            token: of the delivery.
            deliveries: what the target contains now of some partitions; there may be none.
            run_id: the run that delivered.
            has_written: whether the target keeps this token now, and has no other rows than the ledger says.

        Raises:
            StaleWriteError: a later delivery has begun; it delivers what is newest by itself.
        """
        rows = [(self.stream, d.target, d.session_partition, d.version, d.digest, run_id) for d in deliveries]
        with self._writing() as connection:
            sql = "select token from sessions_platform.targets where stream = %s and target = %s for update"
            if connection.execute(sql, [self.stream, target]).fetchone() != (token,):
                raise StaleWriteError(f"{self.stream}: a later delivery to {target} has begun")
            with connection.cursor() as cursor:
                cursor.executemany(_RECORD, rows)
            connection.execute(_SUCCEEDED, [self.stream, target])
            if has_written:
                connection.execute(_WRITTEN, [self.stream, target])

    def record_failure(self, target: str, token: int, failure: str) -> None:
        """Record why a delivery failed, unless a later one has begun."""
        sql = """update sessions_platform.targets set failure = %s, failed_at = now()
                 where stream = %s and target = %s and token = %s"""
        with self._writing() as connection:
            connection.execute(sql, [failure, self.stream, target, token])
