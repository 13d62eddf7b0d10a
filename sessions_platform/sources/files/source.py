"""Landing files: where they are, and to which landing partition they belong."""

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
from sessions_platform.settings import BLOCK_BYTES
from sessions_platform.sources.base import Quarantine, Slice
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.formats.parquet.reader_process import ParquetProcess

HOME = "${SESSIONS_HOME}"
UNFINISHED = (".tmp", ".part", "~")


class SourceError(UserError):
    """A stream's files can't be found or placed as its YAML file says; the message holds the mend."""


class FileSource:
    """The landing files of one stream.

    Hidden files, and names that end in .tmp, .part or ~, are uploads that go on, and
    are not seen before they are renamed.
    """

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES) -> None:
        assert isinstance(stream.source, FilesSource)
        self._source = stream.source
        self._block_bytes = block_bytes
        self._parquet = ParquetProcess()
        self._folder = _absolute(stream.path.parent)
        self._home = _absolute(stream.home)
        self._root, files = self._anchored(self._source.files)
        self._template = PathTemplate(files, stream.landing_calendar) if self._source.dated else None
        self._pattern = files

    def find(self, landing_partitions: Iterable[str] | None = None) -> list[Slice]:
        """The files that are there now, by uri; of these landing partitions, or all. Undated ones always."""
        asked = None if landing_partitions is None else set(landing_partitions)
        if self._template is None:
            found = self._matching(self._pattern)
        elif asked is None:
            found = self._matching(self._template.of_all())
        else:
            everywhere = chain.from_iterable(self._matching(self._template.of(key)) for key in asked)
            found = (file for file in everywhere if file.landing_partition in asked)
        return sorted(set(found), key=lambda file: file.uri)

    def read(self, file: Slice, keep: Quarantine) -> FileReading:
        return FileReading(self.path_of(file.uri), self._source, keep, self._parquet, self._block_bytes)

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a file's name tells, whether it is there or not; None where it tells none."""
        path = self.path_of(uri)
        if self._template is None or not path.is_relative_to(self._root):
            return None
        return self._template.partition_in(path.relative_to(self._root).as_posix())

    def path_of(self, uri: str) -> Path:
        if uri.startswith(f"{HOME}/"):
            return self._home / uri.removeprefix(f"{HOME}/")
        return self._folder / uri

    def landing_folder(self, partition_key: str | None = None) -> Path:
        """Where `find` looks for a landing partition's files. Raises SourceError if that is no one folder."""
        folder = PurePosixPath(self._pattern_of(partition_key)).parent
        if glob.has_magic(str(folder)):
            raise SourceError(f"{self._source.files}: no file can be placed in a folder with wildcards")
        return _absolute(self._root / folder)

    def place_for(self, name: str, partition_key: str | None = None) -> Path:
        """Where to put a file of this name, for `find` to see it. Raises SourceError where it never would."""
        folder = self.landing_folder(partition_key)
        pattern = PurePosixPath(self._pattern_of(partition_key)).name
        if _is_unfinished(name) or "/" in name or not fnmatchcase(name, pattern):
            raise SourceError(f"{name!r} would not be found by {self._source.files}: name it like {pattern}")
        return folder / name

    def _anchored(self, files: str) -> tuple[Path, str]:
        """The folder that a path template starts from, and the rest. The folder may hold any character."""
        if files.startswith(f"{HOME}/"):
            return self._home, str(PurePosixPath(files.removeprefix(f"{HOME}/")))
        if files.startswith("/"):
            return Path("/"), str(PurePosixPath(files.lstrip("/")))
        return self._folder, str(PurePosixPath(files))

    def _pattern_of(self, partition_key: str | None) -> str:
        if self._template is None:
            return self._pattern
        if partition_key is None:
            raise SourceError(f"{self._source.files} needs a landing partition: name one")
        return self._template.of(partition_key)

    def _matching(self, pattern: str) -> Iterator[Slice]:
        """Not by Path.glob, which goes into hidden folders."""
        for name in glob.glob(pattern, root_dir=self._root, recursive=True):  # noqa: PTH207
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


def _absolute(path: Path) -> Path:
    """Without dots, but not resolved: a file behind a symlink keeps the name that the stream gives it."""
    return Path(os.path.normpath(path.absolute()))


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(UNFINISHED)


def _fingerprint(path: Path) -> str | None:
    """Changes with every write and every replacement; None for what is no regular file, or just vanished."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    return f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ctime_ns}-{seen.st_ino}"
