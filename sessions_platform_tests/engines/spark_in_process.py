"""What the engine asks of a Spark session, done in this process: rows moved by a dict, in an order of its own."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa


class SparkInProcess:
    """A session, and a frame at once: of batches, or of groups."""

    def __init__(self, batches: list[pa.RecordBatch] | None = None) -> None:
        self._batches = batches or []

    def range(self, start: int, end: int, step: int, partitions: int) -> "SparkInProcess":
        assert (start, step, partitions) == (0, 1, end)
        return SparkInProcess([pa.record_batch({"id": [number]}) for number in reversed(range(end))])

    def mapInArrow(self, function: Callable[[Iterator[pa.RecordBatch]], Any], schema: str) -> "SparkInProcess":  # noqa: N802
        assert schema == "grp int, rows binary"
        return SparkInProcess(list(function(iter(self._batches))))

    def repartition(self, number: int, column: str) -> "SparkInProcess":  # noqa: ARG002
        return self

    def groupBy(self, column: str) -> "SparkInProcess":  # noqa: ARG002, N802
        return self

    def applyInArrow(self, function: Callable[[pa.Table], pa.Table], schema: str) -> "SparkInProcess":  # noqa: ARG002, N802
        groups: dict[int, list[pa.RecordBatch]] = {}
        for batch in self._batches:
            groups.setdefault(batch["grp"][0].as_py(), []).append(batch)
        return SparkInProcess(
            [batch for each in groups.values() for batch in function(pa.Table.from_batches(each)).to_batches()]
        )

    def collect(self) -> list[Any]:
        return [SimpleNamespace(**row) for batch in self._batches for row in batch.to_pylist()]
