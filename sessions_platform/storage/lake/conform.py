"""Lake files of an older contract, read as the current one has their columns.

Here: columns that were renamed, are missing or have another type now. Not here: reading the files (`lake.py`).
"""

from collections.abc import Mapping

import polars as pl

from sessions_platform.contracts.raw_events import RENAMED_COLUMNS


def conformed(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The columns of the schema, null where the frame has no such column or its type cannot be cast."""
    frame = _renamed(frame, schema)
    stored = frame.collect_schema()
    castable = {name for name, dtype in schema.items() if name in stored and _can_be_cast(stored[name], dtype)}
    columns = {
        name: (pl.col(name) if name in castable else pl.lit(None)).cast(dtype, strict=False)
        for name, dtype in schema.items()
    }
    return frame.with_columns(**columns).select(*schema)


def _renamed(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The frame with today's names for columns of the schema that an older contract named differently."""
    stored = frame.collect_schema()
    renamed = {old: new for new, old in RENAMED_COLUMNS.items() if new in schema and new not in stored}
    return frame.rename({old: new for old, new in renamed.items() if old in stored})


def _can_be_cast(stored: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether stored values can be read as the wanted type: strings, numbers and Booleans can as each other.

    Except strings as Booleans, which polars cannot cast.
    """
    text = (pl.String, pl.Boolean)
    text_or_number = all(dtype in text or dtype.is_numeric() for dtype in (stored, wanted))
    return stored == wanted or (text_or_number and (stored, wanted) != (pl.String, pl.Boolean))
