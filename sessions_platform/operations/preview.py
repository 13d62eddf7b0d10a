"""What rows of files become: typed events, or rejected rows with their reasons. Nothing is stored, no server is asked.

Here: which files and how many of their rows are looked at, and what is reported of them. They are read by the stream's
own source, and validated and deduplicated by the pipeline's own `validate_rows`, so that a preview can't differ from
what `ingest` makes of the same rows. What it can't know without the ledger it leaves out: repairs, erased users, and
values of references that are tables. Not here: how a preview is printed (`cli.preview`).
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sessions_platform.contracts.calendar import newest_partition
from sessions_platform.contracts.events import PLACE, PROVENANCE, Known, event_columns
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.given_files import in_folders, real_path
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deduplicate import validate_rows
from sessions_platform.pipeline.enrich import enrich
from sessions_platform.pipeline.raw_files import blocks_of
from sessions_platform.pipeline.raw_rows import RawRows
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.pipeline.sessionize import count_simultaneous
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.base import Slice, text_digest_of
from sessions_platform.sources.files.paths import LandingPaths
from sessions_platform.sources.files.source import FileSource
from sessions_platform.sources.objects.paths import ObjectPaths
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.transforms.rejections import rejections

_NEWEST_FILES = 3
# Small blocks where few rows are wanted of each file: a block is parsed as a whole.
_SMALL_BLOCK = 1 << 18
_FEW_ROWS = 1000
# The share of events with another of their user at the same moment from which on that is told.
_MANY_TIES = 0.1
_NO_ROWS = pl.DataFrame(schema=RAW_EVENTS)
_NO_REJECTIONS = pl.DataFrame(schema=REJECTED_EVENTS)


@dataclass(frozen=True)
class Preview:
    """What the rows became that were looked at; raw_rows = accepted + rejected + duplicates + skipped.

    Attributes:
        stream: its name.
        files: the uris of the files, and of members of archives, in the order in which they were read.
        raw_rows: how many rows were looked at.
        duplicates: rows that are copies of others among these.
        skipped: rows that `skip` or the format leaves out.
        events: the accepted ones, with the columns ``contracts.events.event_columns``.
        rejected: the rejected ones, with the columns of REJECTED_EVENTS; one may stand for several rows.
        places: source_uri and position of every row, in order.
        notes: sentences on what could not be looked at, would not be ingested, or has no order in time.
        fields: of a stream with a preset: by column the tool's fields that it is read from.
    """

    stream: str
    files: tuple[str, ...]
    raw_rows: int
    duplicates: int
    skipped: int
    events: pl.DataFrame
    rejected: pl.DataFrame
    places: pl.DataFrame
    notes: tuple[str, ...]
    fields: Mapping[str, str]

    @property
    def rejected_rows(self) -> int:
        """How many rows were rejected."""
        return int(self.rejected["rows"].sum())

    @property
    def rejected_by_reason(self) -> dict[str, int]:
        """The number of rejected rows with each code, most frequent first."""
        counts: Counter[str] = Counter()
        for reasons, rows in self.rejected.select("reasons", "rows").iter_rows():
            counts.update(dict.fromkeys({reason["code"] for reason in reasons}, rows))
        return dict(counts.most_common())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row: its `file`, `position` and `outcome`, and its `values` or `reasons`."""
        at = {(row["source_uri"], row["position"]): row for row in self.rejected.iter_rows(named=True)}
        accepted = {(row["source_uri"], row["position"]): row for row in self.events.iter_rows(named=True)}
        stretch: dict[str, Any] | None = None
        left = 0
        for place in self.places.iter_rows():
            if place in at:
                stretch, left = at[place], at[place]["rows"]
            row = {"file": place[0], "position": place[1]}
            if left > 0 and stretch is not None:
                left -= 1
                yield {**row, "outcome": "rejected", "reasons": stretch["reasons"], "payload": stretch["payload"]}
            elif place in accepted:
                yield {**row, "outcome": "accepted", "values": _values(accepted[place])}
            else:
                yield {**row, "outcome": self._left_out}

    @property
    def _left_out(self) -> str:
        if self.duplicates and self.skipped:
            return "duplicate or skipped"
        return "duplicate" if self.duplicates else "skipped"

    @property
    def counts(self) -> dict[str, int]:
        """How many rows there are, and how many became what."""
        return {
            "raw_rows": self.raw_rows,
            "accepted": self.events.height,
            "rejected": self.rejected_rows,
            "duplicates": self.duplicates,
            "skipped": self.skipped,
        }

    @property
    def document(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "stream": self.stream,
            "files": list(self.files),
            **self.counts,
            "rejected_by_reason": self.rejected_by_reason,
            "notes": list(self.notes),
            "fields": dict(self.fields),
            "rows": list(self.rows()),
        }


