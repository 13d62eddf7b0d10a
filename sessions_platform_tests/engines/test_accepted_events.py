"""Which landing partitions are read for a window: all that may contain one of its events, edges included."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from sessions_platform.contracts.calendar import Window
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, table
from sessions_platform_tests.streams import DAY_ONE

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
WINDOW = Window(DAY_ONE, DAY_ONE + DAY)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        pytest.param(DAY_ONE, DAY_ONE, True, id="a lone event at the start"),
        pytest.param(DAY_ONE - DAY, DAY_ONE, True, id="the last event at the start"),
        pytest.param(DAY_ONE - DAY, DAY_ONE - MICROSECOND, False, id="the last event just before the start"),
        pytest.param(WINDOW.end, WINDOW.end + DAY, False, id="the first event at the end, which is exclusive"),
        pytest.param(WINDOW.end - MICROSECOND, WINDOW.end, True, id="the first event just before the end"),
        pytest.param(DAY_ONE - DAY, WINDOW.end + DAY, True, id="all around"),
        pytest.param(None, None, False, id="no events"),
    ],
)
def test_a_window_overlaps_a_span_with_an_event_in_it(
    first: datetime | None, last: datetime | None, expected: bool
) -> None:
    assert WINDOW.overlaps(first, last) is expected


def test_a_lone_event_at_exactly_midnight_continues_the_session_of_the_day_before(context: StreamContext) -> None:
    """Its landing partition contains nothing else, so that it begins and ends where the next window begins."""
    midnight = DAY_ONE + DAY
    before = line("ann", midnight - timedelta(minutes=10), "a")
    put(context, "1.ndjson", [before], "2026-01-01")
    put(context, "2.ndjson", [line("ann", midnight, "b")], "2026-01-02")
    ingest_and_publish(context, "2026-01-01", "2026-01-02")
    for day in ("2026-01-01", "2026-01-02"):  # each alone, so that the first has to read beyond its end
        sessionize_partitions(context, [day], RUN)
        load(context, day)
    (session,) = table(context)
    assert (session["session_start"], session["session_end"]) == (midnight - timedelta(minutes=10), midnight)
    assert session["event_count"] == 2


def test_a_reader_reads_only_its_window_and_its_users(context: StreamContext) -> None:
    moments = [DAY_ONE, DAY_ONE + timedelta(hours=1), DAY_ONE + timedelta(hours=2)]
    lines = [line(user, at, f"{user}{number}") for number, at in enumerate(moments) for user in ("ann", "bob")]
    put(context, "1.ndjson", lines, "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    read = context.reader(context.ledger.snapshot(), columns=["event_id"])
    assert sorted(read(moments[0], moments[2])["event_id"]) == ["ann0", "ann1", "bob0", "bob1"]
    assert sorted(read(moments[1], moments[2], pl.Series(["bob"]))["event_id"]) == ["bob1"]
