"""The progress of long commands on a terminal: what is done, how much of it, rows, rows a second and time left.

It is on standard error, from the third second on, and gone when the command ends. Where standard error is no terminal,
or NO_COLOR, CI or TERM=dumb asks for quiet, nothing is shown. Not here: what there is to count, which is in
`pipeline/progress.py`.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sessions_platform.cli import terminal
from sessions_platform.settings import logs_are_json

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from sessions_platform.pipeline.progress import Progress

_QUIET_SECONDS = 2.0


@contextmanager
def shown_progress() -> Iterator[None]:
    """Show how far the work of the block is, once it takes more than two seconds."""
    if logs_are_json(os.environ) or not terminal.is_live(sys.stderr):
        yield
        return
    from rich.console import Console
    from rich.progress import Progress

    from sessions_platform.pipeline.progress import watched

    columns = "{task.description}", "{task.percentage:>3.0f}%", "{task.fields[said]}"
    # A stream of its own: Dagster keeps what a step writes to standard error as the step's log.
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as stream:
        console = Console(file=stream)
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
            shown = _Shown(bar, bar.add_task("", total=1.0, visible=False, said=""))
            with watched(shown.show):
                yield


class _Shown:
    """The bar, and since when its part of the work is done."""

    def __init__(self, bar: "Bar", task: "TaskID") -> None:
        self._bar, self._task = bar, task
        self._command_began = time.monotonic()
        self._what, self._began = "", 0.0

    def show(self, progress: "Progress | None") -> None:
        """Show this progress in place of the one before; nothing for None."""
        now = time.monotonic()
        if progress is None:
            self._what = ""
            self._bar.update(self._task, visible=False)
            return
        if progress.what != self._what:
            self._what, self._began = progress.what, now
        self._bar.update(
            self._task,
            description=progress.what,
            completed=progress.fraction,
            visible=now - self._command_began > _QUIET_SECONDS,
            said=said(progress, now - self._began),
        )


def said(progress: "Progress", seconds: float) -> str:
    """Rows, rows a second, and about how long the part will take, judged by how long it has taken so far."""
    words = []
    if progress.rows:
        words.append(f"{progress.rows:,} rows")
        if seconds >= 1:
            words.append(f"{progress.rows / seconds:,.0f} rows/s")
    if 0 < progress.fraction < 1:
        left = round(seconds * (1 - progress.fraction) / progress.fraction)
        words.append(f"about {left // 60}:{left % 60:02} left")
    return ", ".join(words)
