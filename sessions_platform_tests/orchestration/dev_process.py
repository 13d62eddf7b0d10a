"""A real `sessions-platform dev`, started and ended as from a terminal, and asked by GraphQL."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import URLError

from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.storage.postgres.database import Database, lock
from sessions_platform_tests.orchestration.conftest import Home

STARTING_SECONDS = 240  # a busy machine is slow now and then
STOPPING_SECONDS = 60
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_TERMINATE = """mutation ($run: String!, $policy: TerminateRunPolicy) {
    terminateRun(runId: $run, terminatePolicy: $policy) { __typename } }"""
_RUN = """query ($run: ID!) { runOrError(runId: $run) { ... on Run { status tags { key value } } } }"""
_RUNS = """query { runsOrError { ... on Runs { results { runId status jobName } } } }"""
_EVENTS = """query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
    __typename ... on MessageEvent { message } } } } }"""


def eventually(condition: Callable[[], Any], what: str, seconds: float = 300) -> Any:
    """Wait until a condition of another process is true, and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} seconds: {what}")
        threading.Event().wait(0.1)
    return value


@dataclass
class Dev:
    """The UI, the daemon and the code server of one home."""

    url: str
    home: Home

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, job: str, partition: str, **tags: str) -> str:
        """Start a run, and return its id."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "sessions_platform.definitions",
            "jobName": f"{self.home.name}__{job}",
        }
        pairs = [{"key": key, "value": value} for key, value in {"dagster/partition": partition, **tags}.items()]
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": pairs}}
        answer = self.ask(_LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def terminate(self, run: str, policy: str = "SAFE_TERMINATE") -> str:
        return self.ask(_TERMINATE, run=run, policy=policy)["terminateRun"]["__typename"]

    def status(self, run: str) -> str:
        return self.ask(_RUN, run=run)["runOrError"]["status"]

    def tags(self, run: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.ask(_RUN, run=run)["runOrError"]["tags"]}

    def runs(self) -> dict[str, str]:
        """The status of every run there is."""
        return {run["runId"]: run["status"] for run in self.ask(_RUNS)["runsOrError"]["results"]}

    def messages(self, run: str) -> list[str]:
        return [event.get("message", "") for event in self.ask(_EVENTS, run=run)["logsForRun"]["events"]]

    def ended(self, run: str, seconds: float = 300) -> str:
        """The run's status, once it has ended."""
        eventually(lambda: self.status(run) in ENDED, f"run {run} has not ended", seconds)
        return self.status(run)

    def worker_exited(self, run: str) -> None:
        """Wait until the worker of a run has done the last that it does."""
        eventually(
            lambda: any(message.startswith("Process for run exited") for message in self.messages(run)),
            f"the worker of run {run} has not exited",
        )

    @cached_property
    def context(self) -> StreamContext:
        return open_contexts(self.home.settings, [self.home.name])[0]

    @property
    def database(self) -> Database:
        return self.context.database

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the stream's lock: whatever publishes or loads waits in the midst of its step."""
        with self.database.transaction() as connection:
            lock(connection, f"sessions_platform/{self.home.name}")
            yield

    def waiting(self) -> int:
        """How many server processes wait for the stream's lock."""
        sql = "select count(*) as waiting from pg_locks where locktype = 'advisory' and not granted"
        return self.database.query(sql)[0]["waiting"]

    def wait_for_waiting(self, count: int) -> None:
        eventually(lambda: self.waiting() == count, f"{count} are waiting for the stream's lock")

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command of the command line, in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "sessions_platform", *arguments],
            env=self.home.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )


@contextmanager
def served(home: Home, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Dev]:
    """A dev process that answers. At the end its process group is gone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sessions_platform", "dev", "--port", str(port)],
            env={**home.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    dev = Dev(f"http://127.0.0.1:{port}", home)
    try:
        eventually(lambda: _answers(dev, process, log), f"dev does not answer:\n{log}", STARTING_SECONDS)
        yield dev
    finally:
        end_as_ctrl_c(process)


def _answers(dev: Dev, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"dev ended with {process.returncode}:\n{log.read_text(errors='replace')[-3000:]}")
    with suppress(URLError, OSError):
        dev.runs()
        return True
    return False


def end_as_ctrl_c(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process as a terminal would; what is left of its process group after that is killed."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
