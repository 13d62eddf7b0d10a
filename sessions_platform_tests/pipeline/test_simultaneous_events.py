"""Events of one user at one moment are counted: their order is not that of time."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import count_simultaneous
from sessions_platform_tests.contexts import context, line, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.streams import DAY_ONE

__all__ = ["context", "open_context"]

LANDING = "2026-01-01"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3))))
def test_each_event_with_another_of_its_user_and_moment_counts(events: list[tuple[str, int]]) -> None:
    frame = pl.DataFrame(sorted(events), {"user_id": pl.String, "event_timestamp": pl.Int64}, orient="row")
    assert count_simultaneous(frame) == sum(count for count in Counter(events).values() if count > 1)


@pytest.mark.parametrize("others", [0, 2])
def test_the_status_has_their_number(context: StreamContext, others: int) -> None:
    lines = [line("ann", DAY_ONE, "first"), line("bob", DAY_ONE, "first")]
    put(context, "a", lines + [line("ann", DAY_ONE, str(number)) for number in range(others)], LANDING)
    ingest_and_publish(context, LANDING)
    refresh(context)
    assert status(context)["simultaneous_events"] == (others + 1 if others else 0)
