"""The Spark engine: the same sessions, computed by the executors of a Spark cluster.

Here: what the driver does. It divides the session partitions of a run into spans and the users of each into groups, has
Spark move the rows, and takes up the results part by part. What the executors do is in ``spark_tasks``, how Spark is
reached in ``spark_session``, and the session rule where it always is: no rule is stated in Spark's terms.

1. Executors read the lake's files themselves, compare them with their checksums, and deal the events to groups.
2. Spark brings the events of a group together. A group has some of the users, in the window of its span and one longest
   silence around it; chains that reach further are followed by reading the lake, as every engine does.
3. Executors write the sessions of a group as lake files, in a folder of this job alone, and return their names.
4. The pipeline writes the partitions from these files and records them, as it does with every engine's results; then
   the folder is deleted, and before it its marker, without which no task leaves a file. Of a driver that is killed they
   stay until the clean-up; nothing else knows of them.

A user with most of the events does not stop the job: it is in a group of its own span, so that no executor holds more
of it than the events of a few partitions, whichever the length of the run; only that user's groups take longer.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.engines.accepted_events import KnownPairs, events_near
from sessions_platform.engines.base import EngineContext
from sessions_platform.engines.spark_session import explained, open_session
from sessions_platform.engines.spark_tasks import COMPUTED, DEALT, PEOPLE, Job, Reading, Span, permitted
from sessions_platform.errors import UserError
from sessions_platform.memory_budget import MIB
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.sessionize import Sessionized

_TIME = "event_timestamp"
# About how much of rows one group has in memory. Small, so that groups fit into executors of any size.
_GROUP_BYTES = 64 * MIB
# What a task reads, in groups; and how many longest silences a span has at least, so that little is dealt twice.
_GROUPS_READ, _SILENCES = 4, 8


class SparkEngine:
    """Implements ``engines.base.SessionEngine``. All partitions of a run are one job."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._stream = context.stream
        self._pairs = KnownPairs(context.lake, context.stream)
        self._computed: dict[str, list[Any]] = {}

    def batches(self, partitions: list[str], landings: Sequence[LandingVersion]) -> Iterator[list[str]]:
        """Each partition is a batch, so that the driver has no more than one part in memory; all are computed first."""
        with self._marker() as marker:
            try:
                self._computed = self._compute(partitions, landings, marker)
                for partition in partitions:
                    yield [partition]
            finally:
                self._computed = {}

    def sessionize(self, partitions: Sequence[str], landings: Sequence[LandingVersion]) -> Iterator[Sessionized]:
        if set(partitions) <= self._computed.keys():
            yield from self._parts(partitions, self._computed)
            return
        with self._marker() as marker:
            yield from self._parts(partitions, self._compute(partitions, landings, marker))

    @contextmanager
    def _marker(self) -> Iterator[str]:
        """A lake file without rows, in a new folder, as long as results are waited for; the folder goes after it."""
        lake = self._context.lake
        folder = f"{self._stream.name}/sessionized_events/spark-{uuid.uuid4().hex}"
        marker = lake.write(folder, [], sessionized_columns(self._stream), statistics=()).path
        try:
            yield marker
        finally:
            lake.remove(marker)
            lake.filesystem.delete_folder(folder)

    def _parts(self, partitions: Sequence[str], computed: dict[str, list[Any]]) -> Iterator[Sessionized]:
        for partition in partitions:
            for row in computed[partition]:
                with permitted():
                    self._check_shared(row.path)
                    events = self._context.lake.scan([row.path], sessionized_columns(self._stream)).collect()
                yield _part(partition, events, row)
                self._context.lake.remove(row.path)

    def _compute(
        self, partitions: Sequence[str], landings: Sequence[LandingVersion], marker: str
    ) -> dict[str, list[Any]]:
        """Run a job; by partition the rows that its tasks have returned, which have the columns `COMPUTED`."""
        computed: dict[str, list[Any]] = {partition: [] for partition in partitions}
        job = self._job(partitions, landings, marker)
        if job.readings:
            for row in self._run(job):
                if row.error:
                    raise self._error(**json.loads(row.error))
                computed[row.session_partition].append(row)
        return computed

    def _run(self, job: Job) -> list[Any]:
        spark = open_session(self._context.spark)
        readings, groups = len(job.readings), sum(span.groups for span in job.spans)

        def compute(group: pa.Table) -> pa.Table:  # Spark counts arguments: a method, which has self, would get the key
            return job.compute(group)

        with explained():
            rows = spark.range(0, readings, 1, readings).mapInArrow(job.deal, DEALT).repartition(groups, "grp")
            return rows.groupBy("grp").applyInArrow(compute, COMPUTED).collect()

    def _job(self, partitions: Sequence[str], landings: Sequence[LandingVersion], marker: str) -> Job:
        spans: list[Span] = []
        readings: list[Reading] = []
        groups = 0
        for window in self._windows(partitions):
            silence = self._stream.session.longest_silence
            loaded = Window(window.start - silence, window.end + silence)
            near = events_near(landings, loaded)
            size = self._context.lake.size_in_memory(near, _TIME, loaded.overlaps)
            span = Span(window, loaded, groups, 1 + size // min(_GROUP_BYTES, self._context.memory.bucket))
            slices = _slices(loaded, -(-span.groups // _GROUPS_READ))
            readings += [Reading(path, part, len(spans)) for path in near for part in slices]
            spans.append(span)
            groups += span.groups
        people = self._people(landings, marker)
        return Job(self._stream, self._context.lake.filesystem, list(landings), spans, readings, marker, people)

    def _people(self, landings: Sequence[LandingVersion], marker: str) -> str | None:
        """A lake file beside the marker that says whose each anonymous id is; None where sessions are no person's."""
        people = self._pairs.people(landings)
        if people is None:
            return None
        folder, named = marker.rpartition("/")[0], people.rename(PEOPLE)
        return self._context.lake.write(folder, [named], named.schema, statistics=()).path

    def _windows(self, partitions: Sequence[str]) -> Iterator[Window]:
        """The windows of neighbouring partitions, as few as make one long enough."""
        calendar, least = self._stream.session_calendar, _SILENCES * self._stream.session.longest_silence
        first = 0
        for number in range(len(partitions)):
            window = calendar.window_of(partitions[first : number + 1])
            if window.end - window.start >= least or number + 1 == len(partitions):
                yield window
                first = number + 1

    def _error(self, message: str, path: str | None) -> UserError:
        """What an executor has told. A lake file that it can't use is looked at here: others may have another lake."""
        if path:
            self._context.lake.check(path)
            return _not_shared(path, self._context.lake.filesystem.url(path))
        return UserError(message)

    def _check_shared(self, path: str) -> None:
        if not self._context.lake.exists(path):
            raise _not_shared(path, self._context.lake.filesystem.url(path))


def _slices(window: Window, count: int) -> list[Window]:
    """The window, cut into so many of about the same length."""
    step = max((window.end - window.start) // count, timedelta(microseconds=1))
    edges = [window.start + number * step for number in range(count)]
    return [Window(start, end) for start, end in zip(edges, [*edges[1:], window.end], strict=True)]


def _part(partition: str, events: pl.DataFrame, row: Any) -> Sessionized:
    of = pl.lit(partition).alias("session_partition")
    left_out = pl.select(
        of, duplicates_across=pl.lit(row.duplicates, pl.Int64), conflicts_across=pl.lit(row.conflicts, pl.Int64)
    )
    return Sessionized(events, left_out, pl.select(of, seconds=pl.lit(row.seconds, pl.Float64)))


def _not_shared(path: str, place: str) -> UserError:
    return UserError(
        f"spark: the executors and this process do not see the same lake: {path} is in only one of the two. Fix: keep "
        f"the lake in an object store, or in a folder that all machines mount at the same path ({place})."
    )