def preview(
    stream: Stream,
    settings: Settings,
    files: Sequence[Path] = (),
    limit: int | None = None,
    *,
    in_order: bool = False,
) -> Preview:
    """Read rows of files as the stream does, and validate and deduplicate them as a landing partition's.

    Args:
        stream: whose columns and rules are applied.
        settings: name the folder of copies of members of archives; nothing else is written.
        files: wherever they are, and folders of such; by default the newest landing files of the stream.
        limit: how many rows are looked at; all of them without it.
        in_order: whether those are the rows of one file after the other, so that none is missing between two. Else the
            same number of each file, from its first.

    Raises:
        UserError: a file can't be read, there is no landing file, the stream reads no files, or a reference can't be
            read.
    """
    landing = _landing_paths(stream)
    named = in_folders(files) or newest_files(stream, settings)
    found = [_slices(stream, settings, landing, file, limit) for file in named]
    readings = [each for slices, _ in found for each in slices]
    known, unknown = _references(stream, settings)
    blocks, digests = _read(readings, limit, in_order=in_order)
    parts = {partition: pl.concat([_NO_ROWS, *of_partition]) for partition, of_partition in blocks.items()}
    context = StreamContext.open(stream, settings)
    results = [_validated(context, partition, rows, digests, known) for partition, rows in parts.items()]
    events = pl.concat([pl.DataFrame(schema=event_columns(stream)), *(result.events for result in results)])
    return Preview(
        stream.name,
        tuple(dict.fromkeys(each.uri for each in readings)),
        sum(rows.height for rows in parts.values()),
        sum(result.duplicates for result in results),
        sum(result.skipped for result in results),
        events,
        pl.concat([_NO_REJECTIONS, *(result.rejected for result in results)]),
        pl.concat([_NO_ROWS, *parts.values()]).select(*PLACE),
        (*(note for _, notes in found for note in notes), *unknown, *_ties(events, stream)),
        _fields_of_tool(stream),
    )


def _fields_of_tool(stream: Stream) -> dict[str, str]:
    """By column the fields that it is read from, where they are a tool's; its own name where nothing else is stated."""
    if stream.source.preset is None:
        return {}
    return {
        name: " + ".join(column.join) if column.join else ", ".join(column.from_ or [name])
        for name, column in stream.columns.items()
        if column.from_file_name is None
    }


class _Readable(NamedTuple):
    """A slice of a file, the source that reads it, and the landing partition and uri that its rows are given."""

    source: FileSource
    slice_: Slice
    partition: str
    uri: str


def source_of_file(stream: Stream, path: Path, scratch: Path, block_bytes: int = BLOCK_BYTES) -> FileSource:
    """A source of one file, wherever it is, which reads it as the stream reads its landing files.

    Args:
        stream: with a source of files.
        path: absolute, without links.
        scratch: the folder of copies of members of archives.
        block_bytes: how much of it is read at once.
    """
    source = stream.source.model_copy(update={"files": escape(str(path))})
    return FileSource(stream.model_copy(update={"source": source}), block_bytes, scratch)


def _landing_paths(stream: Stream) -> LandingPaths:
    if not isinstance(stream.source, FilesSource):
        raise UserError(f"{stream.name}: it does not read files. Fix: name a stream whose source has the type files.")
    return ObjectPaths(stream) if stream.source.objects else LandingPaths(stream)


def newest_files(stream: Stream, settings: Settings) -> list[Path]:
    """The stream's newest landing files: those of the latest landing partitions, and of these the last written."""
    if isinstance(stream.source, FilesSource) and stream.source.objects:
        fix = "name a file behind the stream, such as a copy of one of them"
        raise UserError(f"{stream.name}: its landing files are objects, which are not copied for this. Fix: {fix}.")
    landing = FileSource.open(stream, settings)
    partitions = {landing.path_of(each.uri): each.landing_partition or "" for each in landing.find()}
    if not partitions:
        pattern = getattr(stream.source, "files", "")
        raise UserError(f"{stream.name}: there is no landing file at {pattern}. Fix: name a file behind the stream.")
    return sorted(partitions, key=lambda path: (partitions[path], path.stat().st_mtime_ns))[-_NEWEST_FILES:]


