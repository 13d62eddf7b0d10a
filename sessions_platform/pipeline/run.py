"""The pipeline as a whole: `run_pipeline` is every stage in order, from landing files to the table of sessions.

Assets, the rebuild and tests call the same stages. Here belongs their order, and the steps of several stages that all
of them share. Not here: what a stage does, which its own module says, and when a stage runs (`orchestration`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.drift import find_drift
from sessions_platform.pipeline.ingest import Ingested, ingest
from sessions_platform.pipeline.load import LoadedSessions, load_sessions
from sessions_platform.pipeline.progress import count, steps
from sessions_platform.pipeline.publish import Published, publish
from sessions_platform.pipeline.quality import (
    CheckResult,
    ValidationChecks,
    check_activity_chains,
    check_loaded,
    check_schema_drift,
    check_sessionized,
    stop_if_failed,
)
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.tool_sessions import check_tool_sessions
from sessions_platform.pipeline.unpublished import removing_unpublished
from sessions_platform.pipeline.validate import ValidatedPartition, validate_partition
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.ledger.ledger import SessionVersion


@dataclass(frozen=True)
class PipelineRun:
    """What each stage returned: by landing partition, by session partition, and the results of all checks."""

    ingested: dict[str, Ingested]
    published: dict[str, Published]
    sessionized: dict[str, SessionVersion]
    loaded: LoadedSessions | None  # None where no session partition was asked for
    checks: list[CheckResult]


def run_pipeline(
    context: StreamContext,
    landing_partitions: Sequence[str],
    run_id: str,
    session_partitions: Sequence[str] | None = None,
) -> PipelineRun:
    """Bring these partitions up to date with their landing files: every stage, from source to table.

    Args:
        context: the stream's.
        landing_partitions: keys of the landing calendar; none to refresh sessions alone.
        run_id: recorded with whatever changes.
        session_partitions: keys of the session calendar; by default those that are stale once events are published.

    Raises:
        CheckFailedError: a check of severity error failed. What comes after it is not published or loaded.
        StaleWriteError: another run has published or loaded newer data meanwhile.
    """
    context.prepare()
    with removing_unpublished(context):
        return _run(context, landing_partitions, run_id, session_partitions)


def _run(
    context: StreamContext, landing_partitions: Sequence[str], run_id: str, session_partitions: Sequence[str] | None
) -> PipelineRun:
    # Source → raw_events
    ingested = ingest(context, landing_partitions, run_id) if landing_partitions else {}

    # raw_events → events and rejected_events: parse, validate, deduplicate, check, publish
    checks = ValidationChecks(context)
    raw_events = context.raw_events(landing_partitions)
    validated = list(validate_partitions(context, raw_events, checks))
    results = [*checks.results(), check_schema_drift(find_drift(context, validated))]
    stop_if_failed(results)
    published = {partition.landing_partition: publish(context, partition, run_id) for partition in validated}

    # events → sessionized_events
    stale = context.stale_session_partitions() if session_partitions is None else session_partitions
    if not stale:
        return PipelineRun(ingested, published, {}, None, results)
    versions = sessionize_partitions(context, stale, run_id)
    sessionized = context.sessionized_events(stale)
    results += [check_sessionized(context, sessionized), check_activity_chains(versions.values())]
    if context.stream.session.id:
        results.append(check_tool_sessions(context, sessionized))
    stop_if_failed(results)

    # sessionized_events → sessions, checked before the load and counted after it
    loaded = load_sessions(context, sessionized, run_id)
    results += [loaded.check, *check_loaded(context, list(loaded.sessions))]
    return PipelineRun(ingested, published, versions, loaded, results)


def validate_partitions(
    context: StreamContext, raw_events: Dataset, checks: ValidationChecks
) -> Iterator[ValidatedPartition]:
    """Validate each landing partition of `raw_events`, and have it checked; references are read once for all.

    Raises:
        UserError: a reference can't be read, or has no values.
        StaleWriteError: landing files were read again meanwhile.
    """
    references = read_references(context)
    for partition in steps("validating", list(raw_events.partitions)):
        validated = validate_partition(context, partition, raw_events, references)
        checks.add(validated)
        count(validated.raw_rows)
        yield validated
