"""The stage between deduplication and the write of events: apply the stream's enrichments.

Here is their order. What they compute is in ``transforms.enrich``. Because this stage comes after deduplication,
enriched values never decide whether two rows are duplicates or conflict.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import polars as pl

from sessions_platform.contracts.events import dropped_columns, event_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.enrichment_tally import EnrichmentTally
from sessions_platform.settings import make_private_folder
from sessions_platform.transforms.enrich.registry import open_enrichment


def enrich(
    runs: Iterable[pl.DataFrame], stream: Stream, tally: EnrichmentTally | None = None, scratch: Path | None = None
) -> Iterator[pl.DataFrame]:
    """Add the columns of the stream's enrichments, in the order in which the stream names them.

    Args:
        runs: events with the contract columns, in any number of frames.
        stream: names the enrichments.
        tally: is told what each enrichment computed, of all runs once the last one is taken.
        scratch: the folder of temporary files, made when it is needed; by default the system's.

    Yields:
        Each frame with the columns ``event_columns``, rows and their order unchanged. What is not to be stored is null.

    Raises:
        UserError: a file of an enrichment has changed meanwhile, or a function of the user's own can't be used.
        RuntimeError: an enrichment returned other rows or columns than its model states, which is a defect of it.
    """
    columns = event_columns(stream)
    dropped = [pl.lit(None, columns[name]).alias(name) for name in dropped_columns(stream)]
    if scratch and any(config.copies_files for config in stream.enrich.values()):
        make_private_folder(scratch)
    with _naming(stream):
        enrichments = [
            open_enrichment(config, partial(tally.add, name) if tally else None, scratch)
            for name, config in stream.enrich.items()
        ]
    for run in runs:
        events = run
        for enrichment in enrichments:
            with _naming(stream):
                events = enrichment.enrich(events)
        yield events.select(*columns).with_columns(dropped)
    for enrichment in enrichments:
        enrichment.forget()


@contextmanager
def _naming(stream: Stream) -> Iterator[None]:
    """Name the stream's file in what the user has to correct."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{stream.path}: {error}") from error
