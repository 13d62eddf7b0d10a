"""A running deployment that is watched: two PostgreSQL, Redis, a daemon, `metrics`, `alerts`, Prometheus, and channels.

The warehouse and Dagster's storage have a server each, so that one can be away without the other. Not here: the trouble
(`test_watchtower.py`).
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType  # noqa: TID251  as Dagster's storage has them
from dagster._core.remote_origin import (  # noqa: TID251
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (  # noqa: TID251
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)

from sessions_platform.errors import RunFailedError
from sessions_platform.operations.alerts import Kind
from sessions_platform.operations.dashboards import files
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.orchestration.runs import runner
from sessions_platform.settings import Settings
from sessions_platform_tests.orchestration.conftest import PROJECT, Home
from sessions_platform_tests.orchestration.dev_process import eventually
from sessions_platform_tests.receiver import Receiver, receiver
from sessions_platform_tests.servers import redis_server
from sessions_platform_tests.servers.postgres import USER, PostgresServer, postgres
from sessions_platform_tests.servers.prometheus import Prometheus
from sessions_platform_tests.servers.running import Server, free_port, listens

METRICS = ["-m", "sessions_platform", "metrics", "--port"]
DAEMON = ["-m", "dagster._daemon", "run", "-m"]
LOCATION, DAY = "sessions_platform.definitions", "2026-01-01"
SECRET, SCRAPE_SECONDS, PATIENCE_SECONDS = redis_server.PASSWORD, 2, 300


@dataclass
class Watchtower:
    """The deployment's parts, what its channels have received, and everything that it has said."""

    home: Home
    warehouse: PostgresServer
    dagster: PostgresServer
    redis: Server
    daemon: Server
    metrics: Server
    prometheus: Prometheus
    channels: dict[str, Receiver]
    held_seconds: int = 0
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def look(self) -> None:
        """What cron calls each minute."""
        self.codes.append(self.command("alerts").returncode)
        for name, channel in self.channels.items():
            self.messages.setdefault(name, []).extend(channel.take())

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "sessions_platform", *words],
            cwd=PROJECT, env=self.home.environment, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        self.said += [done.stdout, done.stderr]
        return done

    def run(self, *jobs: str) -> None:
        """Run jobs of the stream; one that fails is what some trouble is about."""
        with runner(self.home.settings) as runs, suppress(RunFailedError):
            for job in jobs:
                runs.run(f"{self.home.name}__{job}", None if job.startswith("deliver") else (DAY, DAY))

    def until(self, kinds: set[str], rules: set[str]) -> None:
        """Look until just these alerts fire, of the platform in each channel, and of Prometheus."""
        expected = (dict.fromkeys(self.channels, kinds), rules)

        def as_expected() -> bool:
            self.look()
            return (self.firing(), self.prometheus.firing()) == expected

        try:
            eventually(as_expected, "these alerts", PATIENCE_SECONDS)
        except TimeoutError:
            assert (self.firing(), self.prometheus.firing()) == expected
        ends = time.monotonic() + self.held_seconds
        while time.monotonic() < ends:
            assert as_expected()
            time.sleep(SCRAPE_SECONDS)

    def firing(self) -> dict[str, set[str]]:
        """The kinds that each channel was told of, and not of their end."""
        return {name: {_kind(about) for about, count in self._open(name).items() if count} for name in self.channels}

    def told(self, channel: str) -> Counter[tuple[str, str]]:
        """How often a channel was told what, firing or recovered; every channel's messages have the title."""
        titles = [message["title"].removeprefix("[").partition("] ") for message in self.messages.get(channel, [])]
        return Counter((about, status) for status, _, about in titles)

    def _open(self, channel: str) -> Counter[str]:
        told = self.told(channel)
        return Counter({about: told[about, "firing"] - told[about, "recovered"] for about, _ in told})

    def set_back(self, moments: str) -> None:
        """Set moments back that the databases have, by an SQL statement, as if hours had passed."""
        server = self.warehouse if "sessions_platform." in moments else self.dagster
        with psycopg.connect(_url(server), autocommit=True) as connection:
            connection.execute(moments.encode())

    def until_ticked(self, status: str) -> None:
        """Wait until a sensor was evaluated with this outcome."""

        def has_ticked() -> bool:
            with psycopg.connect(_url(self.dagster)) as connection:
                return bool(connection.execute("select from job_ticks where status = %s", [status]).fetchall())

        eventually(has_ticked, f"a tick that is {status}", PATIENCE_SECONDS)

    def switch_on(self, sensor: str) -> None:
        """As a click in the UI does, for the daemon that runs."""
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")
        origin = RemoteInstigatorOrigin(repository, f"{self.home.name}__{sensor}")
        data = SensorInstigatorData(min_interval=5, last_sensor_start_timestamp=time.time())
        with dg.DagsterInstance.from_config(str(dagster_home(self.home.settings, os.environ))) as instance:
            instance.add_instigator_state(
                InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
            )

    def everything(self) -> str:
        """All that was logged, told and measured."""
        logs = [part.folder / "server.log" for part in (self.daemon, self.metrics)]
        logs += list((self.home.settings.home / "dagster").rglob("*.err"))
        measured = self.prometheus.history('{__name__=~"sessions_platform_.+"}')
        texts = [path.read_text(errors="replace") for path in logs]
        return "\n".join([*self.said, *texts, str(self.messages), str(measured), self.prometheus.everything()])


