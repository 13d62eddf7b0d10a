"""The journey of an event, from top to bottom.

An asset reads its inputs, calls one stage of the journey and tells what it saw.
Whatever there is to decide about the data is decided over there.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import polars as pl

from sessions_platform.contracts.events import events_schema
from sessions_platform.contracts.raw import raw_schema
from sessions_platform.contracts.rejections import rejected_schema
from sessions_platform.contracts.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.journey.judge import Judged, Published, drifts, judge_partition, publish
from sessions_platform.journey.land import land
from sessions_platform.journey.load import load_sessions
from sessions_platform.journey.references import read_references
from sessions_platform.journey.sessionize import sessionize_partitions
from sessions_platform.journey.workspace import Workspace
from sessions_platform.orchestration.checks import (
    Evidence,
    audited,
    chains_stay_short,
    every_event_once,
    held_few,
    held_in_shape,
    held_short,
    hold_against,
    hold_dataset_against,
    hold_judged,
    keeps_contract,
    keeps_its_shape,
    nothing_waits,
    proofs_of_judging,
    rejections_stay_few,
    stop_if_broken,
)
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.metadata import as_rounded_percent, as_table, drifted, samples_of
from sessions_platform.orchestration.partitions import partitions_definition
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.types import column_schema, dataset_type
from sessions_platform.storage.lake import Dataset
from sessions_platform.transforms.shape import Drift

LAKE = "lake"
EVERY_PARTITION = dg.AllPartitionMapping()


def stream_assets(stream: Stream) -> list[dg.AssetsDefinition]:
    """All assets of one stream, in the order of the journey."""
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
        workspace, partitions = platform.workspace(stream.name), context.partition_keys
        with retried_when_transient():
            for partition in partitions:
                started = time.monotonic()
                landed = land(workspace, [partition], context.run.run_id)[partition]
                told = {
                    "dagster/row_count": landed.rows,
                    "files": landed.files,
                    "files_read": landed.read,
                    "files_vanished": landed.vanished,
                    "seconds": _since(started),
                }
                context.add_asset_metadata(told, partition_key=partition)
            return workspace.raw_events(partitions)

    return raw_events


def _judged_events(stream: Stream) -> dg.AssetsDefinition:
    events, rejected = key(stream, "events"), key(stream, "rejected_events")
    contract = events_schema(stream)
    proofs = proofs_of_judging(stream)
    few, shape = rejections_stay_few(rejected), keeps_its_shape(events)
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
        check_specs=[*proofs, few, shape],
        partitions_def=partitions_definition(stream.landing_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        code_version=stream.contract_version,
    )
    def judged_events(
        context: dg.AssetExecutionContext, platform: Platform, raw_events: Dataset
    ) -> Iterator[dg.AssetCheckResult | dg.Output[Dataset]]:
        workspace, partitions = platform.workspace(stream.name), context.partition_keys
        evidence = [Evidence() for _ in proofs]
        with retried_when_transient():
            references, judged = read_references(workspace), list[Judged]()
            for partition in partitions:
                started = time.monotonic()
                verdict = judge_partition(workspace, partition, raw_events, references)
                hold_judged(workspace, verdict, evidence)
                judged.append(verdict)
                _tell_accepted(context, stream, verdict, _since(started))
            _tell_rejected(context, workspace, judged)
            found = drifts(workspace, judged)
            _tell_drift(context, stream, found)
            results = [seen.result(spec) for seen, spec in zip(evidence, proofs, strict=True)]
            results += [held_few(stream.rejected, judged, few), held_in_shape(found, shape)]
        yield from results
        with retried_when_transient():
            stop_if_broken(results)
            for verdict in judged:
                _tell_published(context, stream, verdict, publish(workspace, verdict, context.run.run_id))
            yield dg.Output(workspace.events(partitions), "events")
            yield dg.Output(workspace.rejected_events(partitions), "rejected_events")

    return judged_events


def _sessionized_events(stream: Stream) -> dg.AssetsDefinition:
    schema = sessionized_schema(stream)
    this = key(stream, "sessionized_events")
    check, chains = keeps_contract(this), chains_stay_short(this)

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
        code_version=stream.policy_version,
    )
    def sessionized_events(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[dg.AssetCheckResult | dg.Output[Dataset]]:
        workspace, partitions = platform.workspace(stream.name), context.partition_keys
        started, evidence = time.monotonic(), Evidence()
        with retried_when_transient():
            versions = sessionize_partitions(workspace, partitions, context.run.run_id)
            dataset = workspace.sessionized_events(partitions)
            hold_dataset_against(schema, dataset, evidence)
            for partition, version in versions.items():
                told = {
                    "dagster/row_count": version.rows,
                    "duplicates_across": version.duplicates_across,
                    "conflicts_across": version.conflicts_across,
                    "snapshot": version.snapshot,
                    "seconds_of_run": _since(started),
                }
                context.add_asset_metadata(told, partition_key=partition)
        yield (result := evidence.result(check))
        yield held_short(versions.values(), chains)
        stop_if_broken([result])
        yield dg.Output(dataset)

    return sessionized_events


def _sessions(stream: Stream) -> dg.AssetsDefinition:
    schema = sessions_schema(stream)
    this = key(stream, "sessions")
    check, audits = keeps_contract(this), [every_event_once(this), nothing_waits(this)]

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
        workspace = platform.workspace(stream.name)
        started, evidence = time.monotonic(), Evidence()

        def prove(partition: str, rows: pl.DataFrame) -> None:
            hold_against(schema, partition, [rows], evidence)
            stop_if_broken([evidence.result(check)])

        try:
            with retried_when_transient():
                loaded = load_sessions(workspace, sessionized_events, context.run.run_id, prove)
                audited_ = audited(workspace, list(loaded.sessions), audits)
        finally:
            result = evidence.result(check)
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


def _tell_accepted(context: dg.AssetExecutionContext, stream: Stream, judged: Judged, seconds: float) -> None:
    told = {"dagster/row_count": judged.events.rows, "duplicates": judged.duplicates, "seconds": seconds}
    context.add_asset_metadata(told, asset_key=key(stream, "events"), partition_key=judged.landing_partition)


def _tell_drift(context: dg.AssetExecutionContext, stream: Stream, drifts: Mapping[str, Sequence[Drift]]) -> None:
    for partition, found in drifts.items():
        told = {"drifted": len(found), **as_table("drift", drifted(found))}
        context.add_asset_metadata(told, asset_key=key(stream, "events"), partition_key=partition)


def _tell_rejected(context: dg.AssetExecutionContext, workspace: Workspace, judged: Sequence[Judged]) -> None:
    """Reasons that any partition has had are told with a zero too, so that their plots have no holes."""
    stream = workspace.stream
    counted = [landing.rejected_by_reason for landing in workspace.ledger.landings()]
    codes = sorted(
        {code for counts in [*counted, *(verdict.rejected_by_reason for verdict in judged)] for code in counts}
    )
    for verdict in judged:
        by_reason, raw_rows = verdict.rejected_by_reason, verdict.raw_rows
        reasons = [
            {"reason": code, "rows": rows, "percent": as_rounded_percent(rows, raw_rows)}
            for code, rows in sorted(by_reason.items(), key=lambda counted: (-counted[1], counted[0]))
        ]
        told = {
            "dagster/row_count": verdict.rejected.rows,
            "rejected_percent": as_rounded_percent(verdict.rejected.rows, raw_rows),
            **as_table("reasons", reasons),
            **as_table("samples", samples_of(verdict)),
            **{f"rejected_as/{code}": by_reason.get(code, 0) for code in codes},
        }
        context.add_asset_metadata(
            told, asset_key=key(stream, "rejected_events"), partition_key=verdict.landing_partition
        )


def _tell_published(context: dg.AssetExecutionContext, stream: Stream, judged: Judged, published: Published) -> None:
    told = {"version": published.version, "touched_session_partitions": list(published.touched)}
    context.add_asset_metadata(told, asset_key=key(stream, "events"), partition_key=judged.landing_partition)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
