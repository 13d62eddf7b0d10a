"""A raw row: the bytes as they came, and where from. Nothing is judged."""

import pandera.polars as pa
import polars as pl

from sessions_platform.contracts.stream import Stream

RAW_EVENTS: dict[str, pl.DataType] = {
    "landing_partition": pl.String(),
    "source_uri": pl.String(),
    "position": pl.Int64(),  # 1 is the file's first line, record or row; a CSV header is none
    "payload": pl.Binary(),
    "header": pl.Binary(),  # the CSV header that the row stood under; else null
    "unreadable": pl.String(),  # why a file, or the rest of it, could not be read; else null
}


def raw_schema(stream: Stream) -> pa.DataFrameSchema:
    nullable = {"header", "unreadable"}
    columns = {name: pa.Column(dtype, nullable=name in nullable) for name, dtype in RAW_EVENTS.items()}
    return pa.DataFrameSchema(columns, strict=True, name=f"{stream.name}.raw_events")