def _slices(
    stream: Stream, settings: Settings, landing: LandingPaths, file: Path, limit: int | None
) -> tuple[list[_Readable], list[str]]:
    """What is to be read of a file, and notes on what is not."""
    path = real_path(file)
    source = source_of_file(
        stream, path, settings.scratch, _SMALL_BLOCK if limit is not None and limit <= _FEW_ROWS else BLOCK_BYTES
    )
    partition, uri, notes = _placed(stream, landing, Path(os.path.normpath(file.absolute())))
    found, own = source.search(), source.uri_of(path)
    slices = [_Readable(source, each, partition, uri + each.uri.removeprefix(own)) for each in found.slices]
    return slices, [*notes, *(f"{skip.place}: {skip.reason}" for skip in found.skipped)]


def _placed(stream: Stream, landing: LandingPaths, path: Path) -> tuple[str, str, list[str]]:
    """The landing partition and the uri that `ingest` would give a file, and a note where it would refuse it."""
    own = landing.uri_of(path)
    if stated := landing.partition_of(own):
        return stated, own, []
    newest = newest_partition(stream.landing_calendar)
    partition = landing.partition_of_name(path.name) or newest
    if partition > newest:
        return partition, own, [f"{path.name}: it states the landing partition {partition}, which has not begun."]
    try:
        return partition, landing.uri_of(landing.landing_path(path.name, partition)), []
    except UserError as refused:
        return partition, own, [f"ingest would refuse it: {refused}"]


def _references(stream: Stream, settings: Settings) -> tuple[Known | None, list[str]]:
    """The known values of references that are files. Of tables there is a note: the database is not asked."""
    tables = [name for name, reference in stream.references.items() if reference.table]
    if tables:
        return None, [f"{', '.join(tables)}: a reference is a table, so references were not looked up."]
    return (read_references(StreamContext.open(stream, settings)).known if stream.references else None), []


def _read(
    readings: Sequence[_Readable], limit: int | None, *, in_order: bool
) -> tuple[dict[str, list[pl.DataFrame]], dict[str, str]]:
    """The raw rows by landing partition, and a digest of each slice: of its text where that was read to its end."""
    rows: dict[str, list[pl.DataFrame]] = {}
    digests: dict[str, str] = {}
    of_each = None if limit is None else limit if in_order else max(1, limit // max(1, len(readings)))
    left = of_each
    for source, slice_, partition, uri in readings:
        left = left if in_order else of_each
        if left == 0:
            break
        reading = source.read(slice_, lambda _, uri=uri: uri)
        of_partition = rows.setdefault(partition, [])
        for block in blocks_of(reading, partition, uri):
            of_partition.append(block.select(*RAW_EVENTS).head(block.height if left is None else left))
            left = None if left is None else left - of_partition[-1].height
            if left == 0:
                break
        digests[uri] = uri if left == 0 else text_digest_of(reading)
    return rows, digests


def _ties(events: pl.DataFrame, stream: Stream) -> list[str]:
    """A note where many events share user and moment, and nothing but their ids orders them."""
    count = count_simultaneous(events.sort("user_id", "event_timestamp"))
    if stream.sequence is not None or count < max(1, _MANY_TIES * events.height):
        return []
    return [
        f"{count:,} of {events.height:,} events are at the moment of another of their user, and in the order of their "
        "ids. Fix: sequence: position, if that of the file is theirs."
    ]


class _Validated(NamedTuple):
    """What the rows of a landing partition became."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    duplicates: int
    skipped: int


def _validated(
    context: StreamContext, partition: str, raw: pl.DataFrame, digests: Mapping[str, str], known: Known | None
) -> _Validated:
    """Validate and deduplicate raw rows as those of one landing partition."""
    nothing_stored = Dataset(context.lake, RAW_EVENTS, {partition: ()})
    of_partition = {uri: digests[uri] for uri in raw["source_uri"].unique()}
    rows = validate_rows(context, RawRows(nothing_stored, partition, raw), of_partition, [], known or {})
    events = enrich(rows.events(), context.stream, scratch=context.lake.scratch)
    events = pl.concat([pl.DataFrame(schema=event_columns(context.stream)), *events])
    rejected = [rejections(block, context.stream) for block in rows.rejected()]
    return _Validated(events, pl.concat([_NO_REJECTIONS, *rejected]), rows.duplicates, rows.skipped)


def _values(event: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an event's own columns; times as ISO 8601."""
    own = {name: value for name, value in event.items() if name not in PROVENANCE}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in own.items()}
