"""A landing file whose bytes are in memory, since they came from a server. Not here: reading them (`content`)."""

import io
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class InMemory:
    """Is read like an open file, as long as it is not closed.

    Args:
        body: its bytes, as any object that has them.
        on_disk: makes a file of these bytes, for a library that needs one.
    """

    def __init__(self, body: Any, on_disk: Callable[[memoryview], io.FileIO]) -> None:
        self._bytes, self._on_disk = memoryview(body), on_disk
        self._file: io.FileIO | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self._bytes.nbytes

    def part(self, size: int, start: int) -> bytes:
        """So many bytes from `start` on; fewer at the end. Raises ValueError after `close`, as a closed file does."""
        return bytes(self._bytes[start : start + size])

    def file(self) -> io.FileIO:
        """The same bytes as a file, which is closed with this object. Raises UserError where there is no space."""
        self._file = self._file or self._on_disk(self._bytes)
        return self._file

    def close(self) -> None:
        """Let the bytes go."""
        self._bytes.release()
        if self._file:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
