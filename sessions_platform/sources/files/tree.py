"""The names below a folder that match a glob, each folder listed once, and what stood in the way of a file.

Here: wildcards, links and odd names, in time that is proportional to the names that there are. `glob.glob` is not used
because it ends at the first name that the system doesn't accept, follows links in circles, and lists a folder once for
each way in which several `**` lead to it. Not here: which files are a stream's, and what becomes of them (`source`).
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import translate
from glob import has_magic
from pathlib import Path

from sessions_platform.contracts.path_template import ANY_FOLDERS

# Called with the path of what can't be a landing file, and the reason.
Skip = Callable[[str, str], None]

# Why a path can't be opened as a file where it is, or has become, something else.
NOT_A_FILE = {errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENXIO, errno.ENOENT}

_NOWHERE: frozenset[int] = frozenset()
_MAX_LINKS = 8  # in one path; a few folders that link to each other have endless paths
_ODD = {
    errno.ELOOP: "a link that leads to itself",
    errno.ENOTDIR: "a link through a file as if it were a folder",
    errno.ENAMETOOLONG: "a link to a name that is too long",
    errno.ENOENT: "a link to nothing",
    errno.EACCES: "permission denied",
}


# Of one name of a pattern: a regular expression, the name itself, or None for any number of folders.
Matcher = re.Pattern[str] | str | None


class _Kind(Enum):
    link = auto()
    folder = auto()
    other = auto()


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the way: its path, the same without links, those that it was reached through, and pattern places."""

    path: str
    real: str
    through: tuple[str, ...]
    places: frozenset[int]


class Tree:
    """What is below a folder.

    Args:
        root: an absolute path; it may be or contain links itself.
        outside: whether links that lead out of the root are followed.
    """

    def __init__(self, root: str, *, outside: bool) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._outside = outside

    def matching(self, pattern: str, skip: Skip) -> Iterator[str]:
        """The paths that match a glob: files, links, and whatever else is no folder on the way; in no order.

        Args:
            pattern: relative to the root; `**` matches any number of folders, and no wildcard a hidden name.
            skip: called for folders that can't be searched.
        """
        names = _Names(pattern)
        folders = [_Folder(self.root, self._real, (), names.start)]
        while folders:
            folder = folders.pop()
            for name, path, kind in _children(folder, names, skip):
                places = names.following(folder.places, name)
                if names.end in places:
                    yield path
                    places -= {names.end}
                if not places or kind is _Kind.other:
                    continue
                if kind is _Kind.folder:
                    folders.append(_Folder(path, f"{folder.real.rstrip('/')}/{name}", folder.through, places))
                elif linked := self._linked(folder, path, places, skip):
                    folders.append(linked)

    def file_state(self, path: str, skip: Skip) -> os.stat_result | None:
        """The state of a regular file; None for anything else, and for what has just vanished."""
        try:
            state = os.lstat(path)
            if stat.S_ISREG(state.st_mode):
                return state
            if stat.S_ISLNK(state.st_mode):
                state = Path(path).stat()
                if not self.is_inside(os.path.realpath(path)):
                    skip(path, "a link that leads out of the landing folder")
                    return None
        except OSError as error:
            _skip_odd(path, error, skip)
            return None
        if stat.S_ISREG(state.st_mode):
            return state
        if not stat.S_ISDIR(state.st_mode):
            skip(path, "neither a file nor a folder")
        return None

    def is_inside(self, real: str) -> bool:
        """Whether a path without links is below the root, or may be anywhere."""
        return self._outside or _is_below(real, self._real)

    def _linked(self, parent: _Folder, path: str, places: frozenset[int], skip: Skip) -> _Folder | None:
        """The folder that a link leads to; None where there is none, or it can't be searched."""
        try:
            if not stat.S_ISDIR(Path(path).stat().st_mode):
                return None
        except OSError as error:
            _skip_odd(path, error, skip)
            return None
        real, through = os.path.realpath(path), (*parent.through, parent.real)
        if not self.is_inside(real):
            skip(path, "a link that leads out of the landing folder")
        elif any(_is_below(passed, real) for passed in through):
            skip(path, "a link to a folder that contains it")
        elif len(through) > _MAX_LINKS:
            skip(path, f"behind more than {_MAX_LINKS} links")
        else:
            return _Folder(path, real, through, places)
        return None


