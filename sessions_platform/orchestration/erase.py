"""The job that erases users of a stream.

Here: its configuration, which names a file, because a run's configuration is kept in Dagster's storage. Not here: what
an erasure does (`operations/erase.py`).
"""

from pathlib import Path

import dagster as dg
from pydantic import Field

from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.jobs import job_of
from sessions_platform.orchestration.resources import Platform
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import dagster_database


class EraseConfig(dg.Config):
    """Configuration of the op `erase_users`."""

    users_file: str = Field(description="A file with an id on each line, where the run can read it; delete it then.")


def erase_job(stream: Stream) -> dg.JobDefinition:
    """Erases users, and reports the receipt as metadata."""

    @dg.op(name=f"{stream.name}__erase_users", retry_policy=TRANSIENT)
    def erase_users(context: dg.OpExecutionContext, platform: Platform, config: EraseConfig) -> None:
        from sessions_platform.operations.erase import erase, users_in  # brings pyarrow, and few runs erase

        with retried_when_transient():
            receipt = erase(
                platform.stream_context(stream.name),
                users_in(Path(config.users_file)),
                dagster=dagster_database(Settings.from_environment()),
                report=context.log.info,
            )
        context.add_output_metadata({"receipt": dg.MetadataValue.json(receipt)})

    return job_of(stream, "erase", erase_users, "Erase users, and refuse their rows from now on.")
