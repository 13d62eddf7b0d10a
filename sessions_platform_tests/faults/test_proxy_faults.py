"""Commands and loads under a network that fails: the same end as without, or a sentence and an exit code.

Real commands, in processes of their own, before a real PostgreSQL behind `network.FaultProxy`.
"""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.retries import retried
from sessions_platform_tests.contexts import context, line, open_context
from sessions_platform_tests.faults.network import Fault, FaultProxy, fault_proxy
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, table

__all__ = ["context", "open_context"]

DAY = "2026-01-01"
REPOSITORY = Path(__file__).parents[2]
AT_ONCE = (0.0,) * 5
LOADS_FAULTS = {
    "refused": Fault("refuse", connections=2),
    "cut before BEGIN": Fault("close", direction="up", at=b"BEGIN"),
    "cut before COMMIT": Fault("close", direction="up", at=b"COMMIT"),
    "cut after COMMIT": Fault("close", at=b"COMMIT"),
    "cut amid COPY": Fault("close", 64, "up", at=b"copy "),
    "cut at a query": Fault("close", at=b"select "),
}


@pytest.fixture
def proxy(database: Database) -> Iterator[FaultProxy]:
    with fault_proxy(database.url) as proxy:
        yield proxy


# Work of the pipeline ------------------------------------------------------------------------------------


def behind(context: StreamContext, proxy: FaultProxy) -> StreamContext:
    """The same stream, whose connections go through the proxy."""
    settings = dataclasses.replace(context.database._settings, warehouse_url=proxy.url)
    return dataclasses.replace(context, database=Database(settings))


@pytest.mark.slow
@pytest.mark.parametrize("fault", LOADS_FAULTS)
def test_a_load_that_is_repeated_after_a_fault_ends_as_one_without(
    context: StreamContext, proxy: FaultProxy, fault: str
) -> None:
    """Also where the outcome of a COMMIT is unknown, which then was one."""
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    context.prepare()
    put(context, "a", [line(user, at, f"event of {user}") for user in ("ann", "bob")], DAY)
    through = behind(context, proxy)
    faults: list[Exception] = []

    def note(error: Exception, _: int) -> None:
        faults.append(error)

    through.prepare()
    for work in (lambda: ingest_and_publish(through, DAY), lambda: refresh(through)):
        proxy.strike(LOADS_FAULTS[fault])
        retried(work, note, delays=AT_ONCE)
    assert faults or fault == "cut amid COPY"  # too small a COPY may be over
    assert sorted((row["user_id"], row["event_count"]) for row in table(context)) == [("ann", 1), ("bob", 1)]
    changes = context.database.query(f"select change from {context.stream.name}.session_changes")
    assert [row["change"] for row in changes] == ["appeared", "appeared"]
    assert context.stale_session_partitions() == []


# Commands ------------------------------------------------------------------------------------------------

COMMANDS_FAULTS = {"refused": Fault("refuse"), "cut": Fault("close", at=b"select ")}
COMMANDS = [("status", "web_shop"), ("sql", "select 7 as seven"), ("rejected", "list"), ("rejected", "export")]


def command(arguments: tuple[str, ...], url: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "SESSIONS_HOME": str(home), "SESSIONS_WAREHOUSE_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "sessions_platform", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("fault", COMMANDS_FAULTS)
def test_a_command_outlives_a_fault(proxy: FaultProxy, tmp_path: Path, arguments: tuple[str, ...], fault: str) -> None:
    proxy.strike(COMMANDS_FAULTS[fault])
    done = command(arguments, proxy.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Trying again, 1 of 5." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_server_that_stays_away_ends_a_command_in_a_sentence(proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.strike(Fault("refuse", connections=1000))
    done = command(("status",), proxy.url, tmp_path)
    assert done.returncode == 2
    assert "Trying again, 5 of 5." in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "can't be reached" in last
    assert last.endswith("Fix: start it, or correct SESSIONS_WAREHOUSE_URL.")
    assert "Traceback" not in done.stderr
