"""The asset checks as Dagster shows them: names, descriptions, and results with their metadata.

Here belong specs, the conversion of a `CheckResult`, and `sample_recomputation`, a check with a job of its own. Not
here: what is checked (`pipeline/quality.py`). Blocking checks run inside the step that materializes, before the
commit, because a separate check would run after it.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping

import dagster as dg

from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.schemas.schema import Schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.audit import audit_sample
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.metadata import as_table
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.types import broken_contract
from sessions_platform.pipeline.quality import LONG_ACTIVITY_CHAIN, CheckResult, Severity
from sessions_platform.pipeline.scores import PSI_ALLOWED, PSI_FEWEST
from sessions_platform.pipeline.tool_sessions import TOOL_SESSIONS

KEEPS_CONTRACT = "keeps_contract"
SAMPLE_RECOMPUTATION = "sample_recomputation"
_SAMPLE = 20
_CASES_SHOWN = 20

_CONTRACT = "Every row keeps the contract that the stream's file states."
_COUNTS = "In each landing partition, raw rows = accepted + rejected + duplicates + skipped."
_RATE = "In no landing partition is a greater share of the rows rejected than the stream's file allows."
_DRIFT = "No field of the rows is new, missing or of another type than its column."
_CHAINS = f"No user is active for more than {LONG_ACTIVITY_CHAIN.days} days without a pause; a robot is."
_ONCE = "Each accepted event with a timestamp in these partitions is in one session, and in one only."
_STALE = "No session partition is stale."
_TOOL = "The sessions of the tool's own ids are those that the rule would make. Where a tool knows more, they are not."

_CURRENT = "Each session has the scores that the current models give to its current state."
_DISTRIBUTION = (
    f"The scores are distributed as in training: by the population stability index, up to {PSI_ALLOWED} of at least "
    f"{PSI_FEWEST} sessions."
)

# By asset: the check's name, its description, and whether it is blocking.
_CHECKS = {
    "events": [
        (KEEPS_CONTRACT, _CONTRACT, True),
        ("row_counts_reconcile", _COUNTS, True),
        ("schema_drift", _DRIFT, False),
    ],
    "rejected_events": [(KEEPS_CONTRACT, _CONTRACT, True), ("rejection_rate", _RATE, True)],
    "sessionized_events": [(KEEPS_CONTRACT, _CONTRACT, True), ("long_activity_chains", _CHAINS, False)],
    "sessions": [
        (KEEPS_CONTRACT, _CONTRACT, True),
        ("every_event_once", _ONCE, False),
        ("no_stale_partitions", _STALE, False),
    ],
    "session_scores": [("scores_are_current", _CURRENT, False), ("score_distribution", _DISTRIBUTION, False)],
}
# By asset: the contract that is kept.
_SCHEMAS: Mapping[str, Callable[[Stream], Schema]] = {
    "events": events_schema,
    "rejected_events": rejected_schema,
    "sessionized_events": sessionized_schema,
    "sessions": sessions_schema,
}
_SEVERITIES = {Severity.error: dg.AssetCheckSeverity.ERROR, Severity.warning: dg.AssetCheckSeverity.WARN}


def check_specs(stream: Stream, *assets: str) -> list[dg.AssetCheckSpec]:
    """The checks of these assets of a stream, which the steps that materialize them run."""
    return [
        dg.AssetCheckSpec(name, asset=key(stream, asset), description=description, blocking=blocking)
        for asset in assets
        for name, description, blocking in [*_CHECKS[asset], *_checks_of_tool(stream, asset)]
    ]


def _checks_of_tool(stream: Stream, asset: str) -> list[tuple[str, str, bool]]:
    """Those that only a stream has whose sessions are a tool's."""
    return [(TOOL_SESSIONS, _TOOL, False)] if stream.session.id and asset == "sessionized_events" else []


def check_results(stream: Stream, results: Iterable[CheckResult]) -> Iterator[dg.AssetCheckResult]:
    """Results of the pipeline's checks, with their tables as metadata."""
    for result in results:
        metadata = {
            name: dg.MetadataValue.json(value) if isinstance(value, list) else value
            for name, value in result.metadata.items()
        }
        for name, records in result.tables.items():
            metadata |= as_table(name, records)
        if result.name == KEEPS_CONTRACT and not result.passed:
            metadata["contract"] = broken_contract(_SCHEMAS[result.asset](stream))
        yield dg.AssetCheckResult(
            asset_key=key(stream, result.asset),
            check_name=result.name,
            passed=result.passed,
            metadata=metadata,
            severity=_SEVERITIES[result.severity],
        )


def sample_recomputation(stream: Stream) -> dg.AssetChecksDefinition:
    """A check of a random sample of users. It reads the whole lake, so it has a job and a schedule of its own."""

    @dg.asset_check(
        asset=key(stream, "sessions"),
        name=SAMPLE_RECOMPUTATION,
        description=f"The sessions of {_SAMPLE} users, drawn at random each time, equal those that the reference "
        "implementation computes from all of their accepted events.",
        retry_policy=TRANSIENT,
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        seed = random.SystemRandom().getrandbits(32)
        with retried_when_transient():
            audit = audit_sample(platform.stream_context(stream.name), _SAMPLE, random.Random(seed))
        metadata = {
            "users": audit.users,
            "events": audit.events,
            "sessions": audit.sessions,
            "seed": seed,
            "mismatches": len(audit.mismatches),
            "cases": dg.MetadataValue.json(audit.mismatches[:_CASES_SHOWN]),
        }
        return dg.AssetCheckResult(passed=not audit.mismatches, metadata=metadata)

    return check
