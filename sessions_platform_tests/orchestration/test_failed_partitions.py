"""A partition that a failed run left red, though nothing of it is pending, is green after the sensor's next run."""

from pathlib import Path
from typing import Any

import pytest

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
        assert failed(watched, home) == 1
        watched.start_sensor(f"{home.name}__new_files")
        watched.until("the partition is whole", lambda: failed(watched, home) == 0 or None)


def failed(dev: WatchedDev, home: Home) -> int:
    stats: dict[str, Any] = dev.ask(STATUSES, key={"path": [home.name, "events"]})["assetNodeOrError"]["partitionStats"]
    return stats["numFailed"]
