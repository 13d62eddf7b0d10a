"""A `dev` of several streams: its code location, sensors, ticks and assets, asked and told by GraphQL as its UI does.

Not here: starting and ending it, and single runs of one stream (`dev_process.py`).
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError

from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev_process import Dev, served

T = TypeVar("T")

LOCATION = "sessions_platform.definitions"
# A quiet machine starts in ten seconds, and ticks each thirty; a busy one takes its time.
PATIENCE_SECONDS = 400

_REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
_ERROR = "... on PythonError { message }"
_TICKS = f"""query ($selector: SensorSelector!) {{ sensorOrError(sensorSelector: $selector) {{ __typename {_ERROR}
  ... on Sensor {{ sensorState {{ ticks(limit: 100) {{
    tickId status skipReason timestamp error {{ message causes {{ message }} }} }} }} }} }} }}"""
_START = f"mutation ($selector: SensorSelector!) {{ startSensor(sensorSelector: $selector) {{ __typename {_ERROR} }} }}"
_RELOAD = f"""mutation ($name: String!) {{ reloadRepositoryLocation(repositoryLocationName: $name) {{
  __typename {_ERROR} }} }}"""
_RUNS = """query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
  runId status tags { key value } } } } }"""
_ASSETS = "{ assetNodes { assetKey { path } description } }"
_EVENTS = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { status eventConnection { events { __typename
  ... on ExecutionStepFailureEvent { error { message causes { message } }
    failureMetadata { description } }
  ... on RunFailureEvent { message error { message causes { message } } }
  ... on EngineEvent { message error { message causes { message } } } } } } } }"""
_LAUNCH = f"""mutation ($params: ExecutionParams!) {{ launchPipelineExecution(executionParams: $params) {{
  __typename {_ERROR} ... on LaunchRunSuccess {{ run {{ runId }} }} }} }}"""


class WatchedDev:
    """A `dev` whose code location is reloaded, and whose ticks and runs are waited for."""

    def __init__(self, dev: Dev, log: Path) -> None:
        self.ask, self._log = dev.ask, log

    def until(self, what: str, read: Callable[[], T | None]) -> T:
        """What `read` gives, as soon as it gives anything; nothing else tells when a daemon has done something."""
        deadline, never = time.monotonic() + PATIENCE_SECONDS, threading.Event()
        while True:
            with suppress(URLError, ConnectionError, TimeoutError):
                if found := read():
                    return found
            assert time.monotonic() < deadline, f"never came: {what}\n{self.log}"
            never.wait(1)

    @property
    def log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])

    def reload(self) -> None:
        answer = self.ask(_RELOAD, name=LOCATION)["reloadRepositoryLocation"]
        assert answer["__typename"] == "WorkspaceLocationEntry", answer

    def start_sensor(self, name: str) -> None:
        answer = self.ask(_START, selector={**_REPOSITORY, "sensorName": name})["startSensor"]
        assert answer["__typename"] == "Sensor", answer

    def ticks(self, sensor: str) -> list[dict[str, Any]]:
        """The finished ticks of a sensor, the newest first."""
        found = self.ask(_TICKS, selector={**_REPOSITORY, "sensorName": sensor})["sensorOrError"]
        assert found["__typename"] == "Sensor", found
        return [tick for tick in found["sensorState"]["ticks"] if tick["status"] != "STARTED"]

    def next_ticks(self, sensor: str, count: int = 1) -> list[dict[str, Any]]:
        """As many ticks that begin from now on."""
        known = {tick["tickId"] for tick in self.ticks(sensor)}
        now = time.time()

        def new() -> list[dict[str, Any]] | None:
            ticks = [t for t in self.ticks(sensor) if t["tickId"] not in known and t["timestamp"] >= now]
            return ticks if len(ticks) >= count else None

        return self.until(f"{count} ticks of {sensor}", new)

    def tick_that_says(self, sensor: str, text: str) -> dict[str, Any]:
        """The newest tick whose skip reason or error contains a text."""
        return self.until(
            f"{sensor}: {text}", lambda: next((tick for tick in self.ticks(sensor) if text in said_by(tick)), None)
        )

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """Runs with these tags (`__` stands for `/`), the newest first."""
        wanted = [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]
        return self.ask(_RUNS, filter={"tags": wanted})["runsOrError"]["results"]

    def ended_runs(self, count: int, **tags: str) -> list[dict[str, Any]]:
        """The runs with these tags, once there are as many and all have ended."""

        def ended() -> list[dict[str, Any]] | None:
            runs = self.runs(**tags)
            return runs if len(runs) >= count and all(r["status"] in {"SUCCESS", "FAILURE"} for r in runs) else None

        return self.until(f"{count} runs of {tags}", ended)

    def assets(self) -> dict[tuple[str, ...], str]:
        """The description of each asset."""
        return {tuple(node["assetKey"]["path"]): node["description"] for node in self.ask(_ASSETS)["assetNodes"]}

    def materialize(self, *key: str) -> str:
        """Launch a run of one asset as the UI's button does; its id."""
        selector = {**_REPOSITORY, "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": list(key)}]}
        answer = self.ask(_LAUNCH, params={"selector": selector, "mode": "default"})["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def end_of(self, run_id: str) -> tuple[str, str]:
        """How a run ended, and all that its events say of failures."""

        def ended() -> tuple[str, str] | None:
            run = self.ask(_EVENTS, id=run_id)["runOrError"]
            is_over = run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}
            return (run["status"], json.dumps(run["eventConnection"]["events"])) if is_over else None

        return self.until(f"the end of {run_id}", ended)


def said_by(tick: Mapping[str, Any]) -> str:
    """What a tick says: why it requests nothing, or its error with the causes."""
    error = tick["error"] or {"message": "", "causes": []}
    return "\n".join([tick["skipReason"] or "", error["message"], *(cause["message"] for cause in error["causes"])])


@contextmanager
def watched_dev(home: Home, log: Path, environment: Mapping[str, str]) -> Iterator[WatchedDev]:
    """A `dev` that answers. At the end its processes are gone."""
    with served(home, log, environment) as dev:
        yield WatchedDev(dev, log)
