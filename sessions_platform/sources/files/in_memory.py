"""A landing file whose bytes are in memory, since they came from a server. Not here: reading them (`content`)."""

import io
from collections.abc import Callable
from typing import Any

from sessions_platform.sources.files.served import ServedFile


class InMemory(ServedFile):
    """All bytes of a small file.

    Args:
        body: its bytes, as any object that has them.
        on_disk: makes a file of these bytes, for a library that needs one.
    """

    def __init__(self, body: Any, on_disk: Callable[[memoryview], io.FileIO]) -> None:
        self._bytes, self._on_disk = memoryview(body), on_disk
        self._file: io.FileIO | None = None

    @property
    def size(self) -> int:
        return self._bytes.nbytes

    def part(self, size: int, start: int) -> bytes:
        return bytes(self._bytes[start : start + size])

    def file(self) -> io.FileIO:
        self._file = self._file or self._on_disk(self._bytes)
        return self._file

    def close(self) -> None:
        self._bytes.release()
        if self._file:
            self._file.close()
