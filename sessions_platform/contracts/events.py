"""Accepted events: which columns the asset `events` has, and in which order.

How a column is described in a stream's file is in ``contracts.columns``. Not here: the rules that each row has to keep
(``schemas.events``).
"""

from collections.abc import Mapping

import polars as pl

from sessions_platform.contracts.column_types import (
    PROVENANCE_TYPES,
    REPEATED_EVENT_ID_TYPES,
    contract_types,
    event_types,
)
from sessions_platform.contracts.polars_types import dtypes
from sessions_platform.contracts.stream import Stream

PLACE = ["source_uri", "position"]  # identifies a row within its landing partition
PROVENANCE = dtypes(PROVENANCE_TYPES)

# By column with `references`, the values that its reference contains, of the column's type; as they were read once.
Known = Mapping[str, pl.Series]

# The table `repeated_event_ids`: accepted events whose id occurs with two users or two timestamps.
REPEATED_EVENT_IDS = dtypes(REPEATED_EVENT_ID_TYPES)


def contract_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The contract columns: event_id (also where it is derived), the stream's others, properties and provenance."""
    return dtypes(contract_types(stream))


def event_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of the asset `events`: the contract columns, with enriched ones before properties and provenance."""
    return dtypes(event_types(stream))


def dropped_columns(stream: Stream) -> list[str]:
    """The columns of an event that enrichments read, and that are null in stored events."""
    return [column for config in stream.enrich.values() for column in config.drops]


def content_columns(stream: Stream) -> list[str]:
    """The columns that decide whether two rows of one id are duplicates or conflict.

    All but provenance and what is not stored, unless the stream's `duplicates` says otherwise; none where the id alone
    decides.
    """
    compare, ignored = stream.duplicates.compare, {*stream.duplicates.ignored, *dropped_columns(stream)}
    if compare == "id":
        return []
    if compare != "content":
        return list(compare)
    return [name for name in contract_columns(stream) if name not in PROVENANCE and name not in ignored]
