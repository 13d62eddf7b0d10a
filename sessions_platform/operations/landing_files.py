"""Files that are put into a stream's landing folder from the command line.

Here belong the path that such a file gets, the landing partition that it belongs to, and what is left of a copy that
did not end. Not here: how files are found and read (`sources`), and the runs that ingest them
(`orchestration/commands.py`).
"""

import errno
import fcntl
import hashlib
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

from sessions_platform.errors import UserError
from sessions_platform.operations.status import newest_partition
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import PRIVATE_FILE, make_private_folder
from sessions_platform.sources.base import FileLanding
from sessions_platform.sources.registry import file_landing

# Copies that have not ended. The second form is of earlier versions, which did not lock them.
_UNFINISHED = re.compile(r"\.sessions-platform-[0-9a-f]{32}\.tmp")
_UNFINISHED_AND_UNLOCKED = re.compile(r"\.[0-9a-f]{32}\.tmp")
_DAY = 24 * 60 * 60
_RECENT_PARTITIONS = 31


def place_files(context: StreamContext, files: Sequence[Path], partition: str | None) -> list[Path]:
    """Copy files into the landing folder of a stream.

    A file's name gets a part of its digest, so that none replaces another. Bytes that the stream has ingested before
    are not copied again. What killed copies have left in the folders is removed.

    Args:
        context: the stream's.
        files: in the stream's format.
        partition: the landing partition; by default the newest one.

    Returns:
        The path of each file among the stream's landing files.

    Raises:
        UserError: there is no such landing partition, a file can't be read or copied, or the stream does not read
            files.
    """
    landing = file_landing(context.source)
    if landing is None:
        raise UserError(f"{context.stream.name}: it does not read files. Fix: deliver the records to its source.")
    context.prepare()
    partition = _landing_partition(context, partition)
    digests = [_digest(file) for file in files]
    known = context.ledger.uris_by_digest(set(digests))
    placed: list[Path] = []
    for file, digest in zip(files, digests, strict=True):
        ingested = (landing.path_of(uri) for uri in known.get(digest, ()))
        present = next((path for path in ingested if path.exists()), None)
        placed.append(present or _place(landing, file, digest, partition))
    name = placed[0].name if placed else ""
    remove_unfinished({*(path.parent for path in placed), *_recent_folders(context, landing, name)})
    uris = [landing.uri_of(path) for path in dict.fromkeys(placed)]
    context.ledger.assign([uri for uri in uris if context.source.partition_of(uri) is None], partition)
    return placed


def _place(landing: FileLanding, file: Path, digest: str, partition: str) -> Path:
    stem, dot, suffixes = file.name.lstrip(".").partition(".")
    path = landing.landing_path(f"{stem}-{digest[:12]}{dot}{suffixes}", partition)
    if path.exists():
        return path
    try:
        make_private_folder(path.parent)
        with file.open("rb") as content, _draft(path.parent) as (draft, copy):
            shutil.copyfileobj(content, copy, 1 << 20)
            copy.flush()
            draft.replace(path)
    except OSError as error:
        raise UserError(f"{file}: it can't be copied to {path}: {error.strerror}. Fix: {_fix(error)}.") from None
    return path


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
                _remove_unless_locked(path)


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


def _remove_unless_locked(path: Path) -> None:
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


def _landing_partition(context: StreamContext, partition: str | None) -> str:
    calendar = context.stream.landing_calendar
    newest = newest_partition(calendar)
    if newest < calendar.first_key:
        raise UserError(
            f"{context.stream.name}: its first landing partition, {calendar.first_key}, has not begun, and before it "
            "nothing is ingested. Fix: an earlier start (or landing.start) in the stream's file."
        )
    if partition is None:
        return newest
    try:
        is_key = calendar.key_of(calendar.window(partition).start) == partition
    except ValueError:
        is_key = False
    first = calendar.first_key
    if not is_key or not first <= partition <= newest:
        raise UserError(
            f"--partition: there is no landing partition {partition!r}. Fix: name one from {first} to {newest}."
        )
    return partition


def sha256(path: Path) -> str:
    """The SHA-256 of a local file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        raise UserError(f"{file}: it can't be read: {error.strerror}. Fix: name an existing file.") from None
