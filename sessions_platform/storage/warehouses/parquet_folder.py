"""A target that is a folder of Parquet files in Hive's layout, as in `sessions/session_partition=2026-01-01/`.

The manifest names the files of the current state; a delivery writes new files, and then replaces the manifest by a new
one. Right after, it removes the files that the new manifest no longer names. So readers that go by the manifest see
whole deliveries, and readers that take whatever the folders hold see, until the old file is removed, the old and the
new file of a changed partition. Not here: how files are written, replaced and removed, on a disk or in a bucket
(`parquet_places.py`).
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

import polars as pl

from sessions_platform.contracts.targets import ParquetTarget
from sessions_platform.storage.lake.parquet_writer import write_parquet
from sessions_platform.storage.warehouses.base import PARTITION, Changes, LaterDeliveryError, Target
from sessions_platform.storage.warehouses.parquet_places import MANIFEST, Place, opened_place

_MODE = 0o666  # less the umask, as other programs' files: who may read a target is its owner's decision
_OVERTAKEN = 10  # times that a manifest is replaced again
Manifest = dict[str, Any]
# The new file of each partition, by table; None where the partition has no rows.
Written = dict[str, dict[str, dict[str, Any] | None]]
_TYPES = {
    pl.String(): "string",
    pl.Int64(): "integer",
    pl.Float64(): "float",
    pl.Boolean(): "boolean",
    pl.Datetime("us", "UTC"): "timestamp",
}


class ParquetFolder(Target[ParquetTarget]):
    """Tables in a folder: in the files there is every column but the partition, which the folder's name states."""

    def token(self) -> int:
        with opened_place(self) as place:
            return self._manifest(place)["token"]

    def is_unfinished(self) -> bool:
        """Whether there are files that the manifest does not name."""
        with opened_place(self) as place:
            return any(True for _ in self._unnamed(place, self._manifest(place)))

    def apply(self, changes: Changes) -> None:
        with opened_place(self) as place, place.writing():
            self._require_own(self._manifest(place), changes)
            added = list[str]()
            try:
                written = self._written(place, changes, added)
            except BaseException:
                with suppress(Exception):  # the store may be what fails; the next delivery removes them
                    place.remove(added)
                raise
            manifest = self._published(place, changes, written, added)
            unnamed = self._unnamed(place, manifest)
            place.remove([path for path in unnamed if not _is_later(path, changes.token)])

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """All that is in the folders, whether the manifest names it or not, as readers without it see it."""
        with opened_place(self) as place:
            self._require_types(self._manifest(place))
            for path in place.files(table):
                partition = unquote(path.split("/")[1].removeprefix(f"{PARTITION}="))
                if path.endswith(".parquet") and (partitions is None or partition in partitions):
                    yield from self._read(place, table, partition, path)

    def _read(self, place: Place, table: str, partition: str, path: str) -> Iterator[pl.DataFrame]:
        columns = self.tables[table]
        try:
            with place.local(path) as local:
                file = pl.scan_parquet(local, hive_partitioning=False, glob=False)
                rows = file.with_columns(pl.lit(partition).alias(PARTITION))
                found = rows.collect_schema()
                lacking = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in found]
                yield from rows.with_columns(lacking).select(*columns).collect_batches(chunk_size=64 * 1024)
        except pl.exceptions.PolarsError as error:
            reason = f"{path.rpartition('/')[2]} can't be read: {str(error).splitlines()[0]}"
            raise self.error(reason, "remove the file, and deliver with --verify") from None

    def _manifest(self, place: Place) -> Manifest:
        """The current manifest; an empty one where there is none."""
        empty: Manifest = {"stream": self.stream.name, "token": 0, "tables": {}}
        content = place.manifest()
        if content is None:
            return empty
        try:
            manifest = json.loads(content.decode("utf-8"))
            return empty | {name: manifest[name] for name in empty}
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError):
            reason = f"{MANIFEST} is not one that the platform has written"
            raise self.error(reason, f"remove {MANIFEST}; everything is delivered again") from None

    def _written(self, place: Place, changes: Changes, added: list[str]) -> Written:
        """Write the new files. Their paths are in `added`."""
        return {
            table: {partition: self._write(place, table, partition, changes, added) for partition in changes.partitions}
            for table in self.tables
        }

    def _write(
        self, place: Place, table: str, partition: str, changes: Changes, added: list[str]
    ) -> dict[str, Any] | None:
        path = f"{table}/{PARTITION}={quote(partition)}/{changes.token}-{uuid4().hex}.parquet"
        columns = {name: dtype for name, dtype in self.tables[table].items() if name != PARTITION}
        frames = (frame.drop(PARTITION) for frame in changes.rows(table, partition))
        with place.draft(path) as draft:
            rows = write_parquet(draft, frames, columns, (), mode=_MODE)
            if not rows:
                return None
            added.append(path)
            place.add(path, draft)
        return {"path": path, "rows": rows}

    def _published(self, place: Place, changes: Changes, written: Written, added: Sequence[str]) -> Manifest:
        """Let the manifest name the new files. One that another delivery has replaced meanwhile is read again.

        Where that is a later one, the new files are removed, unless it names them: it may have begun with a manifest
        of this delivery, whose success was never answered. Where it is not known what became of the manifest they
        stay, and the next delivery removes them if it does not name them.
        """
        for _ in range(_OVERTAKEN):
            manifest = self._manifest(place)
            try:
                self._require_own(manifest, changes)
            except LaterDeliveryError:
                unnamed = set(added) - _named(manifest)
                with suppress(Exception):
                    place.remove(sorted(unnamed))
                raise
            new = {**manifest, "token": changes.token, "tables": self._changed(manifest, written)}
            if place.publish(json.dumps(new, indent=1).encode()):
                return new
        raise self.error("other deliveries were faster each time", "see what else writes there; it is tried again")

    def _changed(self, manifest: Manifest, written: Written) -> dict[str, Any]:
        """The manifest's tables with the new files."""
        tables = {}
        for table, columns in self.tables.items():
            before = manifest["tables"].get(table, {}).get("partitions", {})
            files = {partition: file for partition, file in {**before, **written[table]}.items() if file}
            types = {name: _TYPES[dtype] for name, dtype in columns.items()}
            tables[table] = {"columns": types, "partitions": dict(sorted(files.items()))}
        return tables

    def _unnamed(self, place: Place, manifest: Manifest) -> Iterator[str]:
        """The files of the tables that the manifest does not name."""
        named = _named(manifest)
        for table in {*self.tables, *manifest["tables"]}:
            yield from (path for path in place.files(table) if path not in named)

    def _require_own(self, manifest: Manifest, changes: Changes) -> None:
        self.require_own(manifest["stream"], manifest["token"], changes.token)
        self._require_types(manifest)

    def _require_types(self, manifest: Manifest) -> None:
        fix = "remove the folder, or name another path; everything is delivered again"
        for table, columns in self.tables.items():
            there = manifest["tables"].get(table, {}).get("columns", {})
            self.require_types(table, there, {name: _TYPES[dtype] for name, dtype in columns.items()}, fix)


def _named(manifest: Manifest) -> set[str]:
    return {file["path"] for table in manifest["tables"].values() for file in table["partitions"].values()}


def _is_later(path: str, token: int) -> bool:
    """Whether a file is of a later delivery, which has not been published yet."""
    stated = path.rpartition("/")[2].partition("-")[0]
    return stated.isdecimal() and int(stated) > token
