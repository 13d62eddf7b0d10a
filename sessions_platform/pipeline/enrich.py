"""The stage between deduplication and the write of events: apply the stream's enrichments.

Here: their order, and that each adds just what its model in ``contracts.enrichments`` states. What they
compute is in ``transforms.enrich``. Because this stage comes after deduplication, enriched values never
decide whether two rows are duplicates or conflict.
"""

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.enrich.base import Enrichment
from sessions_platform.transforms.enrich.registry import open_enrichment


def enrich(runs: Iterable[pl.DataFrame], stream: Stream) -> Iterator[pl.DataFrame]:
    """Add the columns of the stream's enrichments, in the order in which the stream names them.

    Args:
        runs: events with the contract columns, in any number of frames.
        stream: names the enrichments.

    Yields:
        Each frame with the columns ``event_columns``, rows and their order unchanged.

    Raises:
        RuntimeError: an enrichment returned other rows or columns than its model states, which is a defect of it.
    """
    enrichments = {name: open_enrichment(config) for name, config in stream.enrich.items()}
    columns = event_columns(stream)
    for run in runs:
        events = run
        for name, enrichment in enrichments.items():
            events = events.hstack(_added(events, name, enrichment, stream.enrich[name].adds))
        yield events.select(*columns)


def _added(events: pl.DataFrame, name: str, enrichment: Enrichment, adds: Mapping[str, ColumnType]) -> pl.DataFrame:
    columns = {column: DTYPES[kind] for column, kind in adds.items()}
    enriched = enrichment.enrich(events)
    added = {column: dtype for column, dtype in enriched.schema.items() if column in columns}
    if added != columns or enriched.height != events.height:
        shape = f"{enriched.height} rows with {added}, and not {events.height} with {columns}"
        raise RuntimeError(f"the enrichment {name} returned {shape}")
    return enriched.select(*columns)
