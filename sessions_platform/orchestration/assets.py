"""The assets of a stream, in pipeline order.

An asset reads its inputs, calls one stage of the pipeline and tells what it saw.
Whatever there is to decide about the data is decided over there.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import polars as pl

from sessions_platform.contracts.events import events_schema
from sessions_platform.contracts.raw_events import raw_schema
from sessions_platform.contracts.rejected_events import rejected_schema
from sessions_platform.contracts.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.checks import (
    CheckTally,
    audited,
    check_validated,
    every_event_once,
    held_few,
    held_in_shape,
    held_short,
    hold_against,
    hold_dataset_against,
    keeps_contract,
    long_activity_chains,
    no_stale_partitions,
    rejection_rate,
    schema_drift,
    stop_if_broken,
    validation_checks,
)
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.metadata import as_rounded_percent, as_table, drifted, samples_of
from sessions_platform.orchestration.partitions import partitions_definition
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.types import column_schema, dataset_type
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.validate import Published, ValidatedPartition, drifts, publish, validate_partition
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.transforms.schema_drift import Drift

LAKE = "lake"
EVERY_PARTITION = dg.AllPartitionMapping()


def stream_assets(stream: Stream) -> list[dg.AssetsDefinition]:
    """All assets of one stream, in the order of the pipeline."""
    return [_raw_events(stream), _judged_events(stream), _sessionized_events(stream), _sessions(stream)]


def key(stream: Stream, name: str) -> dg.AssetKey:
    return dg.AssetKey([stream.name, name])


def _raw_events(stream: Stream) -> dg.AssetsDefinition:
    schema = raw_schema(stream)

    @dg.asset(
        key=key(stream, "raw_events"),
        description="Rows as they came, with file and position; nothing judged.",
        group_name="landing",
        kinds={stream.source.format, "parquet"},
        owners=stream.owners,
        partitions_def=partitions_definition(stream.landing_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        io_manager_key=LAKE,
        dagster_type=dataset_type(schema),
        metadata={"dagster/column_schema": column_schema(schema)},
    )
    def raw_events(context: dg.AssetExecutionContext, platform: Platform) -> Dataset:
        stream_context, partitions = platform.stream_context(stream.name), context.partition_keys
        with retried_when_transient():
            for partition in partitions:
                started = time.monotonic()
                ingested = ingest(stream_context, [partition], context.run.run_id)[partition]
                told = {
                    "dagster/row_count": ingested.rows,
                    "files": ingested.files,
                    "files_read": ingested.read,
                    "files_vanished": ingested.vanished,
                    "seconds": _since(started),
                }
                context.add_asset_metadata(told, partition_key=partition)
            return stream_context.raw_events(partitions)

    return raw_events


def _judged_events(stream: Stream) -> dg.AssetsDefinition:
    events, rejected = key(stream, "events"), key(stream, "rejected_events")
    contract = events_schema(stream)
    proofs = validation_checks(stream)
    few, observed = rejection_rate(rejected), schema_drift(events)
    common = {"group_name": "validation", "io_manager_key": LAKE, "owners": stream.owners}

    @dg.multi_asset(
        name=f"{stream.name}__judged_events",
        ins={"raw_events": dg.AssetIn(key(stream, "raw_events"))},
        outs={
            "events": dg.AssetOut(
                key=events,
                description="Accepted rows, typed, in the order of time; those of a large partition in several runs.",
                kinds={"polars", "pandera", "parquet"},
                dagster_type=dataset_type(contract),
                metadata={"dagster/column_schema": column_schema(contract)},
                **common,
            ),
            "rejected_events": dg.AssetOut(
                key=rejected,
                description="The dead-letter queue: rows that broke the contract, whole, with every reason.",
                kinds={"polars", "parquet", "postgres"},
                dagster_type=dataset_type(rejected_schema(stream)),
                metadata={"dagster/column_schema": column_schema(rejected_schema(stream))},
                **common,
            ),
        },
        check_specs=[*proofs, few, observed],
        partitions_def=partitions_definition(stream.landing_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        code_version=stream.contract_version,
    )
    def judged_events(
        context: dg.AssetExecutionContext, platform: Platform, raw_events: Dataset
    ) -> Iterator[dg.AssetCheckResult | dg.Output[Dataset]]:
        stream_context, partitions = platform.stream_context(stream.name), context.partition_keys
        tally = [CheckTally() for _ in proofs]
        with retried_when_transient():
            references, validated = read_references(stream_context), list[ValidatedPartition]()
            for partition in partitions:
                started = time.monotonic()
                validation = validate_partition(stream_context, partition, raw_events, references)
                check_validated(stream_context, validation, tally)
                validated.append(validation)
                _tell_accepted(context, stream, validation, _since(started))
            _tell_rejected(context, stream_context, validated)
            found = drifts(stream_context, validated)
            _tell_drift(context, stream, found)
            results = [seen.result(spec) for seen, spec in zip(tally, proofs, strict=True)]
            results += [held_few(stream.rejected, validated, few), held_in_shape(found, observed)]
        yield from results
        with retried_when_transient():
            stop_if_broken(results)
            for validation in validated:
                _tell_published(context, stream, validation, publish(stream_context, validation, context.run.run_id))
            yield dg.Output(stream_context.events(partitions), "events")
            yield dg.Output(stream_context.rejected_events(partitions), "rejected_events")

    return judged_events


def _sessionized_events(stream: Stream) -> dg.AssetsDefinition:
    schema = sessionized_schema(stream)
    this = key(stream, "sessionized_events")
    check, chains = keeps_contract(this), long_activity_chains(this)

    @dg.asset(
        key=this,
        description="Every event of every session that started in the partition.",
        # The session partitions that a landing partition touches are known by its events alone.
        deps=[dg.AssetDep(key(stream, "events"), partition_mapping=EVERY_PARTITION)],
        group_name="sessionization",
        kinds={"polars", "parquet"},
        owners=stream.owners,
        partitions_def=partitions_definition(stream.session_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        io_manager_key=LAKE,
        dagster_type=dataset_type(schema),
        metadata={"dagster/column_schema": column_schema(schema)},
        check_specs=[check, chains],
        code_version=stream.session_rule_version,
    )
    def sessionized_events(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[dg.AssetCheckResult | dg.Output[Dataset]]:
        stream_context, partitions = platform.stream_context(stream.name), context.partition_keys
        started, tally = time.monotonic(), CheckTally()
        with retried_when_transient():
            versions = sessionize_partitions(stream_context, partitions, context.run.run_id)
            dataset = stream_context.sessionized_events(partitions)
            hold_dataset_against(schema, dataset, tally)
            for partition, version in versions.items():
                told = {
                    "dagster/row_count": version.rows,
                    "duplicates_across": version.duplicates_across,
                    "conflicts_across": version.conflicts_across,
                    "snapshot": version.snapshot,
                    "seconds_of_run": _since(started),
                }
                context.add_asset_metadata(told, partition_key=partition)
        yield (result := tally.result(check))
        yield held_short(versions.values(), chains)
        stop_if_broken([result])
        yield dg.Output(dataset)

    return sessionized_events


def _sessions(stream: Stream) -> dg.AssetsDefinition:
    schema = sessions_schema(stream)
    this = key(stream, "sessions")
    check, audits = keeps_contract(this), [every_event_once(this), no_stale_partitions(this)]

    @dg.asset(
        key=this,
        description="One row a session: the warehouse table.",
        group_name="warehouse",
        kinds={"postgres", "table"},
        owners=stream.owners,
        partitions_def=partitions_definition(stream.session_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        ins={"sessionized_events": dg.AssetIn(key(stream, "sessionized_events"))},
        metadata={"dagster/column_schema": column_schema(schema), "dagster/table_name": f"{stream.name}.sessions"},
        check_specs=[check, *audits],
    )
    def sessions(
        context: dg.AssetExecutionContext, platform: Platform, sessionized_events: Dataset
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        stream_context = platform.stream_context(stream.name)
        started, tally = time.monotonic(), CheckTally()

        def prove(partition: str, rows: pl.DataFrame) -> None:
            hold_against(schema, partition, [rows], tally)
            stop_if_broken([tally.result(check)])

        try:
            with retried_when_transient():
                loaded = load_sessions(stream_context, sessionized_events, context.run.run_id, prove)
                audited_ = audited(stream_context, list(loaded.sessions), audits)
        finally:
            result = tally.result(check)
            if not result.passed:
                yield result
        for partition, count in loaded.sessions.items():
            context.add_asset_metadata({"dagster/row_count": count}, partition_key=partition)
        changed = {
            "inserted_by_run": loaded.changed.inserted,
            "updated_by_run": loaded.changed.updated,
            "deleted_by_run": loaded.changed.deleted,
        }
        run = {**changed, "seconds_of_run": _since(started)}
        yield dg.MaterializeResult(metadata=run, check_results=[result, *audited_])

    return sessions


def _tell_accepted(
    context: dg.AssetExecutionContext, stream: Stream, validated: ValidatedPartition, seconds: float
) -> None:
    told = {"dagster/row_count": validated.events.rows, "duplicates": validated.duplicates, "seconds": seconds}
    context.add_asset_metadata(told, asset_key=key(stream, "events"), partition_key=validated.landing_partition)


def _tell_drift(context: dg.AssetExecutionContext, stream: Stream, drifts: Mapping[str, Sequence[Drift]]) -> None:
    for partition, found in drifts.items():
        told = {"drifted": len(found), **as_table("drift", drifted(found))}
        context.add_asset_metadata(told, asset_key=key(stream, "events"), partition_key=partition)


def _tell_rejected(
    context: dg.AssetExecutionContext, stream_context: StreamContext, validated: Sequence[ValidatedPartition]
) -> None:
    """Reasons that any partition has had are told with a zero too, so that their plots have no holes."""
    stream = stream_context.stream
    counted = [landing.rejected_by_reason for landing in stream_context.ledger.landings()]
    codes = sorted(
        {code for counts in [*counted, *(validation.rejected_by_reason for validation in validated)] for code in counts}
    )
    for validation in validated:
        by_reason, raw_rows = validation.rejected_by_reason, validation.raw_rows
        reasons = [
            {"reason": code, "rows": rows, "percent": as_rounded_percent(rows, raw_rows)}
            for code, rows in sorted(by_reason.items(), key=lambda counted: (-counted[1], counted[0]))
        ]
        told = {
            "dagster/row_count": validation.rejected.rows,
            "rejected_percent": as_rounded_percent(validation.rejected.rows, raw_rows),
            **as_table("reasons", reasons),
            **as_table("samples", samples_of(validation)),
            **{f"rejected_as/{code}": by_reason.get(code, 0) for code in codes},
        }
        context.add_asset_metadata(
            told, asset_key=key(stream, "rejected_events"), partition_key=validation.landing_partition
        )


def _tell_published(
    context: dg.AssetExecutionContext, stream: Stream, validated: ValidatedPartition, published: Published
) -> None:
    told = {"version": published.version, "affected_session_partitions": list(published.affected)}
    context.add_asset_metadata(told, asset_key=key(stream, "events"), partition_key=validated.landing_partition)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
