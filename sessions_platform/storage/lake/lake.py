"""The lake: immutable files in a folder, Parquet but for copies of what could not be read.

A file appears whole or not at all and never changes; which files are current is the
ledger's to say. Nothing here knows streams or partitions.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from sessions_platform.contracts.raw_events import RENAMED_COLUMNS
from sessions_platform.storage.lake.memory import keep_little
from sessions_platform.storage.lake.parquet_writer import slices, write_parquet

keep_little()

_VIEW_BYTES = 16


@dataclass(frozen=True)
class StoredFile:
    """`path` is relative to the lake."""

    path: str
    rows: int
    bytes: int


class Lake:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._schemas: dict[str, list[tuple[str, pl.DataType]]] = {}

    def write(self, folder: str, frames: Iterable[pl.DataFrame], schema: Mapping[str, pl.DataType]) -> StoredFile:
        """Write frames, one after the other, as a new file of the folder.

        It is on the disk, and visible under its name, when this returns; a process killed
        before leaves at most two files that end in .tmp.
        """
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        unfinished = place / f"{name}.tmp"
        try:
            rows = write_parquet(unfinished, frames, schema)
            sync(unfinished)
            finished = place / f"{name}.parquet"
            unfinished.rename(finished)
            sync(place)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return StoredFile(f"{folder}/{name}.parquet", rows, finished.stat().st_size)

    def keep(self, folder: str, pieces: Iterable[bytes]) -> str:
        """Write bytes as they are, under the name of their SHA-256: the same bytes once. Returns the file's path."""
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        unfinished = place / f"{uuid.uuid4().hex}.tmp"
        try:
            digest = _write_bytes(unfinished, pieces)
            unfinished.replace(place / digest)
            sync(place)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return f"{folder}/{digest}"

    def scan(self, paths: Sequence[str], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        """All rows of the files; an empty frame of the schema where there are none.

        Files of an older contract are read as this one has it: what they lack, or hold as a value
        that the column's type has no place for, is null.
        """
        wanted = list(schema.items())
        same = [self.root / path for path in paths if self._schema(path) == wanted]
        other = [self.root / path for path in paths if self._schema(path) != wanted]
        alike = [pl.scan_parquet(same, glob=False)] if same else []
        fitted = [_fitted(pl.scan_parquet(path, glob=False), schema) for path in other]
        return pl.concat([*alike, *fitted]) if paths else pl.LazyFrame(schema=dict(schema))

    def blocks(
        self,
        paths: Sequence[str],
        schema: Mapping[str, pl.DataType],
        column: str | None = None,
        test: Callable[[Any, Any], bool] = lambda _least, _greatest: True,
    ) -> Iterator[pl.DataFrame]:
        """The rows of the files, some row groups of a file at a time.

        Row groups are left out where `test` says no of the least and the greatest value that they have in `column`.
        """
        for path in paths:
            footer, rows = pq.read_metadata(self.root / path), pl.scan_parquet(self.root / path, glob=False)
            for first, length in slices(footer, _groups(footer, column, test)):
                yield _fitted(rows.slice(first, length), schema).collect()

    def size_in_memory(self, paths: Sequence[str]) -> int:
        """About how many bytes the rows take in a frame, told by the footers: values, and a view of each text."""
        footers = [pq.read_metadata(self.root / path) for path in paths]
        groups = (footer.row_group(group) for footer in footers for group in range(footer.num_row_groups))
        return sum(group.total_byte_size for group in groups) + sum(
            footer.num_rows * footer.num_columns * _VIEW_BYTES for footer in footers
        )

    def rows(self, path: str) -> int:
        """Counted from the stored file's footer."""
        return pq.read_metadata(self.root / path).num_rows

    def _schema(self, path: str) -> list[tuple[str, pl.DataType]]:
        """The columns of a file; remembered, since files never change."""
        if path not in self._schemas:
            with (self.root / path).open("rb") as file:
                self._schemas[path] = list(pl.read_parquet_schema(file).items())
        return self._schemas[path]

    def remove(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Dataset:
    """The stored files of one asset, by partition; what travels between assets."""

    lake: Lake
    schema: Mapping[str, pl.DataType]
    partitions: Mapping[str, tuple[StoredFile, ...]]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self._files())

    def rows_of(self, partition: str) -> int:
        return sum(file.rows for file in self.partitions[partition])

    def batches(self, rows: int) -> Iterator["Dataset"]:
        """The same, cut into datasets of neighbouring partitions of so many rows at most; or of one partition."""
        batch: dict[str, tuple[StoredFile, ...]] = {}
        held = 0
        for partition, files in self.partitions.items():
            held += self.rows_of(partition)
            if batch and held > rows:
                yield replace(self, partitions=batch)
                batch, held = {}, self.rows_of(partition)
            batch[partition] = files
        if batch:
            yield replace(self, partitions=batch)

    def scan(self, partition: str | None = None) -> pl.LazyFrame:
        return self.lake.scan(self._paths(partition), self.schema)

    def blocks(self, partition: str | None = None) -> Iterator[pl.DataFrame]:
        return self.lake.blocks(self._paths(partition), self.schema)

    def _files(self, partition: str | None = None) -> list[StoredFile]:
        chosen = self.partitions.values() if partition is None else [self.partitions[partition]]
        return [file for files in chosen for file in files]

    def _paths(self, partition: str | None) -> list[str]:
        return [file.path for file in self._files(partition)]


def _groups(footer: pq.FileMetaData, column: str | None, test: Callable[[Any, Any], bool]) -> Iterator[int]:
    """The row groups that may hold what is looked for."""
    at = footer.schema.to_arrow_schema().get_field_index(column) if column else 0
    for group in range(footer.num_row_groups):
        seen = footer.row_group(group).column(at).statistics if column else None
        if seen is None or not seen.has_min_max or test(seen.min, seen.max):
            yield group


def _write_bytes(path: Path, pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _fitted(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    frame = _renamed(frame, schema)
    standing = frame.collect_schema()
    kept = {name for name, dtype in schema.items() if name in standing and _can_be_cast(standing[name], dtype)}
    fitted = {
        name: (pl.col(name) if name in kept else pl.lit(None)).cast(schema[name], strict=False) for name in schema
    }
    return frame.with_columns(**fitted).select(*schema)


def _renamed(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The frame with today's names for columns of the schema that an older contract named differently."""
    stored = frame.collect_schema()
    renamed = {old: new for new, old in RENAMED_COLUMNS.items() if new in schema and new not in stored}
    return frame.rename({old: new for old, new in renamed.items() if old in stored})


def _can_be_cast(standing: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether values of an older type can be read as the wanted one; texts and numbers as each other."""
    text = (pl.String, pl.Boolean)
    text_or_number = all(dtype in text or dtype.is_numeric() for dtype in (standing, wanted))
    return standing == wanted or (text_or_number and (standing, wanted) != (pl.String, pl.Boolean))


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
