"""The moments at which a process makes something durable or visible, found by running it.

Here: the calls that count as commit points, wherever in the code they are made, and a process that kills or stops
itself at one of them. No list of places is kept: a call that is added or moved is a point at the next run. Not here:
what the process does (`workload.py`).
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg

PACKAGE = str(Path(__file__).parents[2] / "sessions_platform") + os.sep

WATCHED: list[tuple[Any, str]] = [
    (os, "fsync"),
    (os, "fdatasync"),
    (os, "link"),
    (os, "rename"),
    (os, "replace"),
    (psycopg.Cursor, "copy"),
    (psycopg.Copy, "finish"),
    (psycopg.Connection, "commit"),
]


with suppress(ImportError):  # it is in an extra
    from obstore.store import S3Store

    WATCHED += [(S3Store, "put"), (S3Store, "delete")]


class CommitPoints:
    """Counts a point before and after each watched call of this process, and sends it a signal at one of them.

    Args:
        at: the number of the point, from 1 on; 0 for none.
        number: of the signal.
    """

    def __init__(self, at: int = 0, number: int = signal.SIGKILL) -> None:
        self.names: list[str] = []
        self._at = at
        self._signal = number
        self._numbers = itertools.count(1)

    def watch(self) -> None:
        """Replace the watched functions of this process by ones that count, for as long as it lives."""
        for owner, name in WATCHED:
            setattr(owner, name, self._counting(getattr(owner, name), name))

    def _counting(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if args and isinstance(args[0], psycopg.Connection) and args[0].read_only:
                return function(*args, **named)  # it only read
            place = _caller(sys._getframe(1))
            self._pass(f"before {name} in {place}")
            result = function(*args, **named)
            self._pass(f"after {name} in {place}")
            return result

        return call

    def _pass(self, name: str) -> None:
        self.names.append(name)
        if next(self._numbers) == self._at:
            os.kill(os.getpid(), self._signal)


def _caller(frame: FrameType | None) -> str:
    """The functions of the platform that are running, from the innermost outwards, each as file:function."""
    functions: list[str] = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            functions.append(f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(functions) or "no function of the platform"
