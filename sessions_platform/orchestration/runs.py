"""Start runs from the command line: the same jobs, on the same instance, as the UI and the sensors."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from sessions_platform.errors import RunFailedError
from sessions_platform.orchestration.build import build
from sessions_platform.orchestration.jobs import range_tags
from sessions_platform.settings import Settings

_DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"


class Runner:
    """Runs a platform's jobs in this process, and records them on its Dagster instance."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._definitions = build(settings)

    def run(self, job: str, partitions: tuple[str, str] | None = None) -> str:
        """Run a job, for a range of partitions where it has any; its run id. Raises RunFailed."""
        result = self._definitions.resolve_job_def(job).execute_in_process(
            instance=self._instance,
            tags=range_tags(*partitions) if partitions else {},
            run_config={"loggers": {"progress": {}}},
            raise_on_error=False,
        )
        if not result.success:
            raise RunFailedError(_why(result))
        return result.run_id


@contextmanager
def runner(settings: Settings) -> Iterator[Runner]:
    """A runner on the Dagster instance of `sessions-platform dev`."""
    home = dagster_home(settings, os.environ)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield Runner(settings, instance)


def dagster_home(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where Dagster keeps its logs: $DAGSTER_HOME, else a folder of the platform's home, made when missing."""
    if named := environment.get("DAGSTER_HOME"):
        return Path(named)
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_DAGSTER_YAML, home / "dagster.yaml")
    return home


def _why(result: dg.ExecuteInProcessResult) -> str:
    failures = [event for event in result.all_events if event.is_failure and event.step_key]
    reasons = []
    for event in failures:
        failure = event.step_failure_data
        told = failure.user_failure_data.description if failure.user_failure_data else None
        error = failure.error.message if failure.error else ""
        reasons.append(f"{event.step_key}: {(told or error).strip()}")
    return "\n".join(reasons) or f"run {result.run_id} failed"
