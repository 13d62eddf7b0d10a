"""A server as a process of the demo's: started, waited for, and ended with the demo."""

import fcntl
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from sessions_platform.errors import UserError

_PATIENCE = 60  # seconds
_BETWEEN_LOOKS = 0.1


@contextmanager
def running(command: Sequence[str | Path], folder: Path, ready: Callable[[], bool], name: str) -> Iterator[None]:
    """Run a program within `with`; what it says is in `FOLDER/server.log`.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        ready: whether it answers; asked until it does.
        name: what people call it.

    Raises:
        UserError: it ends by itself, does not answer within a minute, or another process has the folder.
    """
    log = folder / "server.log"
    with _locked(folder) as lock:
        with log.open("wb") as said:
            process = subprocess.Popen(
                [str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,  # Ctrl-C is the demo's, which then ends it in order
                pass_fds=[lock.fileno()],  # so that the folder is locked while the server of a killed demo runs
            )  # fmt: skip
        try:
            _say_holder(lock, process.pid)
            _wait(process, ready, name, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _locked(folder: Path) -> Iterator[TextIO]:
    """Keep other demos away from a server's folder. Raises UserError where a process has it, and says which."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read()
            raise UserError(
                f"{folder} is used by process {holder}, of another demo, or the server of one that was killed. Fix: "
                f"wait until that demo has ended, or end the process (kill {holder}), and run again."
            ) from None
        _say_holder(lock, os.getpid())
        yield lock


def _say_holder(lock: TextIO, pid: int) -> None:
    lock.truncate(0)
    lock.write(str(pid))
    lock.flush()


def _wait(process: "subprocess.Popen[bytes]", ready: Callable[[], bool], name: str, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not ready():
        if process.poll() is not None:
            raise UserError(f"{name} ended as it started, with {process.returncode}. Fix: see {log}.")
        if time.monotonic() > end:
            raise UserError(f"{name} does not answer within {_PATIENCE} s. Fix: see {log}.")
        time.sleep(_BETWEEN_LOOKS)


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ports(folder: Path, *names: str) -> dict[str, int]:
    """A free port of the loopback for each name: those of the last time where they are free, since URLs have them.

    Raises:
        UserError: another process has the folder.
    """
    file, draft = folder / "ports.json", folder / ".ports.json.part"
    with _locked(folder):
        before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        probes = {name: _bound(before.get(name, 0)) for name in names}
        chosen = {name: probe.getsockname()[1] for name, probe in probes.items()}
        for probe in probes.values():
            probe.close()
        draft.write_text(json.dumps(chosen))
        draft.replace(file)
    return chosen


def _bound(port: int) -> socket.socket:
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.bind(("127.0.0.1", 0))
    return probe


@contextmanager
def filled_once(folder: Path) -> Iterator[bool]:
    """Whether a server still has to be filled; it counts as filled once `with` ends without an error."""
    mark = folder / "filled"
    yield not mark.exists()
    mark.touch()


def is_filled(folder: Path) -> bool:
    """Whether the server of this folder has the whole week."""
    return (folder / "filled").exists()
