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
from sessions_platform.contracts.rejections import REJECTED_EVENTS, rejected_schema
from sessions_platform.contracts.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Rejected, Stream
from sessions_platform.contracts.values import as_percent
from sessions_platform.journey.ahead import ahead
from sessions_platform.journey.audit import audit_sample, audit_windows
from sessions_platform.journey.judge import Judged
from sessions_platform.journey.workspace import Workspace
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.metadata import as_rounded_percent, as_table, drifted, samples_of
from sessions_platform.orchestration.resources import Platform
from sessions_platform.storage.lake import Dataset, Lake
from sessions_platform.storage.ledger import SessionVersion
from sessions_platform.storage.parquet_file import ROW_GROUP_ROWS
from sessions_platform.transforms.shape import Drift
from sessions_platform.transforms.thresholds import Excess, excesses

LONG_CHAIN = timedelta(days=7)
SAMPLE_AGREES = "sample_agrees"
_SAMPLE = 20
_CASES_SHOWN = 20
# Values of rejected rows are for the dead-letter queue; checks name columns, rules and rows alone.
_CASE_COLUMNS = ("column", "check", "index")


@dataclass
class Evidence:
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


def nothing_lost(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "In each landing partition, raw rows = accepted + rejected + duplicates."
    return dg.AssetCheckSpec("nothing_lost", asset=asset_key, description=description, blocking=True)


def rejections_stay_few(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "No greater share of a landing partition's rows is rejected than the stream's file allows."
    return dg.AssetCheckSpec("rejections_stay_few", asset=asset_key, description=description, blocking=True)


def keeps_its_shape(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "No field of the landing files is new, missing or of another type than its column."
    return dg.AssetCheckSpec("keeps_its_shape", asset=asset_key, description=description)


def every_event_once(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "Each accepted event in the time of these partitions stands in one session, and in one only."
    return dg.AssetCheckSpec("every_event_once", asset=asset_key, description=description)


def nothing_waits(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = "No session partition waits for a refresh."
    return dg.AssetCheckSpec("nothing_waits", asset=asset_key, description=description)


def chains_stay_short(asset_key: dg.AssetKey) -> dg.AssetCheckSpec:
    description = f"No user goes on for more than {LONG_CHAIN.days} days without a silence; a robot does."
    return dg.AssetCheckSpec("chains_stay_short", asset=asset_key, description=description)


def sample_agrees(stream: Stream) -> dg.AssetChecksDefinition:
    """Reads the whole lake for a few users, so it has a job and a schedule of its own."""

    @dg.asset_check(
        asset=dg.AssetKey([stream.name, "sessions"]),
        name=SAMPLE_AGREES,
        description=f"The sessions of some {_SAMPLE} users, drawn anew each time, are those that a plain loop over all "
        "of their accepted events finds.",
        retry_policy=TRANSIENT,
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        seed = random.SystemRandom().getrandbits(32)
        with retried_when_transient():
            audit = audit_sample(platform.workspace(stream.name), _SAMPLE, random.Random(seed))
        counts = {"users": audit.users, "events": audit.events, "sessions": audit.sessions, "seed": seed}
        told = {**counts, "differing": len(audit.differing), "cases": dg.MetadataValue.json(audit.differing[:20])}
        return dg.AssetCheckResult(passed=not audit.differing, metadata=told)

    return check


def audited(
    workspace: Workspace, partitions: Sequence[str], specs: Sequence[dg.AssetCheckSpec]
) -> Sequence[dg.AssetCheckResult]:
    """The results of every_event_once and nothing_waits, after a load of these partitions."""
    waiting = workspace.ledger.waiting(workspace.stream.policy_version)
    audit = audit_windows(workspace, partitions)
    agree = audit.twice == 0 and (audit.accepted == audit.sessionized or bool(waiting))
    counts = {"accepted": audit.accepted, "sessionized": audit.sessionized, "in_two_sessions": audit.twice}
    once = {**counts, "waiting": len(waiting)}
    return [
        _result(specs[0], agree, once, dg.AssetCheckSeverity.ERROR),
        _result(specs[1], not waiting, {"waiting": waiting}, dg.AssetCheckSeverity.WARN),
    ]


def held_short(versions: Iterable[SessionVersion], spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    longest = max((version.longest_chain_seconds for version in versions), default=0.0)
    told = {"longest_chain_days": round(longest / timedelta(days=1).total_seconds(), 3)}
    return _result(spec, longest <= LONG_CHAIN.total_seconds(), told, dg.AssetCheckSeverity.WARN)


def held_few(allowed: Rejected, judged: Iterable[Judged], spec: dg.AssetCheckSpec) -> dg.AssetCheckResult:
    """Whether thresholds are exceeded; and if so a few rejected rows, for what is not published shows nowhere else."""
    found = [(verdict, excess) for verdict in judged for excess in _excesses(allowed, verdict)]
    found.sort(key=lambda pair: not pair[1].fails)  # what fails first, for not all may be shown
    partitions = {verdict.landing_partition: verdict for verdict, _ in found}
    samples = [sample for verdict in partitions.values() for sample in samples_of(verdict)]
    exceeded = [_told(verdict.landing_partition, excess) for verdict, excess in found]
    fails = any(excess.fails for _, excess in found)
    severity = dg.AssetCheckSeverity.ERROR if fails else dg.AssetCheckSeverity.WARN
    metadata = {"thresholds": len(exceeded), **as_table("exceeded", exceeded), **as_table("samples", samples)}
    return _result(spec, not found, metadata, severity)


def _excesses(allowed: Rejected, judged: Judged) -> list[Excess]:
    return excesses(allowed, judged.raw_rows, judged.rejected.rows, judged.rejected_by_reason)


def _told(partition: str, excess: Excess) -> dict[str, str | float]:
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


def hold_against(
    schema: pa.DataFrameSchema, partition: str, frames: Iterable[pl.DataFrame], evidence: Evidence
) -> None:
    """Validate eager blocks: on a LazyFrame pandera looks at the columns alone."""
    for frame in frames:
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as error:
            cases = error.failure_cases
            shown = cases.head(_CASES_SHOWN).select(*_CASE_COLUMNS).to_dicts()
            evidence.add(partition, frame.height, cases.height, shown)
        else:
            evidence.add(partition, frame.height, 0, [])


def hold_dataset_against(schema: pa.DataFrameSchema, dataset: Dataset, evidence: Evidence) -> None:
    """The same for many partitions, small ones together: a look at a frame costs as much as at thousands of rows."""
    for batch in dataset.batches(ROW_GROUP_ROWS):
        alone = batch.rows > ROW_GROUP_ROWS
        with closing(ahead(batch.blocks() if alone else [batch.scan().collect()])) as frames:
            hold_against(schema, label(list(batch.partitions)), frames, evidence)


def count_rows(lake: Lake, judged: Judged, evidence: Evidence) -> None:
    """Count what is stored, file by file, and not what was meant to be."""
    raw = sum(lake.rows(file.stored.path) for file in judged.raw_files)
    accepted, rejected = lake.rows(judged.events.path), lake.rows(judged.rejected.path)
    missing = raw - accepted - rejected - judged.duplicates
    counts = {"raw": raw, "accepted": accepted, "rejected": rejected, "duplicates": judged.duplicates}
    evidence.add(judged.landing_partition, raw, abs(missing), [{**counts, "missing": missing}] if missing else [])


def proofs_of_judging(stream: Stream) -> list[dg.AssetCheckSpec]:
    """What `hold_judged` gathers evidence for, in its order."""
    events, rejected = dg.AssetKey([stream.name, "events"]), dg.AssetKey([stream.name, "rejected_events"])
    return [keeps_contract(events), keeps_contract(rejected), nothing_lost(events)]


def hold_judged(workspace: Workspace, judged: Judged, evidence: Sequence[Evidence]) -> None:
    """Hold a judged landing partition against both contracts and its balance."""
    stream, partition = workspace.stream, judged.landing_partition
    with closing(ahead(workspace.lake.blocks([judged.events.path], workspace.event_columns))) as events:
        hold_against(events_schema(stream, partition, judged.references.known), partition, events, evidence[0])
    rejected = workspace.lake.blocks([judged.rejected.path], REJECTED_EVENTS)
    hold_against(rejected_schema(stream), partition, rejected, evidence[1])
    count_rows(workspace.lake, judged, evidence[2])


class ProofByChecks:
    """Holds what is rebuilt against the blocking checks, which stop it at the first row that breaks one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sessionized, self._sessions = sessionized_schema(stream), sessions_schema(stream)

    def judged(self, workspace: Workspace, judged: Judged) -> None:
        specs = proofs_of_judging(self._stream)
        evidence = [Evidence() for _ in specs]
        hold_judged(workspace, judged, evidence)
        few = held_few(self._stream.rejected, [judged], rejections_stay_few(self._key("rejected_events")))
        stop_if_broken([*(seen.result(spec) for seen, spec in zip(evidence, specs, strict=True)), few])

    def sessionized(self, events: Dataset) -> None:
        hold_dataset_against(self._sessionized, events, evidence := Evidence())
        stop_if_broken([evidence.result(keeps_contract(self._key("sessionized_events")))])

    def sessions(self, partition: str, rows: pl.DataFrame) -> None:
        hold_against(self._sessions, partition, [rows], evidence := Evidence())
        stop_if_broken([evidence.result(keeps_contract(self._key("sessions")))])

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
