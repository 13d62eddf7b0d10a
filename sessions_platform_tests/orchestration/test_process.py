"""Importing the platform changes nothing in the process; building the definitions applies its settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
_SET_BY_THE_PLATFORM = ("DAGSTER_EVENT_BATCH_SIZE", "_RJEM_MALLOC_CONF")

_IMPORT = """
import json, os, warnings
import dagster as dg
import pandera.polars, psycopg, polars
before = dict(os.environ)
import importlib, pkgutil, sessions_platform
names = [m.name for m in pkgutil.walk_packages(sessions_platform.__path__, "sessions_platform.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
after = dict(os.environ)
filters_after_import = [category for _, _, category, _, _ in warnings.filters if category is dg.BetaWarning]
from sessions_platform.orchestration.process import prepare_process
prepare_process()
prepare_process()
betas = [f for f in warnings.filters if f[2] is dg.BetaWarning]
print(json.dumps({
    "modules": len(names),
    "environment": sorted(set(after.items()) ^ set(before.items())),
    "beta_filters_after_import": len(filters_after_import),
    "beta_filters": len(betas),
    "batch": os.environ["DAGSTER_EVENT_BATCH_SIZE"],
}))
"""


@pytest.mark.slow
def test_importing_every_module_changes_neither_environment_nor_warnings() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _SET_BY_THE_PLATFORM}
    command = [sys.executable, "-c", _IMPORT]
    run = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["modules"] > 50
    assert result["environment"] == []
    assert result["beta_filters_after_import"] == 0
    assert result["beta_filters"] == 1, "set once, however often it is called"
    assert result["batch"] == "1000"
