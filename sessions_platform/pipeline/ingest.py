"""The first stage: the slices of a stream's source become raw_events, a snapshot of the rows as they came.

Here: which slices are read, and what is reported of them. Not here: where their rows are stored and recorded
(`raw_files`), how a slice is found and read (`sources`), what its rows mean (`transforms.parse`), and which landing
partitions have something to ingest (`operations.status`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.progress import steps
from sessions_platform.pipeline.raw_files import RawFileWriter
from sessions_platform.pipeline.tombstones import read_tombstones
from sessions_platform.sources.base import ReadWarning, Skipped, Slice, search
from sessions_platform.storage.ledger.ledger import KnownFile, StaleWriteError

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


def ingest(context: StreamContext, landing_partitions: Sequence[str], run_id: str) -> dict[str, Ingested]:
    """Bring the raw rows of these landing partitions up to date with the source.

    The rows of a changed slice are replaced, without those of erased users; those of a vanished one are kept.
    Slices are read in the order in which the source returns them, across landing partitions, so that a stored
    cursor never passes an unread one.

    Args:
        context: the stream's.
        landing_partitions: at least one. A slice that states no landing partition and that none has read yet is
            assigned to the newest of these.
        run_id: recorded with each slice that is read.

    Returns:
        A report for each of the landing partitions.

    Raises:
        BytesLostError: the rows of a slice do not add up to its text; nothing is recorded of it.
        OSError: the source or the lake is not available.
        StaleWriteError: other runs read the same slices during each of five attempts.
    """
    context.prepare()
    cursors = context.ledger.cursors()
    newest = max(landing_partitions)
    found = search(context.source, landing_partitions, cursors)
    changes = _read_changed(context, found.slices, landing_partitions, run_id)
    stored = [file for file in context.ledger.files(landing_partitions) if file.path is not None]
    # A source with cursors doesn't return what lies before them: its absence is not a loss.
    present = {file.uri for file in stored} if cursors else {slice_.uri for slice_ in found.slices}
    of_partition: dict[str, list[KnownFile]] = {partition: [] for partition in landing_partitions}
    for file in stored:
        of_partition[file.landing_partition].append(file)
    return {
        partition: _report(files, present, changes, partition, tuple(found.skipped) if partition == newest else ())
        for partition, files in of_partition.items()
    }


def _read_changed(
    context: StreamContext, slices: Sequence[Slice], landing_partitions: Sequence[str], run_id: str
) -> _Changes:
    """Read and record the slices that are new or may have changed."""
    changes = _Changes()
    for attempt in range(1, _ATTEMPTS + 1):
        known = {file.uri: file for file in context.ledger.files(landing_partitions)}
        if attempt == 1 and _assign(context, slices, known, max(landing_partitions)):
            known = {file.uri: file for file in context.ledger.files(landing_partitions)}
        writer = RawFileWriter(context, list(known.values()), run_id, read_tombstones(context))
        try:
            _add_changed(writer, slices, known)
        except StaleWriteError:
            if attempt == _ATTEMPTS:
                raise
        else:
            changes.add(writer)
            break
        changes.add(writer)
    return changes


def _add_changed(writer: RawFileWriter, slices: Sequence[Slice], known: Mapping[str, KnownFile]) -> None:
    changed = [one for one in slices if one.uri in known and known[one.uri].fingerprint != one.fingerprint]
    try:
        for slice_ in steps("ingesting", changed):
            writer.add(slice_)
    finally:
        writer.flush()  # also where a slice could not be read: those before it are recorded


def _assign(context: StreamContext, slices: Sequence[Slice], known: Mapping[str, KnownFile], newest: str) -> bool:
    """Record to which landing partition each slice belongs, where that isn't recorded yet; whether any was new."""
    uris_of: dict[str, list[str]] = {}
    for slice_ in slices:
        if slice_.uri not in known:
            uris_of.setdefault(slice_.landing_partition or newest, []).append(slice_.uri)
    for partition, uris in uris_of.items():
        context.ledger.assign(uris, partition)
    return bool(uris_of)


def _report(
    stored: Sequence[KnownFile], present: set[str], changes: _Changes, partition: str, skipped: tuple[Skipped, ...]
) -> Ingested:
    vanished = sum(file.uri not in present and not file.is_replay for file in stored)
    rows = sum(file.stored.rows for file in stored)
    warnings = tuple(dict.fromkeys(changes.warnings[partition]))
    return Ingested(len(stored), rows, changes.read[partition], vanished, skipped, warnings)
