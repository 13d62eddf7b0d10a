"""Compute values once for each distinct input, as enrichments do: rows repeat, and parsing is slow."""

from collections.abc import Callable, Sequence

import polars as pl

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.transforms.enrich.base import Values

# How many distinct inputs are remembered from one run of events to the next: some tens of MB at most.
REMEMBERED = 100_000


# The column of the frames that are seen with the number of events that have these inputs; no event has such a column.
EVENTS = "number of events"
_HASH, _FIRST = "hash of the inputs", "place of the first"
# A column that a function may return besides: why the values of an input could not be computed, null where they were.
ERROR = "error of the input"


class ByDistinct:
    """A function of some columns, applied to each distinct combination of their values once.

    Args:
        config: names the inputs, and the columns that are added.
        function: computes them.
    """

    def __init__(self, config: EnrichmentConfig, function: Values) -> None:
        self._columns = [*config.reads, *(["event_timestamp"] if config.reads_time else [])]
        self._added = {name: DTYPES[kind] for name, kind in config.added.items()}
        self._name = config.implementation
        self._function = function
        self._known: pl.DataFrame | None = None

    def enrich(self, events: pl.DataFrame, seen: Callable[[pl.DataFrame], None] | None = None) -> pl.DataFrame:
        """The events with the computed columns, rows and their order unchanged.

        Args:
            events: accepted events without duplicates, with the columns that are read; -0.0 is read as 0.0.
            seen: is told the distinct inputs, their values, and as `EVENTS` how many events have them.

        Raises:
            RuntimeError: the function returned other rows or columns than the model states, which is a defect of it.
        """
        # -0.0 equals 0.0, and so is one input with it: which of them a function got would depend on their order. Polars
        # leaves columns as they are where 0.0 is added to them, whatever IEEE 754 says.
        numbers = pl.col(pl.Float64)
        inputs = events.select(self._columns).with_columns(pl.when(numbers.ne_missing(0)).then(numbers).otherwise(0.0))
        distinct, places = _distinct(inputs)
        known = self._with(distinct.drop(EVENTS))
        values = distinct.join(known, on=self._columns, how="left", nulls_equal=True, maintain_order="left")
        if seen:
            seen(values)
        return events.hstack(values.select(pl.col(*self._added).gather(places)))

    def _with(self, inputs: pl.DataFrame) -> pl.DataFrame:
        """What is known, with these inputs."""
        if self._known is None or self._known.height > REMEMBERED:
            self._known = self._computed(inputs)
            return self._known
        new = inputs.join(self._known, on=self._columns, how="anti", nulls_equal=True)
        if new.height:
            self._known = pl.concat([self._known, self._computed(new)])
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


def _distinct(inputs: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Distinct rows with the number of each as `EVENTS`, and for each row the place of its like among them.

    Rows are told apart by their hashes, which takes half of the time that their texts take, and then compared.
    """
    hashes = _hashes(inputs)
    groups = hashes.to_frame().with_row_index(_FIRST).group_by(_HASH).agg(pl.len().alias(EVENTS), pl.first(_FIRST))
    distinct = inputs.select(pl.all().gather(groups[_FIRST]))
    places = _places(hashes.to_frame(), groups.select(_HASH))
    alike = (inputs[name].eq_missing(distinct[name].gather(places)).all() for name in inputs.columns)
    if not all(alike):  # two rows have one hash
        counted = inputs.group_by(inputs.columns).len(EVENTS)
        return counted, _places(inputs, counted.drop(EVENTS))
    return distinct.with_columns(groups[EVENTS]), places


def _hashes(inputs: pl.DataFrame) -> pl.Series:
    return inputs.hash_rows().alias(_HASH)


def _places(rows: pl.DataFrame, distinct: pl.DataFrame) -> pl.Series:
    numbered = distinct.with_row_index(_FIRST)
    return rows.join(numbered, on=rows.columns, how="left", nulls_equal=True, maintain_order="left")[_FIRST]


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
