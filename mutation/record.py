"""Which tests execute a line, and how long each takes: one run of the suite under coverage, kept in a folder.

It is valid as long as the package is unchanged; test files that are new or have changed are run again.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from coverage import CoverageData
from coverage.exceptions import CoverageException

from mutation.plugin import FOLDER
from mutation.sites import Mutant, uses

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = "sessions_platform", "sessions_platform_tests"
PYTEST = [sys.executable, "-m", "pytest", "-p", "mutation.plugin", "-p", "no:cacheprovider", "-q", "--no-header"]
_FEW = 5
MARKS = {False: "not slow and not browser", True: "slow and not browser"}


@dataclass
class Record:
    """`tests` by id; `lines` from "file:line" to the ids of tests and keys of fixtures that execute it."""

    package: str = ""
    files: dict[str, str] = field(default_factory=dict)
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)

    def covering(self, mutant: Mutant, root: Path) -> list[str]:
        """The tests that execute a mutant's lines, the quickest first, without those that fail without it.

        For code that runs at import, these are the tests of the functions that use it. If they are few, a result may
        be cached for other tests, so all tests of the same files are taken.
        """
        lines = [f"{mutant.path}:{line}" for line in mutant.lines]
        if mutant.names:
            lines += [f"{path}:{line}" for path, line in uses(root, PACKAGE, mutant.names)]
        contexts = {context for line in lines for context in self.lines.get(line, ())}
        passing = {name: test for name, test in self.tests.items() if not test["failed"]}
        covering = {name for name, test in passing.items() if not contexts.isdisjoint([name, *test["fixtures"]])}
        if len(covering) < _FEW:
            files = {name.partition("::")[0] for name in covering}
            covering = {name for name in passing if name.partition("::")[0] in files}
        return sorted(covering, key=lambda name: (passing[name]["seconds"], name))


def record_suite(copy: Path, folder: Path, jobs: int, *, slow: bool) -> Record:
    """The record of a suite, updated by running the test files that have changed, in a copy of the checkout."""
    stored = folder / ("slow.json" if slow else "quick.json")
    known = Record(**json.loads(stored.read_text())) if stored.exists() else Record()
    package = _digest((copy / PACKAGE).rglob("*.py"))
    files = {path.relative_to(copy).as_posix(): _digest([path]) for path in (copy / TESTS).rglob("test_*.py")}
    if known.package != package:
        known = Record(package)
    changed = sorted(file for file, digest in files.items() if known.files.get(file) != digest)
    if changed:
        gone = {name for name in known.tests if name.partition("::")[0] in {*changed, *known.files.keys() - files}}
        known.tests = {name: test for name, test in known.tests.items() if name not in gone}
        _run(copy, folder / "recording", changed, jobs, slow=slow)
        _merge(known, folder / "recording", copy)
        known.files = files
        stored.write_text(json.dumps(vars(known)))
    return known


def environment(copy: Path) -> dict[str, str]:
    """The environment of a copy: it and its processes import the copy, and random tests have a fixed seed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    data = {"SESSIONS_TEST_DATA": str(ROOT.parent / "shared" / "data"), **inherited}
    return {**data, "PYTHONPATH": str(copy), "SESSIONS_TEST_SEED": "1"}


def _run(copy: Path, recording: Path, files: Sequence[str], jobs: int, *, slow: bool) -> None:
    shutil.rmtree(recording, ignore_errors=True)
    recording.mkdir(parents=True)
    command = [*PYTEST, "-n", str(jobs), "--hypothesis-seed=0", "-m", MARKS[slow], *files]
    with (recording / "output").open("w") as output:
        code = subprocess.run(
            command,
            cwd=copy,
            env={**environment(copy), FOLDER: str(recording)},
            stdout=output,
            stderr=output,
            check=False,
        ).returncode
    if code not in (0, 1, 5):
        raise SystemExit(f"The tests could not be recorded: {recording / 'output'} says why.")


def _merge(known: Record, recording: Path, copy: Path) -> None:
    for notes in recording.glob("tests.*"):
        known.tests |= {note.pop("id"): note for note in map(json.loads, notes.read_text().splitlines())}
    for path in recording.glob(".coverage.*"):
        data = CoverageData(str(path))
        with suppress(CoverageException):  # of a process that was killed while it wrote
            data.read()
        for file in data.measured_files():
            for line, contexts in data.contexts_by_lineno(file).items():
                key = f"{Path(file).relative_to(copy).as_posix()}:{line}"
                known.lines[key] = sorted({*known.lines.get(key, ()), *contexts} - {""})


def _digest(paths: Iterable[Path]) -> str:
    return sha256(b"\0".join(path.read_bytes() for path in sorted(paths))).hexdigest()
