"""What runs and Dagster's services log with SESSIONS_LOG=json: one document a line, of one form, without payloads."""

import json
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.errors import RunFailedError
from sessions_platform.operations.log_lines import FIELDS
from sessions_platform.orchestration.runs import runner
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev import watched_dev

DAY, CANARY = "2026-01-01", "canary-user"
RANGE = "2026-01-01..2026-01-02"


def lines(text: str) -> list[dict[str, Any]]:
    """The documents of a log, each of which has to be of the form of the documentation."""
    found = [json.loads(line) for line in text.splitlines()]
    assert [each for each in found if each.keys() - FIELDS.keys()] == []
    assert [each for each in found if {"timestamp", "level", "logger", "event"} - each.keys()] == []
    return found


def test_a_run_logs_stream_partition_step_rows_and_seconds_and_no_payload(
    home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SESSIONS_LOG", "json")
    home.write_stream(rejected={"fail_above": "60%"})
    home.ingest(1, "a", (CANARY, 0, "e1"), ("", 1, CANARY))
    home.ingest(2, "a", ("", 1, CANARY))
    with runner(home.settings) as runs:
        capfd.readouterr()
        run_id = runs.run(f"{home.name}__materialize_all", (DAY, DAY))
        of_success = capfd.readouterr().err
        with pytest.raises(RunFailedError):
            runs.run(f"{home.name}__materialize_all", (DAY, "2026-01-02"))
        of_failure = capfd.readouterr().err
    assert CANARY not in of_success + of_failure
    told = lines(of_success)
    assert {line["run_id"] for line in told} == {run_id}
    assert {line["partition"] for line in told} == {DAY}
    written = {line["event"].rpartition(" ")[2]: line["rows"] for line in told if "rows" in line}
    assert [line for line in told if run_id in line["event"]] == []
    assert written == {"raw_events.": 2, "events.": 1, "rejected_events.": 1, "sessionized_events.": 1, "sessions.": 1}
    assert {line["stream"] for line in told if "step" in line} == {home.name}
    failed = [line for line in lines(of_failure) if line.get("type") == "STEP_FAILURE"]
    assert [(line["level"], line["partition"]) for line in failed] == [("error", RANGE)]
    assert "rejection_rate failed" in failed[0]["event"]
    assert "Traceback" not in failed[0]["event"]
    assert {line["step"].rpartition("__")[2] for line in told if "seconds" in line} == {
        *("raw_events", "validated_events", "sessionized_events", "sessions")
    }


@pytest.mark.slow
def test_daemon_webserver_and_the_runs_that_they_start_write_lines_of_the_same_form(home: Home, tmp_path: Path) -> None:
    home.ingest(1, "a", (CANARY, 0, "e1"), ("", 1, CANARY))
    log = tmp_path / "dev.log"
    with watched_dev(home, log, {"SESSIONS_LOG": "json"}) as dev:
        dev.start_sensor(f"{home.name}__new_files")
        (run,) = dev.ended_runs(1, sessions__stream=home.name)
        by_hand = dev.materialize(home.name, "raw_events")
        dev.end_of(by_hand)
    text = log.read_text()
    assert CANARY not in text
    told = lines("\n".join(line for line in text.splitlines() if line.startswith("{")))
    assert {"dagster.daemon", "sessions_platform.run"} <= {line["logger"].partition(".Sensor")[0] for line in told}
    assert {run["runId"], by_hand} <= {line.get("run_id") for line in told}
