"""Deliveries to targets as Dagster has them: for each target of a stream an asset `sessions__TARGET`, its check, a job,
and a sensor that requests the job while the target lacks something.

They are apart from the jobs of the pipeline, so that a target that is down holds back nothing but its own delivery. Not
here: what is delivered (`pipeline/deliver.py`), and what a target lacks (`pipeline/due.py`).
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg

from sessions_platform.contracts.calendar import label
from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.assets import EVERY_PARTITION, GROUP, tags
from sessions_platform.orchestration.failures import TRANSIENT, read_again, retried_when_transient
from sessions_platform.orchestration.jobs import job_name
from sessions_platform.orchestration.loaded_streams import STREAM, STREAM_VERSION, changed_since_loading
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.sensor_names import behind
from sessions_platform.orchestration.sensors import ACTIVE, backs_off
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, ReadBackError, deliver
from sessions_platform.pipeline.due import due_partitions
from sessions_platform.storage.warehouses.registry import open_target

EQUALS_SESSIONS = "equals_sessions"
_CHECK = "What was delivered is read back from the target, and has the row counts and digests of the loaded sessions."
_SECONDS = 30  # between two ticks of a sensor


class DeliveryConfig(dg.Config):
    """How a delivery is made."""

    verify: bool = False  # whether all that the target has is read, and made whole


def target_asset(stream: Stream, target: str) -> dg.AssetsDefinition:
    """The sessions of a stream in one of its targets."""
    config, asset_key = stream.targets[target], target_key(stream, target)
    upstream = [key(stream, table) for table in ("sessions", "sessionized_events") if table in config.tables]

    @dg.asset(
        key=asset_key,
        description=f"The loaded sessions in the target {target}: `{config.place}`. Delivered after `sessions`.",
        deps=[dg.AssetDep(each, partition_mapping=EVERY_PARTITION) for each in upstream],
        group_name=GROUP,
        tags=tags(stream),
        kinds={config.kind},
        owners=stream.owners,
        retry_policy=TRANSIENT,
        check_specs=[dg.AssetCheckSpec(EQUALS_SESSIONS, asset=asset_key, description=_CHECK)],
    )
    def sessions_in_target(
        context: dg.AssetExecutionContext, config: DeliveryConfig, platform: Platform
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        started = time.monotonic()
        try:
            with retried_when_transient():
                stream_context = platform.stream_context(stream.name)
                made = deliver(
                    stream_context, open_target(stream_context.stream, target), context.run.run_id, verify=config.verify
                )
        except dg.Failure as failure:
            if isinstance(failure.__cause__, ReadBackError):
                yield _check_result(asset_key, failure.__cause__.partitions)
            raise
        yield _check_result(asset_key, [])
        metadata = {**_counts(made), "seconds": round(time.monotonic() - started, 3)}
        yield dg.MaterializeResult(asset_key=asset_key, metadata=metadata)

    return sessions_in_target


def _check_result(asset_key: dg.AssetKey, differing: Sequence[str]) -> dg.AssetCheckResult:
    metadata = {"differing_partitions": list(differing)}
    return dg.AssetCheckResult(asset_key=asset_key, check_name=EQUALS_SESSIONS, passed=not differing, metadata=metadata)


def _counts(made: Delivered) -> dict[str, int | str]:
    counts = {name: len(partitions) for name, partitions in vars(made).items()}
    return {**counts, "applied_partitions": label(made.applied) if made.applied else "none"}


def target_key(stream: Stream, target: str) -> dg.AssetKey:
    """The key of the asset of a target."""
    return key(stream, f"sessions__{target}")


def deliver_job(stream: Stream, target: str):
    """Delivers what one target lacks."""
    selection = dg.AssetSelection.assets(target_key(stream, target))
    description = f"Deliver to the target {target} what it lacks."
    name = job_name(stream, deliver_job_name(target))
    return dg.define_asset_job(name, selection=selection, description=description, tags={STREAM: stream.name})


def deliver_job_name(target: str) -> str:
    """The job's name without the stream."""
    return f"deliver_{target}"


def delivery_config(stream: Stream, target: str, *, verify: bool) -> dict[str, object]:
    """The configuration of a run of the job."""
    return {"__".join(target_key(stream, target).path): {"config": {"verify": verify}}}


def target_is_behind(stream: Stream, target: str) -> dg.SensorDefinition:
    """Requests a delivery while the target lacks something; after failures at growing intervals."""
    job = job_name(stream, deliver_job_name(target))

    @dg.sensor(
        name=f"{stream.name}__{behind(target)}",
        job_name=job,
        minimum_interval_seconds=_SECONDS,
        description=f"Requests {deliver_job_name(target)} while the target lacks loaded sessions.",
    )
    def watch(context: dg.SensorEvaluationContext, platform: Platform) -> dg.RunRequest | dg.SkipReason:
        if changed := changed_since_loading(stream):
            return dg.SkipReason(changed)
        stream_context = platform.stream_context(stream.name)
        due = read_again(lambda: partitions_behind(stream_context, target))
        if not due:
            return dg.SkipReason("nothing to do")
        if context.instance.get_runs(dg.RunsFilter(job_name=job, statuses=ACTIVE), limit=1):
            return dg.SkipReason(f"{len(due)} partitions to deliver; a run is active")
        version = stream.definition_version
        if backs_off(context.instance, job, {}, version, datetime.now(UTC)):
            return dg.SkipReason(f"{len(due)} partitions to deliver; the last delivery failed, it is tried again later")
        return dg.RunRequest(job_name=job, tags={STREAM: stream.name, STREAM_VERSION: version})

    return watch


def partitions_behind(stream_context: StreamContext, target: str) -> list[str]:
    """The partitions that a target lacks."""
    stream_context.prepare()
    return due_partitions(stream_context, target).partitions
