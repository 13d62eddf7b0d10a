"""events → the links between anonymous ids and users that they show.

Here: which columns of stored events are read for that, and whether stored links are those of
the events. Not here: what a link is (`transforms.identity_links`), and the transactions in which links are stored
(`publish.py`, and a rebuild's swap).
"""

from collections.abc import Iterator, Sequence

import polars as pl

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms.identity_links import identity_links


def differing_partitions(context: StreamContext) -> list[str]:
    """Landing partitions whose stored links are other than those that their accepted events show; all are read.

    Those of an older contract are left out: they are to be validated again; and those that are published while events
    are read, for that happens without the stream's lock. Nothing is stored by it.
    """
    if context.stream.identity is None:
        return []
    contract = context.stream.contract_version
    read = [landing for landing in context.ledger.landings() if landing.contract_version == contract]
    links = list(links_in(context, [landing.events_path for landing in read]))
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        current = {(landing.version, landing.events_path) for landing in context.ledger.current(connection)}
        partitions = [one.landing_partition for one in read if (one.version, one.events_path) in current]
        of_these = [block.filter(pl.col("landing_partition").is_in(partitions)) for block in links]
        return context.warehouse.identity_links.differing(connection, of_these, partitions)


def store_links(context: StreamContext, landing_partition: str) -> None:
    """Make the links of a landing partition those of its published events, whatever is stored."""
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        current = context.ledger.current(connection)
        paths = [landing.events_path for landing in current if landing.landing_partition == landing_partition]
        context.warehouse.identity_links.replace(connection, links_in(context, paths), [landing_partition])


def links_in(context: StreamContext, paths: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The links that accepted events show, by block of events; nothing where the stream states no identity.

    Args:
        context: the stream's.
        paths: lake files of events.

    Yields:
        Frames as `identity_links` makes them; a link may be in several.
    """
    identity = context.stream.identity
    if identity is None:
        return
    wanted = {"landing_partition", "event_timestamp", identity.anonymous_id, identity.user_id}
    columns = {name: dtype for name, dtype in context.event_columns.items() if name in wanted}
    for block in context.lake.blocks(paths, columns):
        yield identity_links(block, identity)
