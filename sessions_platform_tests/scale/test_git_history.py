"""Nineteen years of commits, ingested in random slices: the sessions are correct after each of them.

Of daily session partitions there are thousands, so that these are compared at the end only.
"""

import gzip
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.transforms.reference_sessionizer import Event
from sessions_platform_tests.data.figures import FIGURES
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.scale.tables import differing, known, stored
from sessions_platform_tests.streams import stream

pytestmark = [pytest.mark.data, pytest.mark.slow]

SEED = 20260822
SLICES = 10
# Older than no commit. Some of them get several slices.
LANDING_PARTITIONS = [f"2026-08-{day}" for day in range(23, 32)]
COLUMNS = {
    "event_id": {},
    "user_id": {"from": "user"},
    "event_timestamp": {"from": "author_time", "formats": ["%+"]},
    "event_type": {"from": "action", "isin": ["commit", "merge"]},
    "page_url": {"from": "repo"},
}


class Slices:
    """The commits in random slices, each with a landing partition; always the same ones."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        dice = random.Random(SEED)
        shuffled = dice.sample(lines, len(lines))
        self.lines = [shuffled[number::SLICES] for number in range(SLICES)]
        self.partitions = [dice.choice(LANDING_PARTITIONS) for _ in range(SLICES)]

    def ingest(self, context: StreamContext, number: int) -> None:
        """Publish a slice, together with the earlier ones of its partition."""
        put(context, f"slice-{number}", self.lines[number], self.partitions[number])
        ingest_and_publish(context, self.partitions[number])

    def events(self, number: int) -> list[Event]:
        """The events of a slice, read without the platform's code."""
        place = {"landing_partition": self.partitions[number], "source_uri": f"slice-{number}"}
        lines = enumerate(self.lines[number], start=1)
        return [{**_event(json.loads(line)), **place, "position": position} for position, line in lines]


@pytest.fixture(scope="module")
def slices(data: Path) -> Slices:
    with gzip.open(data / "git_history" / "commits.ndjson.gz") as file:
        return Slices(file.read().splitlines())


@pytest.mark.parametrize(
    ("cadence", "partition", "compared"),
    [
        pytest.param("monthly", "%Y-%m-01", range(SLICES), id="after every slice, with monthly session partitions"),
        pytest.param("daily", "%Y-%m-%d", [SLICES - 1], id="after the last slice, with daily ones"),
    ],
)
def test_sessions_equal_those_computed_at_once_from_all_ingested_events(
    slices: Slices, settings: Settings, expected: dict[str, Any], cadence: str, partition: str, compared: Sequence[int]
) -> None:
    context, ingested = history(settings, cadence), []
    for number in range(SLICES):
        slices.ingest(context, number)
        ingested += slices.events(number)
        if number in compared:
            refresh(context)
            assert differing(stored(context), known(ingested, partition)) == [], f"after slice {number}"
    of_file = expected["git_history/commits.ndjson.gz by author_time"]
    known_figures = of_file["longer_than_30_minutes_cuts"]
    assert known_figures["sessions"] == 78_034
    assert context.database.query(f"select {FIGURES} from {context.stream.name}.sessions") == [known_figures]
    assert accounted_for(context) == {
        "raw_rows": of_file["rows"],
        "accepted": of_file["rows"],
        "rejected_by_reason": of_file["rejected"],
        "duplicates_across": 0,
        "pending": {"landing": [], "session": []},
    }


def history(settings: Settings, cadence: str) -> StreamContext:
    named = stream(
        name=f"git_history_{cadence}",
        start="2007-01-01",
        end="2026-09-01",
        columns=COLUMNS,
        session={"partition": cadence},
    )
    return StreamContext.open(named, settings, MemorySource())


def accounted_for(context: StreamContext) -> dict[str, Any]:
    counts = status(context)
    return {
        name: counts[name] for name in ("raw_rows", "accepted", "rejected_by_reason", "duplicates_across", "pending")
    }


def _event(fields: dict[str, str]) -> Event:
    return {
        "event_id": fields["event_id"],
        "user_id": fields["user"],
        "event_timestamp": datetime.fromisoformat(fields["author_time"]).astimezone(UTC),
        "event_type": fields["action"],
        "page_url": fields["repo"],
    }
