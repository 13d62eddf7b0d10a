"""Where the time of a run goes: `python -m benchmarks.phases FILE STARTED asset materialize …` is dagster with clocks.

Functions of the platform are put behind clocks in this process alone. A thread works for the phase of the function
that it is in, the innermost of those with clocks; phases that are worked for at the same time share it in equal parts.
While the lake waits for the next frame it does not write. So all phases together are the time that the run took.
"""

import functools
import importlib
import inspect
import json
import runpy
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Failed
from sessions_platform.allocator import configure_allocator

START, REST, WRITE = "Dagster's start", "rest", "write"
PHASES = {
    "read": ("pipeline.ingest:ingest", "sources.files.reader:FileReading.__iter__", "storage.lake.lake:Lake.blocks"),
    "parse": ("transforms.parse.parse:parse_and_observe",),
    "validate": (
        "transforms.validate:validate",
        "transforms.rejections:rejections",
        "pipeline.deduplicate:ValidatedRows.add",
        "pipeline.deduplicate:ValidatedRows.events",
        "operations.audit:audit_sample",
        "pipeline.quality:ValidationChecks.add",
        "pipeline.quality:ContractCheck.add_dataset",
        "pipeline.quality:ContractCheck.add_rows",
    ),
    "sessionize": (
        "engines.polars:PolarsEngine._bucket_readers",
        "transforms.sessionize:_read_sorted",
        "transforms.sessionize:_sessionized",
        "transforms.sessionize:affected_partitions",
        "transforms.summarize:summarize",
    ),
    WRITE: ("storage.lake.lake:Lake.write",),
    "load": ("pipeline.load:load_sessions", "pipeline.publish:publish"),
}
ORDER = (START, *PHASES, REST)


class Clocks:
    """Seconds by phase, from `started` on the monotonic clock. What comes before the first function is the start."""

    def __init__(self, started: float) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._since, self._outside = started, START
        self._stacks: dict[int, list[str]] = defaultdict(list)  # of each thread, the innermost phase last
        self._waiting = 0  # frames that are being made to be written
        self._turn = threading.Lock()

    @contextmanager
    def running(self, phase: str) -> Iterator[None]:
        with self._passing():
            self._outside = REST
            stack = self._stacks[threading.get_ident()]
            stack.append(phase)
        try:
            yield
        finally:
            with self._passing():
                stack.pop()

    def made(self, frames: Iterable[Any]) -> Iterator[Any]:
        """The same frames, for which a writer waits."""
        coming, nothing = iter(frames), object()
        while True:
            with self._passing():
                self._waiting += 1
            try:
                frame = next(coming, nothing)
            finally:
                with self._passing():
                    self._waiting -= 1
            if frame is nothing:
                return
            yield frame

    @contextmanager
    def _passing(self) -> Iterator[None]:
        """Share the time since the last change among the phases; one change at a time."""
        with self._turn:
            now, at_work = time.monotonic(), {stack[-1] for stack in self._stacks.values() if stack}
            if self._waiting:
                at_work.discard(WRITE)
            at_work = at_work or {self._outside}
            for phase in at_work:
                self.seconds[phase] += (now - self._since) / len(at_work)
            self._since = now
            yield

    def by_phase(self) -> dict[str, float]:
        with self._passing():
            return {phase: self.seconds[phase] for phase in ORDER}

    def around(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        """The same function with a clock; of a generator, the time until each of its values."""

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self.running(phase):
                return function(*args, **kwargs)

        @functools.wraps(function)
        def written(lake: Any, folder: str, frames: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
            with self.running(phase):
                return function(lake, folder, self.made(frames), *args, **kwargs)

        @functools.wraps(function)
        def generated(*args: Any, **kwargs: Any) -> Iterator[Any]:
            values, nothing = iter(function(*args, **kwargs)), object()
            while True:
                with self.running(phase):
                    value = next(values, nothing)
                if value is nothing:
                    return
                yield value

        if phase == WRITE:
            return written
        return generated if inspect.isgeneratorfunction(function) else called


def functions() -> Iterator[tuple[str, Any, str]]:
    """Phase, owner and name of each. Raises Failed where the platform has none of that name."""
    for phase, names in PHASES.items():
        for name in names:
            module, _, path = name.partition(":")
            owner: Any = importlib.import_module(f"sessions_platform.{module}")
            *classes, last = path.split(".")
            try:
                owner = functools.reduce(getattr, classes, owner)
                getattr(owner, last)
            except AttributeError:
                raise Failed(f"benchmarks/phases.py: sessions_platform has no {name}; name what does it now.") from None
            yield phase, owner, last


def put_clocks(clocks: Clocks) -> None:
    """Wherever a module of the platform has one of the functions, it gets the one with a clock."""
    configure_allocator()  # before polars is imported
    importlib.import_module("sessions_platform.orchestration.build")  # and so all that runs
    modules = [module for name, module in sys.modules.items() if name.startswith("sessions_platform.")]
    for phase, owner, name in functions():
        function = getattr(owner, name)
        for holder in (owner, *modules):
            held = [key for key, value in vars(holder).items() if value is function]
            for key in held:
                setattr(holder, key, clocks.around(function, phase))


def main() -> None:
    file, clocks = Path(sys.argv[1]), Clocks(started=float(sys.argv[2]))
    sys.argv = ["dagster", *sys.argv[3:]]
    put_clocks(clocks)
    try:
        runpy.run_module("dagster", run_name="__main__")
    finally:
        file.write_text(json.dumps(clocks.by_phase()))


if __name__ == "__main__":
    main()
