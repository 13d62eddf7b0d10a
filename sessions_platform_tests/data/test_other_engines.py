"""Silences of nearly the gap, before and after 1970: the sessions are those that other engines made of the same events.

The totals were counted by running the engines; which sessions they were is computed here again, by a plain loop.
"""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.transforms.cast import as_typed
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import PLAIN, event, frame, stream

pytestmark = [pytest.mark.data, pytest.mark.slow]

GAP = 30 * 60 * 1_000_000
US, MS, S = 1, 1000, 1_000_000


def sessions_of(rows: list[dict[str, Any]], unit: int, *, equal_cuts: bool) -> set[frozenset[str]]:
    """Ids of the events of each session: the silence is counted between times that are floored to the unit."""
    sessions: list[set[str]] = []
    user, last = "", 0
    for row in sorted(rows, key=lambda row: (row["user"], row["us"], row["id"])):
        silence = row["us"] // unit * unit - last
        if row["user"] != user or silence > GAP or (equal_cuts and silence == GAP):
            sessions.append(set())
        sessions[-1].add(row["id"])
        user, last = row["user"], row["us"] // unit * unit
    return {frozenset(session) for session in sessions}


def awkward_rows(data: Path) -> list[dict[str, Any]]:
    with gzip.open(data / "awkward_edges" / "events.ndjson.gz") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("rule", "unit", "total"),
    [
        pytest.param({}, US, 1_155, id="Spark, bytewax, retentioneering"),
        pytest.param({"gap_inclusive": True}, US, 1_502, id="Pathway"),
        pytest.param({"precision": "ms"}, MS, 921, id="Flink, quixstreams"),
        pytest.param({"precision": "ms", "gap_inclusive": True}, MS, 1_652, id="Beam"),
        pytest.param({"precision": "s"}, S, 533, id="Segment's dbt package"),
    ],
)
def test_the_sessions_are_those_of_other_engines(data: Path, rule: dict[str, Any], unit: int, total: int) -> None:
    rows = awkward_rows(data)
    web = stream(session=rule, start="1900-01-01")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ingested = [event(row["user"], epoch + timedelta(microseconds=row["us"]), row["id"]) for row in rows]
    cut = sessionize(frame(ingested, web), web)
    ours = {frozenset(ids) for ids in cut.group_by("session_id").agg("event_id")["event_id"].to_list()}
    assert len(ours) == total
    assert ours == sessions_of(rows, unit, equal_cuts="gap_inclusive" in rule)


def test_with_floored_times_the_sessions_start_and_end_as_those_of_segments_package(data: Path) -> None:
    rows = awkward_rows(data)
    timed = {"from": "ts", "formats": ["epoch_us"], "floor": "1s"}
    columns = {**PLAIN["columns"], "event_timestamp": timed}
    web = stream(columns=columns, session={"like": "segment_dbt"}, start="1900-01-01")
    moments = as_typed(pl.Series("ts", [str(row["us"]) for row in rows]), web.columns["event_timestamp"])
    ingested = [event(row["user"], at, row["id"]) for row, at in zip(rows, moments, strict=True)]
    sessions = summarize(sessionize(frame(ingested, web), web), web)
    whole = {row["id"]: row["us"] // S for row in rows}
    expected = Counter(
        (min(whole[name] for name in ids), max(whole[name] for name in ids), len(ids))
        for ids in sessions_of(rows, S, equal_cuts=False)
    )
    ours = sessions.select(pl.col("session_start", "session_end").dt.epoch("s"), "event_count")
    assert sessions.height == 533
    assert Counter(ours.iter_rows()) == expected
