"""The protocol of an enrichment. Its keys, columns and version are in its model in ``contracts.enrichments``."""

from typing import Protocol

import polars as pl


class Enrichment(Protocol):
    """Computes the columns of one model of ``contracts.enrichments.ENRICHMENTS``; made with an instance of it."""

    def enrich(self, events: pl.DataFrame) -> pl.DataFrame:
        """Add the model's columns.

        The values of a row may depend on nothing but the row and the model's version: events come in runs of any
        size, and a rerun has to give the same values. A value that can't be computed is null, never an error.

        Args:
            events: accepted events without duplicates, with the contract columns and those of the enrichments
                that the stream names before this one.

        Returns:
            As many rows in the same order, with at least the model's columns, of the model's types. Other columns
            are ignored: an enrichment can't change existing ones.
        """
        ...
