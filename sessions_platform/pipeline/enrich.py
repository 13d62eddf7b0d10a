"""The stage between deduplication and the write of events: apply the stream's enrichments.

Here is their order. What they compute is in ``transforms.enrich``. Because this stage comes after deduplication,
enriched values never decide whether two rows are duplicates or conflict.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import polars as pl

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.enrichment_tally import EnrichmentTally
from sessions_platform.transforms.enrich.registry import open_enrichment


def enrich(
    runs: Iterable[pl.DataFrame], stream: Stream, tally: EnrichmentTally | None = None
) -> Iterator[pl.DataFrame]:
    """Add the columns of the stream's enrichments, in the order in which the stream names them.

    Args:
        runs: events with the contract columns, in any number of frames.
        stream: names the enrichments.
        tally: is told what each enrichment computed.

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
            seen = partial(tally.add, name) if tally else None
            events = enrichment.enrich(events, seen)
        yield events.select(*columns)
