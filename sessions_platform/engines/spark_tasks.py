"""What Spark's executors run: accepted events dealt to groups of users, and the sessions of one such group.

Here: two functions over Arrow, which need nothing but this package, the lake and what `Job` tells. Which groups there
are and what becomes of the results is decided by the driver (``engines.spark``).

Spark moves rows only as bytes: polars' own IPC format, in a column beside the number of the group. So no value passes
through a type of Spark's, and neither its time zone nor its order of rows can change one. A group is dealt by a hash of
this project's, which is the same on every machine and in every version; Spark's hash decides only where a group is
computed.

A task may run twice, when an executor is lost or Spark speculates. Both write files of names of their own, and only
those count that the task which Spark takes has returned. One that ends after its job removes what it has written: it
looks for the job's marker after it wrote, and the driver lists the folder after it has removed the marker, so that one
of the two sees the file.
"""

import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl
import polars_hash as plh
import pyarrow as pa

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.column_types import OWN_USER_ID
from sessions_platform.contracts.polars_types import in_window
from sessions_platform.contracts.sessions import cut_columns, sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.engines.accepted_events import as_accepted, event_reader, reader_within
from sessions_platform.errors import UserError
from sessions_platform.storage.lake.errors import MissingFileError
from sessions_platform.storage.lake.filesystem import Filesystem
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.people import Resolve, resolving
from sessions_platform.transforms.sessionize import Sessionized, sessionize_in_parts
from sessions_platform.transforms.sort_events import PART_ROWS

DEALT = "grp int, rows binary"
COMPUTED = "session_partition string, path string, duplicates bigint, conflicts bigint, seconds double, error string"

_DEALT = pa.schema({"grp": pa.int32(), "rows": pa.binary()})
_COMPUTED = pa.schema(
    {
        "session_partition": pa.string(),
        "path": pa.string(),
        "duplicates": pa.int64(),
        "conflicts": pa.int64(),
        "seconds": pa.float64(),
        "error": pa.string(),
    }
)
# How the file of people calls the columns of ``people_of``: as sessionized events do, so that an erasure finds users.
PEOPLE = {"anonymous_id": OWN_USER_ID, "person": "user_id"}
_TIME = "event_timestamp"
_FAILED = -1  # the group of what could not be read


def versions() -> dict[str, str]:
    """By name the versions, in this process, of what computes sessions."""
    try:
        own = version("sessions-platform")
    except PackageNotFoundError:
        own = "(not installed as a package)"
    return {"sessions-platform": own, "polars": pl.__version__}


@dataclass(frozen=True)
class Span:
    """Neighbouring session partitions whose sessions are computed together, and the groups that do it.

    Attributes:
        window: of the partitions.
        loaded: of the events that are dealt; others are read when an activity chain needs them.
        first_group: the number of the first group; numbers are unique within a job.
        groups: how many groups its users are dealt to.
    """

    window: Window
    loaded: Window
    first_group: int
    groups: int


@dataclass(frozen=True)
class Reading:
    """What one task reads: the events of one lake file in a window, for the span of that number."""

    path: str
    window: Window
    span: int


