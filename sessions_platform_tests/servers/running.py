"""A server as a process of the tests: started, killed with -9, started again on the same data."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

_PATIENCE = 120


def free_port() -> int:
    """A port of this machine's own address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A program that runs within `with`; its output is in `FOLDER/server.log`, its children end with it.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        ready: whether it answers; asked until it does.
        environment: what is set beside the tests' own environment.
        user: as whom it runs, for servers that refuse to run as root.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self.folder = folder
        self.ready = ready
        self.environment = {**os.environ, **(environment or {})}
        self.user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                start_new_session=True,
            )
        end = time.monotonic() + _PATIENCE
        while not self.ready():
            code = self._process.poll()
            assert code is None, f"{self.command[0]} ended with {code}: {self._last_words()}"
            assert time.monotonic() < end, f"{self.command[0]} does not answer: {self._last_words()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and its children at once, as a machine that loses its power does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _last_words(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]
