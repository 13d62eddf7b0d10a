"""Make lost and damaged lake files anew from what they were made of.

Here: where the rows of each asset come from, in the order of the pipeline, since a file can be made anew once those
that it derives from are whole. Not here: what is wrong (`verify.py`), and how rows are made (`pipeline`).

A file that is made anew has the same rows, so the ledger names it in place of the old one and no version changes.
Where that is not possible, because the stream's contract is another one now, the partition is published again, and all
session partitions become stale: which of them the lost rows were in is not known any more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from sessions_platform.contracts.formats import FORMATS
from sessions_platform.contracts.polars_types import key_expr
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.operations.exclusion import remaking
from sessions_platform.operations.lake_problems import QUARANTINED, SCORE_MODELS, Problem, train_again
from sessions_platform.operations.landing_places import digest_of
from sessions_platform.operations.quarantined_files import copy_again
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.growth import recorded
from sessions_platform.pipeline.identity import store_links
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.quality import CheckFailedError, ValidationChecks, stop_if_failed
from sessions_platform.pipeline.raw_files import blocks_of, quarantine_of, rows_of
from sessions_platform.pipeline.sessionize import sessionize_again
from sessions_platform.pipeline.tombstones import Tombstones, read_tombstones
from sessions_platform.pipeline.validate import ValidatedPartition, validate_partition
from sessions_platform.sources.base import Slice, file_uri
from sessions_platform.sources.registry import file_landing
from sessions_platform.storage.lake.errors import LakeFileError
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.ledger import KnownFile, LakeFile, LandingVersion, Snapshot
from sessions_platform.transforms.erasure import has_only_nulls

_ORDER = (
    "raw_events",
    "events",
    "rejected_events",
    "identity_links",
    "sessionized_events",
    "sessions",
    QUARANTINED,
    SCORE_MODELS,
)


class _NotRepairableError(Exception):
    """Rows are nowhere else: so many, or all of the problem's; the message says what was looked for."""

    def __init__(self, message: str, rows: int | None = None) -> None:
        self.rows = rows
        super().__init__(message)


@dataclass(frozen=True)
class Outcome:
    """What became of a problem: whether it is solved, and how, or why not."""

    problem: Problem
    is_repaired: bool
    how: str

    @property
    def record(self) -> dict[str, Any]:
        """As a flat record, for people and for JSON."""
        return {**self.problem.record, "repaired" if self.is_repaired else "not_repaired": self.how}


def repair(context: StreamContext, problems: Sequence[Problem], run_id: str) -> list[Outcome]:
    """Make what is lost or damaged anew, as far as what it was made of is still there.

    Args:
        context: the stream's.
        problems: what is wrong, in any order.
        run_id: recorded with partitions that are published again.

    Returns:
        An outcome for each problem, in the order of the pipeline.

    Raises:
        UserError: the stream is being rebuilt or repaired, or users are being erased.
    """
    with remaking(context):
        repairing = _Repair(context, run_id)
        return [repairing.outcome(problem) for problem in sorted(problems, key=lambda p: _ORDER.index(p.asset))]


