"""Alerts know which sensors the definitions have, and say of no other one that it is silent."""

from typing import Any

import pytest

from sessions_platform.contracts.stream_folder import read_streams
from sessions_platform.orchestration.sensor_names import may_exist, sensor_names
from sessions_platform_tests.orchestration.conftest import Home

TARGETS = {"copy": {"type": "parquet", "path": "/nowhere"}}
SERVER = {"type": "http", "url": "https://api.example/events", "format": "ndjson"}


@pytest.mark.parametrize("changes", [{}, {"targets": TARGETS}, {"source": SERVER}], ids=["files", "target", "server"])
def test_they_are_those_of_the_definitions(home: Home, changes: dict[str, Any]) -> None:
    home.write_stream(**changes)
    streams = read_streams(home.settings.streams, home.settings.home)
    names = {sensor.name for sensor in home.definitions.sensors or [] if sensor.name.startswith(f"{home.name}__")}
    assert sensor_names(streams.named(home.name)) == names
    assert all(may_exist(name, streams) for name in ("alerts", *names))
    assert not may_exist(f"{home.name}__new_shoes", streams)
    assert not may_exist("another__new_files", streams)


def test_a_broken_stream_may_have_any_and_those_without_a_stream_always_exist(home: Home) -> None:
    (home.folder / "streams" / "web.yaml").write_text(f"name: {home.name}\n")
    streams = read_streams(home.settings.streams, home.settings.home)
    assert may_exist(f"{home.name}__copy_is_behind", streams)
    assert may_exist("alerts", streams)
