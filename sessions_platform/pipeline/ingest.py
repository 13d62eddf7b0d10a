"""The first stage: the slices of a stream's source become raw_events, a snapshot of the rows as they came.

Here: which slices are read, and what is reported of them. Not here: where their rows are stored and recorded
(`raw_files`), how a slice is found and read (`sources`), what its rows mean (`transforms.parse`), and which landing
partitions have something to ingest (`operations.status`).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sessions_platform.contracts.calendar import newest_partition
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.growth import divided
from sessions_platform.pipeline.progress import steps
from sessions_platform.pipeline.raw_files import RawFileWriter
from sessions_platform.pipeline.tombstones import read_tombstones
from sessions_platform.sources.base import (
    Cursors,
    Found,
    InRounds,
    KnowsPast,
    Past,
    ReadWarning,
    Skipped,
    Slice,
    Source,
    search,
    will_read,
)
from sessions_platform.sources.errors import OverwrittenSliceError
from sessions_platform.storage.ledger.ledger import KnownFile, StaleCursorError, StaleWriteError

_ATTEMPTS = 5


@dataclass(frozen=True)
class Ingested:
    """What a landing partition contains now, and what this pass changed: `files` and `rows` are its current totals.

    `read` counts slices that were new or had changed, `vanished` those that are gone and whose rows are kept. `skipped`
    is what looked like a slice and could not be read as one; of several partitions, it is reported with the newest.
    `warnings` are doubts about the slices that were read.
    """

    files: int
    rows: int
    read: int
    vanished: int
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[ReadWarning, ...] = ()


@dataclass
class _Changes:
    """What this pass has read, by landing partition: how many slices, and the doubts about them."""

    read: Counter[str] = field(default_factory=Counter)
    warnings: defaultdict[str, list[ReadWarning]] = field(default_factory=lambda: defaultdict(list))

    def add(self, writer: RawFileWriter) -> None:
        self.read += writer.read
        for partition, warnings in writer.warnings.items():
            self.warnings[partition] += warnings


def ingest(
    context: StreamContext,
    landing_partitions: Sequence[str],
    run_id: str,
    current: str | None = None,
    newest: str | None = None,
) -> dict[str, Ingested]:
    """Bring the raw rows of these landing partitions up to date with the source.

    The rows of a changed slice are replaced, without those of erased users; those of a vanished one are kept.
    Slices are read in the order in which the source returns them, across landing partitions, so that a stored
    cursor never passes an unread one. What was appended to a growing file, and what comes after a cursor, is read once
    the current partition is among these: in an older one its events would be from the future.

    Args:
        context: the stream's.
        landing_partitions: at least one.
        run_id: recorded with each slice that is read.
        current: the landing partition of the current time, which is the default.
        newest: of the run, where these are a part of its partitions; by default the newest of these. A slice that
            states no landing partition and that none has read yet is assigned to it.

    Returns:
        A report for each of the landing partitions.

    Raises:
        BytesLostError: the rows of a slice do not add up to its text; nothing is recorded of it.
        OSError: the source or the lake is not available.
            A slice that was overwritten in each of five attempts is `OverwrittenSliceError`, one of these.
        StaleWriteError: other runs read the same slices during each of five attempts.
    """
    context.prepare()
    newest = newest or max(landing_partitions)
    is_current = newest >= (current or newest_partition(context.stream.landing_calendar))
    taking = newest if is_current and newest in landing_partitions else None

    def look(cursors: Cursors) -> Found:
        found = divided(context.source, context.ledger, search(context.source, landing_partitions, cursors), taking)
        return found if taking else found._replace(slices=[each for each in found.slices if each.cursor is None])

    reading = _Reading(context, landing_partitions, newest, run_id, newest)
    found, changes = _read_found(reading, look, in_rounds=taking is not None)
    stored = [file for file in context.ledger.files(landing_partitions) if file.path is not None]
    # A source with cursors doesn't return what lies before them: its absence is not a loss.
    has_cursors = bool(context.ledger.cursors())
    present = {file.uri for file in stored} if has_cursors else {slice_.uri for slice_ in found.slices}
    of_partition: dict[str, list[KnownFile]] = {partition: [] for partition in landing_partitions}
    for file in stored:
        of_partition[file.landing_partition].append(file)
    return {
        partition: _report(files, present, changes, partition, tuple(found.skipped) if partition == newest else ())
        for partition, files in of_partition.items()
    }


def ingest_past(context: StreamContext, landing_partition: str, run_id: str, newest: str | None = None) -> Ingested:
    """Read what the source has of the time of a landing partition, whether it was read before or not.

    The cursor of the regular reading stays where it is. What was read before is a duplicate then, by its event_id.

    Args:
        context: the stream's.
        landing_partition: whose time is asked for; rows of another time are in its partition.
        run_id: recorded with each slice that is read.
        newest: the last landing partition that has begun; by default that of the current time.

    Raises:
        UserError: the source can't be asked for the past.
        OSError, StaleWriteError: as of `ingest`.
    """
    context.prepare()
    source, calendar = past_source(context), context.stream.landing_calendar
    window = calendar.window(landing_partition)
    past = Past(landing_partition, window.start, window.end)
    reading = _Reading(context, [landing_partition], landing_partition, run_id, newest or newest_partition(calendar))
    found, changes = _read_found(reading, lambda cursors: source.search_past(past, cursors), in_rounds=True)
    stored = [file for file in context.ledger.files([landing_partition]) if file.path is not None]
    return _report(stored, {file.uri for file in stored}, changes, landing_partition, tuple(found.skipped))


def past_source(context: StreamContext) -> KnowsPast:
    """The source, if it can be asked for the past, and the stream can take what it gives.

    Raises:
        UserError: it can't; with the reason, and the fix.
    """
    stream = context.stream
    if (reason := stream.no_past) or not isinstance(context.source, KnowsPast):
        raise UserError(f"{stream.name}: the past can't be asked for: {reason or 'its source knows none'}.")
    return context.source


@dataclass(frozen=True)
class _Reading:
    """For what slices are read: the landing partitions, the newest of the run, its id, and the last that has begun."""

    context: StreamContext
    landing_partitions: Sequence[str]
    newest: str
    run_id: str
    last: str


def _read_found(reading: _Reading, look: Callable[[Cursors], Found], *, in_rounds: bool) -> tuple[Found, _Changes]:
    """Find slices and read them, round by round; the slices of the last one, and what was skipped in all.

    Where another run has moved a cursor meanwhile, slices are found anew: those that were found before may overlap with
    what it has read.
    """
    context = reading.context
    changes, skipped, overtaken = _Changes(), list[Skipped](), 0
    while True:
        cursors = context.ledger.cursors()
        found = look(cursors)
        try:
            _read_changed(reading, found.slices, cursors, changes)
        except StaleCursorError:
            overtaken += 1
            if overtaken == _ATTEMPTS:
                raise
            continue
        skipped += [each for each in found.skipped if each not in skipped]
        if not (in_rounds and isinstance(context.source, InRounds) and context.source.has_more()):
            return Found(found.slices, skipped), changes


def _read_changed(reading: _Reading, slices: Sequence[Slice], cursors: Cursors, changes: _Changes) -> None:
    """Read and record the slices that are new or may have changed, and add what was read to `changes`.

    One that was overwritten while it was read is read anew: nothing of it was recorded.

    Raises:
        StaleCursorError: another run has moved one of the cursors.
    """
    context, landing_partitions, newest = reading.context, reading.landing_partitions, reading.newest
    for attempt in range(1, _ATTEMPTS + 1):
        known = {file.uri: file for file in context.ledger.files(landing_partitions)}
        if attempt == 1 and _assign(context, slices, known, newest if newest in landing_partitions else None):
            known = {file.uri: file for file in context.ledger.files(landing_partitions)}
        known |= _unread(context, slices, newest)
        tombstones = read_tombstones(context)
        writer = RawFileWriter(context, list(known.values()), reading.run_id, tombstones, cursors, reading.last)
        try:
            _add_changed(context.source, writer, slices, known)
        except (StaleWriteError, OverwrittenSliceError) as stale:
            if attempt == _ATTEMPTS or isinstance(stale, StaleCursorError):
                raise
        else:
            return
        finally:
            changes.add(writer)


def _add_changed(
    source: Source, writer: RawFileWriter, slices: Sequence[Slice], known: Mapping[str, KnownFile]
) -> None:
    changed = [one for one in slices if one.uri in known and known[one.uri].fingerprint != one.fingerprint]
    will_read(source, changed)
    try:
        for slice_ in steps("ingesting", changed):
            writer.add(slice_)
    finally:
        writer.flush()  # also where a slice could not be read: those before it are recorded


def _assign(
    context: StreamContext, slices: Sequence[Slice], known: Mapping[str, KnownFile], newest: str | None
) -> bool:
    """Record to which landing partition each slice belongs, where that isn't recorded yet; whether any was new.

    Without `newest` those that state none are left to whoever ingests the run's newest partition. Of slices with a
    cursor it is recorded with their rows: what a run found and did not read belongs to the run that reads it.
    """
    uris_of: dict[str, list[str]] = {}
    for slice_ in (slice_ for slice_ in slices if slice_.cursor is None):
        partition = slice_.landing_partition or newest
        if slice_.uri not in known and partition:
            uris_of.setdefault(partition, []).append(slice_.uri)
    for partition, uris in uris_of.items():
        context.ledger.assign(uris, partition)
    return bool(uris_of)


def _unread(context: StreamContext, slices: Sequence[Slice], partition: str) -> dict[str, KnownFile]:
    """The slices with a cursor that no run has read, as files of a landing partition, by uri."""
    uris = [slice_.uri for slice_ in slices if slice_.cursor]
    read = {uri for uri, digest in context.ledger.digests_of(uris).items() if digest} if uris else set[str]()
    return {uri: KnownFile.unread(uri, partition) for uri in uris if uri not in read}


def _report(
    stored: Sequence[KnownFile], present: set[str], changes: _Changes, partition: str, skipped: tuple[Skipped, ...]
) -> Ingested:
    vanished = sum(file.uri not in present and not file.is_replay for file in stored)
    rows = sum(file.stored.rows for file in stored)
    warnings = tuple(dict.fromkeys(changes.warnings[partition]))
    return Ingested(len(stored), rows, changes.read[partition], vanished, skipped, warnings)
