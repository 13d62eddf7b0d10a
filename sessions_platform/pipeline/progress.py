"""How far long work is, for whoever watches: which part of it, how much of that is done, and how many rows.

The work says `steps(…)` where it loops and `count(…)` where it has rows; both do nothing while nobody watches. Here
belongs counting. Not here: how it is shown (`cli/progress.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """Where the work is.

    Attributes:
        what: the outermost part that is being done, as "validating".
        fraction: of that part, from 0 to 1; parts within parts count.
        rows: rows that were processed since that part began.
    """

    what: str
    fraction: float
    rows: int


Watcher = Callable[[Progress | None], None]


@dataclass(eq=False)  # an equal level is not the same
class _Level:
    what: str
    total: int
    done: int = 0


class _Work:
    """What is being done in this process; rows may be counted by threads."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._levels: list[_Level] = []
        self._rows = 0
        self._lock = Lock()

    def begin(self, what: str, total: int) -> _Level:
        level = _Level(what, total)
        with self._lock:
            if not self._levels:
                self._rows = 0
            self._levels.append(level)
        self._tell()
        return level

    def advance(self, level: _Level, done: int) -> None:
        level.done += done
        self._tell()

    def end(self, level: _Level) -> None:
        with self._lock:
            if level in self._levels:
                del self._levels[self._levels.index(level) :]
            is_over = not self._levels
        if is_over:
            self._watcher(None)

    def count(self, rows: int) -> None:
        with self._lock:
            self._rows += rows
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            if not self._levels:
                return
            fraction, share = 0.0, 1.0
            for level in self._levels:
                share /= max(level.total, 1)
                fraction += share * level.done
            progress = Progress(self._levels[0].what, min(fraction, 1.0), self._rows)
        self._watcher(progress)


_work: _Work | None = None


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell a watcher of the work that this process does until the block ends.

    Args:
        watcher: called often, from any thread, so it has to be quick; with None as a part ends.
    """
    global _work  # noqa: PLW0603  rows are counted in threads, which no context variable reaches
    before, _work = _work, _Work(watcher)
    try:
        yield
    finally:
        _work = before


def steps(what: str, items: Sequence[Item]) -> Iterator[Item]:
    """The items; each counts as done when the next one is asked for.

    Args:
        what: is done to them, as "validating"; within other steps, it is not told.
        items: alike in size, as far as one knows.
    """
    work = _work
    if work is None:
        yield from items
        return
    level = work.begin(what, len(items))
    try:
        for item in items:
            yield item
            work.advance(level, 1)
    finally:
        work.end(level)


@contextmanager
def portions(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """For work that is done in portions: call the result with how many of the total are done, each time some are."""
    work = _work
    if work is None:
        yield lambda _done: None
        return
    level = work.begin(what, total)
    try:
        yield lambda done: work.advance(level, done)
    finally:
        work.end(level)


def count(rows: int) -> None:
    """Say that so many rows more were processed."""
    if _work is not None:
        _work.count(rows)
