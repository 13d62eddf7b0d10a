"""One stream of events, delivered in eight ways: eight times the same sessions and counts, whatever is killed.

Events are delivered in parts. While each part is read the reading process is killed at a random moment; while the last
one is read, the server is killed and started again. SESSIONS_TEST_ROWS and SESSIONS_TEST_KILLS say how many events
and kills; SESSIONS_TEST_SEED repeats the moments of a run.
"""

import os
import random
import secrets
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.servers.comparison import COLUMNS, DAY, ingestion, payloads
from sessions_platform_tests.servers.killed import SHARED_SLICES, SLICE_ROWS
from sessions_platform_tests.servers.visits import visits
from sessions_platform_tests.servers.ways import SECRETS, WAYS, Visit, Way, divided
from sessions_platform_tests.streams import PLAIN, stream

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("on_day_one")]
ROWS = int(os.environ.get("SESSIONS_TEST_ROWS") or 20_000)
KILLS = int(os.environ.get("SESSIONS_TEST_KILLS") or 3)
SEED = int(os.environ.get("SESSIONS_TEST_SEED") or secrets.randbits(32))
# Columns that tables have beside the events.
EIGHT: dict[str, Any] = {"columns": COLUMNS, "duplicates": {"ignore": ["n", "row_xid", "text"]}}
_AMID = 30_000  # bytes of an answer
_LONGEST_DELAY = 100  # milliseconds


@dataclass(frozen=True)
class Outcome:
    """What a stream has become."""

    counts: dict[str, int]
    sessions: list[dict[str, Any]]


@pytest.fixture(scope="module")
def events() -> list[Visit]:
    return [(user, record or b" ") for user, record in visits(ROWS)]


@pytest.fixture(scope="module")
def of_one_file(events: list[Visit], settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What one file of all events becomes, of which nothing was killed."""
    file = tmp_path_factory.mktemp("one") / "events.ndjson"
    file.write_bytes(b"".join(record + b"\n" for _, record in events))
    of_file = stream(name="eight_one_file", source={"files": str(file), "format": "ndjson"}, **EIGHT)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sessions_platform.pipeline.ingest.newest_partition", lambda _: "2026-01-01")
        outcome = outcome_of(StreamContext.open(of_file, settings))
    assert min(outcome.counts.values()) > 100
    return outcome


@pytest.mark.parametrize("name", WAYS)
def test_whatever_is_killed_the_sessions_and_counts_are_those_of_one_file(
    name: str,
    events: list[Visit],
    of_one_file: Outcome,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for secret, value in SECRETS.items():
        monkeypatch.setenv(secret, value)
    stream_name = f"eight_{list(WAYS).index(name)}"
    with opened(name, tmp_path) as way:
        content = {**PLAIN, **EIGHT, "name": stream_name, "source": way.source}
        described = tmp_path / "stream.yaml"
        described.write_text(yaml.safe_dump(content))
        *parts, last = divided(events, -(-len(events) // (KILLS + 1)))
        for moment, part in zip(moments(name, len(last)), parts, strict=True):
            way.deliver(part)
            assert ingestion(described, settings.home, *moment) == -signal.SIGKILL
        way.deliver(last)
        way.settle()
        context = StreamContext.open(load_stream(described, settings.home), settings)
        if way.server is not None:
            ingest_while_the_server_is_killed(context, way)
        outcome = outcome_of(context)
        read = sorted(map(way.record_of, payloads(context)))
    assert read == sorted(record for _, record in events)
    assert outcome.counts == of_one_file.counts
    assert outcome.sessions == of_one_file.sessions


def opened(name: str, folder: Path) -> AbstractContextManager[Way]:
    """A way, whose server runs within `with`."""
    home = folder / "server"
    home.mkdir()
    way: Callable[[Path], AbstractContextManager[Way]] = WAYS[name]
    return way(home)


def moments(name: str, rows: int) -> list[tuple[str, str]]:
    """When each run is killed: a point of those that so many rows have, and milliseconds behind it."""
    chance = random.Random(f"{SEED} {name}")
    slices = max(1, rows // SLICE_ROWS)
    points = slices + 2 * max(1, slices // SHARED_SLICES)
    chosen = [(str(chance.randrange(points)), str(chance.randrange(_LONGEST_DELAY))) for _ in range(KILLS)]
    os.write(1, f"\n{name}: {ROWS} events, killed at {chosen}, SESSIONS_TEST_SEED={SEED}\n".encode())
    return chosen


def ingest_while_the_server_is_killed(context: StreamContext, way: Way) -> None:
    """Kill the server amid an answer, start it again; the run goes on by itself, or the next one does."""
    assert way.server is not None
    assert way.proxy is not None
    way.proxy.disturb("stall", after=_AMID, times=None)
    failures: list[Exception] = []
    reading = threading.Thread(target=lambda: failures.extend(_failed(context)))
    reading.start()
    assert way.proxy.met.wait(60)
    way.server.kill()
    way.proxy.release()
    way.server.start()
    reading.join(180)
    assert not reading.is_alive()
    assert all(isinstance(failure, ConnectionError | SourceRefusedError) for failure in failures), failures


def _failed(context: StreamContext) -> list[Exception]:
    try:
        ingest(context, [DAY], "run", current=DAY)
    except Exception as failure:
        return [failure]
    return []


def outcome_of(context: StreamContext) -> Outcome:
    """Bring everything up to date; then what there is."""
    ingest_and_publish(context, DAY)
    refresh(context)
    told = status(context)
    own = ("loaded_at", "session_rule_version")
    sessions = [{name: value for name, value in row.items() if name not in own} for row in table(context)]
    return Outcome({name: told[name] for name in ("accepted", "rejected", "duplicates")}, sessions)
