"""A dbt project is built on the sources that the platform writes, by dbt-postgres and by dbt-duckdb.

dbt is in an environment of its own: its dependencies are none of the platform's. Not here: that descriptions and types
are those of the tables (`operations/test_dbt.py`).
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest
import yaml
from click.testing import CliRunner
from psycopg.sql import SQL, Identifier

from sessions_platform.cli import app
from sessions_platform.demo.events import land_week
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.settings import DEMO_STREAMS, Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.registry import open_target
from sessions_platform_tests.pipeline.steps import run_pending
from sessions_platform_tests.servers.installs import environment
from sessions_platform_tests.test_docs import PROJECT

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("dbt")]

HERE = Path(__file__).parent
PACKAGES = ("dbt-core==1.12.6", "dbt-postgres==1.11.0", "dbt-duckdb==1.11.1", "dagster-dbt==0.29.27")
# The parser of dbt 2, of which version 1 uses nothing unless it is asked to; its build fetches it from elsewhere.
WITHOUT = ("dbt-core-experimental-parser",)
NAME, READER = "dbt_shop", "dbt_reader"
ODD = "it's {{ odd }} {% if"


class Dbt:
    """dbt in a process of its own, which is asked one command after the other."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [python, HERE / "run_dbt.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "PYTHONPATH": ""},
        )

    def __call__(self, *command: str, target: str) -> dict[str, Any]:
        adapter, source = ("pg", NAME) if target == "pg" else ("duck", f"{NAME}_duckdb")
        project = ["--project-dir", str(self.folder / adapter), "--profiles-dir", str(self.folder), "--target", target]
        assert self._process.stdin
        assert self._process.stdout
        line = json.dumps([*command, *project, "--vars", json.dumps({"source": source})])
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        for said in self._process.stdout:
            if said.startswith("RESULT "):
                return json.loads(said.removeprefix("RESULT "))
        raise AssertionError("dbt has ended")

    def close(self) -> None:
        self._process.communicate()


@dataclass(frozen=True)
class Shop:
    """The demo's stream, loaded and delivered, and a role that reads it and may make tables in a schema of its own."""

    context: StreamContext
    streams: Path
    duckdb: Path
    home: Path


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("-e", f"{PROJECT}[duckdb]", *PACKAGES, without=WITHOUT) / "bin" / "python"