@dataclass(frozen=True)
class Job:
    """What each task has to know. It is pickled with the task.

    Attributes:
        stream: whose events they are.
        filesystem: of the lake; the executors have to reach the same one.
        landings: the published landing partitions of the snapshot.
        spans: by number.
        readings: by number.
        marker: a lake file, in a folder of this job alone where results are written, too. Once it is gone, nobody waits
            for them.
        people: a lake file that says whose each anonymous id is; None where sessions are not a person's.
        versions: of what computes sessions, where the job was made; the executors need the same.
    """

    stream: Stream
    filesystem: Filesystem
    landings: Sequence[LandingVersion]
    spans: Sequence[Span]
    readings: Sequence[Reading]
    marker: str
    people: str | None
    versions: Mapping[str, str] = field(default_factory=versions)

    def deal(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For ``mapInArrow``: numbers of readings (one column) become the rows that they give (`DEALT`)."""
        try:
            self._check_versions()
            with opened(self.filesystem) as lake:
                for batch in batches:
                    for number in batch.column(0).to_pylist():
                        yield from _dealt(self._read(lake, self.readings[number]))
        except UserError as error:
            yield from _dealt([(_FAILED, _told(error).encode())])

    def compute(self, group: pa.Table) -> pa.Table:
        """For ``applyInArrow``: the rows of one group (`DEALT`) become the files of its sessions (`COMPUTED`)."""
        number, rows = group["grp"][0].as_py(), group["rows"]
        if number == _FAILED:
            return _failure(rows[0].as_py().decode())
        try:
            self._check_versions()
            with opened(self.filesystem) as lake:
                events = pl.concat([pl.read_ipc_stream(io.BytesIO(block.as_py())) for block in rows])
                results = list(self._results(lake, number, events))
        except UserError as error:
            return _failure(_told(error))
        return pa.Table.from_pylist(results, _COMPUTED)

    def _read(self, lake: Lake, reading: Reading) -> Iterator[tuple[int, bytes]]:
        span = self.spans[reading.span]
        columns, resolve = cut_columns(self.stream), self._resolve(lake)
        for block in lake.blocks([reading.path], columns, _TIME, reading.window.overlaps):
            events = resolve(block.lazy().filter(in_window(reading.window))).select(*columns)
            dealt = events.collect().with_columns(_bucket=bucket_of("user_id", span.groups))
            for (bucket,), part in dealt.partition_by("_bucket", as_dict=True, include_key=False).items():
                yield span.first_group + bucket, _to_ipc(part)

    def _results(self, lake: Lake, group: int, events: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """A row for each session partition of each part of the group's sessions, which is then a file of the lake."""
        span = next(span for span in self.spans if 0 <= group - span.first_group < span.groups)
        beyond = event_reader(lake, cut_columns(self.stream), self.landings, resolve=self._resolve(lake))
        read = reader_within(events, span.loaded, beyond)
        for compute in sessionize_in_parts(span.window, read, self.stream, PART_ROWS):
            part = compute()
            for (partition,), rows in part.events.partition_by("session_partition", as_dict=True).items():
                yield {"session_partition": partition, "path": self._write(lake, rows), **_counts(part, partition)}

    def _resolve(self, lake: Lake) -> Resolve:
        """Gives events their person by the links that the run has found, which are read once they are needed."""
        if self.people is None:
            return as_accepted
        path, names = self.people, {stored: name for name, stored in PEOPLE.items()}

        @cache
        def by_links() -> Resolve:
            people = lake.scan([path], dict.fromkeys(names, pl.String())).collect()
            return resolving(people.rename(names))

        def resolve(events: pl.LazyFrame) -> pl.LazyFrame:
            return by_links()(events)

        return resolve

    def _write(self, lake: Lake, rows: pl.DataFrame) -> str:
        """The path of a new lake file with the rows. Raises MissingFileError where the job has ended meanwhile."""
        path = lake.write(self.marker.rpartition("/")[0], [rows], sessionized_columns(self.stream), statistics=()).path
        if not lake.exists(self.marker):
            lake.remove(path)
            raise MissingFileError(self.marker)
        return path

    def _check_versions(self) -> None:
        here = versions()
        if differing := [name for name in here if here[name] != self.versions.get(name)]:
            theirs = " and ".join(f"{name} {here[name]}" for name in differing)
            ours = " and ".join(f"{name} {self.versions.get(name)}" for name in differing)
            raise UserError(
                f"spark: an executor has {theirs}, and this run has {ours}. Fix: install the same versions for the "
                f"executors, and name that Python with the variable PYSPARK_PYTHON."
            )


def bucket_of(column: str, buckets: int) -> pl.Expr:
    """Which of the buckets a text is dealt to: by XXH3, which is the same wherever and by whatever it is computed."""
    return plh.col(column).nchash.xxh3_64(seed=0) % buckets


@contextmanager
def opened(filesystem: Filesystem) -> Iterator[Lake]:
    """The lake, with a temporary folder of this task's own, which has the drafts, too, of a lake in an object store."""
    with tempfile.TemporaryDirectory(prefix="sessions-spark-", dir=_local_folder()) as folder, permitted():
        yield Lake(filesystem.in_scratch(Path(folder)), Path(folder))


def _local_folder() -> str | None:
    """The first folder that Spark tells its Python workers for their files; None where there is none, as with Sail.

    A cluster's manager removes it with the application, so that rows of a task that was killed don't stay.
    """
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0]
    return folder if Path(folder).is_absolute() and Path(folder).is_dir() else None


@contextmanager
def permitted() -> Iterator[None]:
    """Raises UserError where a file of the lake is another OS user's: each is for its owner alone."""
    try:
        yield
    except PermissionError as error:
        raise UserError(
            f"spark: {error.filename}: the OS user with the uid {os.geteuid()} may not use it, for the lake is its "
            f"owner's alone. Fix: let the executors and this run be one OS user, with the same uid on all machines, or "
            f"keep the lake in an object store."
        ) from error


def _dealt(rows: Iterable[tuple[int, bytes]]) -> Iterator[pa.RecordBatch]:
    for group, block in rows:
        yield pa.RecordBatch.from_pydict({"grp": [group], "rows": [block]}, _DEALT)


def _to_ipc(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4")
    return buffer.getvalue()


def _counts(part: Sessionized, partition: str) -> dict[str, Any]:
    of_partition = pl.col("session_partition") == partition
    left_out = part.left_out.filter(of_partition)
    return {
        "duplicates": int(left_out["duplicates_across"].sum()),
        "conflicts": int(left_out["conflicts_across"].sum()),
        "seconds": part.longest_chains.filter(of_partition)["seconds"].max(),
    }


def _told(error: UserError) -> str:
    """What ``engines.spark`` raises again: the sentence, and which lake file could not be used."""
    return json.dumps({"message": str(error), "path": getattr(error, "path", None)})


def _failure(error: str) -> pa.Table:
    return pa.Table.from_pylist([{"error": error}], _COMPUTED)
