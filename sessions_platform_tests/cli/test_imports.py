"""What a command imports: what it needs, and nothing else.

A module that is expensive to import is felt at each command, so the modules that a command must do without are named
here. They are looked for when the real command has ended, in a process of its own; times are the benchmarks' matter.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.migrations import ensure_current

_AFTER = """
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules), file=open({file!r}, "w")))
sys.argv = ["sessions-platform", *{arguments!r}]
from sessions_platform.cli import main
import os
os.execvpe = lambda *_: sys.exit()  # another program would take the place of this one, and end without telling
main()
"""

# What brings hundreds of modules, or takes more than a few hundredths of a second.
LARGE = {
    *("altair", "dagster", "numpy", "pandas", "pandera", "polars", "pyarrow", "pydantic", "rich", "typer", "yaml"),
    *("alembic", "psycopg", "sqlalchemy"),
}


def imported(folder: Path, *arguments: str, **variables: str) -> Collection[str]:
    """The packages that were imported when a command ended."""
    return {name.partition(".")[0] for name in imported_modules(folder, *arguments, **variables)}


def imported_modules(folder: Path, *arguments: str, **variables: str) -> Collection[str]:
    """The modules that were imported when a command ended."""
    file = folder / "imported"
    subprocess.run(
        [sys.executable, "-c", _AFTER.format(file=str(file), arguments=arguments)],
        env={**os.environ, "SESSIONS_HOME": str(folder), **variables},
        capture_output=True,
        check=False,
    )
    return file.read_text().split()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["statsu"]], ids=" ".join)
def test_what_needs_no_command_imports_click_alone(arguments: list[str], tmp_path: Path) -> None:
    packages = imported(tmp_path, *arguments)
    assert "click" in packages
    assert LARGE.intersection(packages) == set()


def test_a_shell_that_completes_imports_typer_beside(tmp_path: Path) -> None:
    asked = {
        "_SESSIONS_PLATFORM_COMPLETE": "bash_complete",
        "COMP_WORDS": "sessions-platform status ",
        "COMP_CWORD": "2",
    }
    assert LARGE.intersection(imported(tmp_path, **asked)) == {"typer"}


@pytest.mark.parametrize("arguments", [["status", "--help"], ["rejected", "--help"], ["ingest"]], ids=" ".join)
def test_the_help_of_a_command_imports_typer_beside(arguments: list[str], tmp_path: Path) -> None:
    assert LARGE.intersection(imported(tmp_path, *arguments)) == {"typer"}


@pytest.mark.parametrize("arguments", [["status"], ["rejected", "list"]], ids=" ".join)
def test_what_only_shows_imports_nothing_that_reads_files_or_runs(
    arguments: list[str], settings: Settings, database: Database
) -> None:
    with database.transaction() as connection:
        ensure_current(connection)  # else the command does it, by alembic
    packages = imported(settings.home, *arguments)
    assert LARGE.intersection(packages) == {"typer", "pydantic", "psycopg", "yaml"}


def test_checking_streams_needs_neither_a_database_nor_polars(tmp_path: Path) -> None:
    packages = imported(tmp_path, "check")
    assert LARGE.intersection(packages) == {"typer", "pydantic", "yaml"}


def test_a_stream_costs_the_models_of_its_own_source_alone(tmp_path: Path) -> None:
    modules = {name.rpartition(".")[2] for name in imported_modules(tmp_path, "check")}
    assert "sources" in modules
    assert {"http_source", "postgres_source"}.isdisjoint(modules)


def test_dev_starts_dagster_without_importing_it_first(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        imported(tmp_path, "dev", "--port", port)
        assert not (tmp_path / "dagster").exists()  # Dagster would find out that the port is used once it has started
    packages = imported(tmp_path, "dev", "--port", port)
    assert (tmp_path / "dagster" / "dagster.yaml").exists()
    assert {"dagster", "pandera", "pandas", "polars", "pyarrow", "psycopg"}.intersection(packages) == set()


def test_dagsters_webserver_and_daemon_import_no_second_driver_of_postgresql() -> None:
    code = "import sys, sessions_platform.orchestration.instance_storage; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "dagster_postgres" in done.stdout.split()
    assert {"psycopg", "polars", "numpy"}.intersection(done.stdout.split()) == set()
