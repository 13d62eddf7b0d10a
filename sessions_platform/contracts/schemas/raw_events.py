"""The contract of raw events as a pandera schema."""

import pandera.polars as pa

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream

_NULLABLE = {"preamble", "line_terminator", "header", "corrupt_reason"}


def raw_schema(stream: Stream) -> pa.DataFrameSchema:
    """The contract of the asset raw_events: exactly the columns of `RAW_EVENTS`, in any order."""
    columns = {name: pa.Column(dtype, nullable=name in _NULLABLE) for name, dtype in RAW_EVENTS.items()}
    return pa.DataFrameSchema(columns, strict=True, name=f"{stream.name}.raw_events")
