"""The checks of data: what each stage's result has to keep before it is published or loaded, and what is reported.

A check returns a `CheckResult` of plain values; `stop_if_failed` ends a run before the commit. (A separate asset check
would run after it, when the data is current already.) Here belongs what is checked, and how severe a failure is. Not
here: the contracts themselves (`contracts`), how a check is shown and described in a user interface
(`orchestration/checks.py`), and the recomputation of a sample, a job of its own (`operations/audit.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

import polars as pl

from sessions_platform.contracts.calendar import label
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.schemas.schema import Schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.coverage import measure_coverage
from sessions_platform.pipeline.records import Records, drift_records, sample_records, violation_record
from sessions_platform.pipeline.validate import ValidatedPartition
from sessions_platform.storage.lake.lake import Dataset, Lake
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.files import raw_files
from sessions_platform.storage.ledger.ledger import SessionVersion
from sessions_platform.transforms.schema_drift import Drift
from sessions_platform.transforms.thresholds import threshold_violations

LONG_ACTIVITY_CHAIN = timedelta(days=7)
_CASES_SHOWN = 20
_ROWS_AT_ONCE = 64 * 1024  # as many as a row group has
# Values of rejected rows are for the dead-letter queue; checks name columns, rules and rows alone.
_CASE_COLUMNS = ("column", "check", "index")


class Severity(StrEnum):
    """What a failed check means: a warning, or that nothing may be published."""

    warning = "warning"
    error = "error"


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of one asset.

    `metadata` is of plain JSON values (rows, broken, cases, counts); `tables` are records for people, by name.
    """

    asset: str
    name: str
    passed: bool
    metadata: Mapping[str, Any]
    tables: Mapping[str, Records] = field(default_factory=dict)
    severity: Severity = Severity.error


class CheckFailedError(RuntimeError):
    """Checks of severity error failed, so nothing was published. The same rows would break the same rules again."""

    def __init__(self, results: Sequence[CheckResult]) -> None:
        self.results = results
        self.names = ", ".join(sorted({result.name for result in results}))
        super().__init__(f"Nothing was published: {self.names} failed. The check's metadata shows where.")


def stop_if_failed(results: Iterable[CheckResult]) -> None:
    """Raise CheckFailedError with the results that failed, where any of severity error did."""
    failed = [result for result in results if not result.passed and result.severity is Severity.error]
    if failed:
        raise CheckFailedError(failed)


@dataclass
class Tally:
    """What a check has found so far, over all partitions of a run: rows, cases that break it, and the first of these.

    `name` is the check's and `asset` the name of the asset that it is of, without the stream.
    """

    asset: str
    name: str
    rows: int = 0
    broken: int = 0
    cases: list[dict[str, object]] = field(default_factory=list)

    def add(self, partition: str, rows: int, broken: int, cases: Iterable[Mapping[str, object]]) -> None:
        """Count rows of a partition; `cases` are records of the broken ones, of which the first are shown."""
        self.rows += rows
        self.broken += broken
        room = max(_CASES_SHOWN - len(self.cases), 0)
        self.cases += [{"partition": partition, **case} for case in cases][:room]

    def result(self) -> CheckResult:
        """The result over all rows so far; it passes if none is broken."""
        metadata = {"rows": self.rows, "broken": self.broken, "cases": self.cases}
        return CheckResult(self.asset, self.name, self.broken == 0, metadata)


class ContractCheck(Tally):
    """`keeps_contract`: whether every row keeps the contract of its asset."""

    def __init__(self, asset: str) -> None:
        super().__init__(asset, "keeps_contract")

    def add_rows(self, schema: Schema, partition: str, frames: Iterable[pl.DataFrame]) -> None:
        """Check frames of one partition, or of several neighbours; pandera shows what breaks the contract."""
        for frame in frames:
            if schema.is_kept_by(frame):
                self.add(partition, frame.height, 0, [])
                continue
            from sessions_platform.contracts.schemas.in_pandera import broken_values  # a second, where all is well

            cases = broken_values(schema, frame)
            if cases is None:
                raise RuntimeError(f"{schema.name}: pandera finds no broken rule where one is broken")
            self.add(partition, frame.height, cases.height, cases.head(_CASES_SHOWN).select(*_CASE_COLUMNS).to_dicts())

    def add_dataset(self, schema: Schema, dataset: Dataset) -> None:
        """Check stored partitions, small ones together: to check a frame costs as much as thousands of rows."""
        for batch in dataset.batches(_ROWS_AT_ONCE):
            is_large = batch.rows > _ROWS_AT_ONCE
            with closing(prefetch(batch.blocks() if is_large else [batch.scan().collect()])) as frames:
                self.add_rows(schema, label(list(batch.partitions)), frames)


