"""Find texts among distinct ones, by the scanner's library (`lookups.c`)."""

import ctypes
import secrets

import numpy as np
import numpy.typing as npt
import polars as pl

from sessions_platform.scanner.library import Scanner
from sessions_platform.scanner.views import NUMBER, POINTER, Block, Texts

# So many slots there are at first, and at least for each text; fewer, and neighbours would be in their way.
_SLOTS, _SLOTS_OF_TEXT = 1 << 12, 4


class _DistinctTexts(ctypes.Structure):
    _fields_ = (
        ("texts", Block),
        ("known", Block),
        ("is_null", POINTER),
        ("first", POINTER),
        ("slots", POINTER),
        ("size", NUMBER),
        ("hashes", POINTER),
        ("room", NUMBER),
        ("count", NUMBER),
        ("null_at", NUMBER),
        ("key", ctypes.c_uint64),
    )


class DistinctTexts:
    """Texts, each once, in the order in which they were seen first; null is one of them."""

    def __init__(self, library: Scanner) -> None:
        self._library = library
        self._known = pl.Series(dtype=pl.String)
        self._hashes = np.empty(0, np.uint64)
        self._table = _DistinctTexts(null_at=-1, key=secrets.randbits(64))
        self._grow(_SLOTS)

    def places(self, texts: pl.Series) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None:
        """The place of each text; and the rows of those that are new, whose places follow those that are known.

        None where the hashes of too many are alike, which chance does not bring about: this is of no more use then.
        """
        texts, table = texts.rechunk(), self._table
        new, known, is_null = Texts(texts), Texts(self._known), texts.is_null().to_numpy()
        places, first = np.empty((2, len(texts)), np.int32)
        table.texts, table.known = new.block, known.block
        table.is_null, table.first = is_null.ctypes.data, first.ctypes.data
        done = 0
        while (done := self._library.find_texts(ctypes.byref(table), done, places.ctypes.data)) != len(texts):
            if done < 0:
                return None
            self._grow(table.size * 4)
        first = first[: table.count - len(self._known)]
        if len(first):
            self._known = pl.concat([self._known, texts.gather(first)], rechunk=True)
        return places, first

    def _grow(self, size: int) -> None:
        """Make so many slots."""
        table = self._table
        self._slots = np.full(size, -1, np.int32)
        hashes = np.empty(size // _SLOTS_OF_TEXT, np.uint64)
        hashes[: table.count] = self._hashes[: table.count]
        self._hashes = hashes
        table.slots, table.size = self._slots.ctypes.data, size
        table.hashes, table.room = hashes.ctypes.data, len(hashes)
        self._library.fill_slots(ctypes.byref(table))
