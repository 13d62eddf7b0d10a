"""Where the time of a run goes: `python -m benchmarks.phases FILE STARTED asset materialize …` is dagster with clocks.

Functions of the platform are put behind clocks in this process alone. A phase has the time of its own: what one
function waits for another with a clock is that one's.
"""

import functools
import importlib
import inspect
import json
import runpy
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Failed

START, REST = "Dagster's start", "rest"
PHASES = {
    "read": ("journey.land:land", "sources.reading:FileReading.__iter__"),
    "parse": ("transforms.parse:parse_with_shape",),
    "validate": (
        "transforms.validate:judge",
        "transforms.validate:settle",
        "transforms.validate:rejections",
        "orchestration.checks:hold_judged",
        "orchestration.checks:hold_dataset_against",
        "orchestration.checks:hold_against",
    ),
    "sessionize": (
        "transforms.sessionize:sessionize_window",
        "transforms.sessionize:touched_partitions",
        "transforms.summarize:summarize",
    ),
    "write": ("storage.lake:Lake.write",),
    "load": ("journey.load:load_sessions", "journey.judge:publish"),
}
ORDER = (START, *PHASES, REST)


class Clocks:
    """Seconds by phase, from `started` on the monotonic clock. What comes before the first function is the start."""

    def __init__(self, started: float) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stack = [START]
        self._since = started

    def enter(self, phase: str) -> None:
        self._pass()
        self._stack[0] = REST
        self._stack.append(phase)

    def leave(self) -> None:
        self._pass()
        self._stack.pop()

    def _pass(self) -> None:
        now = time.monotonic()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def told(self) -> dict[str, float]:
        self._pass()
        return {phase: self.seconds[phase] for phase in ORDER}

    @contextmanager
    def running(self, phase: str) -> Iterator[None]:
        self.enter(phase)
        try:
            yield
        finally:
            self.leave()

    def around(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        """The same function with a clock; of a generator, the time until each of its values."""

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self.running(phase):
                return function(*args, **kwargs)

        @functools.wraps(function)
        def generated(*args: Any, **kwargs: Any) -> Iterator[Any]:
            values, nothing = iter(function(*args, **kwargs)), object()
            while True:
                with self.running(phase):
                    value = next(values, nothing)
                if value is nothing:
                    return
                yield value

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
        file.write_text(json.dumps(clocks.told()))


if __name__ == "__main__":
    main()
