"""What a worker does on its host: runs of Dagster for ranges of partitions, one after another.

``python -m sessions_platform_tests.servers.host_work JOB=FIRST...LAST …``. With the variable PAUSE_AT it says `paused`
before it publishes (`publish`) or while it holds the stream's lock (`lock`), once, and goes on after a line of input.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from sessions_platform.errors import RunFailedError
from sessions_platform.orchestration.runs import runner
from sessions_platform.pipeline import publish
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform_tests.faults.workload import STREAM


def _pausing(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, which the first time waits before it begins."""
    pauses = iter([True])

    def called(*arguments: Any, **named: Any) -> Any:
        if next(pauses, False):
            sys.stdout.write("paused\n")
            sys.stdout.flush()
            sys.stdin.readline()
        return call(*arguments, **named)

    return called


def main(*works: str) -> None:
    """Do the runs; what fails is said, and ends the worker with exit code 1."""
    if "FAKETIME" in os.environ:
        # libfaketime takes a sleep of Python for one until a moment of the wrong clock, and the kernel refuses it
        time.sleep = lambda seconds: threading.Event().wait(float(seconds)) or None
    places: dict[str, tuple[Any, str]] = {"publish": (publish, "_publish"), "lock": (Ledger, "publish")}
    if at := os.environ.get("PAUSE_AT"):
        owner, name = places[at]
        setattr(owner, name, _pausing(getattr(owner, name)))
    with runner(Settings.from_environment()) as started:
        for work in works:
            job, _, partitions = work.partition("=")
            first, _, last = partitions.partition("...")
            started.run(f"{STREAM}__{job}", (first, last))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RunFailedError as failed:
        sys.stderr.write(f"{failed}\n")
        raise SystemExit(1) from None