class Glob:
    """A glob of relative paths, as `Tree.matching` has it, for paths that are no files."""

    def __init__(self, pattern: str) -> None:
        self._names = _Names(pattern)

    def matches(self, path: str) -> bool:
        """Whether the whole path matches; "a/b" for folders and a name."""
        places = self._names.start
        for name in path.split("/"):
            places = self._names.following(places - {self._names.end}, name)
        return self._names.end in places


class _Names:
    """A pattern, name by name, and which places in it follow each other.

    There may be very many files, and their places are mostly the same: each set of places is made once.

    Attributes:
        start: the places before the first name.
        end: the place after the last one.
    """

    def __init__(self, pattern: str) -> None:
        self._matchers = _matchers(pattern)
        self.end = len(self._matchers)
        self.start = self._open(0)
        self._behind = [self._open(place + 1) for place in range(self.end)]

    def following(self, places: frozenset[int], name: str) -> frozenset[int]:
        """The places in the pattern after a name."""
        following = _NOWHERE
        for place in places:
            if self._matches(place, name):
                behind = self._behind[place] if self._matchers[place] is not None else self._open(place)
                following = following | behind if following else behind
        return following

    def literal(self, places: frozenset[int]) -> list[str] | None:
        """The names that are at these places; None where one of them has wildcards."""
        wanted = [self._matchers[place] for place in places]
        names = [name for name in wanted if isinstance(name, str)]
        return names if len(names) == len(wanted) else None

    def _matches(self, place: int, name: str) -> bool:
        matcher = self._matchers[place]
        if isinstance(matcher, str):
            return matcher == name
        if name.startswith("."):
            return matcher is not None and matcher.pattern.startswith(r"(?s:\.") and matcher.match(name) is not None
        return matcher is None or matcher.match(name) is not None

    def _open(self, place: int) -> frozenset[int]:
        """A place, and that after `**`, which may match no folder at all."""
        is_any = place < self.end and self._matchers[place] is None
        return frozenset({place, place + 1} if is_any else {place})


def _matchers(pattern: str) -> list[Matcher]:
    """What matches each name; several `**` in a row are one."""
    names: list[Matcher] = []
    for text in pattern.split("/"):
        if text != ANY_FOLDERS:
            names.append(re.compile(translate(text)) if has_magic(text) else text)
        elif not names or names[-1] is not None:
            names.append(None)
    if names[-1] is None:
        names.append(re.compile(translate("*")))  # a path ends with the name of a file
    return names


def _children(folder: _Folder, names: _Names, skip: Skip) -> Iterator[tuple[str, str, _Kind]]:
    """The name, path and kind of each child that is needed; folders are listed for wildcards only."""
    base = folder.path.rstrip("/")
    literal = names.literal(folder.places)
    try:
        if literal is not None:
            yield from ((name, f"{base}/{name}", _kind(os.lstat(f"{base}/{name}").st_mode)) for name in literal)
            return
        with os.scandir(folder.path) as entries:
            for entry in entries:
                yield entry.name, f"{base}/{entry.name}", _kind_of(entry)
    except (FileNotFoundError, NotADirectoryError):
        return  # it vanished, or is a file
    except OSError as error:
        _skip_odd(folder.path, error, skip)


def _kind_of(entry: os.DirEntry[str]) -> _Kind:
    if entry.is_file(follow_symlinks=False):  # the usual case
        return _Kind.other
    is_folder = entry.is_dir(follow_symlinks=False)
    return _Kind.link if entry.is_symlink() else _Kind.folder if is_folder else _Kind.other


def _kind(mode: int) -> _Kind:
    return _Kind.link if stat.S_ISLNK(mode) else _Kind.folder if stat.S_ISDIR(mode) else _Kind.other


def _skip_odd(path: str, error: OSError, skip: Skip) -> None:
    """Report what the system does not accept as a file; raise an outage, such as a failing disk."""
    if error.errno not in _ODD:
        raise error
    if error.errno != errno.ENOENT or Path(path).is_symlink():
        skip(path, _ODD[error.errno])


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
