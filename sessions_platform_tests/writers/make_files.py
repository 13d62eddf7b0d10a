"""Installs the writers of one language each in a temporary folder, and makes their files.

`python -m sessions_platform_tests.writers.make_files` makes all of `files` anew, for the versions that are named here,
in `programs/java/pom.xml` and in `programs/js/package.json`; DuckDB and pyarrow are those of this environment.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
FILES = HERE / "files"
PROGRAMS = HERE / "programs"
SPARK = "4.3.0"
_UV = HERE.parents[1] / ".tools" / "bin" / "uv"


class UnavailableError(Exception):
    """A tool is missing, or a registry is out of reach."""


def by_python(folder: Path) -> None:
    """Files of DuckDB and pyarrow."""
    _run(sys.executable, PROGRAMS / "python_writers.py", folder)


def by_java(folder: Path) -> None:
    """Files of parquet-java and Avro for Java, with libraries of Maven Central."""
    _needs("java", "javac", "mvn")
    with tempfile.TemporaryDirectory() as libraries:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={libraries}"]
        _install("mvn", "-q", "-B", "-f", PROGRAMS / "java" / "pom.xml", *goal)
        _run("java", "-cp", f"{libraries}/*", PROGRAMS / "java" / "Writers.java", folder)


def by_spark(folder: Path) -> None:
    """Files of Spark, from PyPI."""
    _needs("java", str(_UV))
    with tempfile.TemporaryDirectory() as environment:
        _install(_UV, "venv", "-q", "--clear", "-p", sys.executable, environment)
        python = Path(environment) / "bin" / "python"
        _install(_UV, "pip", "install", "-q", "-p", python, f"pyspark=={SPARK}")
        _run(python, PROGRAMS / "spark_writer.py", folder, TZ="UTC", SPARK_LOCAL_IP="127.0.0.1")


def by_javascript(folder: Path) -> None:
    """Files of three writers from npm."""
    _needs("node", "npm")
    with tempfile.TemporaryDirectory() as project:
        shutil.copytree(PROGRAMS / "js", project, dirs_exist_ok=True)
        _install(
            "npm", "install", "--prefix", project, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"
        )
        _run("node", Path(project) / "writers.mjs", folder)


MAKERS: dict[str, Callable[[Path], None]] = {
    "python": by_python,
    "java": by_java,
    "spark": by_spark,
    "javascript": by_javascript,
}


def _needs(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is not installed")


def _install(*command: str | Path) -> None:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
        raise UnavailableError(f"{Path(command[0]).name} can't install: {''.join(last)}")


def _run(*command: str | Path, **environment: str) -> None:
    """Run a writer. Raises CalledProcessError, with its output on standard error."""
    subprocess.run(list(map(str, command)), env={**os.environ, **environment}, stdout=sys.stderr, check=True)


if __name__ == "__main__":
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    for make in MAKERS.values():
        make(FILES)
