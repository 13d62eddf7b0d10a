"""A replay, and all that follows from it, that kills its own process at a given point.

Run as: python -m sessions_platform_tests.operations.killed_replay STREAM FILE POINT, with the stream's own
keys as JSON in the variable STREAM_KEYS. The points are counted: each function that it goes through has one
before it and one after it, and so has each statement that it sends to PostgreSQL. Point 0 kills nothing; it says
how many there are.
"""

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from sessions_platform.contracts.stream import Stream
from sessions_platform.operations import repaired_rows, replay
from sessions_platform.pipeline import ingest, load, validate
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.lake import lake
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import run_pending

_PLACES = [
    (repaired_rows, "read_file"),
    (replay, "_candidates"),
    (replay, "_again_rejected"),
    (replay, "_write"),
    (replay, "_land"),
    (lake, "sync"),
    (lake.Lake, "write"),
    (ingest, "_ingest_partition"),
    (validate, "validate_rows"),
    (validate, "publish"),
    (load, "load_sessions"),
    (psycopg.Connection, "execute"),
    (psycopg.Cursor, "executemany"),
    (psycopg.Connection, "commit"),
]


def count_points(deadly: int) -> Callable[[], int]:
    """Have each place pass two points; the process does not get past the deadly one."""
    passed = itertools.count(1)
    newest = [0]

    def point() -> None:
        newest[0] = next(passed)
        if newest[0] == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            point()
            result = function(*args, **named)
            point()
            return result

        return call

    for owner, name in _PLACES:
        setattr(owner, name, watched(getattr(owner, name)))
    return lambda: newest[0]


def replay_and_refresh(context: StreamContext, file: Path) -> None:
    """What the command line does, without Dagster's runs around it."""
    for rows in repaired_rows.read_file(file).values():
        replay.replay(context, rows, "a-replay")
    run_pending(context)


if __name__ == "__main__":
    stream = Stream.model_validate({**json.loads(os.environ["STREAM_KEYS"]), "name": sys.argv[1]})
    opened = StreamContext.open(stream, Settings.from_environment(), MemorySource())
    points = count_points(int(sys.argv[3]))
    replay_and_refresh(opened, Path(sys.argv[2]))
    sys.stdout.write(f"{points()}\n")
