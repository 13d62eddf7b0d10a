"""A file whose content is known by its digest once it has been read."""

import hashlib
import io
import os
from collections.abc import Iterator


class HashedFile:
    """A file as long as it was when it was opened; what is written behind that is for the next reading.

    It may be read several times. Each byte is hashed when it is first read.
    """

    def __init__(self, handle: io.FileIO) -> None:
        self.size = os.fstat(handle.fileno()).st_size
        self._descriptor = handle.fileno()
        self._sha256 = hashlib.sha256()
        self._hashed = 0

    def pieces(self, size: int, start: int = 0) -> Iterator[bytes]:
        while piece := os.pread(self._descriptor, min(size, self.size - start), start):
            start += len(piece)
            if start > self._hashed:
                self._sha256.update(piece[self._hashed - start :])
                self._hashed = start
            yield piece

    def digest(self) -> str:
        """SHA-256 in hex, of the whole file, read or not."""
        for _ in self.pieces(1 << 20, self._hashed):
            pass
        return self._sha256.hexdigest()
