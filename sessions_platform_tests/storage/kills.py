"""A delivery that is killed (-9) at some of its points, to any target."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.storage.postgres.database import lock
from sessions_platform_tests.storage.targets import (
    ONE,
    RUN,
    TWO,
    add_an_event,
    assert_equal_to_postgres,
    in_postgres,
    in_target,
    the_target,
)
from sessions_platform_tests.streams import PLAIN


def assert_the_same_after_kills(
    loaded: StreamContext, seen: Callable[[StreamContext], pl.DataFrame] | None = None, points: int = 9
) -> None:
    """Killed at points of a delivery, from the first to the last, the target is as it was or as it is to be.

    Args:
        loaded: a stream with a target.
        seen: the sessions that a reader sees; by default what the target reads.
        points: at how many.
    """
    read = seen or (lambda context: in_target(the_target(context)))
    (kind,) = loaded.stream.targets
    deliver(loaded, the_target(loaded), RUN)  # the first one does more
    for day in (ONE, TWO):
        add_an_event(loaded, day, f"{day}-first")
    counted = deliver_in_a_child(loaded, 0)
    assert counted.returncode == 0, counted.stderr
    last = int(counted.stdout)
    for number in range(points):
        before = in_postgres(loaded).sort("session_id")
        for day in (ONE, TWO):
            add_an_event(loaded, day, f"{day}-{number}")
        after = in_postgres(loaded).sort("session_id")
        killed = deliver_in_a_child(loaded, 1 + number * (last - 2) // (points - 1))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert_is_one_of(read(loaded).sort("session_id"), before, after)
        with loaded.database.transaction() as connection:  # the server has noticed the death
            lock(connection, f"sessions_platform/{loaded.stream.name}/deliver/{kind}")
        deliver(loaded, the_target(loaded), RUN)
        assert_equal_to_postgres(loaded)
        assert deliver(loaded, the_target(loaded), RUN, verify=True).applied == []


def deliver_in_a_child(context: StreamContext, point: int) -> subprocess.CompletedProcess[str]:
    settings, targets = context.database._settings, context.stream.targets
    stated = {name: target.model_dump(mode="json", exclude_unset=True) for name, target in targets.items()}
    keys = {**PLAIN, "name": context.stream.name, "targets": stated}
    return subprocess.run(
        [sys.executable, "-m", "sessions_platform_tests.storage.killed_delivery", str(point)],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "STREAM_KEYS": json.dumps(keys),
            "SESSIONS_HOME": str(settings.home),
            "SESSIONS_LAKE": str(settings.lake),
            "PYTHONWARNINGS": "ignore",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def assert_is_one_of(found: pl.DataFrame, *states: pl.DataFrame) -> None:
    """Both days as they were, or both as they are now."""
    assert any(found.equals(state) for state in states)
