"""Accepted events: which columns the asset `events` has, and in which order.

How a column is described in a stream's file is in ``contracts.columns``. Not here: the rules that each row has to keep
(``schemas.events``).
"""

from collections.abc import Mapping

import polars as pl

from sessions_platform.contracts.columns import Column
from sessions_platform.contracts.enrichments import enriched_columns
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.contracts.stream import Stream

LEADING = ("event_id", "user_id", "event_timestamp", "event_type")
PLACE = ["source_uri", "position"]  # identifies a row within its landing partition
PROVENANCE: dict[str, pl.DataType] = {
    "landing_partition": pl.String(),
    "source_uri": pl.String(),
    "position": pl.Int64(),
}

# By column with `references`, the values that its reference contains, of the column's type; as they were read once.
Known = Mapping[str, pl.Series]

# The table `repeated_event_ids`: accepted events whose id occurs with two users or two timestamps.
REPEATED_EVENT_IDS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "event_timestamp": pl.Datetime("us", "UTC"),
    "event_id": pl.String(),
    **PROVENANCE,
}


def ordered_columns(stream: Stream) -> dict[str, Column]:
    """The stream's columns in the order in which an event has them: ``LEADING``, then as in the stream's file."""
    leading = {name: stream.columns[name] for name in LEADING if name in stream.columns}
    return {**leading, **stream.columns}


def contract_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The contract columns: event_id (also where it is derived), the stream's others, properties and provenance."""
    own = {name: DTYPES[column.type] for name, column in ordered_columns(stream).items()}
    return {"event_id": pl.String(), **own, "properties": pl.String(), **PROVENANCE}


def event_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of the asset `events`: the contract columns, with enriched ones before properties and provenance."""
    contract = contract_columns(stream)
    enriched = {name: DTYPES[kind] for name, kind in enriched_columns(stream.enrich).items()}
    last = {name: contract.pop(name) for name in ("properties", *PROVENANCE)}
    return {**contract, **enriched, **last}


def content_columns(stream: Stream) -> list[str]:
    """The columns that decide whether two rows of one id are duplicates or conflict.

    All but provenance, unless the stream's `duplicates` says otherwise; none where the id alone decides.
    """
    compare, ignored = stream.duplicates.compare, stream.duplicates.ignored
    if compare == "id":
        return []
    if compare != "content":
        return list(compare)
    return [name for name in contract_columns(stream) if name not in PROVENANCE and name not in ignored]