@pytest.fixture(scope="module")
def shop(settings: Settings, administrator: Database, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("dbt_shop")
    land_week(folder / "landing", 4_000)
    demo = yaml.safe_load((DEMO_STREAMS / "web_shop.yaml").read_text())
    demo |= {"name": NAME, "description": f"A shop, {ODD}", "user_sessions": {"touch": "device"}}
    demo["source"] |= {"files": "landing/{partition:%Y-%m-%d}/*.ndjson.gz", "fresh_within": "1d"}
    demo["columns"]["device"]["isin"].append(ODD)
    demo["columns"]["browser"] = {"from": "anonymous_id", "nullable": True}
    demo["identity"] = {"anonymous_id": "browser", "user_id": "user_id"}
    demo["session"]["columns"]["device"] = {"last": "device"}
    demo["targets"] = {"duckdb": {"path": "out.duckdb", "tables": ["sessions", "sessionized_events"]}}
    (folder / "shop.yaml").write_text(yaml.safe_dump(demo, sort_keys=False))
    (context,) = open_contexts(replace(settings, streams=(folder,)), [NAME])
    run_pending(context)
    deliver(context, open_target(context.stream, "duckdb"), "a-run")
    with administrator.transaction() as connection:
        connection.execute(SQL("create role {} login in role sessions_reader").format(Identifier(READER)))
        connection.execute(SQL("create schema analytics authorization {}").format(Identifier(READER)))
    return Shop(context, folder, folder / "out.duckdb", settings.home)


@pytest.fixture(scope="module")
def dbt(shop: Shop, settings: Settings, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dbt]:
    """A project for each adapter, whose sources the command has written; the profile `wrong` has another file."""
    folder = tmp_path_factory.mktemp("dbt")
    url = urlsplit(embedded.attach(settings.home).url())
    login = {"host": parse_qs(url.query)["host"][0], "port": url.port or 5432, "user": READER, "password": "none"}
    own = {"type": "duckdb", "path": str(folder / "own.duckdb"), "threads": 2}
    attached = {"path": str(shop.duckdb), "alias": f"{NAME}_duckdb", "read_only": True}
    outputs = {
        "pg": {"type": "postgres", **login, "dbname": url.path[1:], "schema": "analytics", "threads": 2},
        "duck": {**own, "attach": [attached]},
        "wrong": {**own, "attach": [{**attached, "path": f"{shop.duckdb}.wrong"}]},
    }
    (folder / "profiles.yml").write_text(yaml.safe_dump({"analytics": {"target": "pg", "outputs": outputs}}))
    for target, options in (("pg", ["--key-prefix", "lake"]), ("duck", ["--target", "duckdb"])):
        shutil.copytree(HERE / "dbt_project", folder / target)
        write_sources(shop, folder / target, *options)
    running = Dbt(python, folder)
    yield running
    running.close()


def write_sources(shop: Shop, project: Path, *options: str) -> None:
    variables = {"SESSIONS_STREAMS": str(shop.streams), "SESSIONS_HOME": str(shop.home)}
    command = ["dbt", NAME, str(project / "models" / "shop.yml"), *options]
    done = CliRunner(env=variables).invoke(app, command)
    assert (done.exit_code, done.output) == (0, f"{project / 'models' / 'shop.yml'}\n")


def sources(dbt: Dbt, target: str) -> dict[str, Any]:
    (source,) = yaml.safe_load((dbt.folder / target / "models" / "shop.yml").read_text())["sources"]
    return source


def stated_tests(dbt: Dbt, target: str) -> int:
    tables = sources(dbt, target)["tables"]
    return sum(len(column.get("data_tests", ())) for table in tables for column in table["columns"])


def failed(result: dict[str, Any]) -> list[str]:
    return sorted(name for name, status in result["nodes"].items() if status not in ("pass", "success"))


@pytest.mark.parametrize(("target", "models"), [("pg", 2), ("duck", 1)])
def test_a_project_is_built_on_the_sources_and_every_test_of_them_passes(dbt: Dbt, target: str, models: int) -> None:
    built = dbt("build", target=target)
    assert (built["error"], failed(built), built["deprecated"]) == ("", [], [])
    own_tests = 3  # two of the model daily_sessions, and one in tests/
    assert len(built["nodes"]) == stated_tests(dbt, target) + models + own_tests
    manifest = json.loads((dbt.folder / target / "target" / "manifest.json").read_text())
    described = next(each for each in manifest["sources"].values() if each["name"] == "sessions")
    assert described["source_description"].startswith(f"A shop, {ODD}")


@pytest.mark.parametrize("target", ["pg", "duck"])
def test_freshness_is_the_age_of_the_newest_event_within_the_streams_limit(dbt: Dbt, shop: Shop, target: str) -> None:
    (newest,) = shop.context.database.query(f"select max(session_end) as time from {NAME}.sessions")
    result = dbt("source", "freshness", target=target)
    assert set(result["nodes"].values()) == {"warn"}
    assert result["newest"]["sessions"].startswith(newest["time"].isoformat(" ")[:19])
    file = dbt.folder / target / "models" / "shop.yml"
    text = file.read_text()
    file.write_text(text.replace("count: 1\n", "count: 99999\n"))
    assert set(dbt("source", "freshness", target=target)["nodes"].values()) == {"pass"}
    file.write_text(text)


def test_a_wrong_row_in_postgresql_turns_its_tests_red(dbt: Dbt, administrator: Database) -> None:
    one = f"select min(session_id) from {NAME}.sessions"
    wrong = "primary_action = 'stolen', user_id = null, session_end = session_start - interval '1 second'"
    with administrator.transaction() as connection:
        connection.execute(f"update {NAME}.sessions set {wrong} where session_id = ({one})".encode())
    red = failed(dbt("test", target="pg"))
    assert [name for name in red if "accepted_values" in name and "primary_action" in name]
    assert f"source_not_null_{NAME}_sessions_user_id" in red
    assert "sessions_end_after_they_start" in red


def test_a_row_that_is_twice_in_the_duckdb_file_turns_its_test_red(dbt: Dbt, shop: Shop) -> None:
    wrong = shutil.copyfile(shop.duckdb, f"{shop.duckdb}.wrong")
    with duckdb.connect(wrong) as connection:
        connection.execute("insert into sessions select * from sessions limit 1")
        connection.execute("update sessionized_events set session_id = 'none' where position = 1")
    red = failed(dbt("test", target="wrong"))
    assert f"source_unique_{NAME}_duckdb_sessions_session_id" in red
    assert [name for name in red if "relationships" in name]


def test_models_are_downstream_of_the_sessions_of_the_stream_in_dagster(dbt: Dbt, shop: Shop, python: Path) -> None:
    dbt("parse", target="pg")
    path = f"{python.parent}:{os.environ['PATH']}"
    variables = {"SESSIONS_HOME": str(shop.home), "PATH": path, "PYTHONPATH": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [python, HERE / "project_with_dbt.py", shop.streams, dbt.folder / "pg" / "target" / "manifest.json"],
        env={**os.environ, **variables, "DAGSTER_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(done.stdout.splitlines()[-1])
    upstream = document["upstream"]
    assert upstream["daily_sessions"] == upstream["open_sessions"] == [f"lake/{NAME}/sessions"]
    assert upstream[f"lake/{NAME}/sessions"] == [f"lake/{NAME}/sessionized_events"]
    assert {"daily_sessions", f"lake/{NAME}/sessions"} <= set(document["made"])
