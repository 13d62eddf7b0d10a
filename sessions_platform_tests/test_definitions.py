"""What loading the definitions costs a process of Dagster's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sessions_platform.settings import Settings

PROJECT = Path(__file__).parents[1]

# Measured in a process of its own, so that nothing else has been imported there.
_MEASURE = """
import gc, json
from sessions_platform.definitions import platform
first, again = platform(), platform()
gc.collect()
print(json.dumps({"once": first is again, "collects": gc.isenabled(), "tracked": len(gc.get_objects())}))
"""


@pytest.fixture(scope="module")
def measured(settings: Settings) -> dict[str, bool | int]:
    environment = {**os.environ, "SESSIONS_HOME": str(settings.home)}
    command = [sys.executable, "-c", _MEASURE]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_definitions_are_built_once_however_often_dagster_asks(measured: dict[str, bool | int]) -> None:
    assert measured["once"]


def test_the_garbage_collector_runs_and_skips_imported_objects(measured: dict[str, bool | int]) -> None:
    assert measured["collects"]
    assert measured["tracked"] < 1000
