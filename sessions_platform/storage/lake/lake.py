"""The lake: immutable files, Parquet except for quarantined files, which keep the bytes that could not be read.

Here: frames become files and files become frames, whole or a block at a time, also if a file was written under an
older contract; and `Dataset`, the files of one asset by partition. Not here: where the files are kept
(`filesystem.py`), how frames become one Parquet file (`parquet_writer.py`), which files are current (the ledger), and
what streams and partitions are (`contracts`, `pipeline`).
"""

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sessions_platform.settings import PRIVATE_FILE
from sessions_platform.storage.lake.errors import ChecksumError, DamagedFileError, MissingFileError
from sessions_platform.storage.lake.filesystem import Filesystem, Needed, State
from sessions_platform.storage.lake.memory import return_freed_memory
from sessions_platform.storage.lake.stored_file import StoredFile, checksum_in

if TYPE_CHECKING:
    import polars as pl
    import pyarrow.parquet as pq

    from sessions_platform.storage.lake.checksums import Checksums, Range

# The columns by whose values row groups are left out when files are read, where the rows are in their order.
READ_BY = ("event_timestamp", "source_uri", "position")
# Polars represents each string as a view of this many bytes, besides the text itself.
_VIEW_BYTES = 16


class Lake:
    """Reads and writes the files of a file system.

    Args:
        filesystem: where the files are kept.
        scratch: a local folder for temporary files of computations (`spill.py`); made when it is first needed.
    """

    def __init__(self, filesystem: Filesystem, scratch: Path) -> None:
        return_freed_memory()
        self.filesystem = filesystem
        self.scratch = scratch
        self._schemas: dict[str, list[tuple[str, pl.DataType]]] = {}
        self._records: list[list[str]] = []
        self._checksums: dict[str, tuple[State, Checksums | None]] = {}

    def write(
        self,
        folder: str,
        frames: "Iterable[pl.DataFrame]",
        schema: "Mapping[str, pl.DataType]",
        statistics: Collection[str] = READ_BY,
    ) -> StoredFile:
        """Write frames, one after the other, as a new Parquet file of the folder.

        The file is durable, and visible under its name, once this returns; before that it is not visible at all. A
        process that is killed leaves at most two files with the suffix ``.tmp``.

        Args:
            folder: a path within the lake, made if missing.
            frames: may be made while the file is written; each has all columns of the schema.
            schema: the file's columns in order; values are cast to these types.
            statistics: of which columns each row group states the least and greatest value.

        Raises:
            polars.exceptions.ColumnNotFoundError: a frame lacks a column.
            polars.exceptions.InvalidOperationError: a value cannot be cast.
        """
        with self.filesystem.draft(folder) as draft:
            rows = _parquet().write_parquet(draft, frames, schema, statistics)
            path = f"{folder}/{uuid.uuid4().hex}-{_parquet().seal(draft)}.parquet"
            self.filesystem.put_if_absent(path, draft)
        for written in self._records:
            written.append(path)
        if checksums := self._checksums_of(path):
            checksums.trust()
        return StoredFile(path, rows, self.filesystem.size(path))

    @contextmanager
    def recording(self) -> Iterator[list[str]]:
        """The paths of the Parquet files that are written meanwhile; the list grows with each."""
        written: list[str] = []
        self._records.append(written)
        try:
            yield written
        finally:
            self._records = [record for record in self._records if record is not written]

    def quarantine(self, folder: str, chunks: Iterable[bytes]) -> str:
        """Write bytes as they are, under the name of their SHA-256, so that the same bytes are stored once.

        Returns:
            The file's path.
        """
        digest = hashlib.sha256()
        with self.filesystem.draft(folder) as draft:
            draft.touch(PRIVATE_FILE)
            with draft.open("r+b") as file:
                for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
            path = f"{folder}/{digest.hexdigest()}"
            self.filesystem.put_if_absent(path, draft)
        return path

    def scan(
        self,
        paths: Sequence[str],
        schema: "Mapping[str, pl.DataType]",
        column: str | None = None,
        test: Callable[[Any, Any], bool] = lambda _least, _greatest: True,
    ) -> "pl.LazyFrame":
        """All rows of the files, in the order of the paths; without paths an empty frame of the schema.

        Files of an older contract are conformed to the schema: a column that a file lacks is null, and so is a value
        that the column's current type cannot represent.

        Args:
            paths: files of this or an older contract.
            schema: the columns of the frame, in order.
            column: the column whose row group statistics are passed to `test`.
            test: whether rows of a row group may be used whose least and greatest value are these. The caller filters
                all others out, so their bytes are not compared with their checksums.

        Raises:
            MissingFileError: a file is missing.
            DamagedFileError: bytes of a file are not those that were written.
        """
        if not self.filesystem.is_local:
            return _parquet().scan_blocks(lambda columns: self.blocks(paths, columns, column, test), schema)
        for path in paths:
            self._compare(path, partial(_needed, schema, column, test))
        wanted = list(schema.items())
        current = [path for path in paths if self._schema(path) == wanted]
        older = [path for path in paths if self._schema(path) != wanted]
        with ExitStack() as stack:
            sources = {path: stack.enter_context(self.filesystem.local(path)) for path in paths}
            frames = [_parquet().scan([sources[path] for path in current])] if current else []
            frames += [_parquet().conformed(_parquet().scan([sources[path]]), schema) for path in older]
        return _parquet().concatenated(frames, schema)

    def blocks(
        self,
        paths: Sequence[str],
        schema: "Mapping[str, pl.DataType]",
        column: str | None = None,
        test: Callable[[Any, Any], bool] = lambda _least, _greatest: True,
    ) -> "Iterator[pl.DataFrame]":
        """The rows of the files, in order, a few row groups of one file at a time.

        Args:
            paths: files of this or an older contract, conformed as `scan` does it.
            schema: the columns of the frames, in order.
            column: the column whose row group statistics are passed to `test`.
            test: whether a row group may be needed whose least and greatest value are these; else it is not read.

        Raises:
            MissingFileError: a file is missing.
            DamagedFileError: bytes that are needed are not those that were written.
        """
        for path in paths:
            with self._local(path, partial(_needed, schema, column, test)) as source:
                with _damage_told(path):
                    footer = _parquet().read_footer(source)
                rows = _parquet().scan([source])
                for first, length in _parquet().read_ranges(footer, _parquet().row_groups(footer, column, test)):
                    yield _parquet().conformed(rows.slice(first, length), schema).collect()

    def size_in_memory(
        self,
        paths: Sequence[str],
        column: str | None = None,
        test: Callable[[Any, Any], bool] = lambda _least, _greatest: True,
    ) -> int:
        """About how many bytes the rows take as a frame, from the footers: values, and a view of each value.

        With `column` only those of row groups that pass the test, as for `scan`.
        """
        size = 0
        for footer in map(self._footer, paths):
            for group in map(footer.row_group, _parquet().row_groups(footer, column, test)):
                size += group.total_byte_size + group.num_rows * footer.num_columns * _VIEW_BYTES
        return size

    def rows(self, path: str) -> int:
        """The number of rows in the stored file, from its footer."""
        return self._footer(path).num_rows

    def size(self, path: str) -> int:
        """The length of the stored file in bytes. Raises MissingFileError where there is none."""
        try:
            return self.filesystem.size(path)
        except FileNotFoundError:
            raise MissingFileError(path) from None

    def columns(self, path: str) -> "dict[str, pl.DataType]":
        """The columns that a stored file has. Raises MissingFileError and DamagedFileError."""
        with self._local(path):
            return dict(self._schema(path))

    def exists(self, path: str) -> bool:
        """Whether there is such a file, whatever it contains."""
        try:
            self.filesystem.state(path)
        except FileNotFoundError:
            return False
        return True

    def missing(self, folder: str, paths: Collection[str]) -> set[str]:
        """Which of the paths below a folder no file has."""
        return set(self.filesystem.missing(folder, paths))

    def check_end(self, path: str, size: int | None = None) -> bool:
        """Compare the end of a stored file, which has its footer and all checksums, with the checksum in its name.

        Args:
            path: of the file.
            size: how many bytes it has to have; None where that is not known.

        Returns:
            False for a file without a checksum.

        Raises:
            MissingFileError: there is no such file.
            DamagedFileError: it has another length, or ends otherwise, as one that was cut off or replaced does.
        """
        checksums = self._checksums_of(path, is_read=False)
        self._check_size(path, size)
        return checksums is not None

    def check(self, path: str, size: int | None = None) -> bool:
        """Compare a stored file with its checksum, whole, whatever was compared before.

        Args:
            path: of the file.
            size: how many bytes it has to have; None where that is not known.

        Returns:
            False for a file without a checksum, which an older version wrote: only its footer was read.

        Raises:
            MissingFileError: there is no such file.
            DamagedFileError: its bytes are not those that were written.
        """
        self._checksums.pop(path, None)
        self.filesystem.forget(path)
        checksums = self._checksums_of(path)
        self._footer(path)
        if checksums is not None:
            with _damage_told(path):
                checksums.check()
        self._check_size(path, size)
        return checksums is not None

    def remove(self, path: str) -> None:
        """Delete the file if it exists."""
        self.filesystem.delete(path)

    def remove_all(self, paths: Sequence[str]) -> None:
        """Delete the files that exist, by few requests where they are in an object store."""
        self.filesystem.delete_all(paths)

    def _check_size(self, path: str, size: int | None) -> None:
        found = self._checksums[path][0].size
        if size not in (None, found):
            raise DamagedFileError(path, f"it has {found} bytes of {size}")

    @contextmanager
    def _local(self, path: str, needed: Needed = lambda _: ()) -> Iterator[Path]:
        """A local path with what is needed of a file, all of it compared with its checksums, and its end."""
        with ExitStack() as stack:
            with _damage_told(path):
                local = stack.enter_context(self.filesystem.local(path, needed))
            if self.filesystem.is_local:
                self._compare(path, needed)
            yield local

    def _compare(self, path: str, needed: Needed) -> None:
        """Compare what is needed of a file with its checksums; each extent is compared once in this lake's life."""
        checksums = self._checksums_of(path)
        if checksums is not None and not checksums.is_complete:
            with _damage_told(path), self.filesystem.local(path) as local:
                checksums.check(needed(local))

    def _footer(self, path: str) -> "pq.FileMetaData":
        with self._local(path) as local, _damage_told(path):
            return _parquet().read_footer(local)

    def _schema(self, path: str) -> "list[tuple[str, pl.DataType]]":
        """The columns of a file; cached, since files never change."""
        if path not in self._schemas:
            with _damage_told(path), self.filesystem.local(path, lambda _: ()) as local:
                self._schemas[path] = list(_parquet().read_schema(local).items())
        return self._schemas[path]

    def _checksums_of(self, path: str, *, is_read: bool = True) -> "Checksums | None":
        """The checksums of a file, as long as it does not change; None where its name has none.

        A file that is going to be read is made local first, whole, so that its end is not asked for by itself.
        """
        with _damage_told(path):
            state = self.filesystem.state(path)
            known = self._checksums.get(path)
            if known is not None and known[0] == state:
                return known[1]
            with self.filesystem.local(path) if is_read else nullcontext():
                checksums = self._read_checksums(path, state.size)
        self._checksums[path] = state, checksums
        return checksums

    def _read_checksums(self, path: str, size: int) -> "Checksums | None":
        if (named := checksum_in(path)) is None:
            return None
        return _parquet().Checksums(named, size, partial(self.filesystem.read, path))


