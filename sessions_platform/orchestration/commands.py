"""The commands that need the Dagster instance: `ingest`, `run`, `rebuild`, `deliver`, `rejected replay`, `drop`,
`purge`, `train`.

They run the same jobs as the UI, on the same instance. Here belongs which runs a command needs. Not here: what
needs no run (`operations`), and arguments and output (`cli`).
"""

import os
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from sessions_platform.errors import RunFailedError, RunInterruptedError, UserError
from sessions_platform.operations.drop import DroppedStream, drop
from sessions_platform.operations.given_files import given_files
from sessions_platform.operations.landing_files import place_files
from sessions_platform.operations.landing_places import landing_partition, partitions_of
from sessions_platform.operations.repaired_rows import read_rows_by_stream
from sessions_platform.operations.replay import replay
from sessions_platform.operations.replay_report import Replay
from sessions_platform.operations.score_status import score_status
from sessions_platform.operations.status import status
from sessions_platform.operations.target_status import target_status
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.orchestration.deliveries import deliver_job_name, delivery_config, partitions_behind
from sessions_platform.orchestration.heartbeats import end_lost_runs
from sessions_platform.orchestration.jobs import job_name, landing_ranges, score_ranges, session_ranges
from sessions_platform.orchestration.loaded_streams import STREAM
from sessions_platform.orchestration.purge import purge
from sessions_platform.orchestration.runs import Runner, runner
from sessions_platform.orchestration.scores import model_key
from sessions_platform.orchestration.sensors import ACTIVE
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.pipeline.ingest import past_source
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Found
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.registry import open_target

_COMMAND_LINE = "command line"


def ingest_files(settings: Settings, name: str, files: Sequence[Path], partition: str | None) -> dict[str, Any]:
    """Copy files into a stream's landing folder, ingest all pending partitions, and refresh the sessions.

    Args:
        settings: the platform's.
        name: the stream's.
        files: files and folders, and `-` for standard input.
        partition: the landing partition; by default the one that a file's name states, else the newest one.

    Returns:
        The stream's status afterwards, the paths of the files, and which files of folders were not placed. The same
        bytes again change nothing.
    """
    (stream_context,) = open_contexts(settings, [name])
    given = given_files(stream_context, files, partition)
    placed = place_files(stream_context, given.files, partition, given.refused)
    given.raise_if_none(placed)
    with runner(settings) as runs:
        found = run_pending(stream_context, runs)
    document = {"landing_files": [str(path) for path in placed], **status(stream_context, found)}
    return {**document, "not_placed": given.skipped} if given.skipped else document


def backfill(settings: Settings, name: str, since: datetime, until: datetime) -> dict[str, Any]:
    """Ask a stream's source for the records of a time, refresh the sessions, and deliver them.

    Args:
        settings: the platform's.
        name: the stream's.
        since, until: the time, with zones, the end not included; the whole landing partitions that it touches.

    Returns:
        The stream's status afterwards, with the first and last partition as `backfilled`.

    Raises:
        UserError: the source can't be asked for the past, or there are no landing partitions of that time.
        RunFailedError: a run failed.
    """
    (stream_context,) = open_contexts(settings, [name])
    past_source(stream_context)
    partitions = partitions_of(stream_context.stream.landing_calendar, since, until)
    with runner(settings) as runs:
        runs.run(job_name(stream_context.stream, "backfill_source"), partitions)
        for others in landing_ranges(stream_context, Found(())):  # that have got rows, too
            runs.run(job_name(stream_context.stream, "ingest_events"), others)
        _refresh(stream_context, runs, session_ranges(stream_context))
        _deliver_behind(stream_context, runs)
        _score_due(stream_context, runs)
    return {"backfilled": list(partitions), **status(stream_context)}


