"""The assets of a stream, in pipeline order.

Here belong specs, partitions, retry policies and metadata. An asset reads its inputs, calls stages of the pipeline and
reports what they return. Not here: decisions about data (`transforms`), the order and the transactions of stages
(`pipeline`, where `run.py` shows them in a row), and files and SQL (`storage`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from sessions_platform.contracts.column_lineage import columns_of_sessions, fields_of_events
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.raw_events import raw_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.asset_keys import key, source_key, upstream_keys
from sessions_platform.orchestration.checks import check_results, check_specs
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.jobs import PAST
from sessions_platform.orchestration.metadata import as_lineage, as_table
from sessions_platform.orchestration.partitions import partitions_definition
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.sources import freshness_policy, source_metadata
from sessions_platform.orchestration.types import column_schema, dataset_type
from sessions_platform.orchestration.verification import repairing
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.drift import find_drift
from sessions_platform.pipeline.ingest import ingest, ingest_past
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.pipeline.progress import steps
from sessions_platform.pipeline.publish import Published, publish
from sessions_platform.pipeline.quality import (
    CheckFailedError,
    ValidationChecks,
    check_activity_chains,
    check_loaded,
    check_schema_drift,
    check_sessionized,
    stop_if_failed,
)
from sessions_platform.pipeline.records import (
    drift_records,
    reason_records,
    rounded_percent,
    sample_records,
    skipped_records,
    warning_records,
)
from sessions_platform.pipeline.run import validate_partitions
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.tool_sessions import check_tool_sessions
from sessions_platform.pipeline.unpublished import removing_unpublished
from sessions_platform.pipeline.validate import ValidatedPartition
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.transforms.schema_drift import Drift

LAKE = "lake"
# The lineage page opens with every group closed, but where all assets are in one it shows the assets themselves.
GROUP = "streams"
_WARNINGS_LOGGED = 10  # the metadata has all of them
EVERY_PARTITION = dg.AllPartitionMapping()


def stream_assets(stream: Stream) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """All assets of one stream, in the order of the pipeline, after its source."""
    made = [_raw_events(stream), _validated_events(stream), _sessionized_events(stream), _sessions(stream)]
    return [source_asset(stream), *made]


def source_asset(stream: Stream) -> dg.AssetSpec:
    """Where the stream's events come from, which no run makes."""
    source = stream.source
    place = f": `{source.place}`" if source.place else ""
    return dg.AssetSpec(
        source_key(stream),
        description=f"The source of this stream{place}. It is outside of Dagster; `raw_events` reads it.",
        group_name=GROUP,
        kinds={source.kind},
        owners=stream.owners,
        tags=tags(stream),
        metadata=source_metadata(stream),
    )


def tags(stream: Stream, axis: str = "") -> dict[str, str]:
    """By which assets are found: their stream and, of assets with partitions, the axis, `landing` or `session`."""
    return {"stream": stream.name, **({"axis": axis} if axis else {})}


