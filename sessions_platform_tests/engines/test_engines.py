"""Whichever engine computes the sessions, the lake and the warehouse get the same rows."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from sessions_platform.engines.polars import PolarsEngine
from sessions_platform.engines.registry import ENGINES
from sessions_platform.errors import UserError
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.storage.lake.spill import Spill
from sessions_platform_tests.contexts import line
from sessions_platform_tests.engines.reference_engine import ReferenceEngine
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, refresh, stale, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
RULES: dict[str, dict[str, Any]] = {
    "gap": {},
    "every rule": {
        "split_at_midnight": True,
        "campaign": "page_url",
        "cut_on": {"column": "page_url", "when": "leaves"},
        "max_length": "2h",
        "gap_inclusive": True,
    },
    "a tool's ids, and passive events": {"id": "page_url", "passive": ["beat"], "max_length": "2h"},
}
IN_BUCKETS = 400  # bytes, so that users are divided


@pytest.fixture(autouse=True)
def _second_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "reference", ReferenceEngine)


def fill(context: StreamContext) -> None:
    """Three days of three users: exact gaps, midnights, long sessions, campaigns, and duplicates across days."""
    minutes = {"ann": [0, 30, 61, 1430, 1440, 1470, 1500], "bob": range(1300, 3000, 25), "eve": [2880, 2880, 2900]}
    events = [
        (day, line(user, DAY_ONE + at * MINUTE, f"{user}{number}", _kind(number), url=[None, "x", "y"][number % 3]))
        for user, times in minutes.items()
        for number, at in enumerate(times)
        for day in [DAYS[min(int(at // 1440), 2)]]
    ]
    repeated = [line("ann", DAY_ONE, "ann0"), line("ann", DAY_ONE + 30 * MINUTE, "ann1", url="other")]
    for day in DAYS:
        of_day = [payload for landed, payload in events if landed == day]
        put(context, f"{day}.ndjson", [*of_day, *(repeated if day == DAYS[2] else [])], day)
    ingest_and_publish(context, *DAYS)


def _kind(number: int) -> str:
    return "beat" if number % 5 == 4 else "view"


def stored(context: StreamContext) -> dict[str, list[dict[str, Any]]]:
    """Sessionized events and the warehouse's sessions, but for when they were loaded; what the ledger counts."""
    events = context.sessionized_events(DAYS).scan().collect().sort("user_id", "event_timestamp", "event_id")
    versions = context.ledger.newest_sessions(DAYS)
    return {
        "events": events.to_dicts(),
        "sessions": [{name: value for name, value in row.items() if name != "loaded_at"} for row in table(context)],
        "counts": [
            {
                name: getattr(version, name)
                for name in (
                    "session_partition",
                    "duplicates_across",
                    "conflicts_across",
                    "longest_activity_chain_seconds",
                )
            }
            for version in sorted(versions, key=lambda version: version.session_partition)
        ],
    }


@pytest.mark.parametrize("memory", [None, MemoryBudget(IN_BUCKETS, IN_BUCKETS)], ids=["at once", "in buckets"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("sequence", [None, "position"])
def test_another_engine_gives_the_same_rows(
    open_context: Callable[..., StreamContext], rule: dict[str, Any], memory: MemoryBudget | None, sequence: str | None
) -> None:
    columns = {"pages": {"count_distinct": "page_url"}}
    context = open_context(columns=PLAIN["columns"], session={**rule, "columns": columns}, sequence=sequence)
    context = replace(context, memory=memory or context.memory)
    fill(context)
    refresh(context)
    by_polars = stored(context)
    assert len(by_polars["sessions"]) > 3
    assert sum(row["duplicates_across"] + row["conflicts_across"] for row in by_polars["counts"]) == 2
    other = replace(context, engine="reference")
    sessionize_partitions(other, DAYS, RUN)
    assert load(other, *DAYS).changed.changed == 0
    assert stored(other) == by_polars
    assert stale(other) == []


def test_a_wrong_engine_is_noticed(open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: sessions lose their last event."""
    correct = ReferenceEngine.sessionize

    def shortened(self: ReferenceEngine, *window: Any) -> Any:
        return (
            replace(part, events=part.events.head(max(1, part.events.height - 1))) for part in correct(self, *window)
        )

    context = open_context()
    fill(context)
    refresh(context)
    by_polars = stored(context)
    monkeypatch.setattr(ReferenceEngine, "sessionize", shortened)
    other = replace(context, engine="reference")
    sessionize_partitions(other, DAYS, RUN)
    load(other, *DAYS)
    assert stored(other) != by_polars


def test_an_engine_that_does_not_exist_is_a_clear_error(context: StreamContext) -> None:
    with pytest.raises(
        UserError, match=r"flink: there is no such engine\. Fix: name one of polars, spark, reference\."
    ):
        sessionize_partitions(replace(context, engine="flink"), ["2026-01-01"], RUN)


def test_the_parts_of_an_engine_are_whole_sessions(context: StreamContext) -> None:
    context = replace(context, memory=MemoryBudget(IN_BUCKETS, IN_BUCKETS))
    fill(context)
    landings = context.ledger.snapshot().landings
    for name in ("polars", "reference"):
        parts = list(ENGINES[name](context).sessionize([DAYS[0]], landings))
        assert len(parts) > 1
        ids = pl.concat([part.events.select("session_id").unique() for part in parts])
        assert ids["session_id"].is_unique().all()


def test_a_partition_that_fits_into_memory_needs_no_temporary_file(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(context)
    monkeypatch.setattr(Spill, "_write", lambda *_: pytest.fail("a temporary file is written"))
    beyond_a_bucket = replace(context, memory=MemoryBudget(1 << 30, IN_BUCKETS))
    (part,) = PolarsEngine(beyond_a_bucket).sessionize([DAYS[0]], context.ledger.snapshot().landings)
    assert part.events.height


def test_partitions_that_do_not_fit_together_are_batches_of_their_own(context: StreamContext) -> None:
    fill(context)
    landings = context.ledger.landings()
    assert list(PolarsEngine(replace(context, memory=MemoryBudget(1, 1))).batches(DAYS, landings)) == [
        [day] for day in DAYS
    ]
    assert list(PolarsEngine(context).batches(DAYS, landings)) == [DAYS]


def test_a_session_partition_without_events_has_no_activity_chain(context: StreamContext) -> None:
    fill(context)
    (version,) = sessionize_partitions(context, ["2026-01-31"], RUN).values()
    assert (version.rows, version.longest_activity_chain_seconds) == (0, 0.0)
