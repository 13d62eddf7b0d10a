"""A driver in a process that can be killed: ``python -m …spark.driver HOME STREAM MASTER NOTES``."""

import sys
from pathlib import Path

from sessions_platform.contracts.stream import Stream
from sessions_platform.engines import spark
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.settings import Settings
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import RUN
from sessions_platform_tests.spark.planted import Waiting, planted


def main(home: str, stream: str, master: str, notes: str) -> None:
    setattr(spark, "Job", planted(Waiting, Path(notes)))  # noqa: B010
    settings = Settings(home=Path(home), lake=Path(home) / "lake", streams=(), engine="spark", spark=master)
    context = StreamContext.open(Stream.model_validate_json(stream), settings, MemorySource())
    sessionize_partitions(context, context.stale_session_partitions(), RUN)


if __name__ == "__main__":
    main(*sys.argv[1:])
