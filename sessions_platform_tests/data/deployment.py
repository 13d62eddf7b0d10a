"""A deployment of the platform for recorded data: one home, and a stream of its own for each case."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessions_platform.orchestration.commands import ingest_files
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.settings import Settings

STREAMS = Path(__file__).parent / "streams"
UNSET = ("SESSIONS_LAKE", "SESSIONS_WAREHOUSE_URL", "DAGSTER_POSTGRES_URL", "DAGSTER_HOME")


@dataclass(frozen=True)
class Deployed:
    """A copy of one of the tests' streams, under another name and alone in its streams folder."""

    home: Path
    name: str

    @classmethod
    def copy(cls, home: Path, template: str, name: str, without: Sequence[str] = (), **session: Any) -> "Deployed":
        """The stream's file, with what the case changes in its session, and without some of its columns."""
        raw = yaml.safe_load((STREAMS / f"{template}.yaml").read_text())
        raw["name"] = name
        raw["source"]["files"] = raw["source"]["files"].replace(f"/{template}/", f"/{name}/")
        raw["session"] |= session
        for column in without:
            del raw["columns"][column]
        copied = cls(home, name)
        copied._folder.mkdir(parents=True)
        # Not sorted: enrichments apply in their order.
        (copied._folder / f"{name}.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        return copied

    def ingest(self, *files: Path) -> dict[str, Any]:
        """What `sessions-platform ingest` prints."""
        with self._environment() as settings:
            return ingest_files(settings, self.name, files, None)

    def query(self, sql: str) -> list[dict[str, Any]]:
        return self.context.database.query(sql.format(schema=self.name))

    @cached_property
    def context(self) -> StreamContext:
        with self._environment() as settings:
            (context,) = open_contexts(settings, [self.name])
        return context

    @property
    def _folder(self) -> Path:
        return self.home / "streams" / self.name

    @contextmanager
    def _environment(self) -> Iterator[Settings]:
        with pytest.MonkeyPatch.context() as patch:
            for name in UNSET:
                patch.delenv(name, raising=False)
            patch.setenv("SESSIONS_HOME", str(self.home))
            patch.setenv("SESSIONS_STREAMS", str(self._folder))
            yield Settings.from_environment()
