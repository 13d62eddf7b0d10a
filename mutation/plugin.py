"""A pytest plugin for `record` and `trial`: no shrinking, and a record of the lines that each test executes.

What a shared fixture executes is recorded under the fixture's name, and each test has the names of its fixtures.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import pytest

FOLDER = "MUTATION_RECORD"
CONTEXT = "MUTATION_CONTEXT"


def pytest_configure(config: pytest.Config) -> None:
    """Turn off what a mutant does not need: shrinking, stored examples and random seeds."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutation", hypothesis.settings(), phases=phases, database=None)
    hypothesis.settings.load_profile("mutation")
    secrets.randbits = lambda _: 1  # where tests draw their seeds
    if FOLDER in os.environ and hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(Path(os.environ[FOLDER])))


class Recorder:
    """Records the lines of tests in a worker of pytest-xdist, and in the processes that the tests start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = (folder / f"tests.{os.getpid()}").open("a")
        self.failed = False
        rc = folder / "coveragerc"
        rc.write_text(
            f"[run]\nsource = {Path.cwd() / 'sessions_platform'}\ndata_file = {folder}/.coverage\n"
            f"parallel = true\nsigterm = true\ncontext = ${{{CONTEXT}-}}\n"
        )
        self.coverage = coverage.Coverage(config_file=str(rc))
        self.coverage.start()
        os.environ["COVERAGE_PROCESS_START"] = str(rc)

    def _switch(self, context: str) -> None:
        os.environ[CONTEXT] = context
        self.coverage.switch_context(context)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.failed = False
        self._switch(item.nodeid)
        began = time.monotonic()
        result = yield
        took = time.monotonic() - began
        shared = [key for fixtures in _fixtures(item).values() if (key := _key(fixtures[-1]))]
        note = {"id": item.nodeid, "seconds": took, "fixtures": shared, "failed": self.failed}
        self.notes.write(json.dumps(note) + "\n")
        self.notes.flush()
        self._switch("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[object]:
        before = os.environ.get(CONTEXT, "")
        if key := _key(fixturedef):
            self._switch(key)
        try:
            return (yield)
        finally:
            self._switch(before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or not report.passed

    def pytest_unconfigure(self) -> None:
        self.coverage.stop()
        self.coverage.save()
        self.notes.close()


def _fixtures(item: pytest.Item) -> dict[str, list[pytest.FixtureDef[Any]]]:
    info = getattr(item, "_fixtureinfo", None)
    return {name: list(fixtures) for name, fixtures in info.name2fixturedefs.items() if fixtures} if info else {}


def _key(fixture: pytest.FixtureDef[Any]) -> str | None:
    return f"fixture {fixture.baseid}:{fixture.argname}" if fixture.scope != "function" else None
