"""`run` and `ingest`: which partitions a command of the command line runs."""

from contextlib import nullcontext
from typing import Any

import dagster as dg
import pytest

from sessions_platform.errors import RunFailedError, RunInterruptedError, UserError
from sessions_platform.orchestration import commands
from sessions_platform.orchestration.commands import run_stream
from sessions_platform_tests.orchestration.conftest import Home


def users(home: Home) -> set[str]:
    return {row["user_id"] for row in home.table()}


def pending(status: dict[str, Any]) -> tuple[list[str], list[str]]:
    return status["pending"]["landing"], status["pending"]["session"]


@pytest.mark.slow
def test_run_does_what_is_pending_and_with_a_partition_that_one_and_what_it_affects(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(1, "a", ("ann", 1, "1"))
    home.ingest(2, "a", ("bob", 1, "2"))
    assert pending(run_stream(home.settings, home.name, "2026-01-02")) == (["2026-01-01"], [])
    assert users(home) == {"bob"}
    assert pending(run_stream(home.settings, home.name, None)) == ([], [])
    assert users(home) == {"ann", "bob"}
    home.ingest(1, "b", ("cleo", 1, "3"))
    home.execute("ingest_events", "2026-01-01", "2026-01-01", instance)
    home.ingest(2, "b", ("dan", 1, "4"))
    assert pending(run_stream(home.settings, home.name, "2026-01-02")) == ([], ["2026-01-01"])
    assert users(home) == {"ann", "bob", "dan"}
    assert pending(run_stream(home.settings, home.name, "2026-01-01")) == ([], [])  # though nothing of it was new
    assert users(home) == {"ann", "bob", "cleo", "dan"}


def test_what_was_trained_scores_though_another_score_could_not_be_and_an_interruption_ends_all(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_stream(session={"conversions": ["purchase"]}, scores={"purchase": {}, "again": {"predicts": "purchase"}})
    ran: list[str] = []

    class Runs:
        def __init__(self, error: RunFailedError) -> None:
            self._error = error

        def run(self, job: str, *_: object, **__: object) -> None:
            ran.append(job.rpartition("__")[2])
            if ran[-1] == "train_scores":
                raise self._error

    monkeypatch.setattr(commands, "score_ranges", lambda _: [("2026-01-01", "2026-01-02")])
    monkeypatch.setattr(commands, "runner", lambda _: nullcontext(Runs(RunFailedError("again: too few sessions"))))
    with pytest.raises(RunFailedError, match="again: too few sessions"):
        commands.train_scores(home.settings, home.name, [])
    assert ran == ["train_scores", "score_sessions"]
    ran.clear()
    monkeypatch.setattr(commands, "runner", lambda _: nullcontext(Runs(RunInterruptedError("Ctrl-C"))))
    with pytest.raises(RunInterruptedError):
        commands.train_scores(home.settings, home.name, [])
    assert ran == ["train_scores"]


def test_run_refuses_a_partition_that_there_is_not(home: Home) -> None:
    with pytest.raises(UserError, match=r"--partition: there is no landing partition '2025-12-31'\. Fix: name one"):
        run_stream(home.settings, home.name, "2025-12-31")
