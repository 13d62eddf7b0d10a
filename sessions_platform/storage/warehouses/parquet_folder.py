"""A target that is a folder of Parquet files in Hive's layout, as in `sessions/session_partition=2026-01-01/`.

The manifest names the files of the current state; a delivery renames a new one into place. Right after, it removes the
files that the new manifest no longer names. So readers that go by the manifest see whole deliveries, and readers that
take whatever the folders hold see, for the moment in between, the old and the new file of a changed partition.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl

from sessions_platform.contracts.targets import ParquetTarget
from sessions_platform.storage.lake.filesystem import sync
from sessions_platform.storage.lake.parquet_writer import write_parquet
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Target
from sessions_platform.storage.warehouses.local_files import local_path, one_writer, told

_MANIFEST = "manifest.json"
_DRAFT = ".tmp"
_MODE = 0o666  # less the umask, as other programs' files: who may read a target is its owner's decision
Manifest = dict[str, Any]
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
        return self._manifest()["token"]

    def is_unfinished(self) -> bool:
        """Whether there are files that the manifest does not name."""
        with told(self):
            return any(True for _ in self._unnamed(self._manifest()))

    def apply(self, changes: Changes) -> None:
        root = self._root
        with told(self):
            root.mkdir(parents=True, exist_ok=True)
        with told(self), one_writer(self, root / ".lock"):
            manifest = self._manifest()
            self.require_own(manifest["stream"], manifest["token"], changes.token)
            self._require_types(manifest)
            self._remove_all_but(manifest)  # of a delivery that was killed
            new = {**manifest, "token": changes.token, "tables": self._changed(manifest, changes)}
            self._publish(new)
            self._remove_all_but(new)

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """All that is in the folders, whether the manifest names it or not, as readers without it see it."""
        with told(self):
            self._require_types(self._manifest())
            for path in sorted(self._root.glob(f"{table}/{PARTITION}=*/*.parquet")):
                partition = unquote(path.parent.name.removeprefix(f"{PARTITION}="))
                if partitions is None or partition in partitions:
                    yield from self._read(table, partition, path)

    @property
    def _root(self) -> Path:
        return local_path(self)

    def _read(self, table: str, partition: str, path: Path) -> Iterator[pl.DataFrame]:
        columns = self.tables[table]
        try:
            rows = pl.scan_parquet(path, hive_partitioning=False).with_columns(pl.lit(partition).alias(PARTITION))
            found = rows.collect_schema()
            lacking = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in found]
            yield from rows.with_columns(lacking).select(*columns).collect_batches(chunk_size=64 * 1024)
        except pl.exceptions.PolarsError as error:
            reason = f"{path.name} can't be read: {str(error).splitlines()[0]}"
            raise self.error(reason, "remove the file, and deliver with --verify") from None

    def _manifest(self) -> Manifest:
        """The current manifest; an empty one where there is none."""
        empty: Manifest = {"stream": self.stream.name, "token": 0, "tables": {}}
        try:
            with told(self), suppress(FileNotFoundError):
                manifest = json.loads((self._root / _MANIFEST).read_text(encoding="utf-8"))
                return empty | {name: manifest[name] for name in empty}
            return empty
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError):
            reason = f"{_MANIFEST} is not one that the platform has written"
            raise self.error(reason, f"remove {_MANIFEST}; everything is delivered again") from None

    def _changed(self, manifest: Manifest, changes: Changes) -> dict[str, Any]:
        """The manifest's tables after the changes, whose files are written."""
        tables = {}
        for table, columns in self.tables.items():
            before = manifest["tables"].get(table, {}).get("partitions", {})
            files = {key: file for key, file in before.items() if key not in changes.partitions}
            for partition in changes.partitions:
                if file := self._write(table, partition, changes):
                    files[partition] = file
            types = {name: _TYPES[dtype] for name, dtype in columns.items()}
            tables[table] = {"columns": types, "partitions": dict(sorted(files.items()))}
        return tables

    def _write(self, table: str, partition: str, changes: Changes) -> dict[str, Any] | None:
        """The new file of a partition; None where it has no rows."""
        folder = self._root / table / f"{PARTITION}={quote(partition)}"
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{changes.token}.parquet{_DRAFT}"
        columns = {name: dtype for name, dtype in self.tables[table].items() if name != PARTITION}
        frames = (frame.drop(PARTITION) for frame in changes.rows(table, partition))
        rows = write_parquet(draft, frames, columns, (), mode=_MODE)
        if not rows:
            draft.unlink()
            return None
        sync(draft)
        return {"path": draft.relative_to(self._root).as_posix().removesuffix(_DRAFT), "rows": rows}

    def _publish(self, manifest: Manifest) -> None:
        """Give the new files their names, and let the manifest name them."""
        for draft in sorted(self._root.glob(f"*/*/*.parquet{_DRAFT}")):
            draft.rename(draft.with_suffix(""))
            sync(draft.parent)
        draft = self._root / f"{_MANIFEST}{_DRAFT}"
        draft.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        sync(draft)
        draft.replace(self._root / _MANIFEST)
        sync(self._root)

    def _remove_all_but(self, manifest: Manifest) -> None:
        """Remove all files of the tables that the manifest does not name, and the folders that have none then."""
        for path in list(self._unnamed(manifest)):
            path.unlink()
        for folder in self._folders(manifest):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _unnamed(self, manifest: Manifest) -> Iterator[Path]:
        """The files of the tables that the manifest does not name."""
        named = {file["path"] for table in manifest["tables"].values() for file in table["partitions"].values()}
        for folder in self._folders(manifest):
            yield from (path for path in folder.iterdir() if path.relative_to(self._root).as_posix() not in named)

    def _folders(self, manifest: Manifest) -> list[Path]:
        """The folders of all partitions."""
        tables = {*self.tables, *manifest["tables"]}
        return [folder for table in tables for folder in sorted((self._root / table).glob(f"{PARTITION}=*"))]

    def _require_types(self, manifest: Manifest) -> None:
        fix = "remove the folder, or name another path; everything is delivered again"
        for table, columns in self.tables.items():
            there = manifest["tables"].get(table, {}).get("columns", {})
            self.require_types(table, there, {name: _TYPES[dtype] for name, dtype in columns.items()}, fix)
