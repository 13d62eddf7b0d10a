"""Jobs that go wrong in a way that is stated, on the executors: they replace ``engines.spark.Job`` in tests."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from sessions_platform.engines.spark_tasks import Job


def planted(kind: type[Job], folder: Path) -> Callable[..., Job]:
    """What makes jobs of this class, which agree by files in the folder."""

    def make(*arguments: Any) -> Job:
        job = kind(*arguments)
        object.__setattr__(job, "notes", folder)
        return job

    return make


class Twice(Job):
    """Each task runs twice, as with speculation; Spark takes the second result."""

    def compute(self, group: pa.Table) -> pa.Table:
        super().compute(group)
        return super().compute(group)


class KilledOnce(Job):
    """The first task that has written its files kills its executor before it can tell."""

    notes: Path

    def compute(self, group: pa.Table) -> pa.Table:
        result = super().compute(group)
        if _is_first(self.notes):
            os.kill(_executor(), signal.SIGKILL)
        return result


class Overtaken(Job):
    """The first task that has written its files never ends, so that Spark starts another one in its place."""

    notes: Path

    def compute(self, group: pa.Table) -> pa.Table:
        result = super().compute(group)
        if _is_first(self.notes):
            threading.Event().wait()
        return result


class Waiting(Job):
    """The first task that has written its files says so in the pipe `written`, and waits for the pipe `released`."""

    notes: Path

    def compute(self, group: pa.Table) -> pa.Table:
        result = super().compute(group)
        if _is_first(self.notes):
            (self.notes / "written").write_text("written")
            (self.notes / "released").read_text()
        return result


def _is_first(folder: Path) -> bool:
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _executor() -> int:
    """The JVM above this Python worker; between them is the daemon that forked the worker."""
    pid = os.getpid()
    while Path(f"/proc/{pid}/comm").read_text().strip() != "java":
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid
