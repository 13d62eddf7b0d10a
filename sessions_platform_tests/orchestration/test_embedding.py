"""Streams as a part of somebody else's definitions: their keys have a prefix, and all that names keys agrees."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import generate_latest

import sessions_platform
from sessions_platform.contracts.stream_file import StreamError
from sessions_platform.errors import UserError
from sessions_platform.orchestration import resources
from sessions_platform.orchestration.metrics import registry
from sessions_platform.orchestration.runs import runner
from sessions_platform_tests.orchestration.conftest import Home

PREFIX = ["analytics", "web"]
THE_DAY = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-01"}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    resources._given.clear()
    resources._contexts.cache_clear()


@dg.asset(key=["lake", "landed"])
def landed() -> None:
    """Somebody else's, which lands files."""


def embedded(home: Home) -> dg.Definitions:
    """Beside an asset of their own, and with the folder that the platform's settings name out of sight."""
    streams = sessions_platform.definitions_for(home.folder / "streams", key_prefix="analytics/web")
    return dg.Definitions.merge(dg.Definitions(assets=[landed]), streams)


def other_folder(home: Home, name: str) -> Path:
    """A second folder, with the same stream by another name."""
    folder = home.folder / "other"
    folder.mkdir()
    text = (home.folder / "streams" / "web.yaml").read_text()
    (folder / "web.yaml").write_text(text.replace(f"name: {home.name}", f"name: {name}"))
    return folder


def test_every_key_has_the_prefix_and_raw_events_follows_the_asset_that_lands_the_files(home: Home) -> None:
    home.write_stream(
        upstream=["lake/landed"], targets={"copy": {"type": "parquet", "path": str(home.folder / "copy")}}
    )
    graph = embedded(home).resolve_asset_graph()
    own = graph.get_all_asset_keys() - {landed.key}
    assert {key.path[-1] for key in own} >= {home.name, "raw_events", "sessions", "sessions__copy", "report"}
    assert {tuple(key.path[:2]) for key in own} == {tuple(PREFIX)}
    raw_events = dg.AssetKey([*PREFIX, home.name, "raw_events"])
    assert graph.get(raw_events).parent_keys == {landed.key, dg.AssetKey([*PREFIX, home.name])}
    assert {tuple(check.asset_key.path[:2]) for check in graph.asset_check_keys} == {tuple(PREFIX)}


def test_none_of_a_streams_own_assets_may_be_above_it(home: Home) -> None:
    targets = {"copy": {"type": "parquet", "path": str(home.folder / "copy")}}
    home.write_stream(targets=targets, user_sessions={})
    own = embedded(home).resolve_asset_graph().get_all_asset_keys() - {landed.key}
    keys = [key.to_user_string().removeprefix("analytics/web/") for key in own]
    assert f"{home.name}/user_sessions" in keys
    for key in keys:
        home.write_stream(targets=targets, user_sessions={}, upstream=[key])
        with pytest.raises(StreamError, match=f"upstream: .*{key} is an asset of this stream"):
            sessions_platform.definitions_for(home.folder / "streams")


def test_nor_the_one_that_a_prefix_of_the_project_makes_its_own(home: Home) -> None:
    home.write_stream(upstream=[f"landing/{home.name}"])
    sessions_platform.definitions_for(home.folder / "streams")
    with pytest.raises(StreamError, match=rf"web\.yaml:\d+: upstream: landing/{home.name} is an asset of this stream"):
        sessions_platform.definitions_for(home.folder / "streams", key_prefix="landing")


