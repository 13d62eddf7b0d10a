"""The wheel, installed into an empty environment with the newest versions that it allows, works from any folder."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from sessions_platform_tests.test_docs import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]

UV = PROJECT / ".tools/bin/uv"
OURS = ("SESSIONS_", "DAGSTER_", "PYTHON")
SCRIPT = """
import sessions_platform
shop = sessions_platform.open("web_shop")
assert shop.sessions().height == shop.status()["sessions"] > 10_000
assert not sessions_platform.__file__.startswith({project!r})
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--python", sys.executable, "--out-dir", folder], cwd=PROJECT, check=True)
    return folder


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "sessions_platform"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return {name for name in listed.stdout.splitlines() if (PROJECT / name).exists()}


def test_wheel_and_source_distribution_have_every_file_of_the_package(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        in_wheel = {name for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        in_archive = {name.partition("/")[2] for name in archive.getnames()}
    assert {"sessions_platform/py.typed", "sessions_platform/orchestration/dagster.yaml"} <= tracked()
    assert tracked() - in_wheel == set()
    assert tracked() - in_archive == set()
    assert not any("tests" in name.split("/")[0] for name in in_wheel)


def test_an_installed_wheel_runs_the_demo_from_any_folder(built: Path, tmp_path: Path) -> None:
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SESSIONS_", "DAGSTER_", "PYTHON"))
        },
        "HOME": str(tmp_path / "home"),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    elsewhere = tmp_path / "elsewhere"
    for folder in (tmp_path / "home", elsewhere):
        folder.mkdir()
    venv.create(tmp_path / "venv", with_pip=False)
    bin_ = tmp_path / "venv" / "bin"

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done.stdout

    wheel = next(built.glob("*.whl"))
    run(UV, "pip", "install", "--quiet", "--python", bin_ / "python", f"{wheel}[all]")  # as pip does, in seconds
    assert "nothing lost, 0 rows unaccounted for" in run(bin_ / "sessions-platform", "demo")
    run(bin_ / "sessions-platform", "report", "web_shop", "--html", "report.html")
    assert (elsewhere / "report.html").stat().st_size > 100_000
    run(bin_ / "sessions-platform", "doctor")
    run(bin_ / "python", "-c", SCRIPT.format(project=str(PROJECT)))
    assert [file.name for file in elsewhere.iterdir()] == ["report.html"]
