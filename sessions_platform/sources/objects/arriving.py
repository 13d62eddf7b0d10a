"""A large object that is read while it arrives: in parts of one version, of which few are in memory at once.

Whoever reads it from its beginning to its end waits for each part once, and no byte is on the disk. Whoever goes back
to a part that was let go, or needs a file, gets a copy of the whole. Not here: the requests (`copying`), and which
objects are read so (`opening`).
"""

import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sessions_platform.sources.files.served import ServedFile


class Arriving(ServedFile):
    """The parts of one version of an object, asked for in their order and several at a time.

    Args:
        size: of the object, in bytes.
        version: of the object, as `listing.version_of` has it.
        fetch: the bytes from a place to another one (excluded), in this version.
        copied: a copy of this version.
        part_bytes: of each part but the last.
        at_once: how many parts are on their way or in memory.

    Attributes:
        version: as above.
    """

    def __init__(
        self,
        size: int,
        version: str,
        fetch: Callable[[int, int], Any],
        copied: Callable[[], io.FileIO],
        part_bytes: int,
        at_once: int,
    ) -> None:
        self._size, self.version = size, version
        self._fetch, self._copied = fetch, copied
        self._part_bytes, self._at_once = part_bytes, at_once
        self._parts: dict[int, Future[Any]] = {}  # by their number
        self._first = 0  # those before it were let go
        self._file: io.FileIO | None = None
        self._is_closed = False
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="object")
        self._ask_from(0)

    @property
    def size(self) -> int:
        return self._size

    def part(self, size: int, start: int) -> bytes:
        """As of `ServedFile`; errors of the source's, once the parts that came before it have been returned."""
        if self._is_closed:
            raise ValueError("it was closed")
        if start >= self._size:
            return b""
        number = start // self._part_bytes
        if self._file is not None or number < self._first:
            return os.pread(self.file().fileno(), size, start)
        self._ask_from(number)
        within = start - number * self._part_bytes
        return bytes(memoryview(self._parts[number].result())[within : within + size])

    def file(self) -> io.FileIO:
        if self._file is None:
            self._let_go(range(self._first, self._size))
            self._file = self._copied()
        return self._file

    def close(self) -> None:
        self._is_closed = True
        self._parts.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._file:
            self._file.close()

    def _ask_from(self, number: int) -> None:
        """Ask for the parts from one on, as many as there is room for, and let those before it go."""
        self._let_go(range(self._first, number))
        self._first = number
        for each in range(number, number + self._at_once):
            start = each * self._part_bytes
            if each not in self._parts and start < self._size:
                end = min(start + self._part_bytes, self._size)
                self._parts[each] = self._pool.submit(self._fetch, start, end)

    def _let_go(self, numbers: range) -> None:
        for each in [number for number in self._parts if number in numbers]:
            self._parts.pop(each).cancel()
