"""Hold a stream's lake, ledger and warehouse against each other.

Here: what is compared, and what is found to be wrong. Not here: how bytes are compared with checksums
(`storage/lake/checksums.py`), how what is lost is made anew (`operations/repair.py`), and when this runs
(`orchestration/verification.py`).
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.operations.lake_problems import SCORE_MODELS, Kind, Problem
from sessions_platform.operations.quarantined_files import damaged_copies, missing_copies
from sessions_platform.operations.repair import repair
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.identity import differing_partitions
from sessions_platform.pipeline.progress import count, steps
from sessions_platform.pipeline.scores import current_models
from sessions_platform.storage.lake.errors import DamagedFileError, LakeFileError, MissingFileError
from sessions_platform.storage.lake.texts import is_whole_text
from sessions_platform.storage.ledger.ledger import LakeFile, LandingVersion, SessionVersion


@dataclass(frozen=True)
class Verified:
    """What a verification found.

    `repaired` are records of problems that are none any more, with what was done; `problems` are those that are left,
    with the reason where a repair was tried.
    """

    stream: str
    deep: bool
    files: int
    without_checksum: int
    repaired: list[dict[str, Any]]
    problems: list[dict[str, Any]]

    @property
    def document(self) -> dict[str, Any]:
        """As it is printed."""
        return asdict(self)


def verify(context: StreamContext, run_id: str, *, deep: bool = False, repairing: bool = False) -> Verified:
    """Compare the lake with the ledger and the ledger with the warehouse, and record what was found.

    Quick: whether each file is there, with its recorded size and with the end that its name promises, and whether the
    counts of the ledger agree with each other and with the warehouse. Deep: also each byte of each file, the rows in
    it, and the sessions that it has against those of the warehouse.

    Args:
        context: the stream's.
        run_id: recorded with what was found and made anew.
        deep: whether all of the lake is read.
        repairing: whether what is wrong is made right, as far as it can be.
    """
    context.prepare()
    examination = _Examination(context, deep)
    problems = list(examination.problems())
    repaired: list[dict[str, Any]] = []
    if repairing and problems:
        outcomes = repair(context, problems, run_id)
        repaired = [outcome.record for outcome in outcomes if outcome.is_repaired]
        left = [outcome.record for outcome in outcomes if not outcome.is_repaired]
    else:
        left = [problem.record for problem in problems]
    context.ledger.record_verification(
        deep=deep,
        files=examination.files,
        without_checksum=examination.without_checksum,
        problems=left,
        run_id=run_id,
    )
    return Verified(context.stream.name, deep, examination.files, examination.without_checksum, repaired, left)


def problems_of(context: StreamContext, error: LakeFileError) -> list[Problem]:
    """The file that an error names as a problem, and with it all files that are missing."""
    files = context.ledger.lake_files()
    paths = context.lake.missing(context.stream.name, [file.path for file in files])
    missing = [file for file in files if file.path in paths]
    damaged = [file for file in files if file.path == error.path and file not in missing]
    return [
        *(_of(file, Kind.missing, "there is no such file") for file in missing),
        *(_of(file, Kind.damaged, error.what) for file in damaged),
    ]


class _Examination:
    """One pass over everything; counts files as it goes."""

    def __init__(self, context: StreamContext, deep: bool) -> None:
        self._context = context
        self._deep = deep
        self.files = 0
        self.without_checksum = 0

    def problems(self) -> Iterator[Problem]:
        for file in steps("verifying", self._context.ledger.lake_files()):
            count(file.rows)
            if problem := self.of_file(file):
                yield problem
        for path, is_missing in self._quarantined():
            kind = Kind.missing if is_missing else Kind.damaged
            yield Problem(kind, "quarantined_files", "", path, 0, "the copy of a landing file")
        yield from self._models()
        yield from self._counts()

    def of_file(self, file: LakeFile) -> Problem | None:
        """What is wrong with a file of rows."""
        self.files += 1
        lake = self._context.lake
        try:
            has_checksum = (lake.check if self._deep else lake.check_end)(file.path, file.bytes)
            rows = lake.rows(file.path) if self._deep else file.rows
        except MissingFileError:
            return _of(file, Kind.missing, "there is no such file")
        except DamagedFileError as error:
            return _of(file, Kind.damaged, error.what)
        self.without_checksum += not has_checksum
        if rows != file.rows:
            return _of(file, Kind.damaged, f"it has {rows} rows of {file.rows}")
        return None

    def _quarantined(self) -> Iterator[tuple[str, bool]]:
        yield from ((path, True) for path in missing_copies(self._context))
        if self._deep:
            yield from ((path, False) for path in damaged_copies(self._context))

    def _models(self) -> Iterator[Problem]:
        """Models that sessions are scored by; older ones may have been deleted."""
        for name, model in current_models(self._context).items():
            self.files += 1
            if found := self._model(model.path):
                yield Problem(found[0], SCORE_MODELS, name, model.path, 0, found[1])

    def _model(self, path: str) -> tuple[Kind, str] | None:
        lake = self._context.lake
        if not lake.exists(path):
            return Kind.missing, "there is no such file"
        if self._deep and not is_whole_text(lake, path):
            return Kind.damaged, "its bytes are not those that were written"
        return None

    def _counts(self) -> Iterator[Problem]:
        context, ledger = self._context, self._context.ledger
        with context.database.transaction(read_only=True) as connection:
            landings, loaded = ledger.current(connection), ledger.loaded_sessions(connection)
            in_warehouse = context.queries.counts(connection)
        raw = Counter[str]()
        newest = Counter[str]()
        for file in ledger.files():
            if file.path is not None:
                raw[file.landing_partition] += file.stored.rows
                newest[file.landing_partition] = max(newest[file.landing_partition], file.sequence or 0)
        for landing in landings:
            is_pending = newest[landing.landing_partition] > landing.raw_sequence
            yield from _landing_counts(landing, None if is_pending else raw[landing.landing_partition])
        for version in loaded:
            yield from self._session_counts(version, in_warehouse.pop(version.session_partition, (0, 0)))
        for partition, (sessions, events) in in_warehouse.items():
            yield _differ("sessions", partition, events, f"the warehouse has {sessions} sessions that none has loaded")
        if self._deep:
            yield from self._links()

    def _links(self) -> Iterator[Problem]:
        """Links are compared one by one; not where a file of events can't be read, which is reported already."""
        with suppress(MissingFileError, DamagedFileError):
            for partition in differing_partitions(self._context):
                yield _differ("identity_links", partition, 0, "the links are not those of the accepted events")

    def _session_counts(self, version: SessionVersion, in_warehouse: tuple[int, int]) -> Iterator[Problem]:
        sessions, events = in_warehouse
        loaded = version.rows - version.events_outside_sessions
        if events != loaded:
            detail = f"the sessions in the warehouse have {events} events, and those that were loaded {loaded}"
            yield _differ("sessions", version.session_partition, version.rows, detail)
        elif self._deep and (counted := self._sessions_in(version)) not in (None, sessions):
            detail = f"the warehouse has {sessions} sessions, and the lake's events make {counted}"
            yield _differ("sessions", version.session_partition, version.rows, detail)

    def _sessions_in(self, version: SessionVersion) -> int | None:
        """How many sessions the stored events have; None where their file can't be read, which is reported already."""
        try:
            rows = self._context.lake.scan([version.path], sessionized_columns(self._context.stream))
            return int(rows.select("session_id").drop_nulls().unique().collect(engine="streaming").height)
        except (MissingFileError, DamagedFileError):
            return None


def _landing_counts(landing: LandingVersion, raw: int | None) -> Iterator[Problem]:
    """The equation of a published landing partition; `raw` is None while rows that were read later are pending."""
    derived = landing.accepted + landing.rejected + landing.duplicates + landing.skipped
    if derived != landing.raw_rows:
        detail = f"of {landing.raw_rows} raw rows {derived} are accepted, rejected, duplicates or skipped"
        yield _differ("events", landing.landing_partition, landing.raw_rows, detail)
    if raw not in (None, landing.raw_rows):
        detail = f"there are {raw} raw rows, and {landing.raw_rows} were validated"
        yield _differ("raw_events", landing.landing_partition, landing.raw_rows, detail)


def _of(file: LakeFile, kind: Kind, detail: str) -> Problem:
    return Problem(kind, file.asset, file.partition, file.path, file.rows, detail, file)


def _differ(asset: str, partition: str, rows: int, detail: str) -> Problem:
    return Problem(Kind.counts, asset, partition, "", rows, detail)
