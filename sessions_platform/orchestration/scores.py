"""Scores as Dagster has them: an asset `score_model__NAME` for the model of each score, the asset `session_scores` with
its checks, the jobs `train_scores` and `score_sessions`, and a sensor for what is due.

A refresh scores the sessions that it changes in the same run. What a new model makes due, or a run that was killed has
left, the sensor requests. Not here: what a model is made of, and what is due (`pipeline/scores.py`).
"""

import base64
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from sessions_platform.contracts.scores import features_of
from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.assets import EVERY_PARTITION, GROUP, tags
from sessions_platform.orchestration.checks import check_results, check_specs
from sessions_platform.orchestration.failures import TRANSIENT, read_again, retried_when_transient
from sessions_platform.orchestration.jobs import job_name, score_ranges
from sessions_platform.orchestration.loaded_streams import STREAM, changed_since_loading
from sessions_platform.orchestration.metadata import as_table
from sessions_platform.orchestration.partitions import partitions_definition
from sessions_platform.orchestration.resources import Platform
from sessions_platform.orchestration.sensor_names import STALE_SCORES
from sessions_platform.orchestration.sensors import ACTIVE, wanted_runs

if TYPE_CHECKING:
    from sessions_platform.pipeline.scores import PublishedModel
    from sessions_platform.transforms.score_training import CalibrationRange

_COLUMNS = {
    "session_id": "As in `sessions`.",
    "score_name": "The name that the stream's file gives the score.",
    "score": "How likely what it predicts is, from 0 to 1.",
    "model": "The version of the model, as `score_model__NAME` shows it.",
    "session_partition": "The partition that the session started in.",
}


def score_assets(stream: Stream) -> list[dg.AssetsDefinition]:
    """The models of a stream's scores, and the scores; none where its file states none."""
    if not stream.scores:
        return []
    return [*(_model_asset(stream, name) for name in stream.scores), _scores_asset(stream)]


