"""Names of landing files: which path a file has, which uri, and to which landing partition it belongs.

Here is what follows from a path and the stream's path template alone, whether its file exists or not. Not here: which
files there are (`sources.files.source`), and opening them (`sources.files.opening`).
"""

import glob
import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sessions_platform.contracts.formats import FORMATS
from sessions_platform.contracts.path_template import ANY_FOLDERS, PathTemplate
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.sources.base import FROM, IN_ARCHIVE, file_uri, is_unfinished
from sessions_platform.sources.files.beginnings import may_grow
from sessions_platform.sources.files.tree import Glob, Tree

HOME = "${SESSIONS_HOME}"


class SourceError(UserError):
    """A landing file has a name, or a stream a path template, that can't be used; the message contains the fix."""


class Place(NamedTuple):
    """The landing partition that a path states, if it has to; or why it states none."""

    partition: str | None
    misfit: str | None = None


class LandingPaths:
    """The paths of one stream's landing files."""

    def __init__(self, stream: Stream) -> None:
        assert isinstance(stream.source, FilesSource)
        self._source = stream.source
        self._folder, self._home = absolute(stream.path.parent), absolute(stream.home)
        self._root, self._pattern = self._anchored(self._source.files)
        self._template = PathTemplate(self._pattern, stream.landing_calendar) if self._source.dated else None

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a path states, whether its file exists or not; None where it states none."""
        path = self.path_of(uri)
        if self._template is None or not path.is_relative_to(self._root):
            return None
        return self._template.partition_in(path.relative_to(self._root).as_posix())

    def path_of(self, uri: str) -> Path:
        """The absolute path of a file; for a member of an archive, of the archive."""
        return self.landing_file(self.parts(uri)[0])

    def uri_of(self, path: Path) -> str:
        """The uri of a file at an absolute path, by which the ledger knows it."""
        return self._uri(str(path))

    def partition_of_name(self, name: str) -> str | None:
        """The landing partition that a file's name states by itself, without its folder; None where it states none."""
        return self._template.partition_in_name(name) if self._template else None

    def landing_folder(self, partition_key: str | None = None) -> Path:
        """The folder in which `find` looks for a landing partition's files. Raises SourceError if it isn't one."""
        folders = self._pattern_of(partition_key).split("/")[:-1]
        folder = "/".join(name for name in folders if name != ANY_FOLDERS)  # which are none, too
        if glob.has_magic(folder):
            raise SourceError(
                f"{self._source.files}: it leaves open in which folder a file belongs. Fix: copy the file there "
                "yourself, then run the stream."
            )
        return absolute(self._root / folder)

    def finds(self, path: Path) -> bool:
        """Whether `find` returns a file at an absolute path, once there is one."""
        if not path.is_relative_to(self._root):
            return False
        relative = path.relative_to(self._root).as_posix()
        place = self.place(relative, None)
        is_placed = place is not None and place.misfit is None
        return is_placed and Glob(self.whole_pattern).matches(relative)

    def name_for(self, stem: str, partition_key: str) -> str:
        """A name of this stem that the pattern has; its first wildcard becomes the stem, and without one it is a name.

        Where the pattern states no suffix, it is the one of the format.
        """
        name = PurePosixPath(self._pattern_of(partition_key)).name
        before, wildcard, after = name.replace(ANY_FOLDERS, "*").partition("*")
        suffixes = FORMATS[self._source.format].suffixes if wildcard and not after else ()
        return f"{before}{stem if wildcard else ''}{after.replace('*', '')}{next(iter(suffixes), '')}"

    def landing_path(self, name: str, partition_key: str | None = None) -> Path:
        """Where to put a file of this name, for `find` to return it. Raises SourceError where it never would."""
        folder = self.landing_folder(partition_key)
        pattern = PurePosixPath(self._pattern_of(partition_key)).name
        if is_unfinished(name) or "/" in name or not fnmatchcase(name, pattern):
            relative = (folder / name).relative_to(absolute(self._root)).as_posix()
            if self._template and (misfit := self._template.misfit(relative)):
                raise SourceError(f"{name!r} would not be ingested: {misfit}.")
            raise SourceError(f"{name!r} would not be found by {self._source.files}. Fix: name it like {pattern}.")
        path = folder / name
        if partition_key and self._template and self.partition_of(self.uri_of(path)) != partition_key:
            raise SourceError(f"{name!r} does not state {partition_key} in {self._source.files}. Fix: name it so.")
        return path

    @property
    def may_grow(self) -> bool:
        """Whether what is appended to its files later may be a slice of its own."""
        return may_grow(self._source)

    def parts(self, uri: str) -> tuple[str, str | None]:
        """The uri of a landing file, and the name of the member; None where it is the file itself."""
        uri = file_uri(uri) if self.may_grow else uri
        file, separator, member = uri.partition(IN_ARCHIVE) if self._source.archive is not None else (uri, "", "")
        return file, member if separator else None

    def tree(self) -> Tree:
        """The folders that are searched, as they are now; a link out of them is followed only if the stream says so."""
        return Tree(str(absolute(self._root / self._fixed)), outside=self._source.follow_outside_links)

    def landing_file(self, uri: str) -> Path:
        """The absolute path of a uri that names no member."""
        return _resolved(uri, self._folder, self._home)

    def patterns(self, landing_partitions: Iterable[str] | None) -> tuple[list[str], set[str] | None]:
        """The patterns of the files of these landing partitions, or all; and which are wanted of what they match."""
        if self._template is None or landing_partitions is None:
            return [self.whole_pattern], None
        wanted = set(landing_partitions)
        return sorted({self._template.of(key) for key in wanted}), wanted

    def place(self, path: str, wanted: set[str] | None) -> Place | None:
        """Where a path of the pattern belongs; None where it is none of the stream's, or not of these partitions."""
        if is_unfinished(path.rpartition("/")[2]):
            return None
        if self._template is None:
            is_part = self.may_grow and FROM in path
            return Place(None, f"{FROM} in a path means a part of a growing file. Fix: rename it" if is_part else None)
        partition = self._template.partition_in(path)
        if partition is not None:
            return Place(partition) if wanted is None or partition in wanted else None
        misfit = self._template.misfit(path)
        return Place(None, misfit) if misfit else None

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

    @property
    def whole_pattern(self) -> str:
        """The pattern of all landing files, of whichever partition."""
        return self._template.of_all() if self._template else self._pattern

    @cached_property
    def _fixed(self) -> str:
        """The landing folder, with a slash at its end; "" for none."""
        return fixed_folders(self._pattern)

    @cached_property
    def _prefixes(self) -> tuple[str, str]:
        return f"{self._folder}/", f"{self._home}/"

    def _uri(self, path: str) -> str:
        folder, home = self._prefixes
        if path.startswith(folder):
            return path[len(folder) :]
        return f"{HOME}/{path[len(home) :]}" if path.startswith(home) else path


def fixed_folders(pattern: str) -> str:
    """The folders that a path begins with, before any wildcard or placeholder, each with a slash; "" for none."""
    names = pattern.split("/")[:-1]
    return "".join(f"{name}/" for name in takewhile(lambda name: not glob.has_magic(name) and "{" not in name, names))


def path_of(stream: Stream, uri: str) -> Path:
    """The path of a file that a stream names: relative to the folder of its YAML file, or to ${SESSIONS_HOME}."""
    return _resolved(uri, absolute(stream.path.parent), absolute(stream.home))


def _resolved(uri: str, folder: Path, home: Path) -> Path:
    return home / uri.removeprefix(f"{HOME}/") if uri.startswith(f"{HOME}/") else folder / uri


def absolute(path: Path) -> Path:
    """Without dots, but not resolved: a file behind a symlink keeps the name that the stream gives it."""
    return Path(os.path.normpath(path.absolute()))
