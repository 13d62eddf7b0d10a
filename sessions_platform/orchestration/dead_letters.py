"""The jobs of the dead-letter queue, so that all of its operations can be started from the UI.

Here belong configurations, ops and their metadata, none of which contains a payload. Not here: what the jobs do
(`operations/replay.py`, `operations/dead_letters.py`).
"""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Literal

import dagster as dg
from pydantic import Field

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import discard, expire, kept_for
from sessions_platform.operations.repaired_rows import RepairedRow, read_file, repaired_row
from sessions_platform.operations.replay import replay
from sessions_platform.operations.replay_report import RowOutcome
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.jobs import job_of
from sessions_platform.orchestration.resources import Platform

_ROWS_SHOWN = 100


class RepairedPayload(dg.Config):
    """A repaired row in a run's configuration."""

    rejection_id: str = Field(description="Of the row that it replaces.")
    payload: str = Field(description="The whole row as it should have been.")
    payload_encoding: str = Field("utf-8", description="utf-8 or base64.")


class RepairedFile(dg.Config):
    """Repaired rows in a file."""

    given: Literal["file"] = "file"
    path: str = Field(description="NDJSON as `rejected export` writes it, where the run can read it.")


class RepairedRows(dg.Config):
    """Repaired rows in the run's configuration, where they stay."""

    given: Literal["rows"] = "rows"
    rows: list[RepairedPayload] = Field(description="At least one.")


class ReplayConfig(dg.Config):
    """Configuration of the op `replay_rows`.

    The repaired rows have no default, so that the launchpad says that they are missing before a run is launched.
    """

    repaired: RepairedFile | RepairedRows = Field(discriminator="given", description="The repaired rows.")
    dry_run: bool = Field(False, description="Change nothing, and report what would happen.")


class DiscardConfig(dg.Config):
    """Configuration of the op `discard_rows`."""

    ids: list[str] = Field(description="Full rejection ids.")
    because: str = Field(description="Why they will not be repaired.")


class ExpireConfig(dg.Config):
    """Configuration of the op `remove_expired_rows`."""

    keep_for_days: int | None = Field(
        None,
        ge=0,
        description="How long resolved and discarded rows are kept; by default as the stream's file says.",
    )


def dead_letter_jobs(stream: Stream) -> list[dg.JobDefinition]:
    """The jobs of one stream's queue."""
    return [replay_job(stream), discard_job(stream), expire_job(stream)]


def replay_job(stream: Stream) -> dg.JobDefinition:
    """Ingests repaired rows. Their landing partitions are pending then, as for any new file."""

    @dg.op(name=f"{stream.name}__replay_rows", retry_policy=TRANSIENT)
    def replay_rows(context: dg.OpExecutionContext, platform: Platform, config: ReplayConfig) -> None:
        with retried_when_transient():
            replayed = replay(
                platform.stream_context(stream.name),
                _repaired_rows(config, stream),
                context.run_id,
                dry_run=config.dry_run,
            )
        metadata = {**replayed.counts, "pending_landing_partitions": replayed.landing_partitions}
        if not replayed.not_replayed:
            context.add_output_metadata(metadata)
            return
        metadata["not_replayed"] = _outcome_table(replayed.not_replayed)
        raise dg.Failure(replayed.summary, metadata=metadata, allow_retries=False)

    description = (
        f"Replace rejected rows by repaired ones: `sessions-platform rejected export {stream.name} --to FILE` writes "
        "the rows, and once their payloads are edited, `repaired: {file: {path: FILE}}` is the configuration. Rows "
        "that would be rejected again are reported."
    )
    return job_of(stream, "replay_rejected", replay_rows, description)


def discard_job(stream: Stream) -> dg.JobDefinition:
    """Decides that rows will not be repaired."""

    @dg.op(name=f"{stream.name}__discard_rows", retry_policy=TRANSIENT)
    def discard_rows(context: dg.OpExecutionContext, platform: Platform, config: DiscardConfig) -> None:
        with retried_when_transient():
            decided = discard(platform.stream_context(stream.name), config.ids, config.because, f"run {context.run_id}")
        context.add_output_metadata({"changed": len(decided.changed), "unchanged": len(decided.unchanged)})

    return job_of(stream, "discard_rejected", discard_rows, "Decide that rejected rows will not be repaired, and why.")


def expire_job(stream: Stream) -> dg.JobDefinition:
    """Removes rows that were resolved or discarded long ago."""

    @dg.op(name=f"{stream.name}__remove_expired_rows", retry_policy=TRANSIENT)
    def remove_expired_rows(context: dg.OpExecutionContext, platform: Platform, config: ExpireConfig) -> None:
        with retried_when_transient():
            stream_context, keep_for = platform.stream_context(stream.name), kept_for(stream, config.keep_for_days)
            removed = expire(stream_context, keep_for, f"run {context.run_id}")
        context.add_output_metadata({"kept_for_days": keep_for / timedelta(days=1), **removed})

    description = "Remove rejected rows from the warehouse that were resolved or discarded long ago; never open ones."
    return job_of(stream, "expire_rejected", remove_expired_rows, description)


def _repaired_rows(config: ReplayConfig, stream: Stream) -> list[RepairedRow]:
    repaired = config.repaired
    if isinstance(repaired, RepairedRows):
        if not repaired.rows:
            raise UserError("config: rows is empty. Fix: give at least one repaired row.")
        return [repaired_row(row.model_dump(), f"rows[{number}]") for number, row in enumerate(repaired.rows)]
    rows_by_stream = read_file(Path(repaired.path))
    if other_streams := rows_by_stream.keys() - {stream.name, None}:
        raise UserError(
            f"{repaired.path}: it has rows of {min(map(str, other_streams))}. Fix: start that stream's own job."
        )
    return [row for rows in rows_by_stream.values() for row in rows]


def _outcome_table(outcomes: Iterable[RowOutcome]) -> dg.MetadataValue:
    columns = [dg.TableColumn(name, "string") for name in ("rejection_id", "where", "outcome", "reasons")]
    records = [
        dg.TableRecord(
            {
                "rejection_id": row.rejection_id,
                "where": row.where,
                "outcome": row.outcome.value,
                "reasons": row.reasons_in_a_line,
            }
        )
        for row in list(outcomes)[:_ROWS_SHOWN]
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))
