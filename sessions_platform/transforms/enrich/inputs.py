"""Find which rows have the same inputs, and which of these were not there before.

There are three ways, with the same answers: a text is found by the scanner's library; any columns by a hash, and then
compared; and where inputs share one, all are joined by their values. Not here: what is computed of inputs
(``distinct``).
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sessions_platform.scanner.distinct_texts import DistinctTexts
from sessions_platform.scanner.library import scanner
from sessions_platform.transforms.enrich.hash_index import HashIndex
from sessions_platform.transforms.identifiers import MIN_ROWS

# The place of each row's inputs; and the first row of each that is new: their places follow those that are known.
Found = tuple[NDArray[np.integer], NDArray[np.integer]]
_PLACE = "place of the input"  # no column of events has such a name


class Inputs(Protocol):
    """Distinct inputs, in the order in which they were found."""

    def places(self, inputs: pl.DataFrame) -> Found | None:
        """Find the inputs of some rows, and keep those that are new. After None it is of no more use."""
        ...


class ByText:
    """Of a single text, by the scanner's library."""

    def __init__(self) -> None:
        self._texts: DistinctTexts | None = None

    def places(self, inputs: pl.DataFrame) -> Found | None:
        if self._texts is None:
            can_be = inputs.dtypes == [pl.String] and inputs.height >= MIN_ROWS
            library = scanner() if can_be else None
            if library is None:
                return None
            self._texts = DistinctTexts(library)
        return self._texts.places(inputs.to_series())


class ByHash:
    """Rows are looked up by hashes, and compared with what is kept: a tenth of what it takes to join values."""

    def __init__(self) -> None:
        self._known: pl.DataFrame | None = None
        self._index = HashIndex(np.zeros(0, np.uint64))

    def places(self, inputs: pl.DataFrame) -> Found | None:
        hashes = _hashes(inputs).to_numpy()
        places = self._index.places(hashes)
        (new,) = np.nonzero(places < 0)
        first = new[pl.Series(hashes[new]).arg_unique().to_numpy()]
        if self._known is None or len(first):
            added = inputs[first]
            self._known = added if self._known is None else pl.concat([self._known, added], rechunk=True)
            self._index = HashIndex(np.concatenate([self._index.hashes, hashes[first]]))
            places[new] = self._index.places(hashes[new])
        return (places, first) if _are_alike(inputs, self._known, places) else None


class ByValue:
    """Inputs are joined with those that are kept."""

    def __init__(self) -> None:
        self._known: pl.DataFrame | None = None

    def places(self, inputs: pl.DataFrame) -> Found:
        known = inputs.clear() if self._known is None else self._known
        together = pl.concat([known, inputs])
        distinct = together.to_struct().arg_unique().sort()
        self._known = together[distinct]
        numbered = self._known.with_row_index(_PLACE)
        found = inputs.join(numbered, on=inputs.columns, how="left", nulls_equal=True, maintain_order="left")
        rows = distinct.to_numpy()
        return found[_PLACE].to_numpy(), rows[known.height :] - known.height


# The fastest first; each but the last one may be left for the next one.
WAYS: tuple[Callable[[], Inputs], ...] = (ByText, ByHash, ByValue)


def _hashes(inputs: pl.DataFrame) -> pl.Series:
    return inputs.hash_rows()


def _are_alike(inputs: pl.DataFrame, known: pl.DataFrame, places: NDArray[np.int64]) -> bool:
    """Whether each row has the very inputs that are known at its place."""
    rows = pl.Series(places.astype(np.uint32))
    return all(inputs[name].eq_missing(known[name].gather(rows)).all() for name in inputs.columns)
