"""Landing files as a source: where they are, and to which landing partition each belongs.

What a file contains is read by `sources.files.reader`; the configuration is `contracts.sources.FilesSource`.
"""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path, PurePosixPath

from sessions_platform.contracts.path_template import PathTemplate
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.base import NO_CURSORS, Cursors, Quarantine, Slice
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.formats.registry import open_format

HOME = "${SESSIONS_HOME}"
UNFINISHED = (".tmp", ".part", "~")


class SourceError(UserError):
    """A landing file has a name, or a stream a path template, that can't be used; the message contains the fix."""


class FileSource:
    """The landing files of one stream. Each file is a slice; it needs no cursors.

    Hidden files, and names that end in .tmp, .part or ~, are unfinished uploads: they are ignored until renamed.
    """

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES) -> None:
        assert isinstance(stream.source, FilesSource)
        self._source = stream.source
        self._folder, self._home = _absolute(stream.path.parent), _absolute(stream.home)
        self._block_bytes = block_bytes
        self._format = open_format(stream.source)
        self._root, self._pattern = self._anchored(self._source.files)
        self._template = PathTemplate(self._pattern, stream.landing_calendar) if self._source.dated else None

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "FileSource":
        """The implementation that `contracts.sources.FilesSource` names."""
        return cls(stream, settings.block_bytes)

    def find(
        self,
        landing_partitions: Iterable[str] | None = None,
        cursors: Cursors = NO_CURSORS,  # noqa: ARG002  files need none
    ) -> list[Slice]:
        """The files that exist now, by uri; of these landing partitions, or all. Undated ones always."""
        wanted = None if landing_partitions is None else set(landing_partitions)
        if self._template is None:
            files = self._matching(self._pattern)
        elif wanted is None:
            files = self._matching(self._template.of_all())
        else:
            candidates = chain.from_iterable(self._matching(self._template.of(key)) for key in wanted)
            files = (file for file in candidates if file.landing_partition in wanted)
        return sorted(set(files), key=lambda file: file.uri)

    def read(self, slice_: Slice, quarantine: Quarantine) -> FileReading:
        """A reading of a file that `find` returned. Iterating it raises FileNotFoundError where the file vanished."""
        return FileReading(self.path_of(slice_.uri), self._source, self._format, quarantine, self._block_bytes)

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a path states, whether its file exists or not; None where it states none."""
        path = self.path_of(uri)
        if self._template is None or not path.is_relative_to(self._root):
            return None
        return self._template.partition_in(path.relative_to(self._root).as_posix())

    def path_of(self, uri: str) -> Path:
        """The absolute path of a file."""
        return _resolved(uri, self._folder, self._home)

    def landing_folder(self, partition_key: str | None = None) -> Path:
        """The folder in which `find` looks for a landing partition's files. Raises SourceError if it isn't one."""
        folder = PurePosixPath(self._pattern_of(partition_key)).parent
        if glob.has_magic(str(folder)):
            raise SourceError(
                f"{self._source.files}: no file can be put into a folder with wildcards. Fix: copy the file yourself."
            )
        return _absolute(self._root / folder)

    def landing_path(self, name: str, partition_key: str | None = None) -> Path:
        """Where to put a file of this name, for `find` to return it. Raises SourceError where it never would."""
        folder = self.landing_folder(partition_key)
        pattern = PurePosixPath(self._pattern_of(partition_key)).name
        if _is_unfinished(name) or "/" in name or not fnmatchcase(name, pattern):
            raise SourceError(f"{name!r} would not be found by {self._source.files}. Fix: name it like {pattern}.")
        return folder / name

    def _anchored(self, files: str) -> tuple[Path, str]:
        """The folder that a path template starts from, and the rest. The folder may contain any character."""
        if files.startswith(f"{HOME}/"):
            return self._home, str(PurePosixPath(files.removeprefix(f"{HOME}/")))
        if files.startswith("/"):
            return Path("/"), str(PurePosixPath(files.lstrip("/")))
        return self._folder, str(PurePosixPath(files))

    def _pattern_of(self, partition_key: str | None) -> str:
        if self._template is None:
            return self._pattern
        if partition_key is None:
            raise SourceError(f"{self._source.files} needs a landing partition. Fix: name one.")
        return self._template.of(partition_key)

    def _matching(self, pattern: str) -> Iterator[Slice]:
        """The files that match a pattern. By glob.glob, because Path.glob enters hidden folders."""
        for name in glob.glob(pattern, root_dir=self._root, recursive=True):  # noqa: PTH207  see the docstring
            partition = self._template.partition_in(name) if self._template else None
            path = _absolute(self._root / name)
            if (self._template and partition is None) or _is_unfinished(path.name):
                continue
            if fingerprint := _fingerprint(path):
                yield Slice(self._uri(path), fingerprint, partition)

    def _uri(self, path: Path) -> str:
        if path.is_relative_to(self._folder):
            uri = path.relative_to(self._folder).as_posix()
        elif path.is_relative_to(self._home):
            uri = f"{HOME}/{path.relative_to(self._home).as_posix()}"
        else:
            uri = path.as_posix()
        try:
            uri.encode()
        except UnicodeEncodeError:
            raise SourceError(f"{uri!a}: its name is not UTF-8. Fix: rename the file.") from None
        return uri


def path_of(stream: Stream, uri: str) -> Path:
    """The path of a file that a stream names: relative to the folder of its YAML file, or to ${SESSIONS_HOME}."""
    return _resolved(uri, _absolute(stream.path.parent), _absolute(stream.home))


def _resolved(uri: str, folder: Path, home: Path) -> Path:
    return home / uri.removeprefix(f"{HOME}/") if uri.startswith(f"{HOME}/") else folder / uri


def _absolute(path: Path) -> Path:
    """Without dots, but not resolved: a file behind a symlink keeps the name that the stream gives it."""
    return Path(os.path.normpath(path.absolute()))


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(UNFINISHED)


def _fingerprint(path: Path) -> str | None:
    """Changes with every write and every replacement; None for what isn't a regular file, or just vanished."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    return f"{state.st_size}-{state.st_mtime_ns}-{state.st_ctime_ns}-{state.st_ino}"
