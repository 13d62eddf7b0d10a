"""The asset `report`: a page in the home, and pictures in Dagster's metadata that show counts only."""

import json
from pathlib import Path

import dagster as dg
import pytest

from sessions_platform_tests.orchestration.conftest import Home

pytestmark = pytest.mark.slow

DAYS = ("2026-01-01", "2026-01-05")


def test_a_report_is_made_for_the_whole_stream_and_is_part_of_no_job(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(1, "a", ("ann", 0, "a"), ("ann", 90, "b"), ("bob", 5, "c"))
    home.execute("materialize_all", *DAYS, instance)
    key = dg.AssetKey([home.name, "report"])
    assert instance.get_latest_materialization_event(key) is None
    made = home.shell(
        *("dagster", "asset", "materialize", "-m", "sessions_platform.definitions"),
        *("--select", f'key:"{home.name}/report"'),
    )
    assert made.returncode == 0, made.stderr
    (file,) = (home.settings.home / "reports").glob(f"{home.name}.html")
    assert "3 sessions of 2 users" in file.read_text()


def test_its_metadata_names_the_file_and_shows_pictures(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(1, "a", ("ann", 0, "a"), ("ann", 90, "b"))
    home.execute("materialize_all", *DAYS, instance)
    asset = home.definitions.get_assets_def(dg.AssetKey([home.name, "report"]))
    platform = home.definitions.resources or {}
    result = dg.materialize([asset], selection=[asset.key], instance=instance, resources=platform)
    (event,) = result.asset_materializations_for_node(asset.op.name)
    written = Path(str(event.metadata["file"].value))
    assert written.stat().st_size == event.metadata["bytes"].value
    assert event.metadata["dagster/row_count"].value == 2
    preview = str(event.metadata["preview"].value)
    assert preview.count("](data:image/png;base64,") == 2
    assert len(json.dumps(preview)) < 200_000