def run_stream(settings: Settings, name: str, partition: str | None) -> dict[str, Any]:
    """Run what is pending of a stream, or one landing partition, pending or not, and the sessions that it affects.

    Returns:
        The stream's status afterwards.

    Raises:
        UserError: there is no such landing partition, or the stream has not begun.
        RunFailedError: a run failed.
    """
    (stream_context,) = open_contexts(settings, [name])
    chosen = landing_partition(stream_context, partition) if partition else None
    with runner(settings) as runs:
        if chosen is None:
            return status(stream_context, run_pending(stream_context, runs))
        runs.run(job_name(stream_context.stream, "ingest_events"), (chosen, chosen))
        _refresh(stream_context, runs, session_ranges(stream_context, chosen))
        _deliver_behind(stream_context, runs)
        _score_due(stream_context, runs)
    return status(stream_context)


def rebuild_stream(settings: Settings, name: str) -> dict[str, Any]:
    """Recompute everything of a stream as a shadow build, and swap it in; its status afterwards."""
    (stream_context,) = open_contexts(settings, [name])
    with runner(settings) as runs:
        runs.run(job_name(stream_context.stream, "rebuild"))
        _deliver_behind(stream_context, runs)
        _score_due(stream_context, runs)
    return status(stream_context)


def train_scores(settings: Settings, name: str, scores: Sequence[str]) -> list[dict[str, Any]]:
    """Train models of a stream's scores, and score what comes to be due by them.

    Args:
        settings: the platform's.
        name: the stream's.
        scores: their names; all where there is none.

    Returns:
        What is known of the scores afterwards, as `score_status` has it.

    Raises:
        UserError: the stream states no score of that name, or none at all.
        RunFailedError: a run failed, as where there are too few sessions, or the extra `ml` is not installed. What
            could be trained is trained then, and sessions are scored by it.
    """
    (stream_context,) = open_contexts(settings, [name])
    stream = stream_context.stream
    if unknown := [score for score in scores if score not in stream.scores]:
        there = f"it has {', '.join(stream.scores)}" if stream.scores else "it has none"
        raise UserError(f"{name} has no score {unknown[0]}. Fix: name one that the stream's file states; {there}.")
    if not stream.scores:
        raise UserError(f"{name} has no scores. Fix: state `scores` in {stream.path}, as in scores: [purchase].")
    models = [model_key(stream, score) for score in scores or stream.scores]
    failures: list[str] = []
    with runner(settings) as runs:
        train = partial(runs.run, job_name(stream, "train_scores"), assets=models)
        for step in (train, partial(_score_due, stream_context, runs)):
            try:
                step()
            except RunInterruptedError:
                raise
            except RunFailedError as failed:
                failures.append(str(failed))
    if failures:
        raise RunFailedError("\n".join(failures))
    return score_status(stream_context)


def deliver_stream(settings: Settings, name: str, targets: Sequence[str], *, verify: bool) -> dict[str, Any]:
    """Deliver to targets of a stream what they lack.

    Args:
        settings: the platform's.
        name: the stream's.
        targets: their names; all where there is none.
        verify: whether all that they have is read, and made whole.

    Returns:
        What the status says of these targets afterwards.

    Raises:
        UserError: the stream has no target of a name, or none.
        RunFailedError: deliveries failed; the others were made.
    """
    (stream_context,) = open_contexts(settings, [name])
    chosen = _named_targets(stream_context, targets)
    stream_context.prepare()
    failures: list[str] = []
    with runner(settings) as runs:
        for target in chosen:
            try:
                _deliver(stream_context, runs, target, verify=verify)
            except RunInterruptedError:
                raise
            except RunFailedError as failed:
                failures.append(str(failed))
    if failures:
        raise RunFailedError("\n".join(failures))
    return {target: target_status(stream_context, target) for target in chosen}


def _named_targets(stream_context: StreamContext, targets: Sequence[str]) -> list[str]:
    stream = stream_context.stream
    if not stream.targets:
        raise UserError(f"{stream.name}: it has no targets. Fix: add targets to {stream.path.name}.")
    for target in targets:
        open_target(stream, target)
    return list(dict.fromkeys(targets)) or list(stream.targets)