def _model_asset(stream: Stream, name: str) -> dg.AssetsDefinition:
    score = stream.scores[name]
    predicted = f"{score.predicts or name}, of the {score.of.replace('_', ' ')}"

    @dg.asset(
        key=model_key(stream, name),
        description=f"The model of the score {name}, which predicts {predicted}. Materialize it to train it anew on "
        "the sessions that there are: nothing else does.",
        deps=[dg.AssetDep(key(stream, "sessions"), partition_mapping=EVERY_PARTITION)],
        group_name=GROUP,
        tags=tags(stream),
        kinds={"json"},
        owners=stream.owners,
        retry_policy=TRANSIENT,
        metadata={"features": dg.MetadataValue.json(list(features_of(stream, name)))},
    )
    def score_model(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        from sessions_platform.pipeline.scores import train_score  # its library is large

        started = time.monotonic()
        with retried_when_transient():
            published = train_score(platform.stream_context(stream.name), name, context.run.run_id)
        return dg.MaterializeResult(metadata={**_about(published), "seconds": round(time.monotonic() - started, 3)})

    return score_model


def _about(published: "PublishedModel") -> dict[str, Any]:
    """Version, metrics, features with their weights, and calibration; no row, and no rare value."""
    model, calibration = published.trained.model, published.trained.calibration
    weights = [
        {
            "feature": name,
            "levels": levels.count,
            "least_weight": min(levels.weights),
            "most_weight": max(levels.weights),
        }
        for name, levels in model.features.items()
    ]
    return {
        "model": published.version,
        "file": published.path,
        **model.metrics,
        **model.trained,  # counts of sessions
        **as_table("features", weights),
        **as_table("calibration", [vars(each) for each in calibration]),
        "calibration_plot": dg.MetadataValue.md(_plot(calibration)),
    }


def _plot(calibration: "Sequence[CalibrationRange]") -> str:
    from sessions_platform.operations.report.calibration import calibration as chart

    picture = base64.b64encode(chart(calibration).png()).decode()
    return (
        f"**Held-back sessions: how often it came true, by how likely it was**\n\n![](data:image/png;base64,{picture})"
    )


def _scores_asset(stream: Stream) -> dg.AssetsDefinition:
    columns = [dg.TableColumn(name, description=about) for name, about in _COLUMNS.items()]

    @dg.asset(
        key=key(stream, "session_scores"),
        description="The scores of loaded sessions by the current models: a table of the warehouse.",
        deps=[key(stream, "sessions"), *(model_key(stream, name) for name in stream.scores)],
        group_name=GROUP,
        tags=tags(stream, "session"),
        kinds={"postgres", "table"},
        owners=stream.owners,
        partitions_def=partitions_definition(stream.session_calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=TRANSIENT,
        check_specs=check_specs(stream, "session_scores"),
        metadata={
            "dagster/column_schema": dg.TableSchema(columns),
            "dagster/table_name": f"{stream.name}.session_scores",
        },
    )
    def session_scores(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        from sessions_platform.pipeline.scores import check_scores, score_sessions

        stream_context = platform.stream_context(stream.name)
        with retried_when_transient():
            by_usable = context.run.job_name in _refreshes(stream)  # a model holds back no session
            scored = score_sessions(stream_context, context.partition_keys, by_usable=by_usable)
            results = check_scores(stream_context, scored)
        for partition, rows in scored.rows.items():
            context.add_asset_metadata({"dagster/row_count": rows}, partition_key=partition)
        yield dg.MaterializeResult(check_results=list(check_results(stream, results)))

    return session_scores


def _refreshes(stream: Stream) -> list[str]:
    """The jobs that score what they load."""
    return [job_name(stream, job) for job in ("refresh_sessions", "materialize_all")]


def model_key(stream: Stream, name: str) -> dg.AssetKey:
    """The key of the asset that is the model of a score."""
    return key(stream, f"score_model__{name}")


def score_jobs(stream: Stream) -> list[Any]:
    """To train all models of a stream, and to score its sessions by them."""
    if not stream.scores:
        return []
    models = dg.AssetSelection.assets(*(model_key(stream, name) for name in stream.scores))
    scores = dg.AssetSelection.assets(key(stream, "session_scores"))
    return [
        _job(stream, "train_scores", models, "Train the models of all scores on the sessions that there are."),
        _job(stream, "score_sessions", scores, "Score loaded sessions by the current models."),
    ]


def _job(stream: Stream, name: str, selection: dg.AssetSelection, description: str):
    return dg.define_asset_job(
        job_name(stream, name), selection=selection, description=description, tags={STREAM: stream.name}
    )


def score_sensors(stream: Stream, seconds: int) -> list[dg.SensorDefinition]:
    """Requests runs for session partitions whose scores are due; none where the stream states no score."""
    if not stream.scores:
        return []

    @dg.sensor(
        name=f"{stream.name}__{STALE_SCORES}",
        job_name=job_name(stream, "score_sessions"),
        minimum_interval_seconds=seconds,
        description="Requests score_sessions where scores are not those of the current models and sessions.",
    )
    def watch(context: dg.SensorEvaluationContext, platform: Platform) -> list[dg.RunRequest] | dg.SkipReason:
        if changed := changed_since_loading(stream):
            return dg.SkipReason(changed)
        runs_of = (dg.RunsFilter(job_name=job, statuses=ACTIVE) for job in _refreshes(stream))
        if any(context.instance.get_runs(active, limit=1) for active in runs_of):
            return dg.SkipReason("a refresh is running, which scores what it loads")
        since, stream_context = datetime.now(UTC), platform.stream_context(stream.name)
        ranges = read_again(lambda: score_ranges(stream_context))
        runs = list(wanted_runs(context.instance, stream, "score_sessions", ranges, since=since))
        return runs or dg.SkipReason(f"{len(ranges)} ranges are active or backing off" if ranges else "nothing to do")

    return [watch]
