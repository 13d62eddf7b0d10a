"""An ingestion, as a process of its own, that kills itself (-9) at one of the points where it reads or records.

``python -m sessions_platform_tests.servers.killed STREAM.yaml HOME LANDING_PARTITION [POINT [MILLISECONDS]]``; without
a point it runs to its end. Points are counted over all blocks that are read and all batches that are recorded, before
and after. With milliseconds it is killed so long after the point, wherever it is then, and at the latest at its end.
"""

import itertools
import os
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.pipeline import raw_files
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.http import source as http_source
from sessions_platform.sources.kafka import offsets
from sessions_platform.sources.kinesis import source as kinesis_source
from sessions_platform.sources.tables import increments
from sessions_platform.storage.ledger.ledger import Ledger

SLICE_ROWS, SHARED_SLICES, ROUND_BYTES = 1000, 3, 200_000  # so that there are many, and many transactions


def run(stream: Path, home: Path, partition: str, point: int | None = None, delay: int | None = None) -> None:
    """Ingest into a landing partition, as if its day were today."""
    passed = itertools.count()
    blocks_of, record_batch = raw_files.blocks_of, Ledger.record_batch

    def pass_point() -> None:
        if next(passed) == point:
            threading.Timer(delay / 1000, _kill).start() if delay else _kill()

    def killed_blocks(*arguments: Any) -> Generator[Any, None, None]:
        for block in blocks_of(*arguments):
            pass_point()
            yield block

    def killed_record(*arguments: Any) -> None:
        pass_point()
        record_batch(*arguments)
        pass_point()

    settings = Settings(home=home, lake=home / "lake", streams=())
    context = StreamContext.open(load_stream(stream, home), settings)
    with (
        patch.object(raw_files, "blocks_of", killed_blocks),
        patch.object(Ledger, "record_batch", killed_record),
        patch.object(raw_files, "_SHARED_SLICES", SHARED_SLICES),
        patch.object(offsets, "SLICE_OFFSETS", SLICE_ROWS),
        patch.object(increments, "SLICE_ROWS", SLICE_ROWS),
        patch.object(http_source, "ROUND_BYTES", ROUND_BYTES),
        patch.object(kinesis_source, "ROUND_BYTES", ROUND_BYTES),
    ):
        ingest(context, [partition], "run", current=partition)
    if delay is not None:
        _kill()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    file, folder, key, *at = sys.argv[1:]
    run(Path(file), Path(folder), key, *map(int, at))