def replay_file(settings: Settings, file: Path, stream: str | None, *, dry_run: bool) -> dict[str, Replay]:
    """Replay the repaired rows of a file, ingest the partitions that are pending then, and refresh their sessions.

    Returns:
        The outcome of each row, by stream.
    """
    rows_by_stream = read_rows_by_stream(file, stream)
    contexts = {context.stream.name: context for context in open_contexts(settings, list(rows_by_stream))}
    run_id = f"{_COMMAND_LINE} {uuid.uuid4()}"
    try:
        replays = {name: replay(contexts[name], rows, run_id, dry_run=dry_run) for name, rows in rows_by_stream.items()}
    except StaleWriteError as overtaken:
        raise RunFailedError(str(overtaken)) from None
    pending = [contexts[name] for name, replayed in replays.items() if replayed.landing_partitions and not dry_run]
    if pending:
        with runner(settings) as runs:
            for stream_context in pending:
                run_pending(stream_context, runs)
    return replays


def drop_stream(settings: Settings, dropped: DroppedStream) -> None:
    """Remove what there is of a stream.

    Raises:
        UserError: a run or another process works on it.
    """
    with dg.DagsterInstance.from_config(str(dagster_home(settings, os.environ))) as instance:
        end_lost_runs(instance, Database(settings))
        active = instance.get_runs(dg.RunsFilter(tags={STREAM: dropped.stream}, statuses=ACTIVE), limit=1)
        if active:
            raise UserError(
                f"{dropped.stream}: the run {active[0].run_id} works on it. Fix: wait until it has ended, or end it."
            )
        drop(settings, dropped)


def purge_storage(settings: Settings, keep_for: timedelta, *, dry_run: bool) -> dict[str, int]:
    """Delete old runs and ticks from the storage of the Dagster instance; the counts by name."""
    with dg.DagsterInstance.from_config(str(dagster_home(settings, os.environ))) as instance:
        return purge(instance, keep_for, dry_run=dry_run).document


def run_pending(stream_context: StreamContext, runs: Runner) -> Found:
    """Ingest all pending landing partitions, then refresh all stale session partitions.

    Returns:
        What there was in the source. Looking at a hundred thousand files takes seconds, so one look is enough.
    """
    stream_context.prepare()
    found = stream_context.found()
    for partitions in landing_ranges(stream_context, found):
        runs.run(job_name(stream_context.stream, "ingest_events"), partitions)
    for partitions in landing_ranges(stream_context, found):  # the last line of a growing file has left its partition
        runs.run(job_name(stream_context.stream, "ingest_events"), partitions)
    _refresh(stream_context, runs, session_ranges(stream_context))
    _deliver_behind(stream_context, runs)
    _score_due(stream_context, runs)
    return found


def _refresh(stream_context: StreamContext, runs: Runner, ranges: Sequence[tuple[str, str]]) -> None:
    for partitions in ranges:
        runs.run(job_name(stream_context.stream, "refresh_sessions"), partitions)


def _score_due(stream_context: StreamContext, runs: Runner) -> None:
    """Score what a refresh has not: what was rebuilt, or has another model by now; last, to hold nothing back."""
    for partitions in score_ranges(stream_context):
        runs.run(job_name(stream_context.stream, "score_sessions"), partitions)


def _deliver_behind(stream_context: StreamContext, runs: Runner) -> None:
    """Deliver to the targets that lack something, or have failed. One that fails holds nothing else back."""
    for target in stream_context.stream.targets:
        if partitions_behind(stream_context, target) or stream_context.ledger.target_state(target).failure:
            try:
                _deliver(stream_context, runs, target)
            except RunInterruptedError:
                raise
            except RunFailedError:
                continue


def _deliver(stream_context: StreamContext, runs: Runner, target: str, *, verify: bool = False) -> None:
    stream = stream_context.stream
    config = delivery_config(stream, target, verify=verify)
    runs.run(job_name(stream, deliver_job_name(target)), config=config)
