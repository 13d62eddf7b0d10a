"""The blocking checks: what is proved before anything is published or loaded.

They run inside the step that materializes, ahead of the commit, because what a check of
its own could stop would be in the ledger already.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dagster as dg
import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from sessions_platform.contracts.calendar import label
from sessions_platform.contracts.events import events_schema
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS, rejected_schema
from sessions_platform.contracts.rejection_limits import Rejected
from sessions_platform.contracts.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.values import as_percent
from sessions_platform.operations.audit import audit_sample, audit_windows
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.metadata import as_rounded_percent, as_table, drifted, samples_of
from sessions_platform.orchestration.resources import Platform
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.validate import ValidatedPartition
from sessions_platform.storage.lake.lake import Dataset, Lake
from sessions_platform.storage.lake.parquet_writer import ROW_GROUP_ROWS
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import SessionVersion
from sessions_platform.transforms.schema_drift import Drift
from sessions_platform.transforms.thresholds import ThresholdViolation, threshold_violations

LONG_CHAIN = timedelta(days=7)
SAMPLE_RECOMPUTATION = "sample_recomputation"
_SAMPLE = 20
_CASES_SHOWN = 20
# Values of rejected rows are for the dead-letter queue; checks name columns, rules and rows alone.
_CASE_COLUMNS = ("column", "check", "index")


@dataclass
class CheckTally:
    """What a check has seen so far, over all partitions of a run."""

    rows: int = 0
    broken: int = 0
    cases: list[dict[str, object]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.broken == 0

    def add(self, partition: str, rows: int, broken: int, cases: Iterable[dict[str, object]]) -> None:
        self.rows += rows
        self.broken += broken
        room = _CASES_SHOWN - len(self.cases)
        self.cases += [{"partition": partition, **case} for case in cases][: max(room, 0)]

    def result(self, spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
        metadata = {"rows": self.rows, "broken": self.broken, "cases": dg.MetadataValue.json(self.cases)}
        return dg.AssetCheckResult(
            asset_key=spec.asset_key, check_name=spec.name, passed=self.passed, metadata=metadata
        )


def keeps_contract(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "Every row keeps the contract that the stream's file states."
    return dg.AssetCheckSpec("keeps_contract", asset=asset_key, description=description, blocking=True)


def row_counts_reconcile(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "In each landing partition, raw rows = accepted + rejected + duplicates."
    return dg.AssetCheckSpec("row_counts_reconcile", asset=asset_key, description=description, blocking=True)


def rejection_rate(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "No greater share of a landing partition's rows is rejected than the stream's file allows."
    return dg.AssetCheckSpec("rejection_rate", asset=asset_key, description=description, blocking=True)


def schema_drift(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "No field of the landing files is new, missing or of another type than its column."
    return dg.AssetCheckSpec("schema_drift", asset=asset_key, description=description)


def every_event_once(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "Each accepted event in the time of these partitions stands in one session, and in one only."
    return dg.AssetCheckSpec("every_event_once", asset=asset_key, description=description)


def no_stale_partitions(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "No session partition waits for a refresh."
    return dg.AssetCheckSpec("no_stale_partitions", asset=asset_key, description=description)


def long_activity_chains(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = f"No user goes on for more than {LONG_CHAIN.days} days without a silence; a robot does."
    return dg.AssetCheckSpec("long_activity_chains", asset=asset_key, description=description)


def sample_recomputation(stream: Stream) -> dg.AssetChecksDefinition:
    """Reads the whole lake for a few users, so it has a job and a schedule of its own."""

    @dg.asset_check(
        asset=dg.AssetKey([stream.name, "sessions"]),
        name=SAMPLE_RECOMPUTATION,
        description=f"The sessions of some {_SAMPLE} users, drawn anew each time, are those that a plain loop over all "
        "of their accepted events finds.",
        retry_policy=TRANSIENT,
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        seed = random.SystemRandom().getrandbits(32)
        with retried_when_transient():
            audit = audit_sample(platform.stream_context(stream.name), _SAMPLE, random.Random(seed))
        counts = {"users": audit.users, "events": audit.events, "sessions": audit.sessions, "seed": seed}
        told = {**counts, "differing": len(audit.differing), "cases": dg.MetadataValue.json(audit.differing[:20])}
        return dg.AssetCheckResult(passed=not audit.differing, metadata=told)

    return check


def audited(
    stream_context: StreamContext, partitions: Sequence[str], specs: Sequence[dg.AssetCheckSpec]
) -> Sequence[dg.AssetCheckResult]:
    """The results of every_event_once and no_stale_partitions, after a load of these partitions."""
    stale = stream_context.ledger.stale_partitions(stream_context.stream.session_rule_version)
    audit = audit_windows(stream_context, partitions)
    agree = audit.twice == 0 and (audit.accepted == audit.sessionized or bool(stale))
    counts = {"accepted": audit.accepted, "sessionized": audit.sessionized, "in_two_sessions": audit.twice}
    once = {**counts, "stale": len(stale)}
    return [
        _result(specs[0], agree, once, dg.AssetCheckSeverity.ERROR),
        _result(specs[1], not stale, {"stale": stale}, dg.AssetCheckSeverity.WARN),
    ]


def held_short(versions: Iterable[SessionVersion], spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    longest = max((version.longest_activity_chain_seconds for version in versions), default=0.0)
    told = {"longest_activity_chain_days": round(longest / timedelta(days=1).total_seconds(), 3)}
    return _result(spec, longest <= LONG_CHAIN.total_seconds(), told, dg.AssetCheckSeverity.WARN)


def held_few(
    allowed: Rejected, validated: Iterable[ValidatedPartition], spec: dg.AssetCheckSpec
) -> dg.AssetCheckResult:
    """Whether thresholds are exceeded; and if so a few rejected rows, for what is not published shows nowhere else."""
    found = [(validation, excess) for validation in validated for excess in _excesses(allowed, validation)]
    found.sort(key=lambda pair: not pair[1].fails)  # what fails first, for not all may be shown
    partitions = {validation.landing_partition: validation for validation, _ in found}
    samples = [sample for validation in partitions.values() for sample in samples_of(validation)]
    exceeded = [_told(validation.landing_partition, excess) for validation, excess in found]
    fails = any(excess.fails for _, excess in found)
    severity = dg.AssetCheckSeverity.ERROR if fails else dg.AssetCheckSeverity.WARN
    metadata = {"thresholds": len(exceeded), **as_table("exceeded", exceeded), **as_table("samples", samples)}
    return _result(spec, not found, metadata, severity)


def _excesses(allowed: Rejected, validated: ValidatedPartition) -> list[ThresholdViolation]:
    return threshold_violations(allowed, validated.raw_rows, validated.rejected.rows, validated.rejected_by_reason)


def _told(partition: str, excess: ThresholdViolation) -> dict[str, str | float]:
    return {
        "partition": partition,
        "reason": excess.code or "any",
        "rows": excess.rows,
        "of": excess.of,
        "percent": as_rounded_percent(excess.rows, excess.of),
        "limit": as_percent(excess.limit),
        "outcome": "fails" if excess.fails else "warns",
    }


def held_in_shape(drifts: Mapping[str, Sequence[Drift]], spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    records = [{"partition": partition, **told} for partition, found in drifts.items() for told in drifted(found)]
    metadata = {"drifted": len(records), **as_table("drift", records)}
    return _result(spec, not records, metadata, dg.AssetCheckSeverity.WARN)


def _result(
    spec: dg.AssetCheckSpec, passed: bool, metadata: Mapping[str, Any], severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=spec.asset_key, check_name=spec.name, passed=passed, metadata=metadata, severity=severity
    )


def hold_against(schema: pa.DataFrameSchema, partition: str, frames: Iterable[pl.DataFrame], tally: CheckTally) -> None:
    """Validate eager blocks: on a LazyFrame pandera looks at the columns alone."""
    for frame in frames:
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as error:
            cases = error.failure_cases
            shown = cases.head(_CASES_SHOWN).select(*_CASE_COLUMNS).to_dicts()
            tally.add(partition, frame.height, cases.height, shown)
        else:
            tally.add(partition, frame.height, 0, [])


def hold_dataset_against(schema: pa.DataFrameSchema, dataset: Dataset, tally: CheckTally) -> None:
    """The same for many partitions, small ones together: a look at a frame costs as much as at thousands of rows."""
    for batch in dataset.batches(ROW_GROUP_ROWS):
        alone = batch.rows > ROW_GROUP_ROWS
        with closing(prefetch(batch.blocks() if alone else [batch.scan().collect()])) as frames:
            hold_against(schema, label(list(batch.partitions)), frames, tally)


def count_rows(lake: Lake, validated: ValidatedPartition, tally: CheckTally) -> None:
    """Count what is stored, file by file, and not what was meant to be."""
    raw = sum(lake.rows(file.stored.path) for file in validated.raw_files)
    accepted, rejected = lake.rows(validated.events.path), lake.rows(validated.rejected.path)
    missing = raw - accepted - rejected - validated.duplicates
    counts = {"raw": raw, "accepted": accepted, "rejected": rejected, "duplicates": validated.duplicates}
    tally.add(validated.landing_partition, raw, abs(missing), [{**counts, "missing": missing}] if missing else [])


def validation_checks(stream: Stream) -> list[dg.AssetCheckSpec]:
    """What `hold_judged` gathers evidence for, in its order."""
    events, rejected = dg.AssetKey([stream.name, "events"]), dg.AssetKey([stream.name, "rejected_events"])
    return [keeps_contract(events), keeps_contract(rejected), row_counts_reconcile(events)]


def check_validated(stream_context: StreamContext, validated: ValidatedPartition, tally: Sequence[CheckTally]) -> None:
    """Hold a judged landing partition against both contracts and its balance."""
    stream, partition = stream_context.stream, validated.landing_partition
    with closing(prefetch(stream_context.lake.blocks([validated.events.path], stream_context.event_columns))) as events:
        hold_against(events_schema(stream, partition, validated.references.known), partition, events, tally[0])
    rejected = stream_context.lake.blocks([validated.rejected.path], REJECTED_EVENTS)
    hold_against(rejected_schema(stream), partition, rejected, tally[1])
    count_rows(stream_context.lake, validated, tally[2])


class ProofByChecks:
    """Holds what is rebuilt against the blocking checks, which stop it at the first row that breaks one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sessionized, self._sessions = sessionized_schema(stream), sessions_schema(stream)

    def validated(self, stream_context: StreamContext, validated: ValidatedPartition) -> None:
        specs = validation_checks(self._stream)
        tally = [CheckTally() for _ in specs]
        check_validated(stream_context, validated, tally)
        few = held_few(self._stream.rejected, [validated], rejection_rate(self._key("rejected_events")))
        stop_if_broken([*(seen.result(spec) for seen, spec in zip(tally, specs, strict=True)), few])

    def sessionized(self, events: Dataset) -> None:
        hold_dataset_against(self._sessionized, events, tally := CheckTally())
        stop_if_broken([tally.result(keeps_contract(self._key("sessionized_events")))])

    def sessions(self, partition: str, rows: pl.DataFrame) -> None:
        hold_against(self._sessions, partition, [rows], tally := CheckTally())
        stop_if_broken([tally.result(keeps_contract(self._key("sessions")))])

    def _key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self._stream.name, asset])


def stop_if_broken(results: Sequence[dg.AssetCheckResult]) -> None:
    """Fail the step, for good: the same rows would break the same rules again."""
    failed = [result for result in results if not result.passed and result.severity is dg.AssetCheckSeverity.ERROR]
    if failed:
        names = ", ".join(sorted({str(result.check_name) for result in failed}))
        raise dg.Failure(
            f"Nothing was published: {names} failed. The check's metadata shows where.",
            metadata={"checks": names},
            allow_retries=False,
        )
