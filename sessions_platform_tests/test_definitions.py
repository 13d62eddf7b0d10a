"""What a process of Dagster's pays for the platform before it runs anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sessions_platform.settings import Settings

PROJECT = Path(__file__).parents[1]

# What stood in the process before is no part of the question, so it is asked in one of its own.
_ASKED = """
import gc, json
from sessions_platform.definitions import platform
first, again = platform(), platform()
gc.collect()
print(json.dumps({"once": first is again, "collects": gc.isenabled(), "looked_through": len(gc.get_objects())}))
"""


@pytest.fixture(scope="module")
def told(settings: Settings) -> dict[str, bool | int]:
    environment = {**os.environ, "SESSIONS_HOME": str(settings.home)}
    asked = [sys.executable, "-c", _ASKED]
    done = subprocess.run(asked, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_definitions_are_built_once_however_often_dagster_asks(told: dict[str, bool | int]) -> None:
    assert told["once"]


def test_the_garbage_collector_runs_and_skips_imported_objects(told: dict[str, bool | int]) -> None:
    assert told["collects"]
    assert told["looked_through"] < 1000
