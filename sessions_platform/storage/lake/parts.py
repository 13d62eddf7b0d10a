"""Parts of a large object, where a few of its columns or row groups are needed: fetched as far as they are.

The parts are in a local file of the object's length, at their own places, and what is between them takes no space. All
are of one version: its etag is asked for and compared with each answer. Besides, the end of the object has to be what
the checksum in its name says, and each extent what the end says, before any is read; so even a store that mixed
versions could not pass one off as another. Not here: which parts are needed (`lake.py`), and the requests
(`sources.objects.copying`).
"""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Lock
from weakref import proxy

from sessions_platform.storage.lake.checksums import Checksums, Range
from sessions_platform.storage.lake.copies import Copy, read_at

# Fetches ranges of one version of an object to their places in a file.
Fetch = Callable[[io.FileIO, Sequence[Range]], None]

_MAGIC = b"PAR1"
# What is between two parts is fetched with them where it takes less time than a request of its own.
_GAP_BYTES = 256 << 10


class Parts(Copy):
    """The parts that were fetched of one version of an object. Several threads may use it.

    Args:
        file: for them, empty.
        version: of the object.
        size: of the object, in bytes.
        checksum: in the object's name.
        fetch: fetches more.

    Raises:
        ChecksumError: the object's end is not the one that was written.
    """

    def __init__(self, file: io.FileIO, version: str, size: int, checksum: str, fetch: Fetch) -> None:
        super().__init__(file, version)
        self._fetch, self._fetching = fetch, Lock()
        os.ftruncate(self.fileno(), size)
        os.pwrite(self.fileno(), _MAGIC, 0)  # with which each file begins
        self._bytes_held = 0
        # By a weak reference, since in a cycle it would be open until the next collection of garbage.
        self._checksums = Checksums(checksum, size, partial(Parts._fetched, proxy(self)))

    @property
    def bytes_held(self) -> int:
        return self._bytes_held

    def need(self, ranges: Iterable[Range]) -> None:
        """Fetch what of these ranges is not there yet, and compare it with its checksums.

        Raises:
            ChecksumError: a byte is not the one that was written.
            OverwrittenError: the object has another version by now.
            FileNotFoundError: it is gone.
        """
        wanted = list(ranges)
        with self._fetching:
            # Of what is between them, only what was not compared: nothing that was is written over.
            fetched = self._missing(_together(self._missing(wanted)))
            self._get(fetched)
            self._checksums.check([*wanted, *fetched], partial(read_at, self))

    def _missing(self, ranges: Sequence[Range]) -> list[Range]:
        return [each for each in self._checksums.unchecked(ranges) if each != (0, len(_MAGIC))]

    def _fetched(self, offset: int, length: int) -> bytes:
        self._get([(offset, offset + length)] if length else [])
        return read_at(self, offset, length)

    def _get(self, ranges: Sequence[Range]) -> None:
        self._fetch(self, ranges)
        self._bytes_held += sum(end - start for start, end in ranges)


def _together(ranges: Sequence[Range]) -> list[Range]:
    """Ascending ranges, those with little between them as one."""
    joined: list[Range] = []
    for start, end in ranges:
        is_near = joined and start - joined[-1][1] <= _GAP_BYTES
        joined.append((joined.pop()[0] if is_near else start, end))
    return joined
