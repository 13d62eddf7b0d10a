"""The IO manager: values pass between assets as datasets of the lake, and are never pickled.

The platform's own assets write their rows to the lake themselves, because a landing partition becomes current in one
transaction. They return a `Dataset`, and an asset that depends on one may be typed with Dataset, LazyFrame or
DataFrame. Other assets may return frames, also one for each partition, which are written atomically.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from dagster_polars import PolarsParquetIOManager
from upath import UPath

from sessions_platform.orchestration.interrupts import failed_when_interrupted
from sessions_platform.orchestration.resources import Platform
from sessions_platform.settings import PRIVATE_FILE, make_private_folder
from sessions_platform.storage.lake.filesystem import sync
from sessions_platform.storage.lake.lake import Dataset

_STORED_BY_PLATFORM = ("raw_events", "events", "rejected_events", "sessionized_events")


class LakeIOManager(PolarsParquetIOManager):
    """Reads the platform's own assets from the lake as the ledger records them, and stores frames of other assets."""

    platform: dg.ResourceDependency[Platform]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store a frame, or a frame for each partition by its key; a `Dataset` is stored already."""
        with failed_when_interrupted():
            self._handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> Any:
        """The partitions of an asset, in the type of the input."""
        with failed_when_interrupted():
            return self._load_input(context)

    def _handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if isinstance(obj, Dataset):
            return
        if isinstance(obj, Mapping):
            _require_partitions(obj, context.asset_partition_keys)
            for partition, frame in obj.items():
                self._write(context, frame, self._path(context.asset_key, partition))
            context.add_output_metadata({"partitions": len(obj)})
            return
        super().handle_output(context, obj)

    def _load_input(self, context: dg.InputContext) -> Any:
        stream, asset = context.asset_key.path[0], context.asset_key.path[-1]
        if asset not in _STORED_BY_PLATFORM or not self.platform.has(stream):
            return super().load_input(context)
        stream_context = self.platform.stream_context(stream)
        stream_context.prepare()
        dataset = getattr(stream_context, asset)(context.asset_partition_keys)
        return _as_asked(dataset, context.dagster_type.typing_type)

    def write_df_to_path(self, context: dg.OutputContext, df: pl.DataFrame, path: UPath) -> None:  # noqa: ARG002  as inherited
        """Write a frame atomically."""
        _replace(path, lambda unfinished: df.write_parquet(unfinished, compression_level=1))

    def sink_df_to_path(self, context: dg.OutputContext, df: pl.LazyFrame, path: UPath) -> None:  # noqa: ARG002  as inherited
        """Write the result of a query atomically."""
        _replace(path, lambda unfinished: df.sink_parquet(unfinished, compression_level=1))

    def scan_df_from_path(self, path: UPath, *_unused: object, **_unused_too: object) -> pl.LazyFrame:
        """Scan one file. dagster-polars 0.27.12 passes further arguments, which polars 2 no longer has."""
        return pl.scan_parquet(str(path), glob=False)

    def _write(self, context: dg.OutputContext, frame: pl.DataFrame | pl.LazyFrame, path: UPath) -> None:
        if isinstance(frame, pl.LazyFrame):
            self.sink_df_to_path(context, frame, path)
        else:
            self.write_df_to_path(context, frame, path)

    def _path(self, key: dg.AssetKey, partition: str) -> UPath:
        return UPath(str(self.base_dir)).joinpath(*key.path, f"{partition}.parquet")


def _require_partitions(frames: Mapping[str, object], partitions: Sequence[str]) -> None:
    if set(frames) != set(partitions):
        raise ValueError(f"the asset has to return a frame for each partition of the run, {', '.join(partitions)}")


def _as_asked(dataset: Dataset, wanted: Any) -> Dataset | pl.LazyFrame | pl.DataFrame:
    if wanted is pl.LazyFrame:
        return dataset.scan()
    if wanted is pl.DataFrame:
        return dataset.scan().collect()
    return dataset


def _replace(path: UPath, write: Callable[[Path], object]) -> None:
    """Write a file atomically: readers see the old file or the new one, which is synced before it is renamed."""
    target = Path(str(path))
    make_private_folder(target.parent)
    unfinished = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        unfinished.touch(PRIVATE_FILE)
        write(unfinished)
        sync(unfinished)
        unfinished.replace(target)
        sync(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)
