"""A stream of files, for runs through the real Dagster."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from sessions_platform.orchestration import resources
from sessions_platform.orchestration.build import build
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.settings import Settings
from sessions_platform_tests.streams import DAY_ONE, PLAIN

PROJECT = Path(__file__).parents[2]

_numbers = itertools.count()


@dataclass(frozen=True)
class Home:
    """A stream of a name of its own, with a folder of landing files for each day."""

    settings: Settings
    folder: Path
    name: str

    @property
    def environment(self) -> dict[str, str]:
        own = {"SESSIONS_HOME": str(self.settings.home), "SESSIONS_STREAMS": str(self.folder / "streams")}
        return {**os.environ, **own, "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}

    @property
    def definitions(self) -> dg.Definitions:
        """The platform as the streams' files describe it now; built once for each state of them."""
        files = sorted((self.folder / "streams").glob("*.yaml"))
        return _built(self.settings, tuple((file.name, file.read_text()) for file in files))

    @property
    def stream_context(self) -> StreamContext:
        return open_contexts(self.settings, [self.name])[0]

    def write_stream(self, **changes: Any) -> None:
        """Write the stream's file, with other top-level keys than the plain ones."""
        document = {**PLAIN, "name": self.name, "end": "2026-01-06", **changes}
        (self.folder / "streams" / "web.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        resources._contexts.cache_clear()

    def ingest(self, day: int, name: str, *rows: tuple[str, int, str]) -> None:
        """Write a landing file; a row is user, minute of that day, event id."""
        folder = self.folder / "streams" / "landing" / f"2026-01-{day:02}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            {
                "id": event,
                "user": user,
                "ts": (DAY_ONE + timedelta(days=day - 1, minutes=minute)).isoformat(),
                "type": "view",
                "url": None,
            }
            for user, minute, event in rows
        ]
        (folder / f"{name}.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def execute(self, job: str, first: str, last: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        definition = self.definitions.resolve_job_def(f"{self.name}__{job}")
        return definition.execute_in_process(instance=instance, tags=tags, raise_on_error=False)

    def shell(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the virtual environment from the project's root, as CI would."""
        program = [sys.executable, "-m", *command]
        return subprocess.run(
            program, cwd=PROJECT, env=self.environment, capture_output=True, text=True, check=False, timeout=240
        )

    def table(self, name: str = "sessions") -> list[dict[str, Any]]:
        return self.stream_context.database.query(f"select * from {self.name}.{name} order by 1")


@cache
def _built(settings: Settings, _stream_files: tuple[tuple[str, str], ...]) -> dg.Definitions:
    return build(settings)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory: one on disk takes seconds to migrate its databases."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def home(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    streams = tmp_path / "streams"
    streams.mkdir()
    name = f"store{next(_numbers)}"
    monkeypatch.setenv("SESSIONS_HOME", str(settings.home))
    monkeypatch.setenv("SESSIONS_STREAMS", str(streams))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home = Home(Settings.from_environment(), tmp_path, name)
    home.write_stream()
    return home
