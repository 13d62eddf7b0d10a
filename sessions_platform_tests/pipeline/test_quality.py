"""Checks are decided in the pipeline: what they count, which results stop a run, and that nothing is loaded then."""

from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest

from sessions_platform.pipeline import load as load_module
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.quality import (
    CheckFailedError,
    CheckResult,
    Severity,
    Tally,
    check_rejection_rate,
    stop_if_failed,
)
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, refresh, stale, table
from sessions_platform_tests.streams import DAY_ONE, stream

DAY = "2026-01-01"
PASSED_CHECKS = [
    ("events", "keeps_contract"),
    ("rejected_events", "keeps_contract"),
    ("events", "row_counts_reconcile"),
    ("rejected_events", "rejection_rate"),
    ("events", "schema_drift"),
    ("sessionized_events", "keeps_contract"),
    ("sessionized_events", "long_activity_chains"),
    ("sessions", "keeps_contract"),
    ("sessions", "every_event_once"),
    ("sessions", "no_stale_partitions"),
]


def test_one_call_runs_all_stages_and_returns_every_check(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a", url=None), line("bob", DAY_ONE, "b", url=None)], DAY)
    run = run_pipeline(context, [DAY], RUN)
    assert [(check.asset, check.name) for check in run.checks] == PASSED_CHECKS
    assert {check.name for check in run.checks if not check.passed} == set()
    assert run.loaded
    assert run.loaded.sessions == {DAY: 2}
    assert [row["user_id"] for row in sorted(table(context), key=lambda row: row["user_id"])] == ["ann", "bob"]
    assert run_pipeline(context, [DAY], RUN).published[DAY].affected == ()


def test_sessions_that_break_their_contract_are_not_loaded(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], DAY)
    ingest_and_publish(context, DAY)
    refresh(context)
    before = table(context)
    put(context, "b", [line("bob", DAY_ONE, "b")], DAY)
    ingest_and_publish(context, DAY)
    right = load_module.summarize
    with monkeypatch.context() as broken:
        broken.setattr(load_module, "summarize", lambda *of: right(*of).with_columns(event_count=pl.lit(0, pl.Int64)))
        with pytest.raises(CheckFailedError, match=r"Nothing was published: keeps_contract failed") as failed:
            refresh(context)
    (result,) = failed.value.results
    assert (result.asset, result.metadata["rows"], result.metadata["broken"]) == ("sessions", 2, 2)
    assert (table(context), stale(context)) == (before, [DAY])
    assert load(context, DAY).check.passed


def test_only_failed_checks_of_severity_error_stop_a_run() -> None:
    warning = CheckResult("events", "schema_drift", False, {}, severity=Severity.warning)
    error = CheckResult("events", "keeps_contract", False, {})
    stop_if_failed([warning, CheckResult("events", "keeps_contract", True, {})])
    with pytest.raises(CheckFailedError) as failed:
        stop_if_failed([warning, error])
    assert failed.value.results == [error]


def test_a_tally_counts_all_cases_and_keeps_the_first_twenty() -> None:
    tally = Tally("events", "row_counts_reconcile")
    for partition in ("a", "b"):
        tally.add(partition, 100, 15, [{"missing": number} for number in range(15)])
    result = tally.result()
    assert not result.passed
    assert (result.metadata["rows"], result.metadata["broken"]) == (200, 30)
    assert [case["partition"] for case in result.metadata["cases"]] == ["a"] * 15 + ["b"] * 5


def test_thresholds_that_fail_are_listed_before_those_that_warn() -> None:
    """A table of metadata may be cut off behind its first rows."""
    of = stream(rejected={"warn_above": "10%", "fail_above": "50%"})
    partitions = [
        SimpleNamespace(landing_partition=day, raw_rows=10, rejected_rows=rows, rejected_by_reason={}, samples=())
        for day, rows in (("2026-01-01", 2), ("2026-01-02", 9), ("2026-01-03", 3))
    ]
    result = check_rejection_rate(cast(Any, SimpleNamespace(stream=of)), cast(Any, partitions))
    assert [row["partition"] for row in result.tables["exceeded"]] == ["2026-01-02", "2026-01-01", "2026-01-03"]
