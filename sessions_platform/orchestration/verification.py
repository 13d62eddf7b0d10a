"""The job and the schedule that verify a stream, and the repair of lake files that a step stumbles on.

Here belong configuration, metadata and the retry after a repair. Not here: what is compared (`operations/verify.py`)
and how files are made anew (`operations/repair.py`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.lake_problems import SCORE_MODELS, train_again
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.jobs import job_name, job_of
from sessions_platform.orchestration.metadata import as_table
from sessions_platform.orchestration.resources import Platform
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.lake.errors import LakeFileError
from sessions_platform.storage.ledger.ledger import StaleWriteError

_SHOWN = 100


class VerifyConfig(dg.Config):
    """Configuration of the op `verify_stream`."""

    deep: bool = Field(True, description="Whether every byte of the lake is read.")
    repair: bool = Field(True, description="Whether what is lost or damaged is made anew, where it can be.")


def verify_job(stream: Stream) -> dg.JobDefinition:
    """Holds lake, ledger and warehouse against each other. The run fails where problems are left."""

    @dg.op(name=f"{stream.name}__verify_stream", retry_policy=TRANSIENT)
    def verify_stream(context: dg.OpExecutionContext, platform: Platform, config: VerifyConfig) -> None:
        from sessions_platform.operations.verify import verify  # brings every compression, and few runs verify

        with retried_when_transient():
            stream_context = platform.stream_context(stream.name)
            verified = verify(stream_context, context.run_id, deep=config.deep, repairing=config.repair)
        metadata = {
            "files": verified.files,
            "without_checksum": verified.without_checksum,
            **as_table("repaired", verified.repaired[:_SHOWN]),
            **as_table("problems", verified.problems[:_SHOWN]),
        }
        if verified.problems:
            count, first = len(verified.problems), verified.problems[0]
            where = first["path"] or f"{first['asset']} {first['partition']}"
            raise dg.Failure(
                f"{stream.name}: {count} problems are left, of which the first is {where}: {first['detail']}. "
                f"Fix: {_fix(stream, first)}.",
                metadata=metadata,
                allow_retries=False,
            )
        context.add_output_metadata(metadata)

    description = "Hold lake, ledger and warehouse against each other, and make what is lost or damaged anew."
    return job_of(stream, "verify", verify_stream, description)


def _fix(stream: Stream, problem: Mapping[str, Any]) -> str:
    if problem["asset"] == SCORE_MODELS:
        return train_again(stream.name, problem)
    return f"see `sessions-platform status {stream.name}`, and bring what is lost back from a backup"


def verify_nightly(stream: Stream) -> dg.ScheduleDefinition:
    """Every night, verifies the whole stream."""
    return dg.ScheduleDefinition(
        name=f"{stream.name}__verify_nightly", cron_schedule="15 2 * * *", job_name=job_name(stream, "verify")
    )


@contextmanager
def repairing(stream_context: StreamContext, run_id: str) -> Iterator[None]:
    """Make a lake file anew that the step could not use, with all others that are missing; the step is then retried.

    Raises:
        StaleWriteError: the file is whole again.
        UserError: it can't be made anew; the message says why.
    """
    try:
        yield
    except LakeFileError as error:
        from sessions_platform.operations.repair import repair  # as above
        from sessions_platform.operations.verify import problems_of

        outcomes = repair(stream_context, problems_of(stream_context, error), run_id)
        left = [outcome for outcome in outcomes if not outcome.is_repaired]
        if not outcomes or left:
            raise UserError("; ".join([str(error), *(outcome.how for outcome in left)])) from error
        raise StaleWriteError(f"lake file {error.path} was made anew, since it was lost or damaged") from error
