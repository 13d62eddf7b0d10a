"""A broken stream is shown as broken by an asset and a sensor; every other stream keeps all of its definitions."""

import json

import dagster as dg
import pytest
import yaml

from sessions_platform.contracts.stream_file import StreamError
from sessions_platform.orchestration import build as build_module
from sessions_platform.orchestration import resources
from sessions_platform.orchestration.build import build
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.streams import PLAIN

BROKEN = "name: unfit\nstart: 2026-01-01\nsesion: {gap: 0s}\n"


@pytest.fixture
def beside_a_broken_one(home: Home) -> Home:
    (home.folder / "streams" / "other.yaml").write_text(BROKEN)
    resources._contexts.cache_clear()
    return home


def mistakes_of(error: BaseException) -> str:
    return str(error.__cause__ or error)


def test_a_broken_stream_has_a_failing_asset_and_a_failing_sensor_and_the_others_work(
    beside_a_broken_one: Home, instance: dg.DagsterInstance
) -> None:
    home = beside_a_broken_one
    definitions = build(home.settings)
    keys = definitions.resolve_asset_graph().get_all_asset_keys()
    assert {key.path[-1] for key in keys if key.path[0] == "unfit"} == {"stream_file"}
    assert len({key for key in keys if key.path[0] == home.name}) == 7
    asset = definitions.resolve_assets_def(dg.AssetKey(["unfit", "stream_file"]))
    failed = dg.materialize([asset], instance=instance, raise_on_error=False)
    (failure,) = [event.step_failure_data for event in failed.all_events if event.is_step_failure]
    said = failure.user_failure_data.description if failure.user_failure_data else ""
    assert "other.yaml:3: sesion: the key is not known. Fix: " in (said or "")
    assert asset.specs_by_key[dg.AssetKey(["unfit", "stream_file"])].description
    home.ingest(1, "a", ("ann", 0, "a"))
    assert home.execute("materialize_all", "2026-01-01", "2026-01-01", instance).success


def test_the_sensor_of_a_broken_stream_is_on_and_fails_until_the_file_is_corrected(
    beside_a_broken_one: Home, instance: dg.DagsterInstance
) -> None:
    definitions = build(beside_a_broken_one.settings)
    sensor = definitions.resolve_sensor_def("unfit__stream_file")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    with dg.build_sensor_context(instance=instance) as context:
        with pytest.raises(StreamError, match=r"other\.yaml:3: sesion: .* Fix: "):
            sensor.evaluate_tick(context)
        (beside_a_broken_one.folder / "streams" / "other.yaml").write_text(yaml.safe_dump({**PLAIN, "name": "unfit"}))
        assert "Fix: reload the definitions" in (sensor.evaluate_tick(context).skip_message or "")


def test_a_stream_whose_definitions_cannot_be_made_stops_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make = build_module.stream_assets

    def of_all_but_one(stream):
        if stream.name == home.name:
            raise LookupError("a planted defect")
        return make(stream)

    monkeypatch.setattr(build_module, "stream_assets", of_all_but_one)
    (home.folder / "streams" / "other.yaml").write_text(yaml.safe_dump({**PLAIN, "name": "other"}))
    definitions = build(home.settings)
    names = {key.path[0]: key.path[-1] for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert names[home.name] == "stream_file"
    assert names["other"] != "stream_file"
    asset = definitions.resolve_assets_def(dg.AssetKey([home.name, "stream_file"]))
    assert "LookupError: a planted defect" in (asset.specs_by_key[asset.key].description or "")


@pytest.mark.slow
def test_the_command_line_works_for_every_other_stream_and_status_shows_the_broken_one(
    beside_a_broken_one: Home,
) -> None:
    home = beside_a_broken_one
    home.ingest(1, "a", ("ann", 0, "a"))
    file = home.folder / "b.ndjson"
    file.write_text('{"id": "b", "user": "bob", "ts": "2026-01-05T00:00:00+00:00", "type": "view", "url": null}\n')
    ingested = home.shell("sessions_platform", "ingest", home.name, str(file), "--partition", "2026-01-05", "--json")
    assert (ingested.returncode, json.loads(ingested.stdout)["accepted"]) == (0, 2), ingested.stderr
    one = home.shell("sessions_platform", "status", home.name)
    assert (one.returncode, one.stderr) == (0, "")
    every = home.shell("sessions_platform", "status", "--json")
    shown = {status["stream"]: status for status in json.loads(every.stdout)}
    assert shown[home.name]["accepted"] == 2
    assert "other.yaml:3: sesion" in shown["unfit"]["problems"][-1] + shown["unfit"]["problems"][0]
    assert every.returncode == 2
    assert "Traceback" not in every.stderr
    broken = home.shell("sessions_platform", "status", "unfit")
    assert (broken.returncode, broken.stdout) == (2, "")
    assert "other.yaml:3: sesion: the key is not known. Fix: " in broken.stderr
