"""What the UI is told of the columns that columns are made of."""

import dagster as dg
import pytest

from sessions_platform_tests.orchestration.conftest import Home

pytestmark = pytest.mark.slow

DAY = "2026-01-01"


def test_columns_have_a_lineage_from_source_fields_to_sessions(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    assert home.execute("materialize_all", DAY, DAY, instance).success
    deps = {}
    for asset in ("events", "sessions"):
        event = instance.get_latest_materialization_event(dg.AssetKey([home.name, asset]))
        assert event is not None
        assert event.asset_materialization is not None
        lineage = event.asset_materialization.metadata["dagster/column_lineage"].value
        assert isinstance(lineage, dg.TableColumnLineage)
        deps[asset] = lineage.deps_by_column["user_id"]
    events = dg.AssetKey([home.name, "events"])
    assert [dep.column_name for dep in deps["events"]] == ["user"]
    assert deps["sessions"] == [dg.TableColumnDep(events, "user_id")]
