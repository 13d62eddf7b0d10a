"""Run programs as whole processes, in turn, and say what each took.

Imports nothing heavy: what a child has as its peak of memory begins with its parent's when it is forked.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]


class Failed(Exception):
    """A program ended with an error, or gave another answer than its peer; the message is a plain sentence."""


@dataclass(frozen=True)
class Run:
    """One run of one program: seconds, CPU seconds (user and system, children included), bytes of memory at most.

    `work` are the seconds from when its imports were done, for a program that tells; `peak` is of its largest
    process. `told` is what it printed as JSON.
    """

    wall: float
    cpu: float
    peak: int
    work: float | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


def program(module: str, function: str, **arguments: Any) -> list[str]:
    """The command that calls a function of a module of this package, in a process of its own."""
    return [sys.executable, "-m", "benchmarks.child", module, function, json.dumps(arguments)]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, stdin: Path | None = None) -> Run:
    """Run a command from the project's root. Raises Failed where it ends with an error."""
    environment = dict(environment or os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process would compile its libraries anew
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        source = stdin.open("rb") if stdin else subprocess.DEVNULL
        started = time.monotonic()
        child = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdin=source, stdout=out, stderr=errors, start_new_session=True
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            last = errors.read()[-3000:].decode(errors="replace")
            raise Failed(f"{' '.join(command)[:300]} ended with code {child.returncode}:\n{last}")
        out.seek(0)
        told = _told(out.read())
    taken = Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, told=told)
    return _as_marked(taken, started, told.pop("marks", {}))


def _told(output: bytes) -> dict[str, Any]:
    last = output.strip().rpartition(b"\n")[2]
    return json.loads(last) if last.startswith(b"{") else {}


def _as_marked(taken: Run, started: float, marks: Mapping[str, Any]) -> Run:
    """A program that makes its answer after its work tells when the work was done, and with how much."""
    done, ready = marks.get("done"), marks.get("ready")
    if done:
        taken = Run(done["at"] - started, done["cpu"], done["peak"], told=taken.told)
    work = started + taken.wall - ready["at"] if ready else None
    return Run(taken.wall, taken.cpu, taken.peak, work, taken.told)


# In the child

_marks: dict[str, dict[str, float]] = {}


def mark(name: str) -> None:
    """Note what this process has taken so far: `ready` once imports are done, `done` before it makes its answer."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    peak = max(own.ru_maxrss, children.ru_maxrss) * 1024
    _marks[name] = {"at": time.monotonic(), "cpu": cpu, "peak": peak}


def marks() -> dict[str, dict[str, float]]:
    return _marks
