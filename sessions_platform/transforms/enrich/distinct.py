"""Compute values once for each distinct input, as enrichments do: rows repeat, and parsing is slow."""

from collections.abc import Callable, Sequence

import polars as pl

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.polars_types import DTYPES

# How many distinct inputs are remembered from one run of events to the next: some tens of MB at most.
REMEMBERED = 100_000


class ByDistinct:
    """A function of some columns, applied to each distinct combination of their values once.

    Args:
        config: names the inputs, all of them text, and the columns that are added.
        function: from distinct inputs, a column each, to as many rows with the added columns. It is pure.
    """

    def __init__(self, config: EnrichmentConfig, function: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._columns = list(config.reads)
        self._schema = {name: DTYPES[kind] for name, kind in config.adds.items()}
        self._function = function
        self._known: pl.DataFrame | None = None

    def __call__(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with the computed columns, rows and their order unchanged."""
        known = self._with(events.select(self._columns).unique())
        return events.join(known, on=self._columns, how="left", nulls_equal=True, maintain_order="left")

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
        return inputs.hstack(self._function(inputs).select(**{name: pl.col(name) for name in self._schema}))


def row_by_row(
    config: EnrichmentConfig, function: Callable[..., Sequence[object]]
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A function of single inputs as one of a frame.

    Args:
        config: names the columns that are added.
        function: from the inputs of one row to the values of these columns, in their order.
    """
    schema = {name: DTYPES[kind] for name, kind in config.adds.items()}

    def of_frame(inputs: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame([function(*row) for row in inputs.iter_rows()], schema=schema, orient="row")

    return of_frame
