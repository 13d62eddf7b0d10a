"""Landing files as a source: where they are, and to which landing partition each belongs.

What a file contains is read by `sources.files.reader`; the configuration is `contracts.sources.FilesSource`.
"""

import errno
import glob
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property, partial
from itertools import takewhile
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from sessions_platform.contracts.formats import FORMATS, FormatOptions
from sessions_platform.contracts.path_template import ANY_FOLDERS, PathTemplate
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.base import (
    IN_ARCHIVE,
    NO_CURSORS,
    Cursors,
    Found,
    Quarantine,
    Skipped,
    Slice,
    is_unfinished,
)
from sessions_platform.sources.files.nearby import what_is_near
from sessions_platform.sources.files.tree import NOT_A_FILE, Glob, Skip, Tree

if TYPE_CHECKING:
    from sessions_platform.sources.files.archives import Archives
    from sessions_platform.sources.files.reader import FileReading

HOME = "${SESSIONS_HOME}"
# Ends the fingerprint of a landing file that is an archive.
_IS_ARCHIVE = "-archive"


class SourceError(UserError):
    """A landing file has a name, or a stream a path template, that can't be used; the message contains the fix."""


class _Place(NamedTuple):
    """The landing partition that a path states, if it has to; or why it states none."""

    partition: str | None
    misfit: str | None = None


