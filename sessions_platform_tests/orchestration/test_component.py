"""The component in a project that `create-dagster` makes, beside an asset of that project."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import sessions_platform
from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.orchestration import component, resources
from sessions_platform.orchestration.sensors import interval
from sessions_platform_tests.orchestration.conftest import PROJECT

UVX, DG = PROJECT / ".tools/bin/uvx", Path(sys.executable).with_name("dg")
CREATE = "create-dagster==1.13.27"  # of Dagster's own version
LANDED = """
import json, pathlib
import dagster as dg

@dg.asset(key=["lake", "landed"], partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
def landed(context: dg.AssetExecutionContext) -> None:
    folder = pathlib.Path(__file__).parent / "shop_app" / "landing" / context.partition_key
    folder.mkdir(parents=True)
    row = {"user_id": "ann", "event_timestamp": f"{context.partition_key}T10:00:00Z", "event_type": "view"}
    (folder / "a.ndjson").write_text(json.dumps(row))
"""
COMPONENT = """\
type: sessions_platform.Stream

attributes:
  name: shop
  start: 2026-01-01
  source: {files: "landing/*.ndjson", format: ndjson}
  columns: {user_id: {}, event_timestamp: {formats: [iso8601]}, event_type: {}}
"""


def test_the_file_of_a_component_is_a_streams_file_with_the_lines_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text(COMPONENT)
    assert load_stream(file, tmp_path).name == "shop"
    file.write_text(COMPONENT.replace("2026-01-01", "today") + "  sesion: {}\n")
    with pytest.raises(StreamError) as refused:
        load_stream(file, tmp_path)
    assert [(problem.line, problem.key) for problem in refused.value.problems] == [(5, "start"), (8, "sesion")]


def test_dagster_sees_the_component_and_its_schema() -> None:
    assert "Stream" in dir(sessions_platform)
    schema = sessions_platform.Stream.get_model_cls().model_json_schema()
    assert schema.keys() >= {"properties", "required"}
    assert '"upstream"' in json_schema()
    with pytest.raises(AttributeError, match="no attribute 'Steram'"):
        _ = sessions_platform.Steram


@pytest.fixture
def _forgotten() -> Iterator[None]:
    yield
    component._loaded.clear()
    resources._given.clear()
    resources._contexts.cache_clear()


@pytest.mark.usefixtures("_forgotten")
def test_sensors_look_less_often_the_more_components_a_project_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "theirs_of_three_streams"
    for each in ("a", "b", "c"):
        folder = tmp_path / name / "defs" / each
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(COMPONENT.replace("name: shop", f"name: interval_{each}"))
    (tmp_path / "dg.toml").write_text(f'directory_type = "project"\n[project]\nroot_module = "{name}"\n')
    monkeypatch.syspath_prepend(tmp_path)
    definitions = dg.load_from_defs_folder(path_within_project=tmp_path)
    seconds = {sensor.minimum_interval_seconds for sensor in definitions.sensors or () if "new_files" in sensor.name}
    assert seconds == {interval(3 + 1)}


@pytest.mark.slow
def test_a_scaffolded_stream_is_found_checked_and_run_beside_an_asset_of_the_project(tmp_path: Path) -> None:
    project = tmp_path / "theirs"
    made = _run(
        tmp_path,
        [UVX, "--python", sys.executable, "--from", CREATE, "create-dagster", "project", "theirs", "--no-uv-sync"],
    )
    if made.returncode and not project.exists():
        pytest.skip(f"{CREATE} can't be had from the registry: {made.stderr.strip()[-200:]}")
    (project / "src/theirs/defs/landed.py").write_text(LANDED)
    assert "sessions_platform.Stream" in _run(project, [DG, "list", "components", "--json"]).stdout
    assert _run(project, [DG, "scaffold", "defs", "sessions_platform.Stream", "shop_app"]).returncode == 0
    file = project / "src/theirs/defs/shop_app/defs.yaml"
    text = file.read_text()
    file.write_text(text.replace("gap: 30m", "gap: 30 minutes"))
    refused = _run(project, [DG, "check", "defs"])
    assert refused.returncode
    assert (
        f"{file}:{_line(text, 'gap')}: session.gap: '30 minutes' is not a duration. Fix: "
        in refused.stderr + refused.stdout
    )
    text = text.replace("  name: shop_app\n", "  name: shop_app\n  key_prefix: analytics\n  upstream: [lake/landed]\n")
    file.write_text(text.replace(f"start: {_start(text)}", "start: 2026-01-01"))
    assert "All definitions loaded" in _run(project, [DG, "check", "defs"]).stdout
    launch = [
        DG,
        "launch",
        "--partition",
        "2026-01-02",
        "--config-json",
        '{"execution": {"config": {"in_process": {}}}}',
    ]
    assert _run(project, [*launch, "--assets", 'key:"lake/landed"']).returncode == 0
    assert _run(project, [*launch, "--job", "shop_app__materialize_all"]).returncode == 0
    command = [sys.executable, "-m", "sessions_platform", "status", "shop_app", "--json"]
    assert json.loads(_run(project, command, SESSIONS_STREAMS=str(file.parent)).stdout)["sessions"] == 1


def _line(text: str, key: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith(f"{key}:"))


def _start(text: str) -> str:
    return text.splitlines()[_line(text, "start") - 1].split()[1]


def _run(folder: Path, command: list[Any], **environment: str) -> subprocess.CompletedProcess[str]:
    """With the versions of this environment, whatever the project's own file asks for."""
    home = folder / "dagster_home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").touch()
    own = {"PYTHONPATH": "src", "SESSIONS_HOME": str(folder / "home"), "DAGSTER_HOME": str(home)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSIONS_", "DAGSTER_"))}
    everything = {**kept, "DAGSTER_DISABLE_TELEMETRY": "1", "COLUMNS": "400", **own, **environment}
    return subprocess.run(command, cwd=folder, env=everything, capture_output=True, text=True, check=False, timeout=300)
