"""The lineage of two streams, as the UI draws it: one open group, and a pipeline of each stream from its source."""

from pathlib import Path

import pytest

from sessions_platform.settings import DEMO_LANDING
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev_process import served

pytestmark = pytest.mark.slow

NODES = "{ assetNodes { assetKey { path } groupName dependencyKeys { path } } }"
ASSETS = {"raw_events", "events", "rejected_events", "sessionized_events", "sessions", "report"}


def test_each_of_two_streams_is_a_pipeline_from_its_source_in_one_group(home: Home, tmp_path: Path) -> None:
    (home.settings.home / DEMO_LANDING).mkdir(parents=True)  # as if the demo had been run
    with served(home, tmp_path / "dev.log") as dev:
        nodes = dev.ask(NODES)["assetNodes"]
    assert len({node["groupName"] for node in nodes}) == 1  # several groups would open as closed boxes
    above = {tuple(node["assetKey"]["path"]): {tuple(key["path"]) for key in node["dependencyKeys"]} for node in nodes}
    streams = {key[0] for key in above}
    assert streams == {home.name, "web_shop"}
    for stream in streams:
        own = {key: keys for key, keys in above.items() if key[0] == stream}
        assert set(own) == {(stream,), *((stream, asset) for asset in ASSETS)}
        assert own[(stream,)] == set()
        assert own[(stream, "raw_events")] == {(stream,)}
        assert all(key[0] == stream for keys in own.values() for key in keys)
        assert all(is_from_the_source(key, own) for key in own)


def is_from_the_source(key: tuple[str, ...], above: dict[tuple[str, ...], set[tuple[str, ...]]]) -> bool:
    return len(key) == 1 or any(is_from_the_source(each, above) for each in above[key])
