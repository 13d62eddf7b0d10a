"""What a process that loads the definitions imports: Dagster starts several, which all hold it in memory."""

import subprocess
import sys
from pathlib import Path

import pytest

_AFTER_LOADING = """
import sys
from sessions_platform.settings import Settings
from sessions_platform.orchestration.build import build
build(Settings.from_environment({"SESSIONS_HOME": sys.argv[1]})).get_repository_def()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
# What explains a broken contract, what draws, and what reads and writes frames of assets that are not the platform's.
NOT_FOR_ALL = {"pandera", "pandas", "vl_convert", "jinja2", "dagster_polars", "alembic", "pyarrow"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    command = [sys.executable, "-W", "ignore", "-c", _AFTER_LOADING, str(tmp_path_factory.mktemp("home"))]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return set(loaded.stdout.split())


def test_loading_the_definitions_imports_nothing_that_few_runs_need(imported: set[str]) -> None:
    assert {"dagster", "polars", "psycopg"} <= imported
    assert NOT_FOR_ALL & imported == set()
