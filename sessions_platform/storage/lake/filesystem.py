"""Where the lake's files are kept: the interface that the lake needs, and the local folder that implements it.

Here: how a file gets a name, becomes durable, is opened, measured, listed and deleted. An object store is a second
class with these methods. Not here: what the files contain and how it is encoded (`lake.py`, `parquet_writer.py`), and
which of them are current (the ledger). Temporary files of a computation are not the lake's: `spill.py` keeps them in
the scratch folder.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from sessions_platform.settings import PRIVATE_FILE, make_private_folder

# File systems without hard links answer with one of these.
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

# Which byte ranges of a file are needed, given a local path with at least its end.
Needed = Callable[[Path], Sequence[tuple[int, int]]]


class Draft(NamedTuple):
    """A file that has no name: where it lies, and when it was last written to, in UTC."""

    place: str
    written_at: datetime


class ListedFile(NamedTuple):
    """A file as it is listed: its path, its length in bytes, and when it was written, in UTC."""

    path: str
    size: int
    written_at: datetime


class State(NamedTuple):
    """A file as it is now: its length in bytes, and what is another value once its content may have changed."""

    size: int
    version: Hashable


class Filesystem(Protocol):
    """Immutable files by name. A path is relative, and its parts are separated by slashes.

    A file is written once, as a draft, and gets its name by `put_if_absent`; from then on it does not change. Where
    no file has the path, `open`, `read`, `size`, `state` and `local` (or the reader of the local path) raise
    FileNotFoundError.

    Attributes:
        is_local: whether files are read where they lie, so that any number may be scanned at once.
    """

    is_local: bool

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

    def state(self, path: str) -> State:
        """What is another value once the content may have changed, and is cheap to get; as a file's times and size."""
        ...

    def list(self, folder: str) -> Iterator[str]:
        """The paths of all files below a folder, drafts left out, sorted; none where there is no such folder."""
        ...

    def listed(self, folder: str) -> Iterator[ListedFile]:
        """The same files with their lengths and times."""
        ...

    def missing(self, folder: str, paths: Collection[str]) -> Sequence[str]:
        """Which of the paths below a folder no file has, in their order."""
        ...

    def drafts(self, folder: str) -> Sequence[Draft]:
        """The drafts below a folder that this machine has: those being written, and those of killed processes."""
        ...

    def discard(self, draft: Draft) -> None:
        """Remove a draft if it still exists."""
        ...

    def delete(self, path: str) -> None:
        """Remove the file if it exists."""
        ...

    def delete_all(self, paths: Sequence[str]) -> None:
        """Remove the files that exist; all but those that an error names, if there is one."""
        ...

    def delete_folder(self, folder: str) -> None:
        """Remove all files and drafts below a folder, as far as they can be removed."""
        ...

    def forget(self, path: str) -> None:
        """Read the file anew the next time, where a copy of it is kept."""
        ...

    def local(self, path: str, needed: Needed | None = None) -> AbstractContextManager[Path]:
        """A local path with the file's content, for who reads a path; where files are not local, only meanwhile.

        Args:
            path: of the file.
            needed: which ranges of a Parquet file are read, besides its end: start included, end excluded. It is
                called with a local path that may have the end alone. Where files are not local, what it leaves out
                may be zeros, the file is asked for anew, and what is read was compared with its checksums.

        Raises:
            ChecksumError: with `needed`, where files are not local: a byte is not the one that was written.
        """
        ...

    def url(self, path: str) -> str:
        """Where readers outside of the platform find the file: its absolute path, or its URL."""
        ...

    def in_scratch(self, folder: Path) -> "Filesystem":
        """The same files; drafts and copies that are not within the lake are in this local folder."""
        ...


class LocalFilesystem:
    """A folder on a local disk, or on a network share that renames atomically.

    Drafts are in the folder they are meant for, because a file can be named atomically within one file system only.
    Folders that it makes, and all files, are for their owner alone: they contain what users did.
    """

    is_local = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def draft(self, folder: str) -> AbstractContextManager[Path]:
        return draft_in(self.root / folder)

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

    def state(self, path: str) -> State:
        state = (self.root / path).stat()
        return State(state.st_size, (state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev))

    def list(self, folder: str) -> Iterator[str]:
        files = (path for path in (self.root / folder).rglob("*") if path.suffix != ".tmp" and path.is_file())
        yield from sorted(path.relative_to(self.root).as_posix() for path in files)

    def listed(self, folder: str) -> Iterator[ListedFile]:
        for path in self.list(folder):
            with suppress(FileNotFoundError):  # one that is deleted meanwhile
                state = (self.root / path).stat()
                yield ListedFile(path, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC))

    def missing(self, folder: str, paths: Collection[str]) -> Sequence[str]:  # noqa: ARG002
        return [path for path in paths if not (self.root / path).exists()]

    def drafts(self, folder: str) -> Sequence[Draft]:
        return list(drafts_below(self.root / folder))

    def discard(self, draft: Draft) -> None:
        Path(draft.place).unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def delete_all(self, paths: Sequence[str]) -> None:
        errors: list[OSError] = []
        for path in paths:
            try:
                self.delete(path)
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def delete_folder(self, folder: str) -> None:
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def forget(self, path: str) -> None:
        pass

    @contextmanager
    def local(self, path: str, needed: Needed | None = None) -> Iterator[Path]:  # noqa: ARG002
        yield self.root / path

    def url(self, path: str) -> str:
        return str(self.root / path)

    def in_scratch(self, folder: Path) -> "LocalFilesystem":  # noqa: ARG002
        return self


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """A path in a local folder, as `Filesystem.draft` says; the folder is made where it is missing."""
    make_private_folder(folder)
    draft = folder / f"{uuid.uuid4().hex}.tmp"
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def drafts_below(folder: Path) -> Iterator[Draft]:
    """The drafts below a local folder, sorted; one that gets its name, or is deleted, meanwhile is left out."""
    for path in sorted(folder.rglob("*.tmp")):
        with suppress(FileNotFoundError):
            yield Draft(str(path), datetime.fromtimestamp(path.stat().st_mtime, UTC))


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