class FileSource:
    """The landing files of one stream. Each file is a slice; it needs no cursors.

    Hidden files, and names that end in .tmp, .part or ~, are unfinished uploads: they are ignored until renamed.
    """

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES, scratch: Path | None = None) -> None:
        assert isinstance(stream.source, FilesSource)
        self._source = stream.source
        self._folder, self._home = _absolute(stream.path.parent), _absolute(stream.home)
        self._block_bytes = block_bytes
        self._required_fields = stream.required_fields
        self._root, self._pattern = self._anchored(self._source.files)
        self._scratch = scratch or self._home / "scratch"
        self._template = PathTemplate(self._pattern, stream.landing_calendar) if self._source.dated else None

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "FileSource":
        """The implementation that `contracts.sources.FilesSource` names."""
        return cls(stream, settings.block_bytes, settings.scratch)

    def find(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> list[Slice]:
        """The files that exist now, by uri; of these landing partitions, or all. Undated ones always.

        The members of an archive come behind it, in its order, so that a compressed tar is unpacked once.
        """
        return list(self.search(landing_partitions, cursors).slices)

    def search(
        self,
        landing_partitions: Iterable[str] | None = None,
        cursors: Cursors = NO_CURSORS,  # noqa: ARG002  files need none
    ) -> Found:
        """The same files, and what has such a name and can't be read: odd links, and names that are not UTF-8.

        Files whose name looks like one of the pattern, and states no landing partition, are skipped with the reason.
        """
        wanted = None if landing_partitions is None else set(landing_partitions)
        if self._template is None:
            patterns, wanted = [self._pattern], None
        elif wanted is None:
            patterns = [self._template.of_all()]
        else:
            patterns = sorted({self._template.of(key) for key in wanted})
        files: dict[str, Slice] = {}
        members: dict[str, list[Slice]] = {}  # apart, for hardly any of very many files is an archive
        skipped: dict[str, Skipped] = {}
        for pattern in patterns:
            for file, *inside in self._matching(pattern, wanted, skipped):
                files[file.uri] = file
                if inside:
                    members[file.uri] = inside
        return Found(
            [slice_ for uri in sorted(files) for slice_ in (files[uri], *members.get(uri, ()))],
            sorted(skipped.values(), key=attrgetter("place", "reason")),
        )

    def read(self, slice_: Slice, quarantine: Quarantine) -> "FileReading":
        """A reading of a file that `find` returned. Iterating it raises FileNotFoundError where the file vanished."""
        # formats and codecs take longer to import than files to find
        from sessions_platform.sources.files.reader import FileReading
        from sessions_platform.sources.formats.registry import open_format

        is_archive = slice_.fingerprint.endswith(_IS_ARCHIVE)  # which has no rows of any format
        options = FormatOptions.model_validate({"format": "ndjson"}) if is_archive else self._source
        file_format = open_format(options, None if is_archive else self._required_fields)
        opened = partial(self._opened_slice, slice_)
        path = self._landing_file(slice_.uri)
        return FileReading(path, self._source, file_format, quarantine, self._block_bytes, opened)

    @cached_property
    def _archives(self) -> "Archives | None":
        if self._source.archive is None:
            return None
        from sessions_platform.sources.files.archives import Archives

        return Archives(self._source, self._scratch)

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a path states, whether its file exists or not; None where it states none."""
        path = self.path_of(uri)
        if self._template is None or not path.is_relative_to(self._root):
            return None
        return self._template.partition_in(path.relative_to(self._root).as_posix())

    def path_of(self, uri: str) -> Path:
        """The absolute path of a file; for a member of an archive, of the archive."""
        return self._landing_file(self._parts(uri)[0])

    def uri_of(self, path: Path) -> str:
        """The uri of a file at an absolute path, by which the ledger knows it."""
        return self._uri(str(path))

    def partition_of_name(self, name: str) -> str | None:
        """The landing partition that a file's name states by itself, without its folder; None where it states none."""
        return self._template.partition_in_name(name) if self._template else None

    def uris_at(self, path: Path) -> list[str]:
        """The uris of all slices at a path: of an archive, its own and those of its members."""
        uri = self.uri_of(path)
        return [slice_.uri for slice_ in self._with_members(str(path), Slice(uri, "", None), lambda *_: None)]

    def opened(self, uri: str) -> io.FileIO:
        """The bytes of a slice. Raises OSError where there is none."""
        path = self.path_of(uri)
        fingerprint = "" if self._archives is None else _IS_ARCHIVE
        return self._opened_slice(Slice(uri, fingerprint, None), path)

    def is_archived(self, slice_: Slice) -> bool:
        """Whether a slice is an archive or a member of one."""
        return self._parts(slice_.uri)[1] is not None or slice_.fingerprint.endswith(_IS_ARCHIVE)

    def landing_folder(self, partition_key: str | None = None) -> Path:
        """The folder in which `find` looks for a landing partition's files. Raises SourceError if it isn't one."""
        folders = self._pattern_of(partition_key).split("/")[:-1]
        folder = "/".join(name for name in folders if name != ANY_FOLDERS)  # which are none, too
        if glob.has_magic(folder):
            raise SourceError(
                f"{self._source.files}: it leaves open in which folder a file belongs. Fix: copy the file there "
                "yourself, then run the stream."
            )
        return _absolute(self._root / folder)

    def is_empty(self) -> bool:
        """Whether there is no landing file; it looks no further than the first."""
        pattern = self._template.of_all() if self._template else self._pattern
        return next(self._matching(pattern, None, {}), None) is None

    def near(self) -> str:
        """A sentence on what lies near the landing files, for where there is none."""
        pattern = self._template.of_all() if self._template else self._pattern
        fix = "correct files in the stream's source, or put the files there"
        return f"no file matches {self._source.files}; {what_is_near(_absolute(self._root), pattern)}. Fix: {fix}."

    def finds(self, path: Path) -> bool:
        """Whether `find` returns a file at an absolute path, once there is one."""
        if not path.is_relative_to(self._root):
            return False
        relative, pattern = path.relative_to(self._root).as_posix(), self._pattern
        place = self._place(relative, None)
        is_placed = place is not None and place.misfit is None
        return is_placed and Glob(self._template.of_all() if self._template else pattern).matches(relative)

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
            relative = (folder / name).relative_to(_absolute(self._root)).as_posix()
            if self._template and (misfit := self._template.misfit(relative)):
                raise SourceError(f"{name!r} would not be ingested: {misfit}.")
            raise SourceError(f"{name!r} would not be found by {self._source.files}. Fix: name it like {pattern}.")
        path = folder / name
        if partition_key and self._template and self.partition_of(self.uri_of(path)) != partition_key:
            raise SourceError(f"{name!r} does not state {partition_key} in {self._source.files}. Fix: name it so.")
        return path

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

    @cached_property
    def _fixed(self) -> str:
        """The folders that the path begins with, before any wildcard or placeholder: the landing folder's, or none."""
        names = self._pattern.split("/")[:-1]
        return "".join(
            f"{name}/" for name in takewhile(lambda name: not glob.has_magic(name) and "{" not in name, names)
        )

    def _tree(self) -> Tree:
        return Tree(str(_absolute(self._root / self._fixed)), outside=self._source.follow_outside_links)

    def _matching(self, pattern: str, wanted: set[str] | None, skipped: dict[str, Skipped]) -> Iterator[list[Slice]]:
        """The files that match a pattern, of these landing partitions, each with the members that it has.

        What has to be skipped is added to `skipped`.
        """
        tree = self._tree()

        def skip(path: str, reason: str) -> None:
            place = self._uri(path).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
            skipped[place] = Skipped(place, reason)

        below = len(tree.root.rstrip("/")) + 1
        for path in tree.matching(pattern.removeprefix(self._fixed), skip):
            place = self._place(self._fixed + path[below:], wanted)
            if place is None:
                continue
            if not _is_utf8(path):
                skip(path, "its name is not UTF-8")
            elif state := tree.file_state(path, skip):
                if place.misfit:
                    skip(path, place.misfit)
                else:
                    slice_ = Slice(self._uri(path), _fingerprint(state), place.partition)
                    if slices := self._with_members(path, slice_, skip):
                        yield slices

    def _place(self, path: str, wanted: set[str] | None) -> "_Place | None":
        """Where a path of the pattern belongs; None where it is none of the stream's, or not of these partitions."""
        if is_unfinished(path.rpartition("/")[2]):
            return None
        if self._template is None:
            return _Place(None)
        partition = self._template.partition_in(path)
        if partition is not None:
            return _Place(partition) if wanted is None or partition in wanted else None
        misfit = self._template.misfit(path)
        return _Place(None, misfit) if misfit else None

    def _with_members(self, path: str, slice_: Slice, skip: Skip) -> list[Slice]:
        """A slice, and those of its members if it is an archive; none where it can't be told from a member."""
        if self._archives is None:
            return [slice_]
        if IN_ARCHIVE in slice_.uri:
            skip(path, f"a path with {IN_ARCHIVE!r} would be taken for a member of an archive. Fix: rename the folder")
            return []
        try:
            with self._opened(Path(path)) as handle:
                listing = self._archives.listing(handle, path.rpartition("/")[2], _fingerprint_of(handle))
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

    def _opened_slice(self, slice_: Slice, _: Path) -> io.FileIO:
        """The open file of a slice; for a member its copy. Raises FileNotFoundError where there is none by now."""
        file, member = self._parts(slice_.uri)
        handle = self._opened(self._landing_file(file))
        if self._archives is None or (member is None and not slice_.fingerprint.endswith(_IS_ARCHIVE)):
            return handle
        with handle:
            name, fingerprint = file.rpartition("/")[2], _fingerprint_of(handle)
            if member is not None:
                return self._archives.member_file(handle, name, fingerprint, member)
            listing = self._archives.listing(handle, name, fingerprint)
            return self._archives.itself(handle, listing) if listing else self._opened(self._landing_file(file))

    def _parts(self, uri: str) -> tuple[str, str | None]:
        """The uri of a landing file, and the name of the member; None where it is the file itself."""
        file, separator, member = uri.partition(IN_ARCHIVE) if self._archives else (uri, "", "")
        return file, member if separator else None

    def _landing_file(self, uri: str) -> Path:
        return _resolved(uri, self._folder, self._home)

    def _opened(self, path: Path) -> io.FileIO:
        """An open file. Raises FileNotFoundError where there is none by now that may be read."""
        real = os.path.realpath(path)
        vanished = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if not self._tree().is_inside(real):
            raise vanished
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # it may be a link or a pipe by now
        except OSError as error:
            raise vanished if error.errno in NOT_A_FILE else error from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise vanished
        return io.FileIO(descriptor)

    @cached_property
    def _prefixes(self) -> tuple[str, str]:
        return f"{self._folder}/", f"{self._home}/"

    def _uri(self, path: str) -> str:
        folder, home = self._prefixes
        if path.startswith(folder):
            return path[len(folder) :]
        return f"{HOME}/{path[len(home) :]}" if path.startswith(home) else path


def path_of(stream: Stream, uri: str) -> Path:
    """The path of a file that a stream names: relative to the folder of its YAML file, or to ${SESSIONS_HOME}."""
    return _resolved(uri, _absolute(stream.path.parent), _absolute(stream.home))


def _resolved(uri: str, folder: Path, home: Path) -> Path:
    return home / uri.removeprefix(f"{HOME}/") if uri.startswith(f"{HOME}/") else folder / uri


def _absolute(path: Path) -> Path:
    """Without dots, but not resolved: a file behind a symlink keeps the name that the stream gives it."""
    return Path(os.path.normpath(path.absolute()))


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fingerprint_of(handle: io.FileIO) -> str:
    return _fingerprint(os.fstat(handle.fileno()))


def _fingerprint(state: os.stat_result) -> str:
    """Changes with every write and every replacement."""
    return f"{state.st_size}-{state.st_mtime_ns}-{state.st_ctime_ns}-{state.st_ino}"
