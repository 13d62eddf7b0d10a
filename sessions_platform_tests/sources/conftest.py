"""The time of tests whose sources have cursors: what comes after one belongs to the current landing partition."""

import pytest


@pytest.fixture
def on_day_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first of January 2026; later partitions count as current, too."""
    monkeypatch.setattr("sessions_platform.pipeline.ingest.newest_partition", lambda _: "2026-01-01")
