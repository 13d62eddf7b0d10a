"""Which tests execute a line, and how long each takes: one run of the suite under coverage, kept in a folder.

It is kept for as long as the package stays as it is; files of tests that are new or were changed are run anew.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from coverage import CoverageData

from mutation.plugin import FOLDER
from mutation.sites import Mutant, uses

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
        """The tests that reach a mutant's lines, the quickest first; those that failed without it are left out.

        What runs at import is reached by tests of the functions that use it. What only a few tests reach may have
        been made once and kept for the others of their files, so these are taken too.
        """
        places = [f"{mutant.path}:{line}" for line in mutant.lines]
        if mutant.names:
            places += [f"{path}:{line}" for path, line in uses(root, PACKAGE, mutant.names)]
        contexts = {context for place in places for context in self.lines.get(place, ())}
        passing = {name: test for name, test in self.tests.items() if not test["failed"]}
        found = {name for name, test in passing.items() if not contexts.isdisjoint([name, *test["fixtures"]])}
        if len(found) < _FEW:
            files = {name.partition("::")[0] for name in found}
            found = {name for name in passing if name.partition("::")[0] in files}
        return sorted(found, key=lambda name: (passing[name]["seconds"], name))


def record(copy: Path, folder: Path, jobs: int, *, slow: bool) -> Record:
    """What is known of a suite, brought up to date by running in a copy of the checkout what has changed."""
    kept = folder / ("slow.json" if slow else "quick.json")
    known = Record(**json.loads(kept.read_text())) if kept.exists() else Record()
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
        kept.write_text(json.dumps(vars(known)))
    return known


def environment(copy: Path) -> dict[str, str]:
    """In which a copy imports itself, processes that it starts too, and random tests are the same each time."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(copy), "SESSIONS_TEST_SEED": "1"}


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
        data.read()
        for file in data.measured_files():
            for line, contexts in data.contexts_by_lineno(file).items():
                place = f"{Path(file).relative_to(copy).as_posix()}:{line}"
                known.lines[place] = sorted({*known.lines.get(place, ()), *contexts} - {""})


def _digest(paths: Iterable[Path]) -> str:
    return sha256(b"\0".join(path.read_bytes() for path in sorted(paths))).hexdigest()
