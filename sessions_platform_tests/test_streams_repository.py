"""The example repository of streams does what its workflow says: its commands run as they stand in the file.

The platform is the wheel of this checkout, in an environment that has nothing else. `pip` is uv's there, which takes
seconds; all other commands are what they are on GitHub. Not run: the job `deploy`, and the Jenkinsfile.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessions_platform_tests.servers.installs import from_go
from sessions_platform_tests.test_docs import PROJECT
from sessions_platform_tests.test_wheel import OURS, UV, built

__all__ = ["built"]

EXAMPLE = PROJECT / "deploy" / "streams-repository"
WORKFLOW = EXAMPLE / ".github" / "workflows" / "streams.yaml"
STEPS: list[dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text())["jobs"]["test"]["steps"]
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
# Of the sample, with a gap of 30 minutes and of 10.
SESSIONS, WITH_A_SHORT_GAP = 5, 8


class Repository:
    """A clone of the example, in which a branch has changed a stream, and an environment without packages."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder, self.bin = folder / "clone", folder / "venv" / "bin"
        shutil.copytree(EXAMPLE, folder / "upstream")
        self._git(folder / "upstream", "init", "--quiet")
        self._git(folder / "upstream", "add", "--all")
        self._git(folder / "upstream", "commit", "--quiet", "--message", "Streams")
        self._git(folder, "clone", "--quiet", "upstream", "clone")
        stream = self.folder / "streams" / "shop.yaml"
        stream.write_text(stream.read_text().replace("gap: 30m", "gap: 10m"))
        self._git(self.folder, "commit", "--quiet", "--all", "--message", "Let ten minutes end a session")
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, self.bin.parent], check=True)
        (self.bin / "pip").write_text(f'#!/bin/sh\nVIRTUAL_ENV={self.bin.parent} exec {UV} pip "$@"\n')
        (self.bin / "pip").chmod(0o755)
        self.summary = folder / "summary.md"
        self.summary.touch()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith((*OURS, "VIRTUAL_ENV"))},
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "UV_FIND_LINKS": str(wheels),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            **self._stated(yaml.safe_load(WORKFLOW.read_text())["env"]),
        }

    def run(self, step: dict[str, Any]) -> str:
        """Run a step as GitHub does where it states no shell."""
        return self.shell(step["run"], self._stated(step.get("env", {})))

    def shell(self, commands: str, variables: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=self.folder,
            env={**self.environment, **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout

    def _stated(self, variables: dict[str, str]) -> dict[str, str]:
        known = {"github.workspace": str(self.folder), "github.base_ref": "main"}
        return {
            name: re.sub(r"\$\{\{ ([a-z_.]+) \}\}", lambda found: known[found[1]], text)
            for name, text in variables.items()
        }

    @staticmethod
    def _git(folder: Path, *arguments: str) -> None:
        subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True)


@pytest.mark.servers
@pytest.mark.xdist_group("wheel")
def test_each_command_of_the_workflow_runs_on_a_pull_request(built: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path, built)
    said = {step.get("name", step["run"]): repository.run(step) for step in STEPS if "run" in step}
    assert "shop" in said["sessions-platform check"]
    summary = repository.summary.read_text()
    assert summary.startswith("### shop\n```\n")
    assert re.search(rf"sessions +{SESSIONS} +{WITH_A_SHORT_GAP}\n", summary)
    document = json.loads(repository.shell("sessions-platform status shop --json"))
    (shop,) = document if isinstance(document, list) else [document]
    assert (shop["sessions"], shop["hints"]) == (WITH_A_SHORT_GAP, [])


def test_the_workflow_has_actions_for_python_and_the_checkout_and_commands_for_all_else() -> None:
    actions = {step["uses"].partition("@")[0] for step in STEPS if "uses" in step}
    assert actions == {"actions/checkout", "actions/setup-python"}
    commands = "\n".join(step["run"] for step in STEPS if "run" in step)
    for wanted in ("sessions-platform check", "sessions-platform diff", "dagster asset materialize", "dg launch"):
        assert wanted in commands


def test_the_example_names_the_version_and_the_hook_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    requirements = (EXAMPLE / "requirements.txt").read_text()
    assert f"\nsessions-platform[ui]=={version[1]}\n" in requirements
    (used,) = yaml.safe_load((EXAMPLE / ".pre-commit-config.yaml").read_text())["repos"]
    (hook,) = yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text())
    assert (used["rev"], used["hooks"]) == (f"v{version[1]}", [{"id": hook["id"]}])
    assert all(re.search(hook["files"], str(file.relative_to(EXAMPLE))) for file in EXAMPLE.glob("streams/*"))
    samples = {folder.name for folder in (EXAMPLE / "sample").iterdir()}
    assert samples == {file.stem for file in (EXAMPLE / "streams").iterdir()}


@pytest.mark.servers
def test_actionlint_takes_the_workflow() -> None:
    actionlint = from_go("github.com/rhysd/actionlint@v1.7.12", "cmd/actionlint")
    done = subprocess.run([actionlint, WORKFLOW], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
