"""A replay that is killed (-9) at many points and repeated loses no row, and no row becomes two events."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.operations.dead_letters import Filter, exported, find_rejected_records
from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.contexts import line
from sessions_platform_tests.operations.killed_replay import replay_and_refresh
from sessions_platform_tests.pipeline.steps import put, run_pending, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow

POINTS = 12
DAYS = ["2026-01-01", "2026-01-02"]
# without event ids a row that is stored twice is two events
KEYS = {**PLAIN, "columns": {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}}


@pytest.fixture
def open_two_days(open_context: Callable[..., StreamContext]) -> Callable[[bool], StreamContext]:
    """Makes a stream of two days, of whose rows every third is invalid, or correct from the start."""

    def make(correct: bool) -> StreamContext:
        context = open_context(columns=KEYS["columns"])
        for number, day in enumerate(DAYS):
            moments = [DAY_ONE + timedelta(days=number, minutes=10 * minute) for minute in range(9)]
            users = ["ann" if correct or minute % 3 else None for minute in range(9)]
            put(context, day, [line(user, at, "x") for user, at in zip(users, moments, strict=True)], day)
        run_pending(context)
        return context

    return make


def repaired(context: StreamContext, file: Path) -> Path:
    lines = exported(find_rejected_records(context, Filter()))
    file.write_text("\n".join(lines).replace('\\"user\\": null', '\\"user\\": \\"ann\\"'))
    return file


def replay_in_a_child(context: StreamContext, file: Path, point: int) -> subprocess.CompletedProcess[str]:
    settings = context.database._settings
    keys = {"STREAM_KEYS": json.dumps(KEYS), "SESSIONS_HOME": str(settings.home), "SESSIONS_LAKE": str(settings.lake)}
    command = [sys.executable, "-m", "sessions_platform_tests.operations.killed_replay", context.stream.name]
    environment = {**os.environ, **keys, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [*command, str(file), str(point)],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def sessions(context: StreamContext) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "loaded_at"} for row in table(context)]


def test_a_replay_that_is_killed_at_any_point_and_repeated_loses_and_duplicates_nothing(
    open_two_days: Callable[[bool], StreamContext], tmp_path: Path
) -> None:
    should = sessions(open_two_days(True))
    whole = open_two_days(False)
    counted = replay_in_a_child(whole, repaired(whole, tmp_path / "whole"), 0)
    assert counted.returncode == 0, counted.stderr
    assert sessions(whole) == should
    points = int(counted.stdout)
    ingested = set()
    for number in range(POINTS):
        context = open_two_days(False)
        file = repaired(context, tmp_path / f"{number}")
        killed = replay_in_a_child(context, file, 1 + number * (points - 1) // (POINTS - 1))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        ingested.add(len(context.ledger.repairs()))
        for _ in range(2):
            replay_and_refresh(context, file)
            counts = status(context)
            assert (counts["raw_rows"], counts["accepted"], counts["rejected"]) == (24, 18, 6)
            assert (counts["duplicates"], counts["pending"]) == (0, {"landing": [], "session": []})
            assert sessions(context) == should
            assert {row["status"] for row in find_rejected_records(context, Filter())} == {"resolved"}
            assert len(table(context, "rejection_decisions")) == 6
    assert ingested == {0, 6}, "it was killed before and after its commit, which is whole or not at all"
