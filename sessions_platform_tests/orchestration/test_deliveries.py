"""Deliveries as Dagster runs them: an asset for each target, apart from the pipeline, and requested while it is due."""

import json
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from sessions_platform.errors import RunFailedError, UserError
from sessions_platform.operations.erase import erase
from sessions_platform.orchestration.commands import deliver_stream, run_stream
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.test_sensors import tick


@pytest.fixture
def out(home: Home, tmp_path: Path) -> Path:
    """The folder of two targets, of which the second can't be written to."""
    home.write_stream(
        targets={
            "broken": {"type": "parquet", "path": str(tmp_path / "a-file/folder")},
            "duckdb": {"path": str(tmp_path / "out.duckdb")},
        }
    )
    (tmp_path / "a-file").write_text("")
    home.ingest(1, "a", ("ann", 1, "1"), ("bob", 1, "2"))
    return tmp_path


def sessions_in(path: Path) -> int:
    with duckdb.connect(path, read_only=True) as connection:
        (count,) = connection.execute("select count(*) from sessions").fetchone() or (0,)
    return count


@pytest.mark.slow
def test_a_run_ends_with_deliveries_and_a_target_that_fails_holds_back_itself_alone(home: Home, out: Path) -> None:
    status = run_stream(home.settings, home.name, None)
    assert status["sessions"] == 2
    assert sessions_in(out / "out.duckdb") == 2
    broken, duck = status["targets"]["broken"], status["targets"]["duckdb"]
    assert (duck["behind"], duck["failure"]) == ([], None)
    assert broken["behind"] == ["2026-01-01"]
    assert "it can't be written or read: Not a directory. Fix: " in broken["failure"]
    assert broken["failure"] in status["hints"]

    (out / "a-file").unlink()
    assert deliver_stream(home.settings, home.name, ["broken"], verify=False)["broken"]["behind"] == []
    assert home.stream_context.ledger.target_state("broken").failure is None


@pytest.mark.slow
@pytest.mark.usefixtures("out")
def test_a_target_that_is_behind_is_requested_once_and_later_again_where_it_fails(
    home: Home, instance: dg.DagsterInstance
) -> None:
    assert tick(home, "duckdb_is_behind", instance).skip_message == "nothing to do"
    home.execute("ingest_events", "2026-01-01", "2026-01-01", instance)
    home.execute("refresh_sessions", "2026-01-01", "2026-01-01", instance)
    (request,) = tick(home, "duckdb_is_behind", instance).run_requests or []
    assert request.job_name == f"{home.name}__deliver_duckdb"
    job = home.definitions.resolve_job_def(f"{home.name}__deliver_duckdb")
    delivered = job.execute_in_process(instance=instance)
    (check,) = delivered.get_asset_check_evaluations()
    assert (check.passed, check.check_name) == (True, "equals_sessions")
    (event,) = delivered.get_asset_materialization_events()
    assert event.materialization.metadata["applied"].value == 1
    assert tick(home, "duckdb_is_behind", instance).skip_message == "nothing to do"

    job = home.definitions.resolve_job_def(f"{home.name}__deliver_broken")
    assert tick(home, "broken_is_behind", instance).run_requests
    assert not job.execute_in_process(instance=instance, raise_on_error=False).success
    skipped = tick(home, "broken_is_behind", instance).skip_message
    assert skipped == "1 partitions to deliver; the last delivery failed, it is tried again later"


@pytest.mark.slow
def test_erased_users_leave_the_targets_and_one_that_fails_is_told(home: Home, out: Path) -> None:
    run_stream(home.settings, home.name, None)
    receipt = erase(home.stream_context, ["ann"])
    assert receipt["targets"] == ["duckdb"]
    assert any("The target broken has them until it is delivered to: " in left for left in receipt["left"])
    with duckdb.connect(out / "out.duckdb", read_only=True) as connection:
        assert connection.execute("select user_id from sessions").fetchall() == [("bob",)]


