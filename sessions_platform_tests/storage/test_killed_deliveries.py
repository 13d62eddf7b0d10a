"""A delivery that is killed (-9) at any point and made again ends in the same state, and no reader sees half of one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.storage.postgres.database import lock
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.storage.targets import (
    BOTH_TABLES,
    ONE,
    RUN,
    TWO,
    add_an_event,
    assert_equal_to_postgres,
    in_postgres,
    in_target,
    load_two_days,
    the_target,
)
from sessions_platform_tests.streams import PLAIN

__all__ = ["context", "open_context"]

pytestmark = pytest.mark.slow

POINTS = 9


def deliver_in_a_child(context: StreamContext, point: int) -> subprocess.CompletedProcess[str]:
    settings, targets = context.database._settings, context.stream.targets
    stated = {name: target.model_dump(mode="json") for name, target in targets.items()}
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


@pytest.mark.parametrize(("kind", "path"), [("duckdb", "out.duckdb"), ("parquet", "out"), ("delta", "out")])
def test_a_delivery_that_is_killed_at_any_point_and_made_again_ends_in_the_same_state(
    kind: str, path: str, open_context: Callable[..., StreamContext], tmp_path: Path
) -> None:
    loaded = load_two_days(open_context(targets={kind: {"path": str(tmp_path / path), "tables": BOTH_TABLES}}))
    counted = deliver_in_a_child(loaded, 0)
    assert counted.returncode == 0, counted.stderr
    points = int(counted.stdout)
    for number in range(POINTS):
        before = in_postgres(loaded).sort("session_id")
        for day in (ONE, TWO):
            add_an_event(loaded, day, f"{day}-{number}")
        after = in_postgres(loaded).sort("session_id")
        killed = deliver_in_a_child(loaded, 1 + number * (points - 2) // (POINTS - 1))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert_is_one_of(seen(loaded, kind, tmp_path / path).sort("session_id"), before, after)
        with loaded.database.transaction() as connection:  # the server has noticed the death
            lock(connection, f"sessions_platform/{loaded.stream.name}/deliver/{kind}")
        deliver(loaded, the_target(loaded), RUN)
        assert_equal_to_postgres(loaded)
        assert deliver(loaded, the_target(loaded), RUN, verify=True).applied == []


def seen(context: StreamContext, kind: str, path: Path) -> pl.DataFrame:
    """The sessions that a reader sees; of a folder of Parquet files, those that the manifest names."""
    target = the_target(context)
    if kind != "parquet":
        return in_target(target)
    manifest = path / "manifest.json"
    files = json.loads(manifest.read_text())["tables"]["sessions"]["partitions"].values() if manifest.exists() else []
    frames = [
        pl.read_parquet(path / file["path"], hive_partitioning=True, try_parse_hive_dates=False) for file in files
    ]
    columns = target.tables["sessions"]
    return pl.concat([pl.DataFrame(schema=columns), *(frame.select(*columns) for frame in frames)])


def assert_is_one_of(found: pl.DataFrame, *states: pl.DataFrame) -> None:
    """Both days as they were, or both as they are now."""
    assert any(found.equals(state) for state in states)
