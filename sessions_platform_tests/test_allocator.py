"""Entry points set the options of polars' allocator; an import alone does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sessions_platform.allocator import VARIABLE

PROJECT = Path(__file__).parents[1]

IMPORT = """
import os
before = dict(os.environ)
import sessions_platform
import sessions_platform.cli, sessions_platform.definitions, sessions_platform.settings
print(dict(os.environ) == before)
"""
STATISTICS = f'import os; os.environ["{VARIABLE}"] += ",stats_print:true"; import polars; polars.Series([1]).sum()'


def run(script: str, **environment: str) -> str:
    """The output of a process whose environment has none of the allocator's options but those given."""
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=PROJECT, env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_an_import_alone_leaves_the_environment_as_it_is() -> None:
    assert run(IMPORT) == "True\n"


def options_in_effect(output: str) -> dict[str, str]:
    return dict(re.findall(r"opt\.(narenas|dirty_decay_ms|muzzy_decay_ms): (\d+)", output))


def test_the_options_reach_the_allocator() -> None:
    script = f"from sessions_platform.allocator import configure_allocator; configure_allocator(); {STATISTICS}"
    expected = {"narenas": "2", "dirty_decay_ms": "2000", "muzzy_decay_ms": "0"}
    assert options_in_effect(run(script)) == expected


@pytest.mark.parametrize(
    "entry_point",
    [
        "from sessions_platform.definitions import platform; polars(); platform()",
        "from sessions_platform.cli import main; polars(); sys.argv = ['sessions-platform', '--help']; main()",
    ],
    ids=["definitions", "command line"],
)
def test_an_entry_point_sets_them_before_polars_is_imported(entry_point: str, tmp_path: Path) -> None:
    script = f"""
import atexit, os, sys
def polars(): assert "polars" not in sys.modules
atexit.register(lambda: print(os.environ.get("{VARIABLE}")))
{entry_point}
"""
    assert "narenas:2," in run(script, SESSIONS_HOME=str(tmp_path))


def test_the_users_own_options_stay() -> None:
    script = f"from sessions_platform.allocator import configure_allocator; configure_allocator(); {STATISTICS}"
    assert options_in_effect(run(script, **{VARIABLE: "narenas:3"}))["narenas"] == "3"
