"""The streams of folders: which files there are, which streams they give, and which of these are broken.

A broken stream stops no other one. Here belong the files' names and the names of streams that can't be read. Not here:
what one file says (``stream_file``), why there is no stream of a name (``unknown_stream``), and how a broken stream is
shown (``orchestration/broken_streams``).
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import ConfigProblem, StreamError, load_stream
from sessions_platform.contracts.unknown_stream import SUFFIXES, VARIABLE, no_such_folder, unknown_stream

_STATED_NAME = re.compile(
    rb"""^["']?name["']?[ \t]*:[ \t]*["']?([a-z][a-z0-9_]{0,47})["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE
)
_NO_WORD = re.compile(r"\W+", re.ASCII)
_LONGEST_NAME = 48
_NAME_IS_WITHIN = 1 << 16  # bytes of the file


class BrokenStream(NamedTuple):
    """A stream that can't be used. `name` is what its file states; of a file that states none, the file's own name."""

    name: str
    problems: tuple[ConfigProblem, ...]

    @property
    def error(self) -> StreamError:
        """The problems as an error."""
        return StreamError(list(self.problems))


@dataclass(frozen=True)
class Streams:
    """What one reading of the folders gave; no name is in both.

    Attributes:
        usable: by name, sorted by name.
        broken: by name, sorted by name.
        folders: those that were read.
    """

    usable: Mapping[str, Stream]
    broken: Mapping[str, BrokenStream]
    folders: Sequence[Path] = ()

    def has(self, name: str) -> bool:
        """Whether a file states the name, be it broken or not."""
        return name in self.usable or name in self.broken

    def may_have_target(self, name: str, target: str) -> bool:
        """Whether a stream has a target; a broken one may have any."""
        return name in self.broken or (name in self.usable and target in self.usable[name].targets)

    def named(self, name: str) -> Stream:
        """The stream of a name. Raises StreamError if it is broken, UserError if there is none."""
        if name in self.broken:
            raise self.broken[name].error
        if name not in self.usable:
            raise unknown_stream(name, {*self.usable, *self.broken}, self.folders)
        return self.usable[name]


def read_streams(folders: Iterable[Path], home: Path, pseudonym_key: str | None = None) -> Streams:
    """Read the streams of all .yaml and .yml files that are directly in the folders.

    A name that several files state is broken in all of them, because any of them could be the one that is meant.

    Args:
        folders: with the streams' files.
        home: the folder that `${SESSIONS_HOME}` means in them.
        pseudonym_key: of the streams that pseudonymize columns.

    Raises:
        StreamError: a folder is missing or can't be read, so that no stream of it is known.
    """
    folders = tuple(folders)
    streams: dict[str, list[Stream]] = defaultdict(list)
    unreadable: dict[Path, StreamError] = {}
    for path in _stream_files(folders):
        try:
            stream = load_stream(path, home, pseudonym_key)
        except StreamError as error:
            unreadable[path] = error
        else:
            streams[stream.name].append(stream)
    files = {name: [stream.path for stream in same] for name, same in streams.items()}
    problems: dict[str, list[ConfigProblem]] = {name: [] for name in streams}
    for path, error in unreadable.items():
        name = _stated_name(path) or _name_from(path, problems)
        problems.setdefault(name, []).extend(error.problems)
        files.setdefault(name, []).append(path)
    for name, paths in files.items():
        problems[name] += _twins(paths)
    broken = {name: BrokenStream(name, tuple(found)) for name, found in sorted(problems.items()) if found}
    return Streams({name: streams[name][0] for name in sorted(streams) if name not in broken}, broken, folders)


def _stream_files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
        except (FileNotFoundError, NotADirectoryError):
            raise StreamError([ConfigProblem(folder, None, VARIABLE, *no_such_folder(folder))]) from None
        except OSError as error:
            reason, fix = f"it can't be read: {error.strerror}", "let this user read it"
            raise StreamError([ConfigProblem(folder, None, VARIABLE, reason, fix)]) from None
        yield from files


def _twins(paths: list[Path]) -> Iterator[ConfigProblem]:
    """A problem for each file but the first that states the same name."""
    for path in paths[1:]:
        yield ConfigProblem(path, None, "name", f"{paths[0]} has the same name", "rename one of the two")


def _stated_name(path: Path) -> str | None:
    """The name that a broken file states, if it could be one."""
    stated = _STATED_NAME.search(_beginning(path))
    return stated[1].decode() if stated else None


def _name_from(path: Path, taken: Mapping[str, object]) -> str:
    """A name that no other stream has, from that of the file."""
    own = _NO_WORD.sub("_", path.stem.lower()).strip("_")[:_LONGEST_NAME] or "stream"
    names = itertools.chain([own], (f"{own}_{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_NAME_IS_WITHIN)
    except OSError:
        return b""
