"""Where the lake's files are kept: the interface that the lake needs, and the local folder that implements it.

Here: how a file gets a name, becomes durable, is opened, measured, listed and deleted. An object store is a second
class with these methods. Not here: what the files contain and how it is encoded (`lake.py`, `parquet_writer.py`), and
which of them are current (the ledger). Temporary files of a computation are not the lake's: `spill.py` keeps them in
the scratch folder.
"""

import errno
import os
import uuid
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from sessions_platform.settings import PRIVATE_FILE, make_private_folder

# File systems without hard links answer with one of these.
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Filesystem(Protocol):
    """Immutable files by name. A path is relative, and its parts are separated by slashes.

    A file is written once, as a draft, and gets its name by `put_if_absent`; from then on it does not change. Where
    no file has the path, `open`, `read`, `size`, `state` and `source` (or the reader of the source) raise
    FileNotFoundError.
    """

    def draft(self, folder: str) -> AbstractContextManager[Path]:
        """A new local path, for a draft of a file of this folder; a draft that got no name is deleted at the end.

        The path does not exist yet. A killed process may leave the draft, with the suffix ``.tmp``, which no reader
        of the lake sees.
        """
        ...

    def put_if_absent(self, path: str, draft: Path) -> bool:
        """Give a draft its name: atomically, and durably once this returns.

        Returns:
            False where the path exists already: that file stays as it is, and the draft is unused.
        """
        ...

    def open(self, path: str) -> BinaryIO:
        """The file, for reading from any position."""
        ...

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; fewer where the file ends before."""
        ...

    def size(self, path: str) -> int:
        """The file's length in bytes."""
        ...

    def state(self, path: str) -> Hashable:
        """What is another value once the content may have changed, and is cheap to get; as a file's times and size."""
        ...

    def list(self, folder: str) -> Iterator[str]:
        """The paths of all files below a folder, drafts left out, sorted; none where there is no such folder."""
        ...

    def modified_at(self, path: str) -> datetime:
        """When the file was written, in UTC."""
        ...

    def drafts(self, folder: str, before: datetime) -> Sequence[str]:
        """The paths of drafts below a folder that killed processes left before this time; `delete` removes them."""
        ...

    def delete(self, path: str) -> None:
        """Remove the file if it exists."""
        ...

    def source(self, path: str) -> str | Path | bytes:
        """What polars.scan_parquet reads the file from: a local path, a URL or the content."""
        ...


class LocalFilesystem:
    """A folder on a local disk, or on a network share that renames atomically.

    Drafts are in the folder they are meant for, because a file can be named atomically within one file system only.
    Folders that it makes, and all files, are for their owner alone: they contain what users did.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def draft(self, folder: str) -> Iterator[Path]:
        parent = self.root / folder
        make_private_folder(parent)
        name = uuid.uuid4().hex
        try:
            yield parent / f"{name}.tmp"
        finally:
            (parent / f"{name}.tmp").unlink(missing_ok=True)

    def put_if_absent(self, path: str, draft: Path) -> bool:
        target = self.root / path
        draft.chmod(PRIVATE_FILE)
        sync(draft)
        is_new = _link(draft, target)
        sync(target.parent)  # also where the file exists: its writer may not have synced the folder yet
        return is_new

    def open(self, path: str) -> BinaryIO:
        return (self.root / path).open("rb")

    def read(self, path: str, offset: int, length: int) -> bytes:
        with self.open(path) as file:
            file.seek(offset)
            return file.read(length)

    def size(self, path: str) -> int:
        return (self.root / path).stat().st_size

    def state(self, path: str) -> Hashable:
        state = (self.root / path).stat()
        return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev

    def list(self, folder: str) -> Iterator[str]:
        files = (path for path in (self.root / folder).rglob("*") if path.suffix != ".tmp" and path.is_file())
        yield from sorted(path.relative_to(self.root).as_posix() for path in files)

    def modified_at(self, path: str) -> datetime:
        return datetime.fromtimestamp((self.root / path).stat().st_mtime, UTC)

    def drafts(self, folder: str, before: datetime) -> Sequence[str]:
        left = (path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*.tmp"))
        return sorted(path for path in left if self.modified_at(path) < before)

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def source(self, path: str) -> Path:
        return self.root / path


def sync(path: Path) -> None:
    """Wait until a local file's content, or the names in a local folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(draft: Path, target: Path) -> bool:
    """Give the draft its name unless a file has it. Renaming would replace that file; a hard link cannot."""
    try:
        target.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if target.exists():
            return False
        draft.rename(target)  # of two writers at the same moment the second replaces the first
        return True
    draft.unlink()
    return True
