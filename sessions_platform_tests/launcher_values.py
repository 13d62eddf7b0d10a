"""Whether Dagster's launchers take the values in deploy/: run by a Python that has dagster-k8s and dagster-aws.

``python launcher_values.py DEPLOY`` prints what they refuse, and ends with 1 if that is anything.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config_schema  # noqa: TID251
from dagster._core.run_coordinator import QueuedRunCoordinator  # noqa: TID251
from dagster_aws.ecs import EcsRunLauncher  # pyright: ignore[reportMissingImports]
from dagster_k8s import K8sRunLauncher  # pyright: ignore[reportMissingImports]

# What the chart itself adds.
_OF_CHART = {"service_account_name": "dagster", "dagster_home": "/opt/dagster", "instance_config_map": "instance"}
# The chart's names of the coordinator's keys.
_QUEUE = {
    "maxConcurrentRuns": "max_concurrent_runs",
    "tagConcurrencyLimits": "tag_concurrency_limits",
    "dequeueIntervalSeconds": "dequeue_interval_seconds",
}


def refused(schema: Any, values: Mapping[str, Any]) -> Iterator[str]:
    """What a schema refuses of some values."""
    for error in process_config(schema, values).errors or ():
        yield error.message


def main(deploy: Path) -> int:
    """Hold both files against the schemas."""
    ecs = yaml.safe_load((deploy / "dagster-ecs.yaml").read_text())
    helm = yaml.safe_load((deploy / "helm-values.yaml").read_text())
    queue = helm["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    launcher = helm["runLauncher"]["config"]["k8sRunLauncher"]
    problems = [
        *refused(dagster_instance_config_schema(), ecs),
        *refused(EcsRunLauncher.config_type(), ecs["run_launcher"]["config"]),
        *refused(K8sRunLauncher.config_type(), {**launcher, **_OF_CHART}),
        *refused(QueuedRunCoordinator.config_type(), {_QUEUE[name]: value for name, value in queue.items()}),
    ]
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
