"""A replay and the refresh after it, in a process that kills itself at a given point.

Run as: python -m sessions_platform_tests.operations.killed_replay STREAM FILE POINT, with the stream's own
keys as JSON in the variable STREAM_KEYS. Points are numbered in the order of execution: one before and one after
each call of a watched function, among which are the statements sent to PostgreSQL. Point 0 kills nothing, and the
number of points is printed.
"""

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from sessions_platform.contracts.stream import Stream
from sessions_platform.operations import repaired_rows, replay
from sessions_platform.pipeline import run, validate
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.lake import filesystem, lake
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import run_pending

_WATCHED = [
    (repaired_rows, "read_file"),
    (replay, "find_candidates"),
    (replay, "_rejection_reasons"),
    (replay, "_write"),
    (Ledger, "record_repairs"),
    (filesystem, "sync"),
    (lake.Lake, "write"),
    (run, "ingest"),
    (validate, "validate_rows"),
    (run, "publish"),
    (run, "load_sessions"),
    (psycopg.Connection, "execute"),
    (psycopg.Cursor, "executemany"),
    (psycopg.Connection, "commit"),
]


def count_points(killing: int, watched_calls: Sequence[tuple[Any, str]] = tuple(_WATCHED)) -> Callable[[], int]:
    """Count a point before and after each watched call, and kill the process at the given one."""
    passed = itertools.count(1)
    newest = [0]

    def point() -> None:
        newest[0] = next(passed)
        if newest[0] == killing:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            point()
            result = function(*args, **named)
            point()
            return result

        return call

    for owner, name in watched_calls:
        setattr(owner, name, watched(getattr(owner, name)))
    return lambda: newest[0]


def replay_and_refresh(context: StreamContext, file: Path) -> None:
    """What the command line does, without Dagster's runs."""
    for rows in repaired_rows.read_file(file).values():
        replay.replay(context, rows, "a-replay")
    run_pending(context)


if __name__ == "__main__":
    stream = Stream.model_validate({**json.loads(os.environ["STREAM_KEYS"]), "name": sys.argv[1]})
    opened = StreamContext.open(stream, Settings.from_environment(), MemorySource())
    points = count_points(int(sys.argv[3]))
    replay_and_refresh(opened, Path(sys.argv[2]))
    sys.stdout.write(f"{points()}\n")