@pytest.mark.slow
def test_runs_sensors_and_checks_of_embedded_streams_work_without_the_settings_folders(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONS_STREAMS", str(home.folder / "nowhere"))
    home.ingest(1, "a", ("ann", 0, "e1"), ("ann", 5, "e2"), ("", 6, "e3"))
    definitions = embedded(home)
    tick = evaluated(definitions, f"{home.name}__new_files", instance)
    assert [request.tags["sessions/stream"] for request in tick.run_requests or ()] == [home.name]
    job = definitions.resolve_job_def(f"{home.name}__materialize_all")
    tags = {**THE_DAY, **dict((tick.run_requests or [])[0].tags)}
    run = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert run.success
    materialized = {event.asset_key for event in run.get_asset_materialization_events()}
    assert dg.AssetKey([*PREFIX, home.name, "sessions"]) in materialized
    assert {tuple(each.asset_key.path[:3]) for each in run.get_asset_check_evaluations()} == {(*PREFIX, home.name)}
    audit = definitions.resolve_job_def(f"{home.name}__audit_sample").execute_in_process(instance=instance)
    assert [each.passed for each in audit.get_asset_check_evaluations()] == [True]
    assert not evaluated(definitions, f"{home.name}__new_files", instance).run_requests


def evaluated(definitions: dg.Definitions, sensor: str, instance: dg.DagsterInstance):
    with dg.build_sensor_context(
        instance=instance, repository_def=definitions.get_repository_def(), resources=definitions.resources or {}
    ) as context:
        return definitions.resolve_sensor_def(sensor).evaluate_tick(context)


def test_definitions_of_two_folders_merge_and_load(home: Home) -> None:
    second = sessions_platform.definitions_for(other_folder(home, f"{home.name}_too"))
    merged = dg.Definitions.merge(embedded(home), second)
    dg.Definitions.validate_loadable(merged)
    assert dg.AssetKey([f"{home.name}_too", "sessions"]) in merged.resolve_asset_graph().get_all_asset_keys()


def test_two_files_with_one_name_are_refused_with_both_files(home: Home) -> None:
    embedded(home)
    with pytest.raises(StreamError, match=r"other/web\.yaml:\d+: name: .*/streams/web\.yaml has the same name\. Fix: "):
        sessions_platform.definitions_for(other_folder(home, home.name), key_prefix="other")


def test_every_mistake_of_a_folder_is_told_with_its_line(home: Home) -> None:
    home.write_stream(upstream=[f"{home.name}/sessions", "a b"], sesion={})
    with pytest.raises(StreamError) as refused:
        sessions_platform.definitions_for(home.folder / "streams")
    assert [problem.key for problem in refused.value.problems] == ["upstream", "sesion"]
    assert all(problem.line for problem in refused.value.problems)


@pytest.mark.parametrize("prefix", ["a b", "a//b", "/a", ["a", "b c"]])
def test_a_prefix_that_dagster_could_not_use_is_refused(home: Home, prefix: str | list[str]) -> None:
    with pytest.raises(UserError, match=r"key_prefix: .* Fix: write letters"):
        sessions_platform.definitions_for(home.folder / "streams", key_prefix=prefix)


@pytest.mark.slow
def test_metrics_of_runs_name_the_stream_whatever_the_prefix(home: Home) -> None:
    home.ingest(1, "a", ("ann", 0, "e1"))
    with runner(home.settings) as runs:
        job = embedded(home).resolve_job_def(f"{home.name}__materialize_all")
        assert job.execute_in_process(instance=runs._instance, tags=THE_DAY).success
    text = generate_latest(registry(home.settings, pytest.fail)).decode()
    ours = [line for line in text.splitlines() if f'stream="{home.name}"' in line]
    for step in ("raw_events", "validated_events", "sessionized_events", "sessions"):
        assert any(f'step="{step}"' in line for line in ours)
    assert any('check="every_event_once"' in line for line in ours)
    assert 'stream="analytics"' not in text


@pytest.mark.filterwarnings("ignore:Function `Definitions.map_resolved_asset_specs` is currently in preview")
def test_raw_events_may_have_a_condition_that_starts_it_when_the_asset_above_has_landed_files(home: Home) -> None:
    """The condition of docs/embedding.md, with an asset of their own that has the same days."""
    home.write_stream(upstream=["lake/landed_daily"], end="2026-01-03")

    @dg.asset(key=["lake", "landed_daily"], partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
    def landed_daily() -> None: ...

    streams = sessions_platform.definitions_for(
        home.folder / "streams", key_prefix="analytics"
    ).map_resolved_asset_specs(
        func=lambda spec: spec.replace_attributes(automation_condition=dg.AutomationCondition.any_deps_updated()),
        selection=dg.AssetSelection.key_substring("raw_events"),
    )
    definitions = dg.Definitions.merge(dg.Definitions(assets=[landed_daily]), streams)
    raw_events = dg.AssetKey(["analytics", home.name, "raw_events"])
    with dg.DagsterInstance.ephemeral() as instance:
        first = dg.evaluate_automation_conditions(definitions, instance)
        landing = dg.AssetMaterialization(landed_daily.key, partition="2026-01-02")
        instance.report_runless_asset_event(landing)
        second = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    assert first.total_requested == 0
    assert second.get_requested_partitions(raw_events) == {"2026-01-02"}


def test_raw_events_and_sessions_are_to_be_as_fresh_as_the_stream_says(home: Home) -> None:
    policies = {}
    for within in (None, "6h", "10s"):
        source = {"files": "landing/{partition:%Y-%m-%d}/*.ndjson", "format": "ndjson", "fresh_within": within}
        home.write_stream(source=source)
        specs = {spec.key.path[-1]: spec for spec in embedded(home).resolve_all_asset_specs()}
        policies[within] = {name: spec.freshness_policy for name, spec in specs.items() if spec.freshness_policy}
    assert policies[None] == {}
    for within, window in {"6h": timedelta(hours=6), "10s": timedelta(minutes=1)}.items():
        policy = dg.FreshnessPolicy.time_window(fail_window=window)
        assert policies[within] == {"raw_events": policy, "sessions": policy}
