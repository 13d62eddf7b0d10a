"""A landing partition that is deduplicated in buckets gives the same rows as one that is deduplicated at once."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from sessions_platform.contracts.events import PROVENANCE
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.pipeline import deduplicate as module
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deduplicate import ValidatedRows
from sessions_platform.pipeline.raw_rows import RawRows
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.postgres.database import Database
from sessions_platform.transforms import deduplicate as transform
from sessions_platform.transforms.deduplicate import REPAIRS, unique_events
from sessions_platform.transforms.parse.parse import parse_and_observe
from sessions_platform.transforms.sort_events import sort_by_time
from sessions_platform.transforms.stretches import ROWS, places_of
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.lakes import local_lake
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

LANDING = "2026-01-01"
REJECTED = {**PROVENANCE, "payload": pl.Binary(), "reasons": REASONS, ROWS: pl.Int64()}
STREAMS = [
    stream(),
    stream(columns={name: column for name, column in PLAIN["columns"].items() if name != "event_id"}),
    stream(columns={**PLAIN["columns"], "event_id": {"from": "id", "nullable": True}}),
    stream(duplicates={"keep": "last", "compare": ["event_type"]}),
    stream(columns={**PLAIN["columns"], "page_url": {"from": "url", "nullable": True, "unique": True}}),
]
# Ids and pages recur, and so do whole lines.
lines = st.builds(
    lambda name, user, minute, kind, url: json.dumps(
        {"id": name, "user": user, "ts": f"2026-01-01T10:{minute:02}:00Z", "type": kind, "url": url}
    ).encode(),
    st.sampled_from([*"abcdef", None]),
    st.sampled_from(["ann", "bob", None]),
    st.integers(0, 9),
    st.sampled_from(["view", "view", "buy"]),
    st.sampled_from([None, "x", "y", "z"]),
)
files = st.lists(lines, max_size=14)


# Spilled; candidates apart from the others, though all are in memory; and all rows together.
IN_BUCKETS, IN_MEMORY, AS_THEY_ARE = MemoryBudget(300, 300), MemoryBudget(1 << 30, 300), MemoryBudget(1 << 30, 1 << 30)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unique events come in several parts."""
    monkeypatch.setattr(transform, "PART_ROWS", 3)


def raw(uri: str, payloads: list[bytes]) -> pl.DataFrame:
    rows = [(LANDING, uri, at, None, payload, b"\n", None, None) for at, payload in enumerate(payloads, 1)]
    return pl.DataFrame(rows, schema=RAW_EVENTS, orient="row")


def validated(
    folder: Path, of: Stream, rows: pl.DataFrame, digests: dict[str, str], repairs: pl.DataFrame, memory: MemoryBudget
) -> dict[str, Any]:
    settings = Settings(folder, folder / "lake", ())
    lake = local_lake(folder / "lake")
    context = StreamContext(of, MemorySource(), lake, Database(settings), memory=memory)
    result = ValidatedRows(context, RawRows(Dataset(lake, RAW_EVENTS, {LANDING: ()}), LANDING, rows), digests, repairs)
    for block in rows.iter_slices(8):
        parsed, observed = parse_and_observe(block, of)
        result.add(validate(parsed, of, LANDING), observed)
    events, place = pl.concat([pl.DataFrame(), *result.events()], how="diagonal"), ["source_uri", "position"]
    rejected = pl.concat([pl.DataFrame(schema=REJECTED), *result.rejected()])
    return {
        "events": events.sort(place).to_dicts() if events.height else [],
        "rejected": places_of(rejected).drop(ROWS).sort(place).to_dicts(),
        "duplicates": result.duplicates,
        "span": (result.first_event, result.last_event),
        "observed": result.observed,
    }


@how(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(STREAMS), files, files, st.booleans(), st.lists(st.tuples(st.integers(1, 14), lines), max_size=3)
)
def test_in_buckets_the_rows_are_the_same_as_at_once(
    tmp_path: Path, of: Stream, one: list[bytes], two: list[bytes], same: bool, repaired: list[tuple[int, bytes]]
) -> None:
    places = [("a", at) for at, _ in repaired if at <= len(one)]
    repairs = [("replay:1", at, *original, at) for at, original in enumerate(places, 1)]
    payloads = [payload for at, payload in repaired if at <= len(one)]
    rows = pl.concat([raw("a", one), raw("b", one if same else two), raw("replay:1", payloads)])
    digests = {"a": "1", "b": "1" if same else "2", "replay:1": "3"}
    repair_rows = pl.DataFrame(repairs, schema=REPAIRS, orient="row")
    at_once = validated(tmp_path, of, rows, digests, repair_rows, AS_THEY_ARE)
    for memory in (IN_MEMORY, IN_BUCKETS):
        assert validated(tmp_path, of, rows, digests, repair_rows, memory) == at_once


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.booleans()), max_size=14))
def test_the_parts_of_unique_events_are_one_file_in_the_order_of_time(rows: list[tuple[int, str, bool]]) -> None:
    events = [event("ann", DAY_ONE + timedelta(minutes=at), name, position=n) for n, (at, name, _) in enumerate(rows)]
    all_rows, is_unique = frame(events, stream()), pl.Series([unique for *_, unique in rows], dtype=pl.Boolean)
    parts = list(unique_events(all_rows, is_unique, stream(), {}))
    assert pl.concat(parts).equals(sort_by_time(all_rows.filter(is_unique).select(parts[0].columns), stream()))
    assert all(part.height <= transform.PART_ROWS for part in parts)


def test_candidates_that_are_overlooked_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: no hash counts as repeated, so nothing is deduplicated."""
    monkeypatch.setattr(module, "_repeated_in", lambda _hashes: pl.Series(dtype=pl.UInt64))
    line = b'{"id":"a","user":"ann","ts":"2026-01-01T10:00:00Z","type":"view"}'
    result = validated(tmp_path, stream(), raw("a", [line] * 9), {"a": ""}, pl.DataFrame(schema=REPAIRS), IN_BUCKETS)
    assert (len(result["events"]), result["duplicates"]) == (9, 0)


@pytest.mark.parametrize("memory", [IN_BUCKETS, IN_MEMORY, AS_THEY_ARE], ids=["in buckets", "in memory", "as they are"])
def test_a_row_and_its_repair_are_one_event_where_both_are_accepted(tmp_path: Path, memory: MemoryBudget) -> None:
    """A later contract may come to accept the original row: then its repair, which has another id, replaces it."""

    def payload(name: str) -> bytes:
        return json.dumps({"id": name, "user": "ann", "ts": "2026-01-01T10:00:00Z", "type": "view"}).encode()

    rows = pl.concat([raw("a", [payload(f"a{at}") for at in range(9)]), raw("replay:1", [payload("repaired")])])
    repairs = pl.DataFrame([("replay:1", 1, "a", 5, 1)], schema=REPAIRS, orient="row")
    result = validated(tmp_path, stream(), rows, {"a": "", "replay:1": "r"}, repairs, memory)
    assert (len(result["events"]), result["duplicates"]) == (9, 1)
    assert {event["event_id"] for event in result["events"]} == {"repaired", *(f"a{at}" for at in range(9) if at != 4)}
