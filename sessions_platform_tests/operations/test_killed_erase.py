"""An erasure that is killed (-9) at many points and repeated ends in the same state."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sessions_platform.operations.erase import erase
from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.postgres.database import lock
from sessions_platform_tests.operations.erasure import (
    ALL,
    ANN,
    NO_IDS,
    contents,
    holding,
    in_tables,
    lake_of,
    open_landed,
    without_ann,
)
from sessions_platform_tests.pipeline.steps import run_pending
from sessions_platform_tests.streams import PLAIN

__all__ = ["open_landed"]

POINTS = 12


def erase_in_a_child(context: StreamContext, folder: Path, point: int) -> subprocess.CompletedProcess[str]:
    settings = context.database._settings
    keys = {**PLAIN, "source": {"files": "{partition:%Y-%m-%d}/**/*", "format": "ndjson", **ALL}, "columns": NO_IDS}
    variables = {"STREAM_KEYS": json.dumps(keys), "SESSIONS_HOME": str(settings.home)}
    command = [sys.executable, "-m", "sessions_platform_tests.operations.killed_erase", context.stream.name]
    return subprocess.run(
        [*command, str(folder), ANN, str(point)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **variables, "SESSIONS_LAKE": str(settings.lake), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_an_erasure_that_is_killed_at_any_point_and_repeated_ends_in_the_same_state(
    open_landed: Callable[..., StreamContext], tmp_path: Path
) -> None:
    whole = open_landed("whole", columns=NO_IDS)
    counted = erase_in_a_child(whole, tmp_path / "whole", 0)
    assert counted.returncode == 0, counted.stderr
    points = int(counted.stdout) - 10  # not each run has just as many
    landed = {file.name: file.read_bytes() for file in (tmp_path / "whole").rglob("*") if file.is_file()}
    for number in range(POINTS):
        name = f"killed{number}"
        context = open_landed(name, columns=NO_IDS)
        should = without_ann(contents(context))
        killed = erase_in_a_child(context, tmp_path / name, 1 + number * (points - 1) // (POINTS - 1))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with context.database.transaction() as connection:
            lock(connection, f"sessions_platform/{context.stream.name}/rebuild")  # the server has noticed the death
        if number % 2:
            run_pending(context)  # a run comes between
        receipt = erase(context, [ANN])
        assert contents(context) == should, number
        assert receipt["erased_raw_rows"] == {"owner": 18, "text": 3, "mention": 3} or number == POINTS - 1
        assert holding(tmp_path / name) == holding(lake_of(context)) == in_tables(context) == []
        files = [file for file in (tmp_path / name).rglob("*") if file.is_file()]
        assert {file.name: file.read_bytes() for file in files} == landed
        assert status(context)["pending"] == {"landing": [], "session": []}