@contextmanager
def watchtower(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stream: dict[str, Any], held_seconds: int = 0
) -> Iterator[Watchtower]:
    """A deployment that answers, of one stream with a loaded day, each of whose states is held for so long."""
    with ExitStack() as parts:
        warehouse, storage = parts.enter_context(postgres()), parts.enter_context(postgres())
        redis = parts.enter_context(redis_server.redis_server())
        channels = {"hook": parts.enter_context(receiver()), "chat": parts.enter_context(receiver())}
        (folder / "streams").mkdir()
        variables = {
            "SESSIONS_HOME": str(folder / "home"),
            "SESSIONS_STREAMS": str(folder / "streams"),
            "SESSIONS_WAREHOUSE_URL": _database(warehouse),
            "DAGSTER_POSTGRES_URL": _database(storage),
            "REDIS_URL": redis.url,
            "SESSIONS_LOG": "json",
            "SESSIONS_ALERT_URL_HOOK": channels["hook"].url,
            "SESSIONS_ALERT_URL_CHAT": f"json://127.0.0.1:{channels['chat'].port}/hooks/T0K3N",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        home = Home(Settings.from_environment(), folder, "watched")
        home.write_stream(**stream)
        monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(home.settings, {})))
        port, rules = free_port(), quick_rules(home.settings, held_seconds // 3)
        tower = Watchtower(
            home, warehouse, storage, redis.server,
            daemon=_part(folder / "daemon", [*DAEMON, LOCATION, "--log-format", "json"], lambda: True),
            metrics=_part(folder / "metrics", [*METRICS, str(port)], lambda: listens(port)),
            prometheus=Prometheus(_made(folder / "prometheus"), port, rules, SCRAPE_SECONDS),
            channels=channels, held_seconds=held_seconds,
        )  # fmt: skip
        home.ingest(1, "a", ("ann", 0, "e1"), ("bob", 5, "e2"))
        tower.run("materialize_all", "deliver_redis")
        for part in (tower.metrics, tower.prometheus.server, tower.daemon):
            parts.enter_context(part)
        yield tower


def quick_rules(settings: Settings, seconds: int) -> dict[str, Any]:
    """The rules as the command writes them, but each fires as soon as it is true for so long."""
    rules = yaml.safe_load(files(settings.alerts)["rules.yml"])
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = f"{seconds}s"
    return rules


def _database(server: PostgresServer) -> str:
    """The URL of a new database, for the platform or for Dagster."""
    with server.connect() as connection:
        connection.execute("create database watched template template0 encoding 'UTF8'")
    return _url(server)


def _url(server: PostgresServer) -> str:
    return f"postgresql://{USER}:{SECRET}@127.0.0.1:{server.port}/watched"


def _kind(about: str) -> str:
    """Of the rest of a title: stream, kind and subject, of which the first and the last may be missing."""
    return next(kind for kind in Kind if kind in {part.replace(" ", "_") for part in about.split(": ")})


def _part(folder: Path, words: list[str], ready: Any) -> Server:
    return Server([sys.executable, *words], _made(folder), ready)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
