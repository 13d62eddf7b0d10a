"""What can be recorded, by name: each installs its tools, runs them and writes a folder of fixtures.

A new kind of tool is a recorder here, and a folder with what it runs.
"""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import Any

from sessions_platform_tests.tools import server_sdks
from sessions_platform_tests.tools.browser_sdks import SDKS, Sdk, events_of, part
from sessions_platform_tests.tools.failing_server import MODES
from sessions_platform_tests.tools.web_servers import run as web_servers

# Who logs in on the scripted days.
PEOPLE = ("ann", "bob")
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Recorder:
    """`record(into, installed, newest)` writes files; `summary` is what of a file has to stay as it is, in lines."""

    record: Callable[[Path, Path, bool], None]
    summary: Callable[[Path], list[str]]


def node_project(name: str, installed: Path, newest: bool) -> Path:
    """A copy of the Node.js project of this name with what its lock lists, or the newest of it, installed."""
    shutil.copytree(
        HERE / name, installed, ignore=shutil.ignore_patterns("node_modules", "__pycache__"), dirs_exist_ok=True
    )
    quietly = ("--no-fund", "--no-audit", "--loglevel=error")
    run(installed, "npm", "ci", *quietly)
    if newest:
        sdks = loads((installed / "package.json").read_text(encoding="utf-8"))["dependencies"]
        run(installed, "npm", "install", *quietly, *(f"{sdk}@latest" for sdk in sdks))
    return installed


def run(folder: Path, *command: str) -> None:
    """Run it there; what it prints is shown."""
    program = shutil.which(command[0])
    if program is None:
        raise SystemExit(f"{command[0]} is needed and not installed")
    if subprocess.run([program, *command[1:]], cwd=folder, check=False).returncode:
        raise SystemExit(f"{' '.join(command[:2])} failed")


def _record_browser(into: Path, installed: Path, newest: bool) -> None:
    run(node_project("browser", installed, newest), "node", "record.mjs", str(into))


def browser_summary(file: Path) -> list[str]:
    """Of a file of bodies: which events were sent in which session of which device, and the fields of each.

    Devices and sessions are numbered in the order in which they are seen. An event is there once: tabs that share a
    queue send what is in it as often as it happens.
    """
    sdk = SDKS.get(file.name.split(".")[0])
    if sdk is None:
        return file.read_text(encoding="utf-8").splitlines()
    devices: dict[str, int] = {}
    sessions: dict[str, int] = {}
    once = {part(event, sdk.event_id): event for event in events_of(sdk, file)}
    return [_event_line(event, sdk, devices, sessions) for event in once.values()]


def _event_line(event: dict[str, Any], sdk: Sdk, devices: dict[str, int], sessions: dict[str, int]) -> str:
    device, session = str(part(event, sdk.device)), str(part(event, sdk.session))
    placed = [devices.setdefault(device, len(devices) + 1), sessions.setdefault(device + session, len(sessions) + 1)]
    said = [part(event, path) for path in (sdk.time, sdk.type, sdk.step)]
    user = part(event, sdk.user)
    return dumps([*placed, *said, user if user in PEOPLE else "nobody", *_fields(event)], ensure_ascii=False)


def _fields(event: dict[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in sorted(event.items()):
        names += _fields(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return names


def _record_server(into: Path, installed: Path, newest: bool) -> None:
    project = node_project("server", installed, newest)
    python, versions = _python_project(project, newest)
    sdks = loads((project / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for sdk in sdks:
        package = loads((project / "node_modules" / sdk / "package.json").read_text(encoding="utf-8"))
        versions[f"npm {sdk}"] = package["version"]
    (into / "versions.json").write_text(dumps(versions, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    server_sdks.record(into, project, python)


def _python_project(project: Path, newest: bool) -> tuple[Path, dict[str, str]]:
    """An environment with what `requirements.txt` lists, or the newest of it, and the versions."""
    python = project / "venv" / "bin" / "python"
    listed = (project / "requirements.txt").read_text(encoding="utf-8").split()
    names = [requirement.partition("==")[0] for requirement in listed]
    uv = str(HERE.parents[1] / ".tools" / "bin" / "uv")
    run(project, uv, "venv", "--quiet", "--clear", "--python", sys.executable, "venv")
    run(project, uv, "pip", "install", "--quiet", "--python", str(python), *(names if newest else listed))
    asked = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    answer = subprocess.run([python, "-c", asked, *names], capture_output=True, text=True, check=True).stdout
    return python, {f"PyPI {name}": version for name, version in loads(answer).items()}


def server_summary(file: Path) -> list[str]:
    """Of the bodies of an SDK: by mode each event, how often it came, its fields, and the values that it was given."""
    if file.stem not in server_sdks.SDKS:
        return file.read_text(encoding="utf-8").splitlines()
    lines: list[str] = []
    for mode in MODES:
        events = server_sdks.sent(file, mode)
        came = Counter(server_sdks.id_of(file.stem, event) for event in events)
        once = {server_sdks.id_of(file.stem, event): event for event in events}
        tool = server_sdks.tool_of(file.stem)
        lines += sorted(f"{mode} {came[key]} {_shape(event, tool)}" for key, event in once.items())
    return lines


def _shape(event: dict[str, Any], tool: server_sdks.Tool) -> str:
    values = part(event, tool.values) if tool.values else None
    return dumps([part(event, tool.type), *_fields(event), values], ensure_ascii=False)


def _record_web_servers(into: Path, installed: Path, newest: bool) -> None:
    _python_project(node_project("web_servers", installed, newest), newest)
    web_servers.record(into, installed)


RECORDERS: dict[str, Recorder] = {
    "browser": Recorder(_record_browser, browser_summary),
    "server": Recorder(_record_server, server_summary),
    "web_servers": Recorder(_record_web_servers, web_servers.summary),
}
