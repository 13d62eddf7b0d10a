"""The files that a person names on the command line: files, folders of files, and standard input.

Here belong what a folder stands for, and the file that standard input becomes. Not here: where among the landing files
each of them goes (`landing_places.py`), and the copies (`landing_files.py`).
"""

import atexit
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from sessions_platform.errors import UserError
from sessions_platform.operations.landing_files import landing_of, remove_unless_locked
from sessions_platform.operations.landing_places import SHOWN_DIGITS, landing_partition
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import make_private_folder
from sessions_platform.sources.base import is_unfinished

STANDARD_INPUT = Path("-")
_CHUNK = 1 << 20
_SPOOL = "standard-input-"
# How a path says that it is an object: one slash is left of the two.
_OBJECT = re.compile(r"(s3|gs|az):/")


@dataclass(frozen=True)
class GivenFiles:
    """The files that were named, those of folders among them, each once and in order.

    Attributes:
        files: paths.
        in_folders: those of the files that only their folder was named of: one that can't be placed is passed over.
        skipped: of what was passed over so far, the path and the reason.
    """

    files: Sequence[Path]
    in_folders: frozenset[Path]
    skipped: list[str] = field(default_factory=list)

    def refused(self, file: Path, error: UserError) -> None:
        """Pass over a file that can't be placed, or raise the error if it was named itself."""
        if file not in self.in_folders:
            raise error
        reason = str(error).removeprefix(f"{file}: ")
        self.skipped.append(f"{file}: {reason}")

    def raise_if_none(self, placed: Sequence[Path]) -> None:
        """Raise UserError where nothing was placed, as of an empty folder."""
        if not placed:
            reasons = "\n".join(self.skipped[:3]) or "there is no file in what was named"
            raise UserError(f"no file was ingested: {reasons}\nFix: name files of the stream's format.")


def given_files(context: StreamContext, named: Sequence[Path], partition: str | None) -> GivenFiles:
    """The files that these names stand for; standard input is read to its end.

    Args:
        context: the stream's.
        named: files, folders, and `-` for standard input.
        partition: the landing partition that was chosen, for the name of standard input.

    Raises:
        UserError: standard input is empty, a folder can't be listed, or the stream does not read files.
    """
    files: dict[Path, bool] = {}
    skipped: list[str] = []
    for each in named:
        if each == STANDARD_INPUT:
            files[_standard_input(context, partition)] = False
        elif each.is_dir():
            for path in files_below(each, skipped):
                files.setdefault(path, True)
        else:
            files[each] = False
    return GivenFiles(list(files), frozenset(file for file, in_folder in files.items() if in_folder), skipped)


def in_folders(named: Sequence[Path]) -> list[Path]:
    """The files that are named, and for each folder those below it that are not hidden. Raises UserError for none."""
    if uri := next((each for each in named if _OBJECT.match(str(each))), None):
        raise UserError(
            f"{uri}: it is no file of this machine. Fix: name a copy of the object, and write where the objects are in "
            "source.files of the stream's file."
        )
    files = [file for each in named for file in (files_below(each, []) if each.is_dir() else [each])]
    if named and not files:
        raise UserError(f"{named[0]}: there is no file in this folder. Fix: name files, or another folder.")
    return files


def real_path(file: Path) -> Path:
    """The path of a file without links. Raises UserError where it is none that can be read."""
    try:
        path = file.resolve(strict=True)
        if not path.is_file():
            raise UserError(f"{file}: it is no file. Fix: name the files themselves.")
        with path.open("rb"):
            return path
    except OSError as error:
        raise UserError(f"{file}: it can't be read: {error.strerror}. Fix: name an existing file.") from None


def files_below(folder: Path, skipped: list[str]) -> Iterator[Path]:
    """All files below a folder, by path; hidden and unfinished ones are added to `skipped`. Links are not entered."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: it can't be listed: {error.strerror}. Fix: let this user read it.")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(folders)
        skipped += [
            f"{path}: it is a link to a folder" for name in folders if (path := Path(parent, name)).is_symlink()
        ]
        skipped += [f"{Path(parent, name)}: it is hidden or unfinished" for name in folders if is_unfinished(name)]
        folders[:] = [name for name in folders if not is_unfinished(name)]
        for name in sorted(names):
            if is_unfinished(name):
                skipped.append(f"{Path(parent, name)}: it is hidden or unfinished")
            else:
                yield Path(parent, name)


def _standard_input(context: StreamContext, partition: str | None) -> Path:
    """A file with what standard input has, named by its digest as the stream's landing files are."""
    landing = landing_of(context)
    spooled, digest = _spooled(context.lake.scratch)
    name = landing.name_for(digest[:SHOWN_DIGITS], landing_partition(context, partition))
    path = spooled.parent / name
    if spooled.exists():
        spooled.rename(path)
    return path


@cache  # it can be read once; a command that is tried again needs it again
def _spooled(scratch: Path) -> tuple[Path, str]:
    """Standard input as a file that stays, locked, until this process ends; and the SHA-256 of its bytes."""
    make_private_folder(scratch)
    for left in scratch.glob(f"{_SPOOL}*"):
        _remove_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_SPOOL, dir=scratch))
    path = folder / "spooled"
    file = path.open("xb")
    atexit.register(_remove_spool, folder, file)
    fcntl.flock(file, fcntl.LOCK_EX)
    digest = hashlib.sha256()
    for chunk in iter(lambda: sys.stdin.buffer.read(_CHUNK), b""):
        file.write(chunk)
        digest.update(chunk)
    file.flush()
    if not path.stat().st_size:
        raise UserError("standard input is empty. Fix: name a file, or write events to standard input.")
    return path, digest.hexdigest()


def _remove_spool(folder: Path, file: BinaryIO) -> None:
    """Remove the file as the process ends, and only then close it, by which it loses its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # the disk was full, and what is not yet written would be
        file.close()


def _remove_left(folder: Path) -> None:
    """Remove what a process that was killed has left of its standard input."""
    for path in folder.iterdir():
        remove_unless_locked(path)
    with suppress(OSError):  # it is in use
        folder.rmdir()
