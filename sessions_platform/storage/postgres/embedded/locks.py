"""File locks, which the kernel drops with their process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def open_lock(lock: Path) -> int:
    """Open a lock file, made where it is missing; the descriptor is the caller's to close."""
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """A folder's descriptor, which can be locked too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def exclusively(lock: int) -> Iterator[None]:
    """Hold the lock exclusively, once its current holders have released it."""
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
