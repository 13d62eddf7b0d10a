"""A set of hashes that grows by a few at a time, by which a load remembers the users of newer partitions."""

import numpy as np
import polars as pl


class HashSet:
    """A set of 64-bit hashes to which a few are added many times.

    A single sorted array would have to be copied for each addition, and a Python set takes ten times the memory. So
    there are several sorted arrays, each at least twice as long as the next: an addition merges the shorter ones, and
    a search looks in all of them, whose number is the logarithm of the size.
    """

    def __init__(self) -> None:
        self._sorted: list[np.ndarray] = []

    def add(self, hashes: pl.Series) -> None:
        """Add hashes (UInt64), in any order."""
        added = hashes.sort().to_numpy()
        while self._sorted and len(self._sorted[-1]) < 2 * len(added):
            added = np.sort(np.concatenate([self._sorted.pop(), added]), kind="stable")  # merges two sorted runs
        self._sorted.append(added)

    def contain(self, hashes: pl.Series) -> pl.Series:
        """For each hash whether it is in the set."""
        wanted = hashes.to_numpy()
        is_member = np.zeros(len(wanted), np.bool_)
        for array in self._sorted:
            index = np.searchsorted(array, wanted)
            is_member |= array[np.minimum(index, len(array) - 1)] == wanted
        return pl.Series(is_member)
