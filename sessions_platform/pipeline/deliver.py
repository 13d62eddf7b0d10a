"""sessions → another warehouse: deliver loaded session partitions to a target.

Here: which partitions a target lacks, the order in which it is changed, read back and recorded, and which of its
partitions somebody else has changed. Not here: what a target is (`storage/warehouses/base.py`), and the load into
PostgreSQL, which comes first (`load.py`).

A delivery changes the target in one transaction, reads back what it has written, and is recorded in the ledger
afterwards. One that is killed in between is noticed by the next, which then reads all that the target has: the data may
be others by now. One process at a time delivers a stream to a target; one that has lost its turn without noticing is
refused by the target and by the ledger, since it has a smaller token.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl
import psycopg

from sessions_platform.contracts.calendar import label
from sessions_platform.contracts.row_digest import RowDigest
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.due import Due, StateDigest, due_partitions
from sessions_platform.pipeline.load import whole_sessions
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.ledger.ledger import Delivery
from sessions_platform.storage.postgres.errors import in_a_sentence
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Target, TargetError
from sessions_platform.transforms.row_digests import row_digests
from sessions_platform.transforms.summarize import needed_columns, summarize


@dataclass(frozen=True)
class Delivered:
    """Session partitions by what a delivery did.

    `applied` ones were written, `unchanged` ones the target had already, and `pending` ones were left out, because
    another session rule made them: they have to be refreshed and loaded first. `differing` ones were not as the ledger
    says; they are among the applied ones.
    """

    applied: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


class ReadBackError(TargetError):
    """What a target returns is not what was written to it. Nothing is recorded, so it is delivered again."""

    def __init__(self, target: Target[Any], partitions: Sequence[str]) -> None:
        self.partitions = list(partitions)
        reason = f"it has other rows of {label(self.partitions)} than were just written"
        super().__init__(str(target.error(reason, "see what else writes there, and deliver again")))


def deliver(context: StreamContext, target: Target[Any], run_id: str, *, verify: bool = False) -> Delivered:
    """Deliver the newest loaded state of every session partition to a target.

    A state of the same snapshot (the ledger's `deliveries.version`) and session rule as the one delivered last is not
    read again. A partition that is no longer loaded, as after a rebuild with another calendar, is applied without
    sessions. A target whose token is not that of the last recorded delivery is read as a whole, and what differs from
    the ledger is delivered again; everything, where it has lost a delivery.

    Args:
        context: the stream's, whose ledger says what is loaded and what was delivered.
        target: gets the sessions; its name is the key in the ledger.
        run_id: recorded with each delivery.
        verify: whether all that the target has is read, and delivered again where it is not what was delivered.

    Returns:
        The partitions by what was done, each list sorted.

    Raises:
        StaleWriteError: a later delivery has begun meanwhile.
        TargetError: the target can't be reached, refuses, or returns other rows than were written. The ledger has why.
        UserError: another process is delivering this stream to this target.
    """
    context.prepare()
    with context.database.alone(f"sessions_platform/{context.stream.name}/deliver/{target.name}") as is_alone:
        if not is_alone:
            raise UserError(
                f"{context.stream.name}: another process is delivering to {target.name}. Fix: wait until it has ended."
            )
        token = context.ledger.begin_delivery(target.name)
        try:
            return _Delivery(context, target, run_id, token).run(verify=verify)
        except Exception as error:
            with suppress(Exception):  # the database may be what fails
                context.ledger.record_failure(target.name, token, _told(error))
            raise


def _told(error: Exception) -> str:
    """Why a delivery failed, without rows."""
    if isinstance(error, psycopg.Error):
        return in_a_sentence(error)
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


class _Delivery:
    """One delivery, while no other process delivers."""

    def __init__(self, context: StreamContext, target: Target[Any], run_id: str, token: int) -> None:
        self._context, self._target, self._run_id, self._token = context, target, run_id, token
        self._digests: dict[tuple[str, str], RowDigest] = {}

    def run(self, *, verify: bool) -> Delivered:
        differing = [] if self._is_as_recorded and not verify else self._differing()
        again = self._again(differing)
        wanted = sorted({*self._due.partitions, *again})
        applied = [key for key in wanted if key in again or self._has_changed(key)]
        if applied:
            self._target.apply(Changes(self._token, applied, self._rows))
        digests = {partition: self._digest_of(partition) for partition in wanted}
        if applied:
            self._read_back({partition: digests[partition] for partition in applied})
        is_whole = not any(key in self._due.pending for key in differing)
        self._record(digests, has_written=bool(applied) and is_whole)
        unchanged = self._due.unchanged_but(applied)
        return Delivered(applied, unchanged, self._due.pending, [key for key in differing if key in applied])

    @cached_property
    def _due(self) -> Due:
        """What is loaded and was delivered when the delivery began."""
        return due_partitions(self._context, self._target.name)

    def _again(self, differing: Sequence[str]) -> list[str]:
        """The partitions to apply whether they have changed or not.

        Where a target does not agree with the ledger, one is applied at least: they have the same token then, and parts
        of a killed delivery are removed.
        """
        found = [key for key in differing if key not in self._due.pending]
        if self._is_lost:
            return sorted({*self._due.delivered, *found})
        return found if self._is_as_recorded or differing else self._due.delivered[:1]

    @cached_property
    def _tokens(self) -> tuple[int, int]:
        """That of the target, and that of the last recorded delivery that has changed it."""
        return self._target.token(), self._context.ledger.target_state(self._target.name).delivered_token

    @property
    def _is_lost(self) -> bool:
        """Whether the target no longer has the last delivery, as one that was removed or restored."""
        found, recorded = self._tokens
        return found < recorded

    @cached_property
    def _is_as_recorded(self) -> bool:
        """Whether the target has the last recorded delivery, and nothing of one that was not recorded.

        Where it has, the data may have become by now what the ledger says anyway, so that nothing is due.
        """
        found, recorded = self._tokens
        return found == recorded and not self._target.is_unfinished()

    def _differing(self) -> list[str]:
        """The partitions of which the target has other rows than were delivered, or should have none."""
        delivered = {key: StateDigest.of(last.digest) for key, last in self._due.last.items()}
        found = self._found(None)
        expected = {(table, key): digest.tables.get(table) for key, digest in delivered.items() for table in found}
        pairs = {*expected, *((table, key) for table, digests in found.items() for key in digests)}
        empty = RowDigest()
        return sorted(
            {key for table, key in pairs if found[table].get(key, empty) != (expected.get((table, key)) or empty)}
        )

    def _read_back(self, written: Mapping[str, StateDigest]) -> None:
        found = self._found(list(written))
        differing = {
            key
            for key, digest in written.items()
            for table, rows in digest.tables.items()
            if found[table].get(key, RowDigest()) != rows
        }
        if differing:
            raise ReadBackError(self._target, sorted(differing))

    def _found(self, partitions: Sequence[str] | None) -> dict[str, dict[str, RowDigest]]:
        """The digests of what the target has, by table and partition."""
        return {
            table: row_digests(self._target.read(table, partitions), columns, PARTITION)
            for table, columns in self._target.tables.items()
        }

    def _has_changed(self, partition: str) -> bool:
        """Whether the loaded state is another than the one that was delivered last, if any was."""
        last = self._due.last_digest(partition)
        return last is None or last != self._digest_of(partition)

    def _digest_of(self, partition: str) -> StateDigest:
        """The digest of the loaded state."""
        for table in self._target.tables:
            if (table, partition) not in self._digests:
                deque(self._rows(table, partition), maxlen=0)
        tables = {table: self._digests[table, partition] for table in self._target.tables}
        return StateDigest(self._due.rule_of(partition), tables)

    def _rows(self, table: str, partition: str) -> Iterator[pl.DataFrame]:
        """The rows of a loaded state. Its digest is computed as they go by, the first time that all have.

        A loaded state never changes, so it is read once for both, where it has to be written anyway.
        """
        frames = self._made(table, partition)
        if (table, partition) in self._digests:
            yield from frames
            return
        columns, digest = self._target.tables[table], RowDigest()
        for frame in frames:
            digest += row_digests([frame], columns, PARTITION).get(partition, RowDigest())
            yield frame
        self._digests[table, partition] = digest

    def _made(self, table: str, partition: str) -> Iterator[pl.DataFrame]:
        """Sessionized events, or their sessions, made of them as the load does."""
        loaded = self._due.loaded.get(partition)
        if loaded is None:
            return
        stream = self._context.stream
        columns = sessionized_columns(stream)
        if table != "sessionized_events":
            columns = {name: columns[name] for name in needed_columns(columns, stream)}
        rows = Dataset(self._context.lake, columns, {partition: (loaded.stored,)}).blocks()
        if table == "sessionized_events":
            yield from rows
        else:
            yield from (summarize(events, stream) for events in whole_sessions(rows))

    def _record(self, digests: Mapping[str, StateDigest], *, has_written: bool) -> None:
        name = self._target.name
        states = [Delivery(name, key, self._due.version_of(key), str(digest)) for key, digest in digests.items()]
        self._context.ledger.record_deliveries(name, self._token, states, self._run_id, has_written=has_written)
