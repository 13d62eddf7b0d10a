"""Skipped rows are counted beside accepted, rejected and duplicate ones, and so are repeated lines."""

from collections.abc import Callable

from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put
from sessions_platform_tests.streams import DAY_ONE, PLAIN

LANDING = "2026-01-01"


def test_skipped_rows_are_counted_in_the_ledger_and_the_status(open_context: Callable[..., StreamContext]) -> None:
    context = open_context(skip=[{"column": "event_type", "isin": ["probe"]}])
    lines = [line("ann", DAY_ONE, "1"), line(None, DAY_ONE, "2"), line(None, DAY_ONE, "3", "probe")]
    put(context, "a", lines, LANDING)
    ingest_and_publish(context, LANDING)
    (landing,) = context.ledger.landings()
    assert (landing.raw_rows, landing.accepted, landing.rejected, landing.skipped) == (3, 1, 1, 1)
    assert status(context)["skipped"] == 1


def test_lines_that_are_repeated_under_derived_ids_are_counted_in_the_status(
    open_context: Callable[..., StreamContext],
) -> None:
    columns = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}
    context = open_context(columns=columns)
    put(context, "a", [line("ann", DAY_ONE, "1")] * 3, LANDING)
    ingest_and_publish(context, LANDING)
    assert (status(context)["accepted"], status(context)["repeated_lines"]) == (3, 2)
