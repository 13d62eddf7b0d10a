"""What targets in local files share: where they are, one writer at a time, and what errors of files mean.

Not here: what is in the files (`duckdb_file.py`, `parquet_folder.py`).
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sessions_platform.errors import UserError
from sessions_platform.sources.files.paths import path_of
from sessions_platform.storage.warehouses.base import Target

_FIXES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within the quota",
    errno.EACCES: "allow the platform's user to write there",
    errno.EPERM: "allow the platform's user to write there",
    errno.EROFS: "mount the file system so that it can be written",
}
_OTHER = "see whether the path is right, and its disk healthy"


def local_path(target: Target[Any]) -> Path:
    """The path of a target's file or folder."""
    return path_of(target.stream, target.config.path)


@contextmanager
def told(target: Target[Any]) -> Iterator[None]:
    """Raise errors of files as a TargetError, but for those that are sentences already, as of the lake's files."""
    try:
        yield
    except OSError as error:
        if isinstance(error, UserError):
            raise
        said, number = error.strerror or str(error), error.errno or 0
        raise target.error(f"it can't be written or read: {said}", _FIXES.get(number, _OTHER)) from None


@contextmanager
def one_writer(target: Target[Any], path: Path) -> Iterator[None]:
    """Keep all other deliveries away until the block ends, those of stopped processes and of other deployments, too.

    The lock is one of the operating system, on a file beside the target. It is given back when its process ends.

    Raises:
        TargetError: somebody else has the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise target.error("another process is writing it", "wait until that has ended") from None
    finally:
        os.close(descriptor)
