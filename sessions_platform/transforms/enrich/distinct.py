"""Compute values once for each distinct input, as enrichments do: rows repeat, and parsing is slow."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.inputs import WAYS, Found

# How many distinct inputs are remembered from one run of events to the next: some tens of MB at most.
REMEMBERED = 100_000


# The column of the frames that are seen with the number of events that have these inputs; no event has such a column.
EVENTS = "number of events"
# A column that a function may return besides: why the values of an input could not be computed, null where they were.
ERROR = "error of the input"


class ByDistinct:
    """A function of some columns, applied to each distinct combination of their values once.

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
        self._ways = list(WAYS)
        self._begin()

    def _begin(self) -> None:
        self._inputs = self._ways[0]()
        # Alike in their rows: distinct inputs with their values, and how many events had them.
        self._known: pl.DataFrame | None = None
        self._events = np.zeros(0, np.int64)

    def enrich(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with the computed columns, rows and their order unchanged.

        Args:
            events: accepted events without duplicates, with the columns that are read; -0.0 is read as 0.0.

        Raises:
            RuntimeError: the function returned other rows or columns than the model states, which is a defect of it.
        """
        if len(self._events) > REMEMBERED:
            self.forget()
        # -0.0 equals 0.0, and so is one input with it: which of them a function got would depend on their order. Polars
        # leaves columns as they are where 0.0 is added to them, whatever IEEE 754 says.
        numbers = pl.col(pl.Float64)
        inputs = events.select(self._columns).rechunk()
        inputs = inputs.with_columns(pl.when(numbers.ne_missing(0)).then(numbers).otherwise(0.0))
        places, new = self._places(inputs)
        known = self._learn(inputs[new]) if self._known is None or len(new) else self._known
        self._events += np.bincount(places, minlength=len(self._events))
        rows = pl.Series(places.astype(np.uint32, copy=False))
        return events.hstack(known.select(pl.col(*self._added).gather(rows)))

    def forget(self) -> None:
        """Tell what was seen, and begin anew."""
        if self._seen and self._known is not None:
            self._seen(self._known.with_columns(pl.Series(EVENTS, self._events)))
        self._begin()

    def _places(self, inputs: pl.DataFrame) -> Found:
        while (found := self._inputs.places(inputs)) is None:
            self._ways.pop(0)
            self.forget()
        return found

    def _learn(self, new: pl.DataFrame) -> pl.DataFrame:
        """Compute the values of new inputs; what is known with them."""
        computed = self._computed(new)
        self._known = computed if self._known is None else pl.concat([self._known, computed], rechunk=True)
        self._events = np.concatenate([self._events, np.zeros(new.height, np.int64)])
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
