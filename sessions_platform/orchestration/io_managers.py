"""The IO manager: values pass between assets as datasets of the lake, and are never pickled.

The platform's own assets write their rows to the lake themselves, because a landing partition becomes current in one
transaction. They return a `Dataset`, and an asset that depends on one may be typed with Dataset, LazyFrame or
DataFrame. Other assets may return frames, also one for each partition, which `frame_files.py` writes atomically.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from sessions_platform.orchestration.interrupts import failed_when_interrupted
from sessions_platform.orchestration.resources import Platform
from sessions_platform.storage.lake.lake import Dataset

if TYPE_CHECKING:
    from sessions_platform.orchestration.frame_files import FrameFiles

_STORED_BY_PLATFORM = ("raw_events", "events", "rejected_events", "sessionized_events")


class LakeIOManager(dg.ConfigurableIOManager):
    """Reads the platform's own assets from the lake as the ledger records them, and stores frames of other assets."""

    platform: dg.ResourceDependency[Platform]
    base_dir: str

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
                self._frame_files.write(context, frame, partition)
            context.add_output_metadata({"partitions": len(obj)})
            return
        self._frame_files.handle_output(context, obj)

    def _load_input(self, context: dg.InputContext) -> Any:
        asset = context.asset_key.path[-1]
        stream = self.platform.stream_of(context.asset_key) if asset in _STORED_BY_PLATFORM else None
        if stream is None:
            return self._frame_files.load_input(context)
        stream_context = self.platform.stream_context(stream.name)
        stream_context.prepare()
        dataset = getattr(stream_context, asset)(context.asset_partition_keys)
        return _as_asked(dataset, context.dagster_type.typing_type)

    @property
    def _frame_files(self) -> "FrameFiles":
        from sessions_platform.orchestration.frame_files import FrameFiles  # not even loaded where nothing is stored

        files = FrameFiles(base_dir=self.base_dir)
        files.setup_for_execution(dg.build_init_resource_context())
        return files


def _require_partitions(frames: Mapping[str, object], partitions: Sequence[str]) -> None:
    if set(frames) != set(partitions):
        raise ValueError(f"the asset has to return a frame for each partition of the run, {', '.join(partitions)}")


def _as_asked(dataset: Dataset, wanted: Any) -> Dataset | pl.LazyFrame | pl.DataFrame:
    if wanted is pl.LazyFrame:
        return dataset.scan()
    if wanted is pl.DataFrame:
        return dataset.scan().collect()
    return dataset
