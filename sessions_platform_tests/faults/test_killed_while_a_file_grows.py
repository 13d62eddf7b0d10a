"""Ingesting what was appended to a growing file, killed at any of its commit points and run again."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from sessions_platform.pipeline.run import run_pipeline
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.test_killed_at_commit_points import distinct
from sessions_platform_tests.faults.trial import Trial, Trials, compare
from sessions_platform_tests.faults.workload import RUN, STREAM
from sessions_platform_tests.streams import PLAIN

FIRST, SECOND = "2026-01-01", "2026-01-02"


def _line(number: int, day: str) -> str:
    return json.dumps({"id": f"{number:03}", "user": f"u{number % 3}", "ts": f"{day}T12:00:00Z", "type": "view"}) + "\n"


@contextmanager
def grown(trials: Trials) -> Iterator[Trial]:
    """A stream whose log was ingested on its first day, when a line was half written, and has grown since."""
    with trials.empty() as trial:
        streams = trial.folder / "streams"
        streams.mkdir()
        flat = {**PLAIN, "name": STREAM, "end": "2026-01-03", "source": {"files": "*.log", "format": "ndjson"}}
        (streams / "shop.yaml").write_text(yaml.safe_dump(flat, sort_keys=False))
        before, half = "".join(_line(number, FIRST) for number in range(5)), _line(5, FIRST)
        (streams / "access.log").write_text(before + half[:20])
        run_pipeline(trial.open(), [FIRST], RUN)
        with (streams / "access.log").open("a") as log:
            log.write(half[20:] + "".join(_line(number, SECOND) for number in range(6, 9)))
        yield trial


@pytest.mark.slow
def test_growth_that_is_killed_at_any_commit_point_of_its_ingestion_is_there_once(
    trials: Trials, scenario: Scenario
) -> None:
    """Killed (-9) while what was appended to a growing file is ingested."""
    with grown(trials) as trial:
        code, printed = finish_printing(trial, 0)
        assert code == 0, printed
        names, expected = json.loads(printed), trial.state()
        assert not any(trial.pending().values())
    uris = [text for text in expected["raw_events"] if f"#from={SECOND}" in text]
    assert (len(uris), expected["raw_events"].total()) == (4, 9)
    points = [point for point in distinct(names) if "pipeline/ingest.py" in names[point - 1]]
    assert len({names[point - 1] for point in points}) > 5
    for point in points:
        with grown(trials) as trial:
            code, printed = finish_printing(trial, point)
            assert code == -signal.SIGKILL, printed
            trial.run("grow")
            reported = not any(trial.pending().values())
            scenario.add(names[point - 1], compare(expected, trial.state()), reported=reported)
    scenario.check()


def finish_printing(trial: Trial, point: int) -> tuple[int, str]:
    """Run the command, killed at a point; its exit code, and what it printed."""
    process = trial.start("grow", point)
    output, error = process.communicate(timeout=240)
    return process.returncode, output or error
