"""The jobs of the dead-letter queue: all of it can be done from the UI. Payloads reach no log and no metadata."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import dagster as dg
from pydantic import Field

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import Decided, discard, expire
from sessions_platform.operations.repaired_rows import RepairedRow, read_file, repaired_row
from sessions_platform.operations.replay import Outcome, Replay, replay
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.jobs import job_of
from sessions_platform.orchestration.resources import Platform

_ROWS_SHOWN = 100


class RepairedPayload(dg.Config):
    rejection_id: str = Field(description="Of the row that it replaces.")
    payload: str = Field(description="The whole row as it should have been.")
    payload_encoding: str = Field("utf-8", description="utf-8 or base64.")


class ReplayConfig(dg.Config):
    file: str | None = Field(None, description="NDJSON as `rejected export` writes it, where the run can read it.")
    rows: list[RepairedPayload] = Field([], description="Mended rows; they stay in the run's configuration.")
    dry_run: bool = Field(False, description="Only tell what would become of them.")


class DiscardConfig(dg.Config):
    ids: list[str] = Field(description="Whole rejection ids.")
    because: str = Field(description="Why they are not to be mended.")


class ExpireConfig(dg.Config):
    keep_for_days: int | None = Field(
        None,
        ge=0,
        description="For how long rows are kept once they are resolved or discarded; else as the stream has it.",
    )


def dead_letter_jobs(stream: Stream) -> list[dg.JobDefinition]:
    return [replay_rejected(stream), discard_rejected(stream), expire_rejected(stream)]


def replay_rejected(stream: Stream) -> dg.JobDefinition:
    """Lands mended rows. Their landing partitions then wait, as for any new file."""

    @dg.op(name=f"{stream.name}__land_mended_rows", retry_policy=TRANSIENT)
    def land_mended_rows(context: dg.OpExecutionContext, platform: Platform, config: ReplayConfig) -> None:
        with retried_when_transient():
            done = replay(
                platform.stream_context(stream.name), _mended(config, stream), context.run_id, dry_run=config.dry_run
            )
        told = {**done.counts, "pending_landing_partitions": done.landing_partitions}
        if not done.refused:
            context.add_output_metadata(told)
            return
        raise dg.Failure(refusal(done), metadata={**told, "refused": _table(done.refused)}, allow_retries=False)

    description = "Land mended rows in the stead of rejected ones; those that would be rejected again are told."
    return job_of(stream, "replay_rejected", land_mended_rows, description)


def discard_rejected(stream: Stream) -> dg.JobDefinition:
    """Decides that rows are not to be mended."""

    @dg.op(name=f"{stream.name}__discard_rows", retry_policy=TRANSIENT)
    def discard_rows(context: dg.OpExecutionContext, platform: Platform, config: DiscardConfig) -> None:
        with retried_when_transient():
            decided = discard(platform.stream_context(stream.name), config.ids, config.because, f"run {context.run_id}")
        context.add_output_metadata(_told(decided))

    return job_of(stream, "discard_rejected", discard_rows, "Decide that rejected rows are not to be mended, and why.")


def expire_rejected(stream: Stream) -> dg.JobDefinition:
    """Removes rows that were settled long ago."""

    @dg.op(name=f"{stream.name}__remove_settled_rows", retry_policy=TRANSIENT)
    def remove_settled_rows(context: dg.OpExecutionContext, platform: Platform, config: ExpireConfig) -> None:
        with retried_when_transient():
            stream_context, keep_for = platform.stream_context(stream.name), kept_for(stream, config.keep_for_days)
            removed = expire(stream_context, keep_for, f"run {context.run_id}")
        context.add_output_metadata({"kept_for_days": keep_for / timedelta(days=1), **removed})

    description = "Remove rejected rows from the warehouse that were resolved or discarded long ago; never open ones."
    return job_of(stream, "expire_rejected", remove_settled_rows, description)


def kept_for(stream: Stream, days: int | None) -> timedelta:
    """For how long settled rows are kept. Raises Mistake where nobody says."""
    if days is not None:
        return timedelta(days=days)
    if stream.rejected.keep_for is None:
        raise UserError(
            f"{stream.name}: nobody says for how long settled rows are kept. "
            "Fix: write rejected.keep_for into the stream's file, or give keep_for_days."
        )
    return stream.rejected.keep_for


def refusal(done: Replay) -> str:
    """What a replay that left rows behind says."""
    others = "the others would land" if done.dry_run else "the others have landed"
    return f"{len(done.refused)} of {len(done.outcomes)} rows would be rejected again, and do not land; {others}."


def _mended(config: ReplayConfig, stream: Stream) -> list[RepairedRow]:
    if (config.file is None) == (not config.rows):
        raise UserError("config: there have to be mended rows. Fix: give either file or rows.")
    if config.file is None:
        return [repaired_row(row.model_dump(), f"rows[{number}]") for number, row in enumerate(config.rows)]
    found = read_file(Path(config.file))
    if others := found.keys() - {stream.name, None}:
        raise UserError(f"{config.file}: it has rows of {min(map(str, others))}. Fix: start that stream's own job.")
    return [row for rows in found.values() for row in rows]


def _told(decided: Decided) -> dict[str, int]:
    return {"changed": len(decided.changed), "unchanged": len(decided.unchanged)}


def _table(outcomes: Iterable[Outcome]) -> dg.MetadataValue:
    columns = [dg.TableColumn(name, "string") for name in ("rejection_id", "where", "fate", "reasons")]
    records = [
        dg.TableRecord({"rejection_id": o.rejection_id, "where": o.where, "fate": o.fate.value, "reasons": o.told})
        for o in list(outcomes)[:_ROWS_SHOWN]
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))
