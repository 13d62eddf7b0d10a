"""What standard output and standard error are: a terminal or not, how large, whether in colours, and still open or not.

Not here: how tables are laid out (`tables.py`), and how a command ends (`failures.py`).
"""

import os
import sys
from typing import Any

_STANDARD = (0, 1, 2)
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def open_missing_streams() -> None:
    """Open standard streams that are closed, so that no file or connection takes their number and is written into."""
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def discard_output() -> None:
    """Let what standard output has not written yet go nowhere, since nobody reads it."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # it has no number, as in a test
        return


def is_terminal(stream: Any) -> bool:
    """Whether somebody looks at the stream; a closed one is no terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def width() -> int | None:
    """Columns of the terminal at standard output; None where it is none, so that nothing has to fit."""
    return size()[0] if is_terminal(sys.stdout) else None


def size() -> tuple[int, int]:
    """Columns and lines of the terminal at standard output, by COLUMNS and LINES where they are set."""
    import shutil  # which imports every compression

    found = shutil.get_terminal_size()
    return max(found.columns, 1), max(found.lines, 1)


def is_coloured(stream: Any) -> bool:
    """Whether the stream takes colours: a terminal, unless NO_COLOR or TERM=dumb asks for none."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_live(stream: Any) -> bool:
    """Whether lines on it may be overwritten, as progress does: where it is coloured, and not in a CI."""
    return is_coloured(stream) and not os.environ.get("CI")


def styled(text: str, style: str, *, coloured: bool) -> str:
    """The text in a style: bold, dim, red, green or yellow."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if coloured and text else text