@pytest.mark.slow
def test_a_target_that_has_failed_and_lacks_nothing_is_asked_again(home: Home, tmp_path: Path) -> None:
    home.write_stream(targets={"duckdb": {"path": str(tmp_path / "out.duckdb")}})
    home.ingest(1, "a", ("ann", 1, "1"))
    run_stream(home.settings, home.name, None)
    (tmp_path / "out.duckdb").rename(tmp_path / "kept")
    (tmp_path / "out.duckdb").write_text("dear diary " * 500)
    with pytest.raises(RunFailedError, match="DuckDB says"):
        deliver_stream(home.settings, home.name, [], verify=True)
    (tmp_path / "kept").rename(tmp_path / "out.duckdb")
    status = run_stream(home.settings, home.name, None)
    assert status["targets"]["duckdb"]["failure"] is None
    assert status["hints"] == []


@pytest.mark.slow
def test_the_receipt_names_targets_and_tables_that_have_left_the_file(home: Home, tmp_path: Path) -> None:
    both, sessions = ["sessions", "sessionized_events"], ["sessions"]
    lake, duck = {"type": "parquet", "path": str(tmp_path / "out")}, {"path": str(tmp_path / "out.duckdb")}
    home.write_stream(targets={"lake": {**lake, "tables": both}, "duckdb": {**duck, "tables": both}})
    home.ingest(1, "a", ("ann", 1, "1"), ("bob", 1, "2"))
    run_stream(home.settings, home.name, None)
    home.write_stream(targets={"duckdb": {**duck, "tables": sessions}})
    receipt = erase(home.stream_context, ["ann"])
    assert receipt["targets"] == ["duckdb"]
    assert [left for left in receipt["left"] if "target" in left] == [
        "The target duckdb has a table sessionized_events, which is no longer delivered to it, and may have them. Fix: "
        "remove the table there.",
        "The target lake, which has left web.yaml, may have them. Fix: remove what was delivered to it, or state it "
        "again and erase again.",
    ]
    with duckdb.connect(tmp_path / "out.duckdb") as connection:
        connection.execute("drop table sessionized_events")
    home.write_stream(targets={"duckdb": {**duck, "tables": sessions}, "lake": {**lake, "tables": both}})
    again = erase(home.stream_context, ["ann"])
    assert again["targets"] == ["duckdb", "lake"]
    assert not any("target" in left for left in again["left"])


def test_the_asset_of_a_target_is_downstream_of_what_is_delivered(home: Home, tmp_path: Path) -> None:
    both = ["sessions", "sessionized_events"]
    home.write_stream(targets={"lake": {"type": "parquet", "path": str(tmp_path / "out"), "tables": both}})
    graph = home.definitions.resolve_asset_graph()
    parents = graph.get(dg.AssetKey([home.name, "sessions__lake"])).parent_keys
    assert {key.path[-1] for key in parents} == set(both)


@pytest.mark.slow
def test_the_command_delivers_and_verifies(home: Home, out: Path) -> None:
    run_stream(home.settings, home.name, None)
    with duckdb.connect(out / "out.duckdb") as connection:
        connection.execute("delete from sessions where user_id = 'bob'")
    made = home.shell("sessions_platform", "deliver", home.name, "--target", "duckdb", "--verify", "--json")
    assert json.loads(made.stdout)["duckdb"]["partitions"] == 1
    assert sessions_in(out / "out.duckdb") == 2
    failed = home.shell("sessions_platform", "deliver", home.name)
    assert failed.returncode == 1
    assert "target broken" in failed.stderr
    assert "Fix: " in failed.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("out")
def test_a_target_that_is_not_in_the_file_is_a_sentence(home: Home) -> None:
    with pytest.raises(UserError, match=r"it has no target lake\. Fix: name one of its targets \(broken, duckdb\)"):
        deliver_stream(home.settings, home.name, ["lake"], verify=False)
    with pytest.raises(RunFailedError, match="target broken"):
        deliver_stream(home.settings, home.name, [], verify=False)
    home.write_stream()
    with pytest.raises(UserError, match=r"it has no targets\. Fix: add targets to web\.yaml"):
        deliver_stream(home.settings, home.name, [], verify=False)
