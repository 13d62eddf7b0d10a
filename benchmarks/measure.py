"""Run programs as whole processes, in turn, and measure time, CPU and memory of each.

Imports nothing large: a child's peak of memory includes its parent's memory at the fork.
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
    """A program ended with an error, or gave another answer than its peer; the message explains it."""


@dataclass(frozen=True)
class Run:
    """One run of one program: seconds, CPU seconds (user and system, children included), bytes of memory at most.

    `work` is the seconds after its imports, if the program marks that; `peak` is of its largest process. `output` is
    the JSON that it printed.
    """

    wall: float
    cpu: float
    peak: int
    work: float | None = None
    output: Mapping[str, Any] = field(default_factory=dict)


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
        output = _last_line(out.read())
    taken = Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, output=output)
    return _as_marked(taken, started, output.pop("marks", {}))


def _last_line(printed: bytes) -> dict[str, Any]:
    last = printed.strip().rpartition(b"\n")[2]
    return json.loads(last) if last.startswith(b"{") else {}


def _as_marked(taken: Run, started: float, marks: Mapping[str, Any]) -> Run:
    """The figures up to the mark `done`, for a program that computes its answer after its work."""
    done, ready = marks.get("done"), marks.get("ready")
    if done:
        taken = Run(done["at"] - started, done["cpu"], done["peak"], output=taken.output)
    work = started + taken.wall - ready["at"] if ready else None
    return Run(taken.wall, taken.cpu, taken.peak, work, taken.output)


# In the child

_marks: dict[str, dict[str, float]] = {}


def mark(name: str) -> None:
    """Record what this process has used so far: `ready` after its imports, `done` before it computes its answer."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    peak = max(own.ru_maxrss, children.ru_maxrss) * 1024
    _marks[name] = {"at": time.monotonic(), "cpu": cpu, "peak": peak}


def marks() -> dict[str, dict[str, float]]:
    return _marks