def _raw_events(stream: Stream) -> dg.AssetsDefinition:
    schema = raw_schema(stream)

    @dg.asset(
        key=key(stream, "raw_events"),
        description="Rows as they were delivered, with file and position; not validated.",
        deps=[source_key(stream), *upstream_keys(stream)],
        group_name=GROUP,
        tags=tags(stream, "landing"),
        kinds={stream.source.format, "parquet"},
        owners=stream.owners,
        partitions_def=partitions_definition(stream.landing_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        io_manager_key=LAKE,
        dagster_type=dataset_type(schema),
        freshness_policy=freshness_policy(stream),
        metadata={"dagster/column_schema": column_schema(schema)},
    )
    def raw_events(context: dg.AssetExecutionContext, platform: Platform) -> Dataset:
        stream_context, partitions = platform.stream_context(stream.name), context.partition_keys
        with retried_when_transient(), repairing(stream_context, context.run.run_id):
            for partition in steps("ingesting", partitions):
                started = time.monotonic()
                run_id, newest = context.run.run_id, max(partitions)
                if context.run.tags.get(PAST):
                    ingested = ingest_past(stream_context, partition, run_id)
                else:
                    ingested = ingest(stream_context, [partition], run_id, newest=newest)[partition]
                metadata = {
                    "dagster/row_count": ingested.rows,
                    "files": ingested.files,
                    "files_read": ingested.read,
                    "files_vanished": ingested.vanished,
                    "files_skipped": len(ingested.skipped),
                    **as_table("skipped", skipped_records(ingested)),
                    "files_doubtful": len(ingested.warnings),
                    **as_table("warnings", warning_records(ingested)),
                    "seconds": _since(started),
                }
                context.add_asset_metadata(metadata, partition_key=partition)
                for warning in ingested.warnings[:_WARNINGS_LOGGED]:
                    context.log.warning(f"{warning.uri}: {warning.text}")
            return stream_context.raw_events(partitions)

    return raw_events


def _validated_events(stream: Stream) -> dg.AssetsDefinition:
    raw, events, rejected = (key(stream, name) for name in ("raw_events", "events", "rejected_events"))
    contract = events_schema(stream)
    common = {
        "group_name": GROUP,
        "tags": tags(stream, "landing"),
        "io_manager_key": LAKE,
        "owners": stream.owners,
    }

    @dg.multi_asset(
        name=f"{stream.name}__validated_events",
        ins={"raw_events": dg.AssetIn(raw)},
        outs={
            "events": dg.AssetOut(
                key=events,
                description="Accepted rows, typed, ordered by time; a large partition has several ordered runs.",
                kinds={"polars", "pandera", "parquet"},
                dagster_type=dataset_type(contract),
                metadata={"dagster/column_schema": column_schema(contract)},
                **common,
            ),
            "rejected_events": dg.AssetOut(
                key=rejected,
                description=(
                    "The dead-letter queue: rows that broke the contract, whole, with every reason. "
                    f"`sessions-platform rejected list {stream.name}` shows them all; the jobs `replay_rejected` and "
                    "`discard_rejected` decide about them."
                ),
                kinds={"polars", "parquet", "postgres"},
                dagster_type=dataset_type(rejected_schema(stream)),
                metadata={"dagster/column_schema": column_schema(rejected_schema(stream))},
                **common,
            ),
            **_identity_links(stream),
        },
        internal_asset_deps={
            "events": {raw},
            "rejected_events": {raw},
            **({"identity_links": {events}} if stream.identity else {}),
        },
        check_specs=check_specs(stream, "events", "rejected_events"),
        partitions_def=partitions_definition(stream.landing_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        code_version=stream.contract_version,
    )
    def validated_events(
        context: dg.AssetExecutionContext, platform: Platform, raw_events: Dataset
    ) -> Iterator[dg.AssetCheckResult | dg.Output[Dataset] | dg.Output[None]]:
        stream_context, partitions = platform.stream_context(stream.name), context.partition_keys
        checks, validated = ValidationChecks(stream_context), list[ValidatedPartition]()
        with removing_unpublished(stream_context):
            with retried_when_transient(), repairing(stream_context, context.run.run_id):
                started = time.monotonic()
                for partition in validate_partitions(stream_context, raw_events, checks):
                    validated.append(partition)
                    _report_accepted(context, stream, partition, _since(started))
                    started = time.monotonic()
                _report_rejected(context, stream_context, validated)
                drifts = find_drift(stream_context, validated)
                _report_drift(context, stream, drifts)
                results = [*checks.results(), check_schema_drift(drifts)]
            yield from check_results(stream, results)
            with retried_when_transient(), repairing(stream_context, context.run.run_id):
                stop_if_failed(results)
                for partition in validated:
                    _report_published(
                        context, stream, partition, publish(stream_context, partition, context.run.run_id)
                    )
                yield dg.Output(stream_context.events(partitions), "events")
                yield dg.Output(stream_context.rejected_events(partitions), "rejected_events")
                if stream.identity:
                    yield dg.Output(None, "identity_links")

    return validated_events


def _identity_links(stream: Stream) -> dict[str, dg.AssetOut]:
    """The output of that name, which a step publishes together with its events; none without an identity."""
    if stream.identity is None:
        return {}
    made = dg.AssetOut(
        key=key(stream, "identity_links"),
        description=(
            "Which anonymous ids were seen with which users, when and how often: a table of the warehouse. Its views "
            "`identities` and `sessions_of_people` say whose they are."
        ),
        group_name=GROUP,
        tags=tags(stream, "landing"),
        owners=stream.owners,
        kinds={"postgres", "table"},
        dagster_type=dg.Nothing,
        metadata={"dagster/table_name": f"{stream.name}.identity_links"},
    )
    return {"identity_links": made}


def _sessionized_events(stream: Stream) -> dg.AssetsDefinition:
    schema = sessionized_schema(stream)

    @dg.asset(
        key=key(stream, "sessionized_events"),
        description="Every event of every session that started in the partition.",
        # Which session partitions a landing partition affects depends on its events.
        deps=[dg.AssetDep(key(stream, "events"), partition_mapping=EVERY_PARTITION)],
        group_name=GROUP,
        tags=tags(stream, "session"),
        kinds={"polars", "parquet"},
        owners=stream.owners,
        partitions_def=partitions_definition(stream.session_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        io_manager_key=LAKE,
        dagster_type=dataset_type(schema),
        metadata={"dagster/column_schema": column_schema(schema)},
        check_specs=check_specs(stream, "sessionized_events"),
        code_version=stream.session_rule_version,
    )
    def sessionized_events(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[dg.AssetCheckResult | dg.Output[Dataset]]:
        stream_context, partitions = platform.stream_context(stream.name), context.partition_keys
        started = time.monotonic()
        repaired = repairing(stream_context, context.run.run_id)
        with retried_when_transient(), repaired, removing_unpublished(stream_context):
            versions = sessionize_partitions(stream_context, partitions, context.run.run_id)
            dataset = stream_context.sessionized_events(partitions)
            results = [check_sessionized(stream_context, dataset), check_activity_chains(versions.values())]
            if stream.session.id:
                results.append(check_tool_sessions(stream_context, dataset))
            for partition, version in versions.items():
                metadata = {
                    "dagster/row_count": version.rows,
                    "duplicates_across": version.duplicates_across,
                    "conflicts_across": version.conflicts_across,
                    "simultaneous_events": version.simultaneous_events,
                    "events_outside_sessions": version.events_outside_sessions,
                    "events_without_tool_id": version.events_without_tool_id,
                    "snapshot": version.snapshot,
                    "seconds_of_run": _since(started),
                }
                context.add_asset_metadata(metadata, partition_key=partition)
        yield from check_results(stream, results)
        with retried_when_transient():
            stop_if_failed(results)
        yield dg.Output(dataset)

    return sessionized_events


def _sessions(stream: Stream) -> dg.AssetsDefinition:
    schema = sessions_schema(stream)

    @dg.asset(
        key=key(stream, "sessions"),
        description="One row a session: the warehouse table.",
        group_name=GROUP,
        tags=tags(stream, "session"),
        kinds={"postgres", "table"},
        owners=stream.owners,
        partitions_def=partitions_definition(stream.session_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        ins={"sessionized_events": dg.AssetIn(key(stream, "sessionized_events"))},
        metadata={"dagster/column_schema": column_schema(schema), "dagster/table_name": f"{stream.name}.sessions"},
        freshness_policy=freshness_policy(stream),
        check_specs=check_specs(stream, "sessions"),
    )
    def sessions(
        context: dg.AssetExecutionContext, platform: Platform, sessionized_events: Dataset
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        stream_context = platform.stream_context(stream.name)
        started = time.monotonic()
        try:
            with retried_when_transient(), repairing(stream_context, context.run.run_id):
                loaded = load_sessions(stream_context, sessionized_events, context.run.run_id)
                results = [loaded.check, *check_loaded(stream_context, list(loaded.sessions))]
        except dg.Failure as failure:
            if isinstance(failure.__cause__, CheckFailedError):
                yield from check_results(stream, failure.__cause__.results)
            raise
        lineage = as_lineage(columns_of_sessions(stream), key(stream, "events"))
        for partition, count in loaded.sessions.items():
            context.add_asset_metadata({"dagster/row_count": count, **lineage}, partition_key=partition)
        changed = {
            "inserted_by_run": loaded.changed.inserted,
            "updated_by_run": loaded.changed.updated,
            "deleted_by_run": loaded.changed.deleted,
        }
        run = {**changed, "seconds_of_run": _since(started)}
        yield dg.MaterializeResult(metadata=run, check_results=list(check_results(stream, results)))

    return sessions


def _report_accepted(
    context: dg.AssetExecutionContext, stream: Stream, validated: ValidatedPartition, seconds: float
) -> None:
    counts = {"duplicates": validated.duplicates, "skipped": validated.skipped}
    metadata = {"dagster/row_count": validated.events.rows, **counts, "seconds": seconds}
    metadata |= as_table("enriched", validated.enriched)
    metadata |= as_lineage(fields_of_events(stream), source_key(stream))
    for warning in validated.warnings:
        context.log.warning(f"{stream.path}: {validated.landing_partition}: {warning}")
    context.add_asset_metadata(metadata, asset_key=key(stream, "events"), partition_key=validated.landing_partition)


def _report_drift(context: dg.AssetExecutionContext, stream: Stream, drifts: Mapping[str, Sequence[Drift]]) -> None:
    for partition, drift in drifts.items():
        metadata = {"drifted": len(drift), **as_table("drift", drift_records(drift))}
        context.add_asset_metadata(metadata, asset_key=key(stream, "events"), partition_key=partition)


def _report_rejected(
    context: dg.AssetExecutionContext, stream_context: StreamContext, validated: Sequence[ValidatedPartition]
) -> None:
    """Reasons that any partition ever had are reported as zero where there are none, so that plots have no gaps."""
    counted = [landing.rejected_by_reason for landing in stream_context.ledger.landings()]
    counted += [validation.rejected_by_reason for validation in validated]
    codes = sorted({code for counts in counted for code in counts})
    for validation in validated:
        metadata = {
            "dagster/row_count": validation.rejected_rows,
            "rejected_percent": rounded_percent(validation.rejected_rows, validation.raw_rows),
            **as_table("reasons", reason_records(validation)),
            **as_table("samples", sample_records(validation)),
            **{f"rejected_as/{code}": validation.rejected_by_reason.get(code, 0) for code in codes},
        }
        asset = key(stream_context.stream, "rejected_events")
        context.add_asset_metadata(metadata, asset_key=asset, partition_key=validation.landing_partition)


def _report_published(
    context: dg.AssetExecutionContext, stream: Stream, validated: ValidatedPartition, published: Published
) -> None:
    metadata = {"version": published.version, "affected_session_partitions": list(published.affected)}
    context.add_asset_metadata(metadata, asset_key=key(stream, "events"), partition_key=validated.landing_partition)
    if stream.identity:
        links, asset = {"dagster/row_count": published.links}, key(stream, "identity_links")
        context.add_asset_metadata(links, asset_key=asset, partition_key=validated.landing_partition)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
