"""The command line in a real terminal: a process behind a pty of a given size, and what it printed there.

Here belongs the terminal. Not here: what is to be printed, which the tests say.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 120.0  # seconds until a process that prints nothing more is given up


@dataclass(frozen=True)
class Printed:
    """Everything that a terminal got, standard error too, and the exit code."""

    text: str
    code: int

    @property
    def lines(self) -> list[str]:
        return self.text.replace("\r\n", "\n").splitlines()


class Terminal:
    """A process whose standard streams are a terminal."""

    def __init__(self, arguments: list[str], *, columns: int, lines: int, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, env=dict(environment), start_new_session=True
        )
        os.close(slave)
        self._text = b""

    def until(self, text: str) -> None:
        """Wait until the terminal has got this text."""
        deadline = time.monotonic() + _PATIENCE
        while text.encode() not in self._text:
            assert time.monotonic() < deadline, self._text.decode(errors="replace")
            assert self._read(), self._text.decode(errors="replace")

    def interrupt(self) -> None:
        """What Ctrl-C does: the signal goes to the whole group."""
        os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> Printed:
        """Wait for the end of the process."""
        while self._read():
            pass
        code = self._process.wait(_PATIENCE)
        os.close(self._master)
        return Printed(self._text.decode(), code)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], _PATIENCE)
        assert ready, self._text.decode(errors="replace")
        try:
            some = os.read(self._master, 1 << 16)
        except OSError:  # so Linux tells the end
            return False
        self._text += some
        return bool(some)


def command(*arguments: str) -> list[str]:
    """The command line of this environment."""
    return [str(Path(sys.executable).with_name("sessions-platform")), *arguments]


def environment(home: Path, **others: str) -> dict[str, str]:
    """This process's environment for a home of its own, with nothing that asks for colours or a size."""
    unwanted = {"NO_COLOR", "CI", "COLUMNS", "LINES", "TERM", "FORCE_COLOR"}
    unwanted |= {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "TERM": "xterm-256color", "SESSIONS_HOME": str(home), **others}


def in_terminal(home: Path, *arguments: str, columns: int = 80, lines: int = 24, **others: str) -> Printed:
    """Run a command in a terminal to its end."""
    return Terminal(command(*arguments), columns=columns, lines=lines, environment=environment(home, **others)).end()
