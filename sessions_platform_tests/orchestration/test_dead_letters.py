"""The dead-letter queue as its users reach it: by Dagster's jobs with run config, and from the command line."""

import csv
import gzip
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.demo.events import land_week
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import kept_for
from sessions_platform.orchestration import resources
from sessions_platform.orchestration.schedules import stream_schedules
from sessions_platform.settings import DEMO_STREAMS
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.test_sensors import requested_ranges
from sessions_platform_tests.streams import stream

pytestmark = pytest.mark.slow

DAYS = ("2026-01-01", "2026-01-02")
WEEK = ("2026-01-05", "2026-01-11")


@pytest.fixture
def with_rejected_row(home: Home, instance: dg.DagsterInstance) -> Home:
    """Three rows of the first day, the second without a user."""
    home.ingest(1, "a", ("ann", 0, "a"), (None, 10, "b"), ("ann", 20, "c"))  # type: ignore[arg-type]
    home.execute("materialize_all", *DAYS, instance)
    return home


def run(home: Home, job: str, config: dict[str, Any], instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Start a job of one op with run config, as the launchpad of the UI does."""
    definition = home.definitions.resolve_job_def(f"{home.name}__{job}")
    (op,) = (node.name for node in definition.nodes)
    run_config = {"ops": {op: {"config": config}}}
    return definition.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the op, whether it failed or not."""

    def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {key: getattr(value, "records", None) or value.value for key, value in metadata.items()}

    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_OUTPUT:
            return plain(event.step_output_data.metadata)
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failure = event.step_failure_data.user_failure_data
            return plain(failure.metadata) if failure else {}
    raise AssertionError("the op did not run")


def queue(home: Home) -> list[dict[str, Any]]:
    return home.stream_context.database.query(
        f"select * from {home.name}.dead_letters order by landing_partition, source_uri, position"
    )


def sessions(home: Home) -> list[dict[str, Any]]:
    own = ("loaded_at", "session_rule_version")
    return [{key: value for key, value in row.items() if key not in own} for row in home.table()]


def run_requested(home: Home, instance: dg.DagsterInstance) -> None:
    """Start the runs that the sensors request."""
    for sensor, job in (("new_files", "ingest_events"), ("stale_sessions", "refresh_sessions")):
        for first, last in requested_ranges(home, sensor, instance):
            assert home.execute(job, first, last, instance).success


def run_command(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["rejected", *arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(*arguments: str) -> list[dict[str, Any]]:
    return json.loads(run_command("list", "--json", *arguments))


# Jobs


def test_a_job_replays_rows_of_its_run_config_and_the_sensor_sees_them(
    with_rejected_row: Home, instance: dg.DagsterInstance
) -> None:
    (row,) = queue(with_rejected_row)
    payload = row["payload"].replace("null", '"ann"')
    rows = [{"rejection_id": row["rejection_id"], "payload": payload}]
    config = {"repaired": {"rows": {"rows": rows}}}

    tried = run(with_rejected_row, "replay_rejected", {**config, "dry_run": True}, instance)
    assert metadata_of(tried) == {"accepted": 1, "pending_landing_partitions": []}
    assert requested_ranges(with_rejected_row, "new_files", instance) == []

    ingested = run(with_rejected_row, "replay_rejected", config, instance)
    assert metadata_of(ingested) == {"accepted": 1, "pending_landing_partitions": ["2026-01-01"]}
    assert requested_ranges(with_rejected_row, "new_files", instance) == [("2026-01-01", "2026-01-01")]
    run_requested(with_rejected_row, instance)

    assert [row["event_count"] for row in with_rejected_row.table()] == [3]
    assert [row["status"] for row in queue(with_rejected_row)] == ["resolved"]
    again = run(with_rejected_row, "replay_rejected", config, instance)
    assert metadata_of(again) == {"resolved": 1, "pending_landing_partitions": []}
    assert requested_ranges(with_rejected_row, "new_files", instance) == []


@pytest.mark.parametrize("config", [{}, {"repaired": {}}, {"dry_run": True}])
def test_a_replay_without_repaired_rows_is_an_error_before_it_is_launched(home: Home, config: dict[str, Any]) -> None:
    job = home.definitions.resolve_job_def(f"{home.name}__replay_rejected")
    with pytest.raises(dg.DagsterInvalidConfigError, match="repaired"):
        dg.validate_run_config(job, {"ops": {f"{home.name}__replay_rows": {"config": config}}})


def test_a_replay_of_an_empty_list_of_rows_fails_with_a_sentence(home: Home, instance: dg.DagsterInstance) -> None:
    result = run(home, "replay_rejected", {"repaired": {"rows": {"rows": []}}}, instance)
    assert not result.success
    assert "rows is empty. Fix: give at least one" in "".join(e.to_json() for e in instance.all_logs(result.run_id))


def test_a_job_whose_rows_are_rejected_again_fails_after_storing_the_others_and_shows_no_payload(
    with_rejected_row: Home, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with_rejected_row.ingest(2, "a", (None, 0, "secret-one"), (None, 5, "secret-two"))  # type: ignore[arg-type]
    with_rejected_row.execute("materialize_all", *DAYS, instance)
    rows = [{"rejection_id": row["rejection_id"], "payload": row["payload"]} for row in queue(with_rejected_row)[1:]]
    rows[0]["payload"] = rows[0]["payload"].replace("null", '"ann"')
    file = tmp_path / "repaired.ndjson"
    file.write_text("\n".join(map(json.dumps, rows)))

    result = run(with_rejected_row, "replay_rejected", {"repaired": {"file": {"path": str(file)}}}, instance)

    assert not result.success
    assert {key: metadata_of(result)[key] for key in ("accepted", "unchanged")} == {"accepted": 1, "unchanged": 1}
    (refused,) = metadata_of(result)["not_replayed"]
    assert refused.data["reasons"] == "missing_identity user_id not null"
    events = "".join(entry.to_json() for entry in instance.all_logs(result.run_id))
    captured = capfd.readouterr()
    assert "1 of 2 rows would be rejected again" in events
    assert "secret" not in events + captured.out + captured.err
    run_requested(with_rejected_row, instance)
    assert [row["status"] for row in queue(with_rejected_row)] == ["open", "resolved", "open"]


def test_jobs_discard_rows_and_expire_those_decided_long_ago(
    with_rejected_row: Home, instance: dg.DagsterInstance
) -> None:
    with_rejected_row.ingest(2, "a", (None, 0, "d"))  # type: ignore[arg-type]
    with_rejected_row.execute("materialize_all", *DAYS, instance)
    first, second = (row["rejection_id"] for row in queue(with_rejected_row))
    assert not run(with_rejected_row, "discard_rejected", {"ids": [first], "because": " "}, instance).success
    discarded = run(with_rejected_row, "discard_rejected", {"ids": [first], "because": "a test of the app"}, instance)
    assert metadata_of(discarded) == {"changed": 1, "unchanged": 0}
    assert [(row["status"], row["because"]) for row in queue(with_rejected_row)] == [
        ("discarded", "a test of the app"),
        ("open", None),
    ]
    assert not run(with_rejected_row, "expire_rejected", {}, instance).success
    assert metadata_of(run(with_rejected_row, "expire_rejected", {"keep_for_days": 400}, instance)) == {
        "kept_for_days": 400.0
    }
    expired = run(with_rejected_row, "expire_rejected", {"keep_for_days": 0}, instance)
    assert metadata_of(expired) == {"kept_for_days": 0.0, "discarded": 1}

    with_rejected_row.execute("materialize_all", *DAYS, instance)
    assert [row["rejection_id"] for row in queue(with_rejected_row)] == [second], "an expired row does not return"
    assert [row["status"] for row in with_rejected_row.table("rejection_decisions")] == ["discarded", "expired"]


# The command line


def test_the_queue_is_listed_by_stream_reason_partition_and_status(
    with_rejected_row: Home, instance: dg.DagsterInstance
) -> None:
    with_rejected_row.ingest(2, "a", (None, 0, "d"), ("ann", 60 * 24 * 2, "far"))  # type: ignore[arg-type]
    with_rejected_row.execute("materialize_all", *DAYS, instance)
    of = (with_rejected_row.name,)
    assert [(row["landing_partition"], row["position"]) for row in listed(*of)] == [
        ("2026-01-01", 2),
        ("2026-01-02", 1),
        ("2026-01-02", 2),
    ]
    assert [row["position"] for row in listed(*of, "--reason", "future_timestamp")] == [2]
    assert [row["position"] for row in listed(*of, "--partition", "2026-01-01")] == [2]
    assert listed(*of, "--status", "discarded") == []
    assert len(listed(*of, "--limit", "1")) == 1
    assert all(row["rejection_id"][:8] in run_command("list", *of) for row in queue(with_rejected_row))
    with pytest.raises(UserError, match=r"there is no code 'late'. Fix: write one of malformed, "):
        run_command("list", "--reason", "late")


def test_an_id_may_be_abbreviated_as_long_as_it_is_unique(with_rejected_row: Home) -> None:
    (row,) = queue(with_rejected_row)
    shown = json.loads(run_command("show", row["rejection_id"][:8], "--json"))
    assert (shown["payload"], shown["history"]) == (row["payload"], [])
    for wrong, reason in [
        ("", "is not a rejection id"),
        ("%", "is not a rejection id"),
        ("ffffffff-0", "no rejected row has"),
    ]:
        with pytest.raises(UserError, match=reason):
            run_command("show", wrong)


def test_discarded_rows_may_be_opened_again_and_the_history_is_kept(with_rejected_row: Home) -> None:
    (row,) = queue(with_rejected_row)
    short = row["rejection_id"][:10]
    run_command("discard", short, "--because", "a bot")
    run_command("discard", short, "--because", "a bot, still")
    run_command("reopen", short, "--because", "no bot")
    shown = json.loads(run_command("show", short, "--json"))
    assert [(decision["status"], decision["because"]) for decision in shown["history"]] == [
        ("discarded", "a bot"),
        ("open", "no bot"),
    ]
    assert shown["status"] == "open"


def test_the_queue_is_exported_as_csv_for_a_spreadsheet(with_rejected_row: Home, tmp_path: Path) -> None:
    run_command("list", with_rejected_row.name, "--csv", str(tmp_path / "queue.csv"))
    with (tmp_path / "queue.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["payload"] == queue(with_rejected_row)[0]["payload"]
    with pytest.raises(UserError, match=r"it can't be written: No such file or directory. Fix"):
        run_command("list", "--csv", str(tmp_path / "nowhere" / "queue.csv"))


# Both ways, on the demo's week


def test_the_demos_rejected_rows_are_replayed_by_contract_by_job_and_from_the_command_line(
    home: Home, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    shop = replace(home, name=f"{home.name}_shop")
    state_demo(shop, lenient=False)
    land_week(shop.folder / "streams" / shop.name, 3_000)
    assert shop.execute("materialize_all", *WEEK, instance).success
    before = Counter(row["status"] for row in queue(shop))
    assert before["open"] == len(queue(shop)) > 20

    # The contract was wrong
    state_demo(shop, lenient=True)
    run_requested(shop, instance)
    lenient = replace(home, name=f"{home.name}_lenient")
    state_demo(lenient, lenient=True)
    shutil.copytree(shop.folder / "streams" / shop.name, shop.folder / "streams" / lenient.name)
    assert lenient.execute("materialize_all", *WEEK, instance).success
    assert sessions(shop) == sessions(lenient)
    moved = Counter(row["status"] for row in shop.table("rejection_decisions"))
    assert moved["resolved"] == before["open"] - len(queue(shop)) > 0

    # The payload was wrong: the first half by a job, the other from the command line
    exported = shop.shell("sessions_platform", "rejected", "export", shop.name)
    assert exported.returncode == 0, exported.stderr
    lines = [json.dumps(repaired(json.loads(line))) for line in exported.stdout.splitlines()]
    assert len(lines) == len(queue(shop)) > 10
    halves = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    for half, some in zip(halves, (lines[::2], lines[1::2]), strict=True):
        half.write_text("\n".join(some) + "\n")
    assert metadata_of(run(shop, "replay_rejected", {"repaired": {"file": {"path": str(halves[0])}}}, instance))[
        "accepted"
    ] == len(lines[::2])
    run_requested(shop, instance)
    assert Counter(row["status"] for row in queue(shop)) == {"resolved": len(lines[::2]), "open": len(lines[1::2])}
    for fate in ("accepted", "resolved"):
        replayed = shop.shell("sessions_platform", "rejected", "replay", str(halves[1]), "--json")
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout)[shop.name][fate] == len(lines[1::2])
        assert Counter(row["status"] for row in queue(shop)) == {"resolved": len(lines)}

    right = replace(home, name=f"{home.name}_right")
    state_demo(right, lenient=True)
    write_corrected_files(shop, right, [json.loads(line) for line in lines])
    assert right.execute("materialize_all", *WEEK, instance).success
    assert queue(right) == []
    assert sessions(shop) == sessions(right)
    assert sessions(shop) != sessions(lenient)


def state_demo(home: Home, *, lenient: bool) -> None:
    """Write the demo's stream under another name; a lenient one has no rules but types."""
    stream = yaml.safe_load((DEMO_STREAMS / "web_shop.yaml").read_text())
    stream["name"] = home.name
    stream["source"]["files"] = home.name + "/{partition:%Y-%m-%d}/*.ndjson.gz"
    for rule in ("isin", "pattern", "ge") if lenient else ():
        for column in stream["columns"].values():
            column.pop(rule, None)
    (home.folder / "streams" / f"{home.name}.yaml").write_text(yaml.safe_dump(stream, sort_keys=False))
    resources._contexts.cache_clear()


def repaired(row: dict[str, Any]) -> dict[str, Any]:
    """The line of an export with a payload that keeps the contract."""
    codes = {reason["code"] for reason in row["reasons"]}
    ts = f"{row['landing_partition']}T12:34:56+00:00"
    event = {"id": row["rejection_id"], "user": None, "anonymous_id": "a-repaired", "ts": ts, "event": "view_page"}
    if "malformed" not in codes:
        event = json.loads(row["payload"])
    if codes & {"bad_timestamp", "future_timestamp", "before_start"}:
        event["ts"] = ts
    if "missing_identity" in codes:
        event["anonymous_id"] = "a-found"
    if "conflicting_duplicate" in codes:
        event["id"] = row["rejection_id"]
    return {**row, "payload": json.dumps(event)}


def write_corrected_files(broken: Home, right: Home, rows: list[dict[str, Any]]) -> None:
    """The same files with the repaired rows in place of the rejected ones."""
    repaired_payloads = {(row["source_uri"], row["position"]): row["payload"] for row in rows}
    streams = broken.folder / "streams"
    for path in sorted((streams / broken.name).rglob("*.gz")):
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        uri = path.relative_to(streams).as_posix()
        fixed = [repaired_payloads.get((uri, position), line) for position, line in enumerate(lines, 1)]
        place = streams / right.name / path.relative_to(streams / broken.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(gzip.compress("".join(f"{line}\n" for line in fixed).encode(), mtime=0))


def test_decided_rows_are_removed_nightly_where_the_stream_says_how_long_they_are_kept() -> None:
    keeping, silent = stream(rejected={"keep_for": "400d"}), stream()
    assert "web__expire_nightly" in {schedule.name for schedule in stream_schedules(keeping)}
    assert "web__expire_nightly" not in {schedule.name for schedule in stream_schedules(silent)}
    assert kept_for(keeping, None) == timedelta(days=400)
    assert kept_for(keeping, 3) == kept_for(silent, 3) == timedelta(days=3)
    with pytest.raises(UserError, match=r"rejected\.keep_for"):
        kept_for(silent, None)
