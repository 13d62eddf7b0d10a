"""The job `STREAM__clean_up` and its nightly schedule: superseded data of a stream is removed after its retention.

Not here: what is removed (`operations/clean_up.py`), and Dagster's own runs and ticks (`purge.py`).
"""

import dagster as dg
from pydantic import Field

from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.clean_up import clean_up
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.jobs import job_name, job_of
from sessions_platform.orchestration.resources import Platform


class CleanUpConfig(dg.Config):
    """Configuration of the op `remove_superseded`."""

    dry_run: bool = Field(False, description="Change nothing, and report what would be removed.")


def clean_up_job(stream: Stream) -> dg.JobDefinition:
    """Removes what the stream's `retention` no longer keeps."""

    @dg.op(name=f"{stream.name}__remove_superseded", retry_policy=TRANSIENT)
    def remove_superseded(context: dg.OpExecutionContext, platform: Platform, config: CleanUpConfig) -> None:
        with retried_when_transient():
            removed = clean_up(platform.stream_context(stream.name), dry_run=config.dry_run)
        context.add_output_metadata({"dry_run": config.dry_run, **removed.document})

    description = "Remove superseded lake files, versions and changes of sessions after their retention."
    return job_of(stream, "clean_up", remove_superseded, description)


def clean_up_nightly(stream: Stream) -> dg.ScheduleDefinition:
    """Every night, removes what the stream's `retention` no longer keeps."""
    return dg.ScheduleDefinition(
        name=f"{stream.name}__clean_up_nightly", cron_schedule="45 4 * * *", job_name=job_name(stream, "clean_up")
    )
