"""Rows on their way into a table, as PostgreSQL's binary COPY has them.

Sessions are gathered before the transaction that loads them begins: so all of them are proved by
then, the lock is held for no longer than the writing takes, and a digest tells what was loaded before.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import numpy as np
import polars as pl
import psycopg
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import LargeStringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg.sql import SQL, Composable, Identifier

from sessions_platform.contracts.polars_types import REASONS

_ROWS_AT_ONCE = 64 * 1024
_BYTES_IN_MEMORY = 64 * 1024 * 1024
_BYTES_AT_ONCE = 1024 * 1024
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # the signature; no flags, no extension
_END = b"\xff\xff"


class CopyEncoder:
    """Turns frames that have these columns into rows of COPY."""

    def __init__(self, columns: Mapping[str, pl.DataType]) -> None:
        self._columns = [
            _as_json(name) if dtype == REASONS else pl.col(name).cast(dtype) for name, dtype in columns.items()
        ]
        empty = {name: pl.String() if dtype == REASONS else dtype for name, dtype in columns.items()}
        self._schema = _as_arrow(pl.DataFrame(schema=empty)).schema
        self._builders = {field.name: ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in self._schema}
        for name, dtype in columns.items():
            if dtype == REASONS:
                self._builders[name] = LargeStringEncoderBuilder.new_with_output(self._schema.field(name), Jsonb())

    def rows(self, frame: pl.DataFrame) -> Iterator[bytes]:
        """In parts that may end within a row."""
        encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(self._schema, self._builders)
        encoder.write_header()
        for part in frame.iter_slices(_ROWS_AT_ONCE):
            for batch in _as_arrow(part.select(self._columns)).to_batches():
                yield encoder.write_batch(batch)
        yield encoder.finish().removesuffix(_END)


def copy_rows(connection: psycopg.Connection, table: Composable, columns: Iterable[str], rows: Iterable[bytes]) -> None:
    """Copy encoded rows into a table."""
    names = SQL(", ").join(map(Identifier, columns))
    statement = SQL("copy {} ({}) from stdin (format binary)").format(table, names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_BEGIN)
        for part in rows:
            copy.write(part)
        copy.write(_END)


@dataclass(frozen=True)
class _Piece:
    """Where the rows of one frame and partition stand."""

    offset: int
    length: int


class HashSet:
    """A set of 64-bit hashes, to which few are added often: in sorted arrays, each twice as long as the next."""

    def __init__(self) -> None:
        self._sorted: list[np.ndarray] = []

    def add(self, hashes: pl.Series) -> None:
        more = hashes.sort().to_numpy()
        while self._sorted and len(self._sorted[-1]) < 2 * len(more):
            more = np.sort(np.concatenate([self._sorted.pop(), more]), kind="stable")  # two runs: merged
        self._sorted.append(more)

    def hold(self, hashes: pl.Series) -> pl.Series:
        """Whether each is among them."""
        asked = hashes.to_numpy()
        found = np.zeros(len(asked), np.bool_)
        for known in self._sorted:
            place = np.searchsorted(known, asked)
            found |= known[np.minimum(place, len(known) - 1)] == asked
        return pl.Series(found)


class StagedSessions:
    """Encoded sessions by partition; in memory while they are few, else in a temporary file.

    Beside the columns of the contract each has `open_until`, as it is if its user has sessions nowhere but here. That
    holds for nearly all users as long as the newest partitions come first; of users whom one frame does not tell it
    of it is `uncertain`. Whoever loads them looks at the others once more.
    """

    def __init__(self, file: IO[bytes], columns: Mapping[str, pl.DataType], gap: timedelta) -> None:
        self.columns = {**columns, "open_until": pl.Datetime("us", "UTC")}
        self.rows: dict[str, int] = {}
        self.uncertain: set[str] = set()
        self._file = file
        self._gap = gap
        self._encoder = CopyEncoder(self.columns)
        self._pieces: dict[str, list[_Piece]] = {}
        self._digests: dict[str, Any] = {}
        self._users: dict[str, pl.Series] = {}
        self._of_newer = HashSet()
        self._current = ""

    def add(self, frame: pl.DataFrame) -> None:
        for sessions in _by_partition(frame):
            partition = sessions["session_partition"][0]
            self.rows[partition] = self.rows.get(partition, 0) + sessions.height
            marked = self._with_open_until(partition, _in_order_of_key(sessions))
            self._write(partition, self._encoder.rows(marked))

    def read(self, partitions: Iterable[str]) -> Iterator[bytes]:
        """The encoded rows of these partitions."""
        for partition in partitions:
            for piece in self._pieces.get(partition, ()):
                self._file.seek(piece.offset)
                for begin in range(0, piece.length, _BYTES_AT_ONCE):
                    yield self._file.read(min(_BYTES_AT_ONCE, piece.length - begin))

    def digest(self, partition: str) -> str | None:
        """Of the names and values of all columns; None where the partition has no sessions."""
        return self._digests[partition].hexdigest() if partition in self._digests else None

    def _with_open_until(self, partition: str, sessions: pl.DataFrame) -> pl.DataFrame:
        start, end = pl.col("session_start"), pl.col("session_end")
        is_last = sessions.select(start == start.max().over("user_id")).to_series()
        users = sessions["user_id"].filter(is_last)
        self.uncertain.update(users.filter(users.is_duplicated()))  # their last ones began together
        self._note_users(partition, users)
        is_last &= ~self._have_newer(partition, sessions["user_id"])
        return sessions.with_columns(open_until=pl.when(is_last).then(end + self._gap))

    def _have_newer(self, partition: str, users: pl.Series) -> pl.Series:
        """Whether users have sessions in newer partitions that came before; of two that share a hash both have."""
        if partition > self._current:
            self._of_newer = HashSet()
        elif partition < self._current:
            self._of_newer.add(self._users[self._current])
        self._current = partition
        return self._of_newer.hold(users.hash())

    def _note_users(self, partition: str, users: pl.Series) -> None:
        """Those that an earlier frame of the partition had too are uncertain; equal hashes name a few in vain."""
        hashes = users.hash()
        if partition in self._users:
            self.uncertain.update(users.filter(hashes.is_in(self._users[partition].implode())))
            hashes = pl.concat([self._users[partition], hashes])
        self._users[partition] = hashes

    def _write(self, partition: str, rows: Iterator[bytes]) -> None:
        names = ",".join(self.columns)
        digest = self._digests.setdefault(partition, hashlib.sha256(names.encode()))
        offset = self._file.seek(0, os.SEEK_END)
        length = 0
        for part in rows:
            length += self._file.write(part)
            digest.update(part)
        self._pieces.setdefault(partition, []).append(_Piece(offset, length))


@contextmanager
def staged_sessions(
    frames: Iterable[pl.DataFrame], columns: Mapping[str, pl.DataType], gap: timedelta
) -> Iterator[StagedSessions]:
    """All sessions of the frames, for as long as they are needed."""
    with SpooledTemporaryFile(max_size=_BYTES_IN_MEMORY) as file:
        sessions = StagedSessions(file, columns, gap)
        for frame in frames:
            sessions.add(frame)
        yield sessions


def _by_partition(frame: pl.DataFrame) -> Iterable[pl.DataFrame]:
    if frame.height and frame["session_partition"].n_unique() == 1:
        return [frame]
    of_partition = frame.partition_by("session_partition", maintain_order=True)
    return sorted(of_partition, key=lambda sessions: sessions["session_partition"][0], reverse=True)


def _in_order_of_key(sessions: pl.DataFrame) -> pl.DataFrame:
    """An index is cheaper to fill in its order. Ids are md5, so that their first digits tell it, but for a few."""
    if sessions["session_id"].is_sorted():
        return sessions
    digits = sessions["session_id"].str.slice(0, 8).str.to_integer(base=16, strict=False)
    return sessions.rechunk()[digits.arg_sort()]  # from many chunks rows are gathered ten times as slowly


def _as_json(name: str) -> pl.Expr:
    reasons = pl.col(name).list.eval(pl.element().struct.json_encode()).list.join(",")
    return pl.format("[{}]", reasons).alias(name)


def _as_arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
