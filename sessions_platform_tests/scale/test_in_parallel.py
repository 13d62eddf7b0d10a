"""Several processes rebuild session partitions at once: the result is the same, and readers see complete states."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.transforms.reference_sessionizer import Event
from sessions_platform_tests.contexts import line
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, stale
from sessions_platform_tests.scale.reading import events_in
from sessions_platform_tests.scale.rebuilding import SECONDS, Processes, finish, watched
from sessions_platform_tests.scale.tables import differing, known, stored
from sessions_platform_tests.streams import DAY_ONE, stream

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("four processes")]

SLICES = 5
DAYS = 24
PARTITIONS = [f"{DAY_ONE + timedelta(days=number):%Y-%m-%d}" for number in range(DAYS)]
HALVES = PARTITIONS[: DAYS // 2], PARTITIONS[DAYS // 2 :]


class Landing:
    """Events of twelve users, ingested in random slices; no session crosses the midnight between the halves."""

    def __init__(self, context: StreamContext) -> None:
        self.context = context
        self.events: list[Event] = []
        dice = random.Random(SLICES)
        middle = DAYS // 2 * 24 * 60
        minutes = [minute for minute in range(DAYS * 24 * 60) if abs(minute - middle) > 60]
        lines = [
            line(f"user{user}", DAY_ONE + timedelta(minutes=minute), f"{user}-{minute}")
            for user in range(12)
            for minute in dice.sample(minutes, DAYS * 12)
        ]
        dice.shuffle(lines)
        self._slices = [lines[number::SLICES] for number in range(SLICES)]

    def ingest_and_publish(self, number: int) -> None:
        partition, uri = f"2026-02-0{number + 1}", f"slice-{number}"
        put(self.context, uri, self._slices[number], partition)
        ingest_and_publish(self.context, partition)
        self.events += events_in(self._slices[number], partition, uri)

    def differing(self) -> list[tuple[object, ...]]:
        return differing(stored(self.context), known(self.events))


@pytest.fixture(scope="module")
def four() -> Iterator[Processes]:
    processes = Processes(4)
    yield processes
    processes.end()


@pytest.fixture
def landing(settings: Settings, request: pytest.FixtureRequest) -> Landing:
    named = stream(name=f"parallel_{request.node.originalname.split('_')[-1]}")
    return Landing(StreamContext.open(named, settings, MemorySource()))


def test_four_processes_rebuild_single_partitions_in_any_order(landing: Landing, four: Processes) -> None:
    dice = random.Random(4)
    for number in range(SLICES):
        landing.ingest_and_publish(number)
        alone = [[partition] for partition in stale(landing.context)]
        dice.shuffle(alone)
        with watched(landing.context) as looks:
            finish(four.rebuild(landing.context, [alone[process::4] for process in range(4)]))
        assert landing.differing() == []
        assert stale(landing.context) == []
        for partition in PARTITIONS:
            seen = [look.partitions.get(partition) for look in looks]
            assert set(seen) <= {seen[0], seen[-1]}


def test_a_range_is_rebuilt_by_two_processes_while_two_others_rebuild_its_neighbour(
    landing: Landing, four: Processes
) -> None:
    for number in range(SLICES):
        landing.ingest_and_publish(number)
        with watched(landing.context) as looks:
            finish(four.rebuild(landing.context, [[half, half] for half in HALVES * 2]))
        assert landing.differing() == []
        assert stale(landing.context) == []
        for half in HALVES:
            seen = [look.events(half) for look in looks]
            assert set(seen) <= {seen[0], seen[-1]}
        assert sum(look.overlaps for look in looks) == 0


def test_four_processes_rebuild_everything_while_events_land(landing: Landing, four: Processes) -> None:
    landing.ingest_and_publish(0)
    refresh(landing.context)
    ingested = [len(landing.events)]
    with watched(landing.context) as looks:
        rebuilding = four.rebuild(landing.context, [[PARTITIONS] * 12] * 4)
        for number in range(1, SLICES):
            landing.ingest_and_publish(number)
            ingested.append(len(landing.events))
            until(lambda: looks[-1].events(PARTITIONS) == ingested[-1] or all(done.done() for done in rebuilding))
        finish(rebuilding)
    refresh(landing.context)
    assert landing.differing() == []
    seen = [look.events(PARTITIONS) for look in looks]
    assert set(seen) == set(ingested)
    assert all(earlier <= later for earlier, later in pairwise(seen))
    assert sum(look.overlaps for look in looks) == 0


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
