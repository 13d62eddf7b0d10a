"""Runs of the command line: the same jobs, on the same Dagster instance, as those of the UI and the sensors.

Here belongs starting a job in this process. Not here: the instance's folder (`dagster_home.py`), and which jobs a
command runs (`commands.py`).
"""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from sessions_platform.errors import RunFailedError, RunInterruptedError
from sessions_platform.orchestration.build import build
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.orchestration.heartbeats import end_lost_runs, record_process
from sessions_platform.orchestration.jobs import range_tags
from sessions_platform.orchestration.step_logs import shield_helpers
from sessions_platform.settings import Settings, logs_are_json
from sessions_platform.storage.postgres.database import Database

_INTERRUPTS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}


class Runner:
    """Runs a platform's jobs in this process, and records them on its Dagster instance."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        shield_helpers(instance)
        self._definitions = build(settings)

    def run(
        self,
        job: str,
        partitions: tuple[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        assets: Sequence[dg.AssetKey] | None = None,
    ) -> str:
        """Run a job to its end.

        Args:
            job: its name, with the stream.
            partitions: first and last of the range to run for; None for a job without partitions.
            config: of its ops, by name.
            assets: those of its assets that are materialized; all of them by default.

        Returns:
            The run id.

        Raises:
            RunInterruptedError: Ctrl-C has ended it.
            RunFailedError: the run failed; the message has each failed step with its reason.
        """
        run_id = str(uuid.uuid4())
        record_process(run_id)  # before the run exists, so that there is no moment at which it could be lost unseen
        result = self._definitions.resolve_job_def(job).execute_in_process(
            instance=self._instance,
            run_id=run_id,
            tags=range_tags(*partitions) if partitions else {},
            run_config={
                "loggers": {"json" if logs_are_json(os.environ) else "progress": {}},
                "ops": dict(config or {}),
            },
            asset_selection=assets,
            raise_on_error=False,
        )
        if not result.success:
            kind = RunInterruptedError if _is_interrupted(result) else RunFailedError
            raise kind(_failure_reasons(result))
        return result.run_id


@contextmanager
def runner(settings: Settings) -> Iterator[Runner]:
    """A runner on the Dagster instance of `sessions-platform dev`, where it first ends runs whose process is gone."""
    home = dagster_home(settings, os.environ)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        end_lost_runs(instance, Database(settings))
        yield Runner(settings, instance)


def _cause(error: Any) -> str:
    """The message; where Dagster says only that retries were of no use, with the reason of the last attempt."""
    if error is None:
        return ""
    message = error.message.strip()
    if error.cause and message.startswith("Exceeded max_retries"):
        return f"{message}: {_cause(error.cause)}"
    return message


def _is_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a step has failed since it was interrupted, within our code or Dagster's."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_failure and event.step_key]
    return any(_names(error) & _INTERRUPTS for error in errors)


def _names(error: Any) -> set[str]:
    """The names of an error and of its causes."""
    return {error.cls_name, *_names(error.cause)} if error is not None else set()


def _failure_reasons(result: dg.ExecuteInProcessResult) -> str:
    failures = [event for event in result.all_events if event.is_failure and event.step_key]
    reasons = []
    for event in failures:
        failure = event.step_failure_data
        description = failure.user_failure_data.description if failure.user_failure_data else None
        reasons.append(f"{event.step_key}: {(description or _cause(failure.error)).strip()}")
    return "\n".join(reasons) or f"run {result.run_id} failed"
