"""Copies of a lake's files that this process has fetched from an object store, bounded in bytes and in number.

A copy is an open local file without a name: nothing is left of it when the process ends, however it ends, and a copy
that makes room for others can be read to its end by whoever has it open. Not here: how files are fetched and checked
(`object_store.py`).
"""

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import BinaryIO, Generic, TypeVar, cast

_LOCKS = 64


class Copy(io.FileIO):
    """A copy of one version of a file, closed with the last reference to it.

    The position is shared with all that duplicate it, so that none uses it.

    Args:
        file: what it is another descriptor of.
        version: which one of the file it is of.
    """

    def __init__(self, file: io.FileIO, version: str) -> None:
        super().__init__(os.dup(file.fileno()), "rb")
        self.version = version

    @property
    def bytes_held(self) -> int:
        """How much space it takes."""
        return size_of(self)

    def __del__(self) -> None:
        self.close()


C = TypeVar("C", bound=Copy)


class Copies(Generic[C]):
    """The copies that were used last. Several threads may use it: a file that two need is fetched once.

    Args:
        most_bytes: of all copies; only the newest may be larger by itself.
        most_files: how many there are, each of which is an open file of the process.
    """

    def __init__(self, most_bytes: int, most_files: int) -> None:
        self._most_bytes, self._most_files = most_bytes, most_files
        self._copies: OrderedDict[str, C] = OrderedDict()
        self._changing = Lock()
        self._fetching = [Lock() for _ in range(_LOCKS)]

    def get(self, path: str, fetch: Callable[[], C]) -> C:
        """The copy of a file; `fetch` makes one where there is none. It stays readable when it is dropped."""
        with self._fetching[hash(path) % _LOCKS]:
            if (kept := self.kept(path)) is None:
                self.keep(path, kept := fetch())
        return kept

    def kept(self, path: str) -> C | None:
        """The copy of a file if there is one."""
        with self._changing:
            if path not in self._copies:
                return None
            self._copies.move_to_end(path)
            return self._copies[path]

    def keep(self, path: str, copy: C) -> None:
        """Keep a copy from now on, and drop those that were not used for longest where there are too many."""
        with self._changing:
            self._copies[path] = copy
            self._copies.move_to_end(path)
            size = sum(kept.bytes_held for kept in self._copies.values())
            while len(self._copies) > 1 and (size > self._most_bytes or len(self._copies) > self._most_files):
                _, oldest = self._copies.popitem(last=False)
                size -= oldest.bytes_held

    def drop(self, path: str, unless_version: str | None = None) -> None:
        """Drop the copy of a file, or only one of another version than this."""
        with self._changing:
            if path in self._copies and self._copies[path].version != unless_version:
                del self._copies[path]


def size_of(copy: io.FileIO) -> int:
    """The length of a copy in bytes."""
    return os.fstat(copy.fileno()).st_size


def read_at(copy: io.FileIO, offset: int, length: int) -> bytes:
    """At most `length` bytes from `offset` on; fewer where the file ends before."""
    return os.pread(copy.fileno(), length, offset)


def reader(copy: io.FileIO) -> BinaryIO:
    """A file with a position of its own, which closes the copy."""
    return cast(BinaryIO, io.BufferedReader(_Reader(copy)))


class _Reader(io.RawIOBase):
    def __init__(self, copy: io.FileIO) -> None:
        self._copy, self._position = copy, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size_of(self._copy)}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        count = os.preadv(self._copy.fileno(), [buffer], self._position)
        self._position += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._copy.close()
        super().close()