class _Repair:
    """One pass over the problems of a stream; landing partitions are validated once for all of their files."""

    def __init__(self, context: StreamContext, run_id: str) -> None:
        self._context = context
        self._run_id = run_id
        self._validated: dict[str, ValidatedPartition] = {}
        self._published: dict[str, str] = {}

    def outcome(self, problem: Problem) -> Outcome:
        ways: dict[str, Callable[[Problem], str]] = {
            "raw_events": self._raw_events,
            "identity_links": self._identity_links,
            "sessionized_events": self._sessionized_events,
            "sessions": self._sessions,
            QUARANTINED: self._quarantined,
            SCORE_MODELS: self._score_model,
        }
        try:
            return Outcome(problem, True, ways.get(problem.asset, self._validated_rows)(problem))
        except LakeFileError as error:
            return Outcome(
                problem, False, f"{problem.rows} rows are lost: {error.path}, which has them too, {error.what}"
            )
        except _NotRepairableError as error:
            left = problem if error.rows is None else problem._replace(rows=error.rows)
            return Outcome(left, False, str(error))
        except CheckFailedError as error:
            return Outcome(problem, False, str(error))

    # raw_events, from landing files ---------------------------------------------------------------------------

    def _raw_events(self, problem: Problem) -> str:
        file = problem.file
        if file is None:
            return self._validated_rows(problem)
        known = [known for known in self._known if known.path == file.path]
        if not known:
            return "it is not needed any more, since its landing file was read again meanwhile"
        if len(known) > 1:
            return self._shared_raw_file(file, known)
        stored, how = self._again(known[0])
        self._replace(file, stored)
        return how

    def _shared_raw_file(self, file: LakeFile, files: Sequence[KnownFile]) -> str:
        """Rows of several small landing files; those that are found get a new raw file, also where others are gone."""
        found: dict[str, pl.DataFrame] = {}
        for known in files:
            with suppress(_NotRepairableError):
                stored, _ = self._again(known)
                blocks = self._context.lake.blocks([stored.path], RAW_EVENTS)
                found[known.uri] = pl.concat([pl.DataFrame(schema=RAW_EVENTS), *blocks])
                self._context.lake.remove(stored.path)
        if found:
            self._replace(file, self._written(files[0], iter(found.values())), list(found))
        if lost := [known for known in files if known.uri not in found]:
            raise _lost(lost)
        return f"read again from {len(found)} landing files"

    def _again(self, known: KnownFile) -> tuple[StoredFile, str]:
        """The rows of a landing file in a raw file of their own, and where they come from."""
        for slice_ in self._slices_like(known):
            if stored := self._read_again(slice_, known):
                return stored, f"read again from {slice_.uri}"
        is_whole = file_uri(known.uri) == known.uri  # a later slice's rows are not numbered from 1
        for other in self._known if is_whole else ():
            if other.digest == known.digest and other.uri != known.uri and other.path:
                with suppress(LakeFileError):
                    stored = self._written(known, self._reassigned(other.path, other.uri, known))
                    return stored, f"copied from the rows of {other.uri}, which has the same bytes"
        raise _lost([known])

    @cached_property
    def _known(self) -> list[KnownFile]:
        return self._context.ledger.files()

    @cached_property
    def _tombstones(self) -> Tombstones:
        return read_tombstones(self._context)

    @cached_property
    def _slices(self) -> dict[str, Slice]:
        context = self._context
        return {slice_.uri: slice_ for slice_ in recorded(context.source, context.ledger, context.source.find())}

    def _slices_like(self, known: KnownFile) -> Iterator[Slice]:
        """Slices that may have the same bytes: the one itself, those that had them, and files that none has read."""
        if known.uri in self._slices:
            yield self._slices[known.uri]
        if file_uri(known.uri) != known.uri:
            return
        others = {file.uri: file.digest for file in self._known if file.uri != known.uri}
        yield from (slice_ for uri, slice_ in self._slices.items() if uri in others and others[uri] == known.digest)
        if landing := file_landing(self._context.source):
            for uri, slice_ in self._slices.items():
                if uri not in others and uri != known.uri and known.has_content(digest_of(landing, uri)):
                    yield slice_

    def _read_again(self, slice_: Slice, known: KnownFile) -> StoredFile | None:
        """The rows of a slice, if they are those that were read of the landing file."""
        reading = self._context.source.read(slice_, quarantine_of(self._context, self._tombstones))
        rows = blocks_of(reading, known.landing_partition, known.uri)
        try:
            stored = self._written(known, self._not_erased(rows, known))
        except OSError:  # it vanished, or can't be read
            return None
        if known.has_content(reading.digest) and stored.rows == known.rows:
            return stored
        self._context.lake.remove(stored.path)
        return None

    def _not_erased(self, rows: Iterator[pl.DataFrame], known: KnownFile) -> Iterator[pl.DataFrame]:
        """The rows without those of erased users, and without what an erasure has left in their place."""
        is_text = FORMATS[self._context.stream.source.format].is_text
        for block in self._tombstones.kept(rows, lambda _: None):
            yield block if is_text or known.redacted_digest is None else block.filter(~has_only_nulls(block["payload"]))

    def _written(self, known: KnownFile, blocks: Iterator[pl.DataFrame]) -> StoredFile:
        return self._context.lake.write(self._context.folder("raw_events", known.landing_partition), blocks, RAW_EVENTS)

    def _reassigned(self, path: str, uri: str, known: KnownFile) -> Iterator[pl.DataFrame]:
        for block in rows_of(self._context.lake, path, [uri]):
            yield block.with_columns(landing_partition=pl.lit(known.landing_partition), source_uri=pl.lit(known.uri))

    # events and rejected_events, from raw_events --------------------------------------------------------------

    def _validated_rows(self, problem: Problem) -> str:
        partition = problem.partition
        if partition in self._published:
            return self._published[partition]
        landing = next(of for of in self._context.ledger.landings() if of.landing_partition == partition)
        if partition not in self._validated:
            raw = self._context.raw_events([partition])
            self._validated[partition] = validate_partition(self._context, partition, raw)
        validated = self._validated[partition]
        if problem.file is None or not _is_same(self._context, landing, validated):
            return self._publish_again(validated)
        stored = validated.events if problem.asset == "events" else validated.rejected
        self._replace(problem.file, stored)
        return "validated again from raw_events"

    def _publish_again(self, validated: ValidatedPartition) -> str:
        checks = ValidationChecks(self._context)
        checks.add(validated)
        stop_if_failed(checks.results())
        publish(self._context, validated, self._run_id, affected=self._all_session_partitions(validated))
        how = "validated again under the current contract and published; all session partitions are stale now"
        self._published[validated.landing_partition] = how
        return how

    def _all_session_partitions(self, validated: ValidatedPartition) -> list[str]:
        context = self._context
        events = context.lake.scan([validated.events.path], context.event_columns)
        new = events.select(key_expr(context.stream.session_calendar).unique()).collect().to_series()
        return sorted({*new, *(version.session_partition for version in context.ledger.newest_sessions())})

    def _identity_links(self, problem: Problem) -> str:
        store_links(self._context, problem.partition)
        return "found again in events"

    # sessionized_events, from events --------------------------------------------------------------------------

    def _sessionized_events(self, problem: Problem) -> str:
        file, context = problem.file, self._context
        assert file is not None
        (version,) = context.ledger.sessions_at([file.path])
        is_stale = file.partition in context.stale_session_partitions()
        snapshots = [context.ledger.snapshot()]
        if is_stale and version.session_rule_version == context.stream.session_rule_version:
            snapshots.insert(0, context.ledger.snapshot_at(version.snapshot))
        stored = self._sessionized_of(file.partition, snapshots)
        self._replace(file, stored)
        if stored.rows == file.rows:
            return "computed again from events"
        context.ledger.mark_stale([file.partition])
        return f"computed again from the current events, with {stored.rows} rows; it is stale now"

    def _sessionized_of(self, partition: str, snapshots: Sequence[Snapshot]) -> StoredFile:
        """Computed from the first snapshot whose files are all there."""
        for snapshot in snapshots[:-1]:
            try:
                return sessionize_again(self._context, partition, snapshot, self._run_id)
            except LakeFileError:
                continue
        return sessionize_again(self._context, partition, snapshots[-1], self._run_id)

    # sessions, from sessionized_events; copies, from landing files --------------------------------------------

    def _sessions(self, problem: Problem) -> str:
        self._context.ledger.mark_stale([problem.partition])
        return "it is stale now: the next refresh computes and loads it again"

    def _quarantined(self, problem: Problem) -> str:
        if uri := copy_again(self._context, problem.path):
            return f"copied again from {uri}"
        raise _NotRepairableError("no landing file has these bytes any more")

    def _score_model(self, problem: Problem) -> str:
        """Trained anew it may be another model, of the sessions that there are now: that is for the user to say."""
        train = train_again(self._context.stream.name, problem.record)
        raise _NotRepairableError(f"a model is not made anew by itself. Fix: {train}")

    def _replace(self, file: LakeFile, stored: StoredFile, uris: Sequence[str] | None = None) -> None:
        if not self._context.ledger.replace_file(file, stored, uris):
            self._context.lake.remove(stored.path)  # newer rows came meanwhile, and the old file is not needed


def _lost(files: Sequence[KnownFile]) -> _NotRepairableError:
    rows = sum(known.rows or 0 for known in files)
    if files[0].is_replay:
        return _NotRepairableError(f"{rows} rows are gone: the repaired rows of a replay, which are nowhere else", rows)
    uris = ", ".join(known.uri for known in files)
    return _NotRepairableError(f"{rows} rows are gone: the rows of {uris}, whose bytes are nowhere else", rows)


def _is_same(context: StreamContext, landing: LandingVersion, validated: ValidatedPartition) -> bool:
    """Whether a partition that was validated again has the rows that are published."""
    now = landing._replace(
        raw_sequence=validated.raw_sequence,
        raw_rows=validated.raw_rows,
        accepted=validated.events.rows,
        rejected=validated.rejected_rows,
        rejected_stretches=validated.rejected.rows,
        duplicates=validated.duplicates,
        skipped=validated.skipped,
        repeated_lines=validated.repeated_lines,
        rejected_by_reason=validated.rejected_by_reason,
        first_event=validated.first_event,
        last_event=validated.last_event,
        contract_version=context.stream.contract_version,
        reference_digests=validated.references.digests,
    )
    return now == landing
