"""Frames of assets that are not the platform's own, as Parquet files by dagster-polars.

It brings pyarrow and more, so `io_managers.py` imports this module where such an asset is written or read. Not here:
which assets these are.
"""

import uuid
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
from dagster_polars import PolarsParquetIOManager
from upath import UPath

from sessions_platform.settings import PRIVATE_FILE, make_private_folder
from sessions_platform.storage.lake.filesystem import sync


class FrameFiles(PolarsParquetIOManager):
    """Stores a frame as one Parquet file, atomically, and reads it again in the type of the input."""

    def write(self, context: dg.OutputContext, frame: pl.DataFrame | pl.LazyFrame, partition: str) -> None:
        """Write the frame of one partition of the asset."""
        path = UPath(str(self.base_dir)).joinpath(*context.asset_key.path, f"{partition}.parquet")
        if isinstance(frame, pl.LazyFrame):
            self.sink_df_to_path(context, frame, path)
        else:
            self.write_df_to_path(context, frame, path)

    def write_df_to_path(self, context: dg.OutputContext, df: pl.DataFrame, path: UPath) -> None:  # noqa: ARG002  as inherited
        """Write a frame atomically."""
        _replace(path, lambda unfinished: df.write_parquet(unfinished, compression_level=1))

    def sink_df_to_path(self, context: dg.OutputContext, df: pl.LazyFrame, path: UPath) -> None:  # noqa: ARG002  as inherited
        """Write the result of a query atomically."""
        _replace(path, lambda unfinished: df.sink_parquet(unfinished, compression_level=1))

    def scan_df_from_path(self, path: UPath, *_unused: object, **_unused_too: object) -> pl.LazyFrame:
        """Scan one file. dagster-polars 0.27.12 passes further arguments, which polars 2 no longer has."""
        return pl.scan_parquet(str(path), glob=False)


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
