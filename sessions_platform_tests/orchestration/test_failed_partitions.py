"""A partition that a failed run left red, though nothing of it is pending, is green after the sensor's next run."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sessions_platform.orchestration.failed_partitions import FailedPartitions, failed_partitions
from sessions_platform.orchestration.jobs import PAST, RANGE_END, RANGE_START
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev import WatchedDev
from sessions_platform_tests.orchestration.dev_process import served

DAY = "2026-01-01"
STATUSES = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numFailed } } } }"""


@pytest.mark.slow
def test_a_partition_that_failed_although_it_was_whole_is_green_after_the_next_run(home: Home, tmp_path: Path) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    assert home.shell("sessions_platform", "run", home.name).returncode == 0
    with served(home, log := tmp_path / "dev.log") as dev:
        # As a run that was requested before an edit of the stream's file, which it refuses to do.
        requested = {"sessions/stream": home.name, "sessions/stream_version": "an older one"}
        refused = dev.launch("ingest_events", DAY, **requested)
        assert dev.ended(refused) == "FAILURE"
        watched = WatchedDev(dev, log)
        watched.until("the partition is shown as failed", lambda: failed(watched, home) == 1 or None)
        watched.start_sensor(f"{home.name}__new_files")
        watched.until("the partition is whole", lambda: failed(watched, home) == 0 or None)


def failed(dev: WatchedDev, home: Home) -> int:
    stats: dict[str, Any] = dev.ask(STATUSES, key={"path": [home.name, "events"]})["assetNodeOrError"]["partitionStats"]
    return stats["numFailed"]


def test_partitions_of_failed_backfills_stay_red(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary run would make them green without asking the source for the past."""
    monkeypatch.setattr(FailedPartitions, "_failed", lambda _self, _instance, _asset, tried: list(tried))
    definition = home.definitions.resolve_job_def(f"{home.name}__ingest_events")
    for day, of_past in ((DAY, {}), ("2026-01-02", {PAST: "true"})):
        tags = {**of_past, RANGE_START: day, RANGE_END: day}
        instance.create_run_for_job(definition, tags=tags, status=dg.DagsterRunStatus.FAILURE)
    assert failed_partitions(home.stream_context.stream, ["events"], landing=True).of(instance) == [DAY]
