"""Compute values once for each distinct input, as enrichments do: rows repeat, and parsing is slow."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.hash_index import HashIndex

# How many distinct inputs are remembered from one run of events to the next: some tens of MB at most.
REMEMBERED = 100_000


# The column of the frames that are seen with the number of events that have these inputs; no event has such a column.
EVENTS = "number of events"
_HASH, _PLACE = "hash of the inputs", "place of the input"
# A column that a function may return besides: why the values of an input could not be computed, null where they were.
ERROR = "error of the input"


class ByDistinct:
    """A function of some columns, applied to each distinct combination of their values once.

    Inputs are told apart by their hashes, and then compared with the one that is remembered of the hash: a tenth of
    what it takes to look up texts. Once two of them have one hash, all are told apart by their values.

    Args:
        config: names the inputs, and the columns that are added.
        function: computes them.
        seen: is told distinct inputs, their values, and as `EVENTS` how many events had them; each event counts once.
    """

    def __init__(
        self, config: EnrichmentConfig, function: Values, seen: Callable[[pl.DataFrame], None] | None = None
    ) -> None:
        self._columns = [*config.reads, *(["event_timestamp"] if config.reads_time else [])]
        self._added = {name: DTYPES[kind] for name, kind in config.added.items()}
        self._name = config.implementation
        self._function = function
        self._seen = seen
        self._by_hash = True
        # Alike in their rows: distinct inputs with their values, what they are found by, and how many events had them.
        self._known: pl.DataFrame | None = None
        self._keys = pl.DataFrame()
        self._index = HashIndex(np.zeros(0, np.uint64))
        self._events = np.zeros(0, np.int64)

    def enrich(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with the computed columns, rows and their order unchanged.

        Args:
            events: accepted events without duplicates, with the columns that are read; -0.0 is read as 0.0.

        Raises:
            RuntimeError: the function returned other rows or columns than the model states, which is a defect of it.
        """
        if self._keys.height > REMEMBERED:
            self.forget()
        # -0.0 equals 0.0, and so is one input with it: which of them a function got would depend on their order. Polars
        # leaves columns as they are where 0.0 is added to them, whatever IEEE 754 says.
        numbers = pl.col(pl.Float64)
        inputs = events.select(self._columns).rechunk()
        inputs = inputs.with_columns(pl.when(numbers.ne_missing(0)).then(numbers).otherwise(0.0))
        known, places = self._found(inputs)
        self._events += np.bincount(places.to_numpy(), minlength=len(self._events))
        return events.hstack(known.select(pl.col(*self._added).gather(places)))

    def forget(self) -> None:
        """Tell what was seen, and begin anew."""
        if self._seen and self._known is not None:
            self._seen(self._known.with_columns(pl.Series(EVENTS, self._events)))
        self._known, self._keys, self._events = None, pl.DataFrame(), np.zeros(0, np.int64)
        self._index = HashIndex(np.zeros(0, np.uint64))

    def _found(self, inputs: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """What is known, with these inputs, and the place of each row's inputs in it."""
        keys = _hashes(inputs).to_frame() if self._by_hash else inputs
        places = self._places(keys)
        known, (new,) = self._known, np.nonzero(places < 0)
        if known is None or len(new):
            known = self._learn(inputs, keys, new)
            places[new] = self._places(keys[new])
        rows = pl.Series(_PLACE, places.astype(np.uint32))
        if self._by_hash and not _are_alike(inputs, known, rows):
            self.forget()
            self._by_hash = False
            return self._found(inputs)
        return known, rows

    def _places(self, keys: pl.DataFrame) -> NDArray[np.int64]:
        """Where the inputs of these keys are, -1 for those that are not known."""
        if self._by_hash:
            return self._index.places(keys.to_series().to_numpy())
        if self._known is None:
            return np.full(keys.height, -1)
        known = self._keys.with_row_index(_PLACE)
        found = keys.join(known, on=keys.columns, how="left", nulls_equal=True, maintain_order="left")
        return found[_PLACE].cast(pl.Int64).fill_null(-1).to_numpy(writable=True)

    def _learn(self, inputs: pl.DataFrame, keys: pl.DataFrame, new: NDArray[np.int64]) -> pl.DataFrame:
        """Compute the values of new inputs, which are in these rows, and what is known with them."""
        rows = pl.Series(_PLACE, new)
        of_new = keys[rows]
        of_new = of_new.to_series() if of_new.width == 1 else of_new.to_struct()
        rows = rows.gather(of_new.arg_unique())
        computed, added = self._computed(inputs[rows]), keys[rows]
        self._known = computed if self._known is None else pl.concat([self._known, computed], rechunk=True)
        self._keys = pl.concat([self._keys, added], rechunk=True) if self._keys.width else added
        if self._by_hash:
            self._index = HashIndex(self._keys.to_series().to_numpy())
        self._events = np.concatenate([self._events, np.zeros(added.height, np.int64)])
        return self._known

    def _computed(self, inputs: pl.DataFrame) -> pl.DataFrame:
        values = self._function(inputs)
        added = {name: dtype for name, dtype in values.schema.items() if name in self._added}
        if added != self._added or values.height != inputs.height:
            shape = f"{values.height} rows with {added}, and not {inputs.height} with {self._added}"
            raise RuntimeError(f"the enrichment {self._name} returned {shape}")
        # U+0000, as %00 in a URL is, can't be stored by PostgreSQL.
        texts = pl.col(pl.String).str.replace_all("\0", r"\u0000", literal=True)
        errors = [ERROR] if ERROR in values.columns else []
        return inputs.hstack(values.select(*self._added, *errors).with_columns(texts))


def _hashes(inputs: pl.DataFrame) -> pl.Series:
    return inputs.hash_rows().alias(_HASH)


def _are_alike(inputs: pl.DataFrame, known: pl.DataFrame, places: pl.Series) -> bool:
    """Whether each row has the very inputs that are known at its place."""
    return all(inputs[name].eq_missing(known[name].gather(places)).all() for name in inputs.columns)


def row_by_row(config: EnrichmentConfig, function: Callable[..., Sequence[object]]) -> Values:
    """A function of single inputs as one of a frame.

    Args:
        config: names the columns that are added.
        function: from the inputs of one row to the values of these columns, in their order.
    """
    schema = {name: DTYPES[kind] for name, kind in config.added.items()}

    def of_frame(inputs: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame([function(*row) for row in inputs.iter_rows()], schema=schema, orient="row")

    return of_frame
