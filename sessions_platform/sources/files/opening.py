"""Opening landing files: as files, as archives, and as members of archives.

Which file may be opened is decided here, at the moment of opening. Not here: which files there are
(`sources.files.source`), what is in an archive (`sources.files.archives`), and reading an open file
(`sources.files.content`).
"""

import errno
import io
import os
import stat
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.sources.base import IN_ARCHIVE, Slice
from sessions_platform.sources.files.paths import LandingPaths
from sessions_platform.sources.files.served import ServedFile
from sessions_platform.sources.files.tree import NOT_A_FILE, Skip

if TYPE_CHECKING:
    from sessions_platform.sources.archives.members import Listing
    from sessions_platform.sources.files.archives import Archives

# Ends the fingerprint of a landing file that is an archive.
_IS_ARCHIVE = "-archive"


class Opener:
    """Opens the landing files of one stream.

    Args:
        source: its keys `archive` and those of archives' limits.
        paths: of the stream's landing files.
        scratch: the folder of the copies of archives' members while these are read.
    """

    def __init__(self, source: FilesSource, paths: LandingPaths, scratch: Path) -> None:
        self._source, self._paths, self._scratch = source, paths, scratch

    def slice_of(self, uri: str) -> Slice:
        """The slice of a uri, as far as opening it needs."""
        return Slice(uri, "" if self._archives is None else _IS_ARCHIVE, None)

    def file(self, path: Path) -> io.FileIO:
        """An open file. Raises FileNotFoundError where there is none by now that may be read."""
        real = os.path.realpath(path)
        vanished = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if not self._paths.tree().is_inside(real):
            raise vanished
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # it may be a link or a pipe by now
        except OSError as error:
            raise vanished if error.errno in NOT_A_FILE else error from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise vanished
        return io.FileIO(descriptor)

    def to_read(self, slice_: Slice, path: Path) -> io.FileIO | ServedFile:
        """The bytes of a slice for one reading; errors as of `content`."""
        return self.content(slice_, path)

    def content(self, slice_: Slice, _: Path) -> io.FileIO:
        """The open file of a slice; for a member its copy. Raises FileNotFoundError where there is none by now."""
        file, member = self._paths.parts(slice_.uri)
        handle = self.file(self._paths.landing_file(file))
        if self._archives is None or (member is None and not slice_.fingerprint.endswith(_IS_ARCHIVE)):
            return handle
        with handle:
            name, fingerprint = file.rpartition("/")[2], self.fingerprint(handle)
            if member is not None:
                return self._archives.member_file(handle, name, fingerprint, member)
            listing = self._archives.listing(handle, name, fingerprint)
            return self._archives.itself(handle, listing) if listing else self.file(self._paths.landing_file(file))

    def with_members(self, path: str, slice_: Slice, skip: Skip) -> list[Slice]:
        """A slice, and those of its members if it is an archive; none where it can't be told from a member."""
        if self._archives is None:
            return [slice_]
        if IN_ARCHIVE in slice_.uri:
            skip(path, f"a path with {IN_ARCHIVE!r} would be taken for a member of an archive. Fix: rename the folder")
            return []
        try:
            listing = self._listing(self._archives, path, slice_)
        except OSError:
            return [slice_]  # whoever reads it will say what is wrong
        if listing is None:
            return [slice_]
        reasons: dict[str, list[str]] = {}
        for name, reason in listing.passed_over:
            reasons.setdefault(f"{path}{IN_ARCHIVE}{name}" if name else path, []).append(reason)
        for place, found in reasons.items():
            skip(place, "; ".join(found))
        members = [replace(slice_, uri=f"{slice_.uri}{IN_ARCHIVE}{member.name}") for member in listing.members]
        # Another fingerprint than the file's: without the key `archive` it is read as one of the stream's format.
        return [replace(slice_, fingerprint=slice_.fingerprint + _IS_ARCHIVE), *members]

    def fingerprint(self, handle: io.FileIO) -> str:
        """What changes whenever the file is written that is open."""
        return fingerprint_of_state(os.fstat(handle.fileno()))

    def _listing(self, archives: "Archives", path: str, slice_: Slice) -> "Listing | None":  # noqa: ARG002
        """What is in a file; None where it is no archive. Raises OSError where it can't be opened."""
        with self.file(Path(path)) as handle:
            return archives.listing(handle, path.rpartition("/")[2], self.fingerprint(handle))

    @cached_property
    def _archives(self) -> "Archives | None":
        if self._source.archive is None:
            return None
        from sessions_platform.sources.files.archives import Archives

        return Archives(self._source, self._scratch)


def is_archive(slice_: Slice) -> bool:
    """Whether a slice is an archive itself, which has no rows of any format."""
    return slice_.fingerprint.endswith(_IS_ARCHIVE)


def fingerprint_of_state(state: os.stat_result) -> str:
    """Changes with every write and every replacement."""
    return f"{state.st_size}-{state.st_mtime_ns}-{state.st_ctime_ns}-{state.st_ino}"
