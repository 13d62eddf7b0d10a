"""Lost and damaged lake files through the real Dagster: steps make them anew, and the nightly job says what is gone."""

import dagster as dg
import pytest

from sessions_platform.operations.verify import verify
from sessions_platform.orchestration import resources
from sessions_platform_tests.operations.lake_damage import ASSETS, files_of, flip
from sessions_platform_tests.orchestration.conftest import Home

pytestmark = pytest.mark.slow

FIRST, LAST = "2026-01-01", "2026-01-02"


@pytest.fixture
def loaded(home: Home, instance: dg.DagsterInstance) -> Home:
    home.ingest(1, "a", ("ann", 60, "1"), ("ann", 70, "2"), ("bob", 1430, "3"), ("eve", 80, "4"))
    home.ingest(2, "a", ("bob", 5, "5"), ("ann", 90, "6"))
    assert home.execute("materialize_all", FIRST, LAST, instance).success
    return home


def sessions(home: Home) -> list[dict[str, object]]:
    return [{name: row[name] for name in row if name != "loaded_at"} for row in home.table()]


@pytest.mark.parametrize("asset", ASSETS)
def test_a_run_that_stumbles_on_a_lost_file_makes_it_anew_and_succeeds(
    loaded: Home, instance: dg.DagsterInstance, asset: str
) -> None:
    before = sessions(loaded)
    for path in files_of(loaded.stream_context, asset):
        path.unlink()
    assert loaded.execute("materialize_all", FIRST, LAST, instance).success
    assert sessions(loaded) == before
    assert verify(loaded.stream_context, "", repairing=True).problems == []


@pytest.mark.parametrize("asset", ASSETS[:2])
def test_a_run_that_reads_a_flipped_bit_makes_the_file_anew_and_succeeds(
    loaded: Home, instance: dg.DagsterInstance, asset: str
) -> None:
    before = sessions(loaded)
    flip(files_of(loaded.stream_context, asset, FIRST)[0], 60 * 8)
    resources._contexts.cache_clear()
    job = "materialize_all" if asset == "raw_events" else "refresh_sessions"
    assert loaded.execute(job, FIRST, LAST, instance).success
    assert sessions(loaded) == before
    assert verify(loaded.stream_context, "", deep=True).problems == []


def test_what_is_truly_gone_ends_the_run_with_a_sentence(loaded: Home, instance: dg.DagsterInstance) -> None:
    (path,) = files_of(loaded.stream_context, "raw_events", FIRST)
    path.unlink()
    (loaded.folder / "streams" / "landing" / FIRST / "a.ndjson").unlink()
    result = loaded.execute("materialize_all", FIRST, LAST, instance)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data
    assert data.description
    assert "it is missing. Fix: run `sessions-platform verify" in data.description
    assert "4 rows are gone: the rows of landing/2026-01-01/a.ndjson, whose bytes are nowhere else" in data.description
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_the_nightly_job_repairs_and_fails_where_rows_are_gone(loaded: Home, instance: dg.DagsterInstance) -> None:
    job = loaded.definitions.resolve_job_def(f"{loaded.name}__verify")
    flip(files_of(loaded.stream_context, "events", FIRST)[0], 60 * 8)
    resources._contexts.cache_clear()
    result = job.execute_in_process(instance=instance)
    (repaired,) = [event for event in result.all_events if event.is_successful_output]
    metadata = repaired.step_output_data.metadata
    assert metadata["files"].value == 8
    assert [record.data["path"] for record in metadata["repaired"].records]  # pyright: ignore[reportAttributeAccessIssue]

    (path,) = files_of(loaded.stream_context, "raw_events", FIRST)
    path.unlink()
    (loaded.folder / "streams" / "landing" / FIRST / "a.ndjson").unlink()
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data
    assert data.description
    assert "1 problems are left, of which the first is " in data.description
    assert "there is no such file" in data.description
