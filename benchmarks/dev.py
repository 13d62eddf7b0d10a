"""What `dev` adds to a bare `dagster dev` of one asset: until the UI answers, and memory; and how soon a file is in.

The UI answers once it knows the assets of its code location. Memory is that of all processes, shared pages counted
once (PSS), some seconds later. Ours stores in PostgreSQL, which runs already and counts on neither side; the bare one
has SQLite, as by default.
"""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from benchmarks.bench import Bench, in_turn
from benchmarks.data import DAY_ONE, TYPES, days
from benchmarks.end_to_end import Home
from benchmarks.measure import PROJECT, Failed, Run
from benchmarks.results import Comparison, Figure, Result
from benchmarks.server import Server, running

_STARTING_SECONDS = 300
_SETTLING_SECONDS = 20  # the daemon's threads and the first ticks of sensors have begun by then
_ARRIVING_SECONDS = 300
_ASSETS = "{ assetNodes { id } }"
_START_SENSOR = "mutation ($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename } }"
_SENSORS = ("shop__new_files", "shop__stale_sessions")
_LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "sessions_platform.definitions"}
_TICKS = os.sysconf("SC_CLK_TCK")


def run(bench: Bench) -> Iterator[Result]:
    with running() as server, bench.folder() as folder:
        home = Home(folder, server)
        home.make_dagster_home()
        home.write_stream("shop", {})
        bare = folder / "bare"
        bare.mkdir()
        ours = [sys.executable, "-m", "sessions_platform", "dev", "--port"]
        peer = [sys.executable, "-m", "dagster", "dev", "-m", "benchmarks.one_asset", "-h", "127.0.0.1", "-p"]
        programs = {
            "ours": lambda: (_started(ours, home.environment), {}),
            "bare": lambda: (_started(peer, bare_environment(bare)), {}),
        }
        taken = in_turn(bench, programs, lambda *_: None)
        about = "`dev` until the UI answers, and the memory of its processes, against a bare `dagster dev` of one asset"
        yield Comparison("dev/start", about, 0, taken["ours"], taken["bare"])
        about = "seconds from a dropped file to its session in the table, while `dev` runs"
        yield Figure("dev/file to session", about, 10, list(_arrivals(bench, home, ours)), "s")


def bare_environment(home: Path) -> dict[str, str]:
    """That of a Dagster home without configuration."""
    own = {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **own}


def ten_lines(file: Path) -> None:
    """Write ten events that no other file has, of two users who are new, too."""
    batch = f"{time.time_ns()}"
    events = [
        {
            "event_id": f"{batch}-{number}",
            "user_id": f"{batch}-{number % 2}",
            "event_timestamp": f"{DAY_ONE:%Y-%m-%d}T12:0{number}:00Z",
            "event_type": TYPES[0],
            "page_url": "/",
            "device": "desktop",
        }
        for number in range(10)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_bytes(gzip.compress("".join(json.dumps(event) + "\n" for event in events).encode()))
    draft.rename(file)


def _started(command: list[str], environment: Mapping[str, str]) -> Run:
    """Seconds until it answers; then the CPU and the memory of all of its processes once it has settled."""
    with _serving(command, environment) as (dev, seconds):
        time.sleep(_SETTLING_SECONDS)
        return Run(seconds, dev.cpu, dev.memory)


def _arrivals(bench: Bench, home: Home, command: list[str]) -> Iterator[float]:
    """How long each of some files takes, the first one after `dev` has settled."""
    landing = home.folder / "streams" / "landing" / days(1)[0]
    with _serving(command, home.environment) as (dev, _):
        for sensor in _SENSORS:
            started = _asked(dev.port, _START_SENSOR, sensor={**_LOCATION, "sensorName": sensor})
            if started["startSensor"]["__typename"] != "Sensor":
                raise Failed(f"the sensor {sensor} can't be switched on: {started}")
        time.sleep(_SETTLING_SECONDS)
        for number in range(bench.pairs):
            before = _sessions(home.server)
            started = time.monotonic()
            ten_lines(landing / f"dropped-{number}.ndjson.gz")
            while _sessions(home.server) == before:
                if time.monotonic() - started > _ARRIVING_SECONDS:
                    raise Failed(f"a dropped file is in no session after {_ARRIVING_SECONDS} seconds")
                time.sleep(0.1)
            yield time.monotonic() - started


def _sessions(server: Server) -> str:
    """How many there are; 0 where there is no table yet."""
    if not server.execute("select to_regclass('shop.sessions')"):
        return "0"
    return server.execute("select count(*) from shop.sessions")


# The processes --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Dev:
    session: int  # the id of the session of its processes
    port: int

    @property
    def cpu(self) -> float:
        """Seconds, of the processes that are there and of those that they have waited for."""
        return sum(sum(map(int, fields[11:15])) for fields in self._processes().values()) / _TICKS

    @property
    def memory(self) -> int:
        """Bytes, of which each process has its share (PSS)."""
        return sum(_pss(process) for process in self._processes())

    def _processes(self) -> dict[int, list[str]]:
        """The processes of the session, with the fields of their /proc/…/stat from `state` on."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(") ")[2].split()
                if int(fields[3]) == self.session:
                    found[int(stat.parent.name)] = fields
        return found


def _pss(process: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
    return 0


@contextmanager
def _serving(command: list[str], environment: Mapping[str, str]) -> Iterator[tuple[_Dev, float]]:
    """A server on a free port, once it answers, and after how many seconds that was; its processes end with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [*command, str(port)],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while not _answers(port):
                if process.poll() is not None or time.monotonic() - started > _STARTING_SECONDS:
                    output.seek(0)
                    raise Failed(
                        f"{' '.join(command)} does not answer:\n{output.read()[-3000:].decode(errors='replace')}"
                    )
                time.sleep(0.05)
            yield _Dev(process.pid, port), time.monotonic() - started
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int) -> bool:
    """Whether the UI knows assets."""
    with suppress(URLError, OSError, ValueError):
        return bool(_asked(port, _ASSETS)["assetNodes"])
    return False


def _asked(port: int, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    if not answer.get("data"):
        raise ValueError(f"the UI answers: {answer}")
    return answer["data"]
