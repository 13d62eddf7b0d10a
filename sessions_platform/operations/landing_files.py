"""Files that are put into a stream's landing folder from the command line.

Here belong the copies, and what is left of one that did not end. Not here: which path and landing partition a file gets
(`landing_places.py`), how files are found and read (`sources`), and the runs that ingest them
(`orchestration/commands.py`).
"""

import errno
import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from sessions_platform.contracts.calendar import newest_partition
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.errors import UserError
from sessions_platform.operations.landing_places import Placement, Refused, placements
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import PRIVATE_FILE, make_private_folder
from sessions_platform.sources.base import FileLanding
from sessions_platform.sources.registry import file_landing

# Copies that have not ended. The second form is of earlier versions, which did not lock them.
_UNFINISHED = re.compile(r"\.sessions-platform-[0-9a-f]{32}\.tmp")
_UNFINISHED_AND_UNLOCKED = re.compile(r"\.[0-9a-f]{32}\.tmp")
_DAY = 24 * 60 * 60
_RECENT_PARTITIONS = 31


def place_files(
    context: StreamContext, files: Sequence[Path], partition: str | None, refused: Refused | None = None
) -> list[Path]:
    """Copy files into the landing folder of a stream, where `landing_places` says; of a file that can't be placed none.

    Bytes that the stream has ingested before are not copied again. What killed copies have left in the folders is
    removed.

    Args:
        context: the stream's.
        files: in the stream's format.
        partition: the landing partition; by default the one that a file's name states, else the newest one.
        refused: called with a file that can't be placed and the reason; by default it is raised.

    Returns:
        The path of each file among the stream's landing files.

    Raises:
        UserError: there is no such landing partition, a file can't be read, placed or copied, or the stream does not
            read files.
    """
    landing = landing_of(context)
    context.prepare()
    placed = placements(context, landing, files, partition, refused)
    for placement in placed:
        _place(context, landing, placement)
    name = placed[0].path.name if placed else ""
    remove_unfinished({*(placement.path.parent for placement in placed), *_recent_folders(context, landing, name)})
    return [placement.path for placement in placed]


def landing_of(context: StreamContext) -> FileLanding:
    """Where the stream's landing files are. Raises UserError where it does not read files."""
    landing, source = file_landing(context.source), context.stream.source
    if landing is None and isinstance(source, FilesSource):
        raise UserError(
            f"{context.stream.name}: its landing files are objects, and are not written here. Fix: copy the files to "
            f"{source.place}, then run `sessions-platform run {context.stream.name}`."
        )
    if landing is None:
        raise UserError(f"{context.stream.name}: it does not read files. Fix: deliver the records to its source.")
    return landing


def _place(context: StreamContext, landing: FileLanding, placement: Placement) -> None:
    uri = landing.uri_of(placement.path)
    if not placement.is_present:
        context.ledger.assign([uri], placement.landing_partition)
        context.ledger.record_placed(uri, placement.digest)  # before it is there: who erases users has to know it
        _copy(placement.file, placement.path)
    undated = [each for each in landing.uris_at(placement.path) if context.source.partition_of(each) is None]
    context.ledger.assign(undated, placement.landing_partition)  # the members of an archive, too


def _copy(file: Path, path: Path) -> None:
    try:
        make_private_folder(path.parent)
        with file.open("rb") as content, _draft(path.parent) as (draft, copy):
            shutil.copyfileobj(content, copy, 1 << 20)
            copy.flush()
            _name(draft, path)
    except FileExistsError:
        raise UserError(f"{file}: {path} was written meanwhile. Fix: run the command again.") from None
    except OSError as error:
        raise UserError(f"{file}: it can't be copied to {path}: {error.strerror}. Fix: {_fix(error)}.") from None


def _name(draft: Path, path: Path) -> None:
    """Give a draft its final name, without replacing what has it. Raises FileExistsError."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # not all file systems have links
        if path.exists():
            raise FileExistsError(path) from None
        draft.replace(path)


@contextmanager
def _draft(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new hidden file, locked while it is written so that `remove_unfinished` leaves it, and deleted on failure."""
    while True:
        draft = folder / f".sessions-platform-{uuid.uuid4().hex}.tmp"
        with open(draft, "xb", opener=_private) as copy:
            fcntl.flock(copy, fcntl.LOCK_EX)
            if os.fstat(copy.fileno()).st_nlink == 0:
                continue  # it was taken for unfinished before it was locked
            try:
                yield draft, copy
            finally:
                draft.unlink(missing_ok=True)  # it has its final name, or never will
            return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)


def remove_unfinished(folders: Iterable[Path]) -> None:
    """Remove what killed copies have left in landing folders; copies in progress stay.

    A copy is locked by the process that writes it, and the system takes the lock from a process that has ended. Copies
    of earlier versions of this program were not locked: they are removed a day after they were last written.
    """
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if _UNFINISHED.fullmatch(path.name) or (_UNFINISHED_AND_UNLOCKED.fullmatch(path.name) and _is_old(path)):
                remove_unless_locked(path)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _DAY
    except FileNotFoundError:
        return False


def _recent_folders(context: StreamContext, landing: FileLanding, name: str) -> Iterator[Path]:
    """The landing folders, for a file of this name, of the newest partitions."""
    calendar = context.stream.landing_calendar
    key = newest_partition(calendar)
    for _ in range(_RECENT_PARTITIONS):
        try:
            yield landing.landing_path(name, key).parent
        except UserError:
            return  # its name states a partition, too
        if key <= calendar.first_key:
            return
        key = calendar.key_of(calendar.window(key).start - timedelta(microseconds=1))


def remove_unless_locked(path: Path) -> None:
    """Remove a file, unless a process that writes it has locked it."""
    try:
        with path.open("rb") as copy:
            fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except OSError:
        return  # it is being written, has ended meanwhile, or belongs to another user


def _fix(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space there, and run the command again; files that were copied are not copied again"
    return "correct the permissions, or name another file"
