"""Lake files of an older contract, read as the current one has their columns.

Here: columns that were renamed, are missing or have another type now, and payloads that are stored as fields. Not here:
reading the files (`lake.py`).
"""

from collections.abc import Mapping

import polars as pl

from sessions_platform.contracts.raw_events import RENAMED_COLUMNS, fields_among
from sessions_platform.sources.formats.typed.payloads import payloads_of


def conformed(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The columns of the schema, null where the frame has no such column or its type cannot be cast."""
    frame = _with_payloads(_renamed(frame, schema), schema)
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


def _with_payloads(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The frame with payloads made of fields, where payloads are wanted and these fields are not."""
    fields = fields_among(frame.collect_schema().names())
    if not fields or "payload" not in schema or schema.keys() >= set(fields):
        return frame
    made = pl.struct(fields).map_batches(_payloads_of, pl.Binary, is_elementwise=True)
    return frame.with_columns(payload=pl.coalesce("payload", made))


def _payloads_of(rows: pl.Series) -> pl.Series:
    return payloads_of(rows.struct.unnest())


def _can_be_cast(stored: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether stored values can be read as the wanted type: strings, numbers and Booleans can as each other.

    Except strings as Booleans, which polars cannot cast.
    """
    text = (pl.String, pl.Boolean)
    text_or_number = all(dtype in text or dtype.is_numeric() for dtype in (stored, wanted))
    return stored == wanted or (text_or_number and (stored, wanted) != (pl.String, pl.Boolean))