@dataclass(frozen=True)
class Dataset:
    """The stored files of one asset by partition: what one asset hands to the next.

    `schema` is the current contract's, which files of an older one are conformed to. A partition without rows may
    have no file.
    """

    lake: Lake
    schema: "Mapping[str, pl.DataType]"
    partitions: Mapping[str, tuple[StoredFile, ...]]

    @property
    def rows(self) -> int:
        """The number of rows of all partitions."""
        return sum(self.rows_of(partition) for partition in self.partitions)

    def rows_of(self, partition: str) -> int:
        """The number of rows of one partition."""
        return sum(file.rows for file in self.partitions[partition])

    def batches(self, rows: int) -> Iterator["Dataset"]:
        """The same partitions in the same order, cut into datasets of at most this many rows, or of one partition."""
        batch: dict[str, tuple[StoredFile, ...]] = {}
        rows_in_batch = 0
        for partition, files in self.partitions.items():
            rows_in_batch += self.rows_of(partition)
            if batch and rows_in_batch > rows:
                yield replace(self, partitions=batch)
                batch, rows_in_batch = {}, self.rows_of(partition)
            batch[partition] = files
        if batch:
            yield replace(self, partitions=batch)

    def scan(self, partition: str | None = None) -> "pl.LazyFrame":
        """All rows of one partition, or of all."""
        return self.lake.scan(self._paths(partition), self.schema)

    def blocks(self, partition: str | None = None) -> "Iterator[pl.DataFrame]":
        """The same rows, a few row groups at a time."""
        return self.lake.blocks(self._paths(partition), self.schema)

    def _paths(self, partition: str | None) -> list[str]:
        partitions = self.partitions.values() if partition is None else [self.partitions[partition]]
        return [file.path for files in partitions for file in files]


@contextmanager
def _damage_told(path: str) -> Iterator[None]:
    """Errors of a lake file as sentences that name it."""
    try:
        yield
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except ChecksumError as error:
        raise DamagedFileError(path, str(error)) from None


def _needed(
    columns: Iterable[str], column: str | None, test: Callable[[Any, Any], bool], file: Path
) -> "Sequence[Range]":
    """The ranges of a file with these columns, in the row groups that pass the test."""
    wanted = set(columns)
    if "payload" in wanted:  # which is made of the fields
        wanted.update(_parquet().fields_among(dict(_parquet().read_schema(file))))
    footer = _parquet().read_footer(file)
    return _parquet().column_chunks(footer, _parquet().row_groups(footer, column, test), wanted)


def _parquet():
    """What reads and writes Parquet. It takes longer to import than all that a small command does."""
    from sessions_platform.storage.lake import parquet_files

    return parquet_files
