"""A raw row: the bytes as they came, and where from. Nothing is judged.

Of a text file, the preamble and then payload + line_terminator of each row, in the order of
position, are the file again, unpacked.
"""

import pandera.polars as pa
import polars as pl

from sessions_platform.contracts.stream import Stream

RAW_EVENTS: dict[str, pl.DataType] = {
    "landing_partition": pl.String(),
    "source_uri": pl.String(),
    "position": pl.Int64(),  # 1 is the file's first line, record or row; a CSV header is none
    "preamble": pl.Binary(),  # what stands before the file's first row: a BOM, a CSV header; else null
    "payload": pl.Binary(),  # where the file is unreadable, the place of the copy of its bytes
    "line_terminator": pl.Binary(),  # of a text file: LF, CR LF, or nothing; else null
    "header": pl.Binary(),  # the CSV header that the row stood under; else null
    "corrupt_reason": pl.String(),  # why a file, or the rest of it, could not be read; else null
}

# Columns of lake files that were written under another name: the name today, and the one in the file.
RENAMED_COLUMNS = {"line_terminator": "line_end", "corrupt_reason": "unreadable"}

_NULLABLE = {"preamble", "line_terminator", "header", "corrupt_reason"}


def raw_schema(stream: Stream) -> pa.DataFrameSchema:
    columns = {name: pa.Column(dtype, nullable=name in _NULLABLE) for name, dtype in RAW_EVENTS.items()}
    return pa.DataFrameSchema(columns, strict=True, name=f"{stream.name}.raw_events")
