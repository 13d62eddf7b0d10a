"""Sessions that are encoded and kept, by partition, until the transaction that loads them begins.

All sessions have been made and validated by then, the stream's lock is held for no longer than the writing takes,
and a digest of each partition shows whether it is what was loaded before.

`open_until` (see `transforms/open_until.py`) is computed here too, so that a first load writes each row once. It
needs to know whether an owner (a user, or a user and an id of the tool) has sessions in newer partitions. As long as
those are added first, it is enough to remember the hashes of their owners, in a `HashSet`; where that may be wrong, the
users are named in `ambiguous_users`,
and the loader looks at these again in the table.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple

import polars as pl

from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.contracts.sessions import owner_columns
from sessions_platform.storage.warehouses.postgres.copy_encoder import CopyEncoder
from sessions_platform.transforms.open_until import starts_last, with_open_until

_BYTES_IN_MEMORY = 64 * 1024 * 1024
_BYTES_AT_ONCE = 1024 * 1024


class _Range(NamedTuple):
    """Where the file has the rows of one frame and partition."""

    offset: int
    length: int


class StagedSessions:
    """Encoded sessions by partition, in a file that is in memory while they are few.

    Besides the columns of the contract each session has `open_until`: correct for the sessions of this object, as long
    as newer partitions were added first, except for users in `ambiguous_users`.
    """

    def __init__(self, file: IO[bytes], columns: Mapping[str, pl.DataType], rule: SessionRule) -> None:
        self.columns = {**columns, "open_until": pl.Datetime("us", "UTC")}
        self.rows: dict[str, int] = {}
        self.ambiguous_users: set[str] = set()
        self._file = file
        self._rule = rule
        self._encoder = CopyEncoder(self.columns)
        self._ranges: dict[str, list[_Range]] = {}
        self._digests: dict[str, Any] = {}
        self._owners: dict[str, pl.Series] = {}  # hashes, by partition
        self._owners_of_newer = _hash_set()
        self._current_partition = ""

    def add(self, frame: pl.DataFrame) -> None:
        """Encode sessions of any partitions; those of a partition may come in several frames."""
        for sessions in _by_partition(frame):
            partition = sessions["session_partition"][0]
            self.rows[partition] = self.rows.get(partition, 0) + sessions.height
            complete = self._with_open_until(partition, _sorted_by_id(sessions))
            self._write(partition, self._encoder.rows(complete))

    def read(self, partitions: Iterable[str]) -> Iterator[bytes]:
        """The encoded rows of these partitions, for `copy_rows`."""
        for partition in partitions:
            for offset, length in self._ranges.get(partition, ()):
                self._file.seek(offset)
                for begin in range(0, length, _BYTES_AT_ONCE):
                    yield self._file.read(min(_BYTES_AT_ONCE, length - begin))

    def digest(self, partition: str) -> str | None:
        """SHA-256 of the names and values of all columns; None for a partition without sessions."""
        return self._digests[partition].hexdigest() if partition in self._digests else None

    def _with_open_until(self, partition: str, sessions: pl.DataFrame) -> pl.DataFrame:
        is_last = starts_last(sessions, self._rule)
        owners = self._hashed_owners(sessions)
        users, last_owners = sessions["user_id"].filter(is_last), owners.filter(is_last)
        self.ambiguous_users.update(users.filter(last_owners.is_duplicated()))  # their last sessions start together
        self._remember_owners(partition, users, last_owners)
        is_last &= ~self._have_newer_sessions(partition, owners)
        return with_open_until(sessions, is_last, self._rule)

    def _hashed_owners(self, sessions: pl.DataFrame) -> pl.Series:
        """The hash of each session's owner: its user, or user and id of the tool."""
        owner = owner_columns(self._rule)
        return sessions[owner[0]].hash() if len(owner) == 1 else sessions.select(pl.struct(owner).hash()).to_series()

    def _have_newer_sessions(self, partition: str, owners: pl.Series) -> pl.Series:
        """Whether owners have sessions in newer partitions, added before; True too for an owner of the same hash."""
        if partition > self._current_partition:
            self._owners_of_newer = _hash_set()
        elif partition < self._current_partition:
            self._owners_of_newer.add(self._owners[self._current_partition])
        self._current_partition = partition
        return self._owners_of_newer.contain(owners)

    def _remember_owners(self, partition: str, users: pl.Series, owners: pl.Series) -> None:
        """Users of owners that an earlier frame of the partition has too are ambiguous, and a few of the same hash."""
        if partition in self._owners:
            self.ambiguous_users.update(users.filter(owners.is_in(self._owners[partition].implode())))
            owners = pl.concat([self._owners[partition], owners])
        self._owners[partition] = owners

    def _write(self, partition: str, rows: Iterator[bytes]) -> None:
        names = ",".join(self.columns)
        digest = self._digests.setdefault(partition, hashlib.sha256(names.encode()))
        offset = self._file.seek(0, os.SEEK_END)
        length = 0
        for chunk in rows:
            length += self._file.write(chunk)
            digest.update(chunk)
        self._ranges.setdefault(partition, []).append(_Range(offset, length))


@contextmanager
def staged_sessions(
    frames: Iterable[pl.DataFrame], columns: Mapping[str, pl.DataType], rule: SessionRule
) -> Iterator[StagedSessions]:
    """All sessions of the frames, encoded; their file is deleted at the end.

    Args:
        frames: best with the newest partitions first; in another order more rows are written twice.
        columns: of the table, in order, without `open_until`.
        rule: the stream's session rule.
    """
    with SpooledTemporaryFile(max_size=_BYTES_IN_MEMORY) as file:
        sessions = StagedSessions(file, columns, rule)
        for frame in frames:
            sessions.add(frame)
        yield sessions


def _by_partition(frame: pl.DataFrame) -> Iterable[pl.DataFrame]:
    """A frame for each partition, newest first."""
    if frame.height and frame["session_partition"].n_unique() == 1:
        return [frame]
    of_partition = frame.partition_by("session_partition", maintain_order=True)
    return sorted(of_partition, key=lambda sessions: sessions["session_partition"][0], reverse=True)


def _sorted_by_id(sessions: pl.DataFrame) -> pl.DataFrame:
    """Nearly in the order of session_id, since an index is cheaper to fill in its order.

    Ids are hexadecimal digits of md5, so their first eight, as a number, are enough except for a few rows.
    """
    if sessions["session_id"].is_sorted():
        return sessions
    digits = sessions["session_id"].str.slice(0, 8).str.to_integer(base=16, strict=False)
    return sessions.rechunk()[digits.arg_sort()]  # rows of several chunks are gathered ten times as slowly


def _hash_set():
    """An empty `HashSet`, which brings numpy; what only reads does without."""
    from sessions_platform.storage.warehouses.postgres.hash_set import HashSet

    return HashSet()