class ValidationChecks:
    """The checks of validated landing partitions, over all partitions of a run and before any is published.

    `keeps_contract` of events and of rejected_events, `row_counts_reconcile` and `rejection_rate` can stop a run.
    """

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._events, self._rejected = ContractCheck("events"), ContractCheck("rejected_events")
        self._counts = Tally("events", "row_counts_reconcile")
        self._validated: list[ValidatedPartition] = []

    def add(self, validated: ValidatedPartition) -> None:
        """Check a landing partition as it is stored in the lake."""
        context, partition = self._context, validated.landing_partition
        with closing(prefetch(context.lake.blocks([validated.events.path], context.event_columns))) as events:
            self._events.add_rows(
                events_schema(context.stream, partition, validated.references.known), partition, events
            )
        rejected = context.lake.blocks([validated.rejected.path], REJECTED_EVENTS)
        self._rejected.add_rows(rejected_schema(context.stream), partition, rejected)
        _count_rows(context.lake, validated, self._counts)
        self._validated.append(validated)

    def results(self) -> list[CheckResult]:
        """The result of each check, over all partitions that were added."""
        tallied = [tally.result() for tally in (self._events, self._rejected, self._counts)]
        return [*tallied, check_rejection_rate(self._context, self._validated)]


def check_rejection_rate(context: StreamContext, validated: Iterable[ValidatedPartition]) -> CheckResult:
    """`rejection_rate`: whether a partition exceeds a threshold of the stream's file.

    A threshold of kind `fail_above` makes the result an error, one of kind `warn_above` a warning. Samples of rejected
    rows are part of the result, because what is not published is shown nowhere else.
    """
    allowed = context.stream.rejected
    violations = [
        (validation, violation)
        for validation in validated
        for violation in threshold_violations(
            allowed, validation.raw_rows, validation.rejected_rows, validation.rejected_by_reason
        )
    ]
    violations.sort(key=lambda pair: not pair[1].fails)  # errors first, because a table may be truncated
    exceeded = [violation_record(validation.landing_partition, violation) for validation, violation in violations]
    partitions = {validation.landing_partition: validation for validation, _ in violations}
    samples = [sample for validation in partitions.values() for sample in sample_records(validation)]
    is_error = any(violation.fails for _, violation in violations)
    return CheckResult(
        "rejected_events",
        "rejection_rate",
        not violations,
        {"thresholds": len(exceeded)},
        {"exceeded": exceeded, "samples": samples},
        Severity.error if is_error else Severity.warning,
    )


def check_schema_drift(drifts: Mapping[str, Sequence[Drift]]) -> CheckResult:
    """`schema_drift`: whether the observed schema of any landing partition differs, as `find_drift` found."""
    records = [
        {"partition": partition, **record} for partition, drift in drifts.items() for record in drift_records(drift)
    ]
    metadata = {"drifted": len(records)}
    return CheckResult("events", "schema_drift", not records, metadata, {"drift": records}, Severity.warning)


def check_sessionized(context: StreamContext, sessionized: Dataset) -> CheckResult:
    """`keeps_contract` of stored sessionized_events."""
    check = ContractCheck("sessionized_events")
    check.add_dataset(sessionized_schema(context.stream), sessionized)
    return check.result()


def check_activity_chains(versions: Iterable[SessionVersion]) -> CheckResult:
    """`long_activity_chains`: whether a user's activity chain is longer than seven days, as a robot's is.

    An activity chain is a run of one user's events without a silence longer than the session gap, whatever cuts it
    into sessions.
    """
    longest = max((version.longest_activity_chain_seconds for version in versions), default=0.0)
    metadata = {"longest_activity_chain_days": round(longest / timedelta(days=1).total_seconds(), 3)}
    passed = longest <= LONG_ACTIVITY_CHAIN.total_seconds()
    return CheckResult("sessionized_events", "long_activity_chains", passed, metadata, severity=Severity.warning)


def check_loaded(context: StreamContext, session_partitions: Sequence[str]) -> list[CheckResult]:
    """`every_event_once` and `no_stale_partitions`, after these partitions were loaded.

    Accepted and sessionized events may differ in number while partitions are stale; no event may ever be in two
    sessions.
    """
    stale = context.stale_session_partitions()
    coverage = measure_coverage(context, session_partitions)
    once = coverage.in_two_sessions == 0 and (coverage.accepted == coverage.sessionized or bool(stale))
    return [
        CheckResult("sessions", "every_event_once", once, {**vars(coverage), "stale": len(stale)}),
        CheckResult("sessions", "no_stale_partitions", not stale, {"stale": stale}, severity=Severity.warning),
    ]


def _count_rows(lake: Lake, validated: ValidatedPartition, tally: Tally) -> None:
    """Raw rows = accepted + rejected + duplicates + skipped, by the row counts of the stored files."""
    raw = sum(lake.rows(file.path) for file in raw_files(validated.raw_files))
    accepted, rejected = lake.rows(validated.events.path), _rejected_rows(lake, validated)
    uncounted = {"duplicates": validated.duplicates, "skipped": validated.skipped}
    missing = raw - accepted - rejected - sum(uncounted.values())
    counts = {"raw": raw, "accepted": accepted, "rejected": rejected, **uncounted}
    tally.add(validated.landing_partition, raw, abs(missing), [{**counts, "missing": missing}] if missing else [])


def _rejected_rows(lake: Lake, validated: ValidatedPartition) -> int:
    """The raw rows that the stored rejected rows stand for."""
    rows = lake.scan([validated.rejected.path], REJECTED_EVENTS).select(pl.col("rows").sum())
    return int(rows.collect().item())
