"""Files beside the stream's file that decide values: where they are, and the digest that is their version.

Not here: what is in them (``lookup_table``; ``transforms.enrich``).
"""

import hashlib
from functools import lru_cache
from pathlib import Path

from sessions_platform.errors import UserError

_HOME = "${SESSIONS_HOME}/"


class UnusableFileError(UserError):
    """A file can't be used; reason and fix are clauses without a full stop."""

    def __init__(self, reason: str, fix: str) -> None:
        self.reason, self.fix = reason, fix
        super().__init__(f"{reason}. Fix: {fix}.")


def located(name: str, folder: Path, home: Path) -> Path:
    """The path of a file that a stream's file in `folder` names; `home` is what ${SESSIONS_HOME} means."""
    return home / name.removeprefix(_HOME) if name.startswith(_HOME) else folder / name


def content_of(path: Path, digest: str | None = None) -> bytes:
    """The bytes of a file.

    Args:
        path: of the file.
        digest: that it had when the stream's file was read: with other bytes the version would be wrong.

    Raises:
        UnusableFileError: it can't be read, or has changed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    if digest is not None and _digest(content) != digest:
        raise UnusableFileError(f"{path} has changed since the stream's file was read", "run again")
    return content


def state_of(path: Path) -> tuple[int, ...]:
    """What changes with a file's content. Raises UnusableFileError where there is no such file."""
    try:
        state = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return state.st_mtime_ns, state.st_size, state.st_ino


def digest_of(path: Path) -> str:
    """A digest of a file's bytes, which are read once for each state of it. Raises UnusableFileError."""
    return _digest_of(path, state_of(path))


@lru_cache(maxsize=64)
def _digest_of(path: Path, _state: tuple[int, ...]) -> str:
    return _digest(content_of(path))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _unreadable(path: Path, error: OSError) -> UnusableFileError:
    return UnusableFileError(f"{path} can't be read: {error.strerror or error}", "put the file there, or name another")
