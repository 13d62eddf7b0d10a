"""Rejected rows that are alike are one row of the queue: counted, decided about, repaired and erased as all of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.operations.dead_letters import Filter, discard, find_rejected_records
from sessions_platform.operations.erase import erase
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.repaired_rows import RepairedRow
from sessions_platform.operations.replay import replay
from sessions_platform.operations.status import status
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline import deduplicate
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.storage.warehouses.postgres.dead_letters import Status
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import RUN, put, run_pending, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow

DAY = "2026-01-01"
FILE = "web/a.ndjson"
BROKEN = b"{broken"
NO_IDS = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}
OTHER_RULES = {**PLAIN["columns"], "page_url": {"nullable": True}}


def good(minute: int) -> bytes:
    return line("ann", DAY_ONE + timedelta(minutes=minute), f"e{minute}")


def land(context: StreamContext, lines: list[bytes]) -> StreamContext:
    put(context, FILE, lines, DAY)
    run_pending(context)
    return context


def queue(context: StreamContext, status: Status | None = None) -> list[dict[str, Any]]:
    return find_rejected_records(context, Filter(status))


def stretches(context: StreamContext) -> list[tuple[int, int, str]]:
    """First position, number of rows and status of each row of the landing file that is rejected."""
    return [(row["position"], row["rows"], row["status"]) for row in queue(context) if row["source_uri"] == FILE]


def repaired(context: StreamContext, payload: bytes, position: int) -> list[RepairedRow]:
    return [RepairedRow(row["rejection_id"], payload, "here") for row in queue(context) if row["position"] == position]


def balance(context: StreamContext) -> tuple[int, ...]:
    counts = status(context)
    names = ("raw_rows", "accepted", "rejected", "duplicates", "skipped")
    raw, *parts = (counts[name] for name in names)
    assert raw == sum(parts)
    assert verify(context, RUN, deep=True).problems == []
    return raw, *parts


def under(context: StreamContext, **changes: Any) -> StreamContext:
    """The same stream, under another contract."""
    return replace(context, stream=Stream.model_validate({**PLAIN, "name": context.stream.name, **changes}))


def test_counts_are_of_rows(open_context: Callable[..., StreamContext]) -> None:
    context = land(open_context(), [good(0), *[BROKEN] * 40, good(1), BROKEN])
    assert stretches(context) == [(2, 40, "open"), (43, 1, "open")]
    assert balance(context) == (43, 2, 41, 0, 0)
    assert [(row["code"], row["rows"]) for row in table(context, "rejected_by_day")] == [("malformed", 41)]
    (landing,) = context.ledger.landings()
    assert (landing.rejected_by_reason, landing.rejected_stretches) == ({"malformed": 41}, 2)
    assert context.raw_events([DAY]).rows == 43


def test_a_rebuild_with_smaller_blocks_and_buckets_has_the_same_rows(context: StreamContext) -> None:
    land(context, [good(0), *[BROKEN] * 40, b"", b"", good(1)])
    before = [{**row, "rejected_at": None} for row in queue(context)]
    assert rebuild(replace(context, memory=MemoryBudget(64, 64)), RUN, lambda _: None).rejected.changed == 0
    assert [{**row, "rejected_at": None} for row in queue(context)] == before


@pytest.mark.parametrize(("columns", "counts"), [(NO_IDS, (9, 5, 4, 0, 0)), (PLAIN["columns"], (9, 2, 4, 3, 0))])
def test_a_repair_replaces_each_of_the_rows(
    open_context: Callable[..., StreamContext], columns: dict[str, Any], counts: tuple[int, ...]
) -> None:
    context = land(open_context(columns=columns), [BROKEN] * 4 + [good(0)])
    done = replay(context, repaired(context, good(1), 1), RUN)
    run_pending(context)
    assert done.counts == {"accepted": 1}
    assert balance(context) == counts
    assert stretches(context) == [(1, 4, "resolved")]
    assert queue(context)[0]["replacement_position"] == 1
    assert replay(context, repaired(context, good(1), 1), "again").counts == {"resolved": 1}


def test_a_repair_that_would_be_rejected_again_says_so_once(context: StreamContext) -> None:
    land(context, [BROKEN] * 4)
    done = replay(context, repaired(context, line(None, DAY_ONE, "e"), 1), RUN)
    assert done.counts == {"rejected": 1}
    assert [reason["code"] for reason in done.not_replayed[0].reasons] == ["missing_identity"]


def test_a_repaired_stretch_stays_resolved_when_the_file_grows(open_context: Callable[..., StreamContext]) -> None:
    context = land(open_context(columns=NO_IDS), [good(0), *[BROKEN] * 3])
    replay(context, repaired(context, good(1), 2), RUN)
    run_pending(context)
    land(context, [good(0), *[BROKEN] * 5])
    assert stretches(context) == [(2, 3, "resolved"), (5, 2, "open")]
    assert balance(context) == (9, 4, 5, 0, 0)
    assert rebuild(context, RUN, lambda _: None).rejected.changed == 0


def test_a_repair_is_orphaned_once_any_of_its_rows_is_gone(open_context: Callable[..., StreamContext]) -> None:
    context = land(open_context(columns=NO_IDS), [good(0), *[BROKEN] * 3])
    replay(context, repaired(context, good(1), 2), RUN)
    run_pending(context)
    land(context, [good(0), BROKEN, BROKEN, b"{other"])
    assert stretches(context) == [(2, 2, "open"), (4, 1, "open")]
    assert balance(context) == (7, 1, 3, 3, 0)


def test_an_export_of_a_stretch_that_has_grown_is_refused(context: StreamContext) -> None:
    land(context, [BROKEN] * 3)
    rows = repaired(context, good(1), 1)
    put(context, FILE, [BROKEN, BROKEN, b"{other"], DAY)
    ingest(context, [DAY], RUN)
    with pytest.raises(UserError, match="was read again"):
        replay(context, rows, RUN)


def test_a_decision_is_about_the_rows_that_it_was_made_of(context: StreamContext) -> None:
    land(context, [BROKEN] * 4)
    discard(context, [queue(context)[0]["rejection_id"]], "a test", "me")
    land(context, [BROKEN] * 6)
    assert stretches(context) == [(1, 6, "open")]
    discard(context, [queue(context)[0]["rejection_id"]], "the same test", "me")
    land(context, [BROKEN] * 3)
    assert [(row["rows"], row["status"], row["because"]) for row in queue(context)] == [
        (3, "discarded", "the same test")
    ]


def as_before(context: StreamContext, patch: pytest.MonkeyPatch, lines: list[bytes]) -> None:
    """Rows as an older version has stored them, each by itself."""
    with patch.context() as older:
        older.setattr(deduplicate, "joined", lambda frames, _breaks: frames)
        land(context, lines)


def test_rows_that_an_older_version_has_stored_become_stretches(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_before(context, monkeypatch, [BROKEN] * 3 + [b""] * 2)
    assert len(stretches(context)) == 5
    discard(context, [row["rejection_id"] for row in queue(context)[3:]], "empty", "me")
    decided = len(table(context, "rejection_decisions"))
    run_pending(under(context, columns=OTHER_RULES))
    assert stretches(context) == [(1, 3, "open"), (4, 2, "discarded")]
    assert len(table(context, "rejection_decisions")) == decided + 1  # of the two empty lines together


def test_rows_that_were_repaired_one_by_one_stay_single(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_before(context, monkeypatch, [BROKEN] * 5)
    replay(context, repaired(context, good(1), 3), RUN)
    run_pending(context)
    assert stretches(context) == [(1, 2, "open"), (3, 1, "resolved"), (4, 2, "open")]
    assert balance(context) == (6, 1, 5, 0, 0)


def test_a_repaired_stretch_whose_rows_are_rejected_later_may_be_repaired_again(
    open_context: Callable[..., StreamContext],
) -> None:
    context = land(open_context(columns=NO_IDS), [BROKEN] * 3)
    replay(context, repaired(context, good(1), 1), RUN)
    run_pending(context)
    strict = under(context, columns={**NO_IDS, "event_type": {"from": "type", "isin": ["buy"]}})
    run_pending(strict)
    assert [(row["rows"], row["status"]) for row in queue(strict)] == [(3, "open"), (3, "open")]
    again = [row for row in queue(strict) if row["source_uri"] != FILE]
    bought = good(1).replace(b'"view"', b'"buy"')
    done = replay(strict, [RepairedRow(again[0]["rejection_id"], bought, "here")], RUN)
    run_pending(strict)
    assert done.counts == {"accepted": 1}
    assert {row["status"] for row in queue(strict)} == {"resolved"}
    assert balance(strict) == (9, 3, 6, 0, 0)


def test_a_user_is_erased_from_all_rows_of_a_stretch(context: StreamContext) -> None:
    land(context, [good(0), *[b"{broken of bob@example.com"] * 20, line("bob@example.com", DAY_ONE, "b")])
    (row,) = queue(context)
    discard(context, [row["rejection_id"]], "a test", "me")
    erase(context, ["bob@example.com"])
    run_pending(context)
    assert queue(context) == []
    assert table(context, "rejection_decisions") == []
    raw = context.raw_events([DAY]).scan().collect()
    assert raw["position"].to_list() == [1]
    assert not raw.filter(pl.col("payload").cast(pl.String).str.contains("bob")).height
