"""Measure a program with all processes that come of it, of which some outlive the one that started them.

A JVM and its Python workers are not waited for by the program that uses them, so its own figures lack theirs. Here they
become children of the one that measures, which waits for all. Linux only.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Failed, Run

_PR_SET_CHILD_SUBREAPER = 36
_LOOKED_EVERY = 1.0  # seconds; looking costs as much as a small process
_ENDS_WITHIN = 30  # seconds after the program; then what is left of it is killed


def run(command: Sequence[str]) -> Run:
    """Run a command with all that it starts.

    Returns:
        Seconds of the command; CPU seconds of all processes; the most memory that they had together, where what several
        share counts once; and the JSON that the command printed. Raises Failed where it ends with an error.
    """
    taken = measure.run(measure.program("process_tree", "whole", command=list(command))).output
    return Run(taken["wall"], taken["cpu"], taken["peak"], output=taken["output"])


def whole(command: Sequence[str]) -> dict[str, Any]:
    """Run the command in this process, whose only children are of it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        started = time.monotonic()
        child = subprocess.Popen(command, cwd=measure.PROJECT, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        code, wall, peak = None, 0.0, 0
        while _is_any_left():
            peak = max(peak, sum(map(_memory, _descendants())))
            ended = _reaped()
            if code is None and child.pid in ended:
                code, wall = ended[child.pid], time.monotonic() - started
            elif code is not None and time.monotonic() - started - wall > _ENDS_WITHIN:
                _kill_the_rest()
            time.sleep(_LOOKED_EVERY)
        child.returncode = code
        if code:
            errors.seek(0)
            raise Failed(f"{' '.join(command)[:300]} ended with code {code}:\n{errors.read()[-3000:].decode()}")
        out.seek(0)
        output = json.loads(out.read().strip().rpartition(b"\n")[2])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak": peak, "output": output}


def _is_any_left() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _reaped() -> dict[int, int]:
    """The codes of children that have ended, by process."""
    ended: dict[int, int] = {}
    while _is_any_left():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            break
        ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def _kill_the_rest() -> None:
    for pid in _descendants():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for parent, pid in _processes():
        children.setdefault(parent, []).append(pid)
    found, unseen = [], [os.getpid()]
    while unseen:
        of = children.get(unseen.pop(), [])
        found += of
        unseen += of
    return found


def _processes() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield int((folder / "stat").read_text().rpartition(")")[2].split()[1]), int(folder.name)
        except OSError:  # it has ended meanwhile
            continue


def _memory(pid: int) -> int:
    """Bytes of memory; of what processes share, a share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
