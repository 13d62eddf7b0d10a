"""The launcher of runs that dagster.yaml names: Dagster's own, which also knows when a run's process is gone.

Here belongs what the daemon's monitoring asks of a launcher. Not here: how a process is known to be gone
(`heartbeats.py`), and which limits there are (dagster.yaml).
"""

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus  # noqa: TID251  Dagster exports them nowhere else

from sessions_platform.orchestration.heartbeats import lost_heartbeat, reason
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database

_MAX_RETRIES_TAG = "dagster/max_retries"


class RunLauncher(dg.DefaultRunLauncher):
    """Launches runs as Dagster does. A run that is terminated is not started again, and a lost one is ended."""

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run's worker, on demand or after `max_runtime`; the run is then not retried as a crashed one is.

        Returns:
            Whether the worker was reached. A run of the command line is not reached: it sees at its next heartbeat
            that it is being canceled.
        """
        if self._instance.has_run(run_id):
            self._instance.add_run_tags(run_id, {_MAX_RETRIES_TAG: "0"})
        return super().terminate(run_id)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes, so that the daemon's monitoring asks about each run that has started."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a run's process is gone; a run without heartbeat is presumed to be running."""
        heartbeat = lost_heartbeat(run.run_id, Database(Settings.from_environment()))
        if heartbeat is not None:
            return CheckRunHealthResult(WorkerStatus.FAILED, reason(heartbeat))
        return CheckRunHealthResult(WorkerStatus.RUNNING)
