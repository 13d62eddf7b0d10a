"""A raw event: a record as its source delivered it, and where it came from, before any validation.

The same columns serve every source. Of a text file, the preamble and then payload + line_terminator of each row, in the
order of position, are the decompressed text again. These three file columns, ``preamble``, ``line_terminator`` and
``header``, are null for a source that is not files, such as a log of messages. Not here: how a source is read
(``sources``) and how a payload becomes an event (``transforms.parse``).

Of a file with types, such as Parquet, a row may have the file's own columns instead of a payload: its *fields*. Its
payload is made of these where it is needed (``sources.formats.typed.payloads``), and is always the same.
"""

from collections.abc import Iterable, Mapping

import polars as pl

from sessions_platform.contracts.column_types import RAW_EVENT_TYPES
from sessions_platform.contracts.polars_types import dtypes

RAW_EVENTS = dtypes(RAW_EVENT_TYPES)

# Fields are columns with one of these before their own name: with values of a type, or with the JSON of values that are
# lists, structures or maps.
FIELD, JSON_FIELD = "field.", "json."

# Columns of lake files that were written under another name: the name today, and the one in the file.
RENAMED_COLUMNS = {"line_terminator": "line_end", "corrupt_reason": "unreadable"}


def fields_among(columns: Iterable[str]) -> list[str]:
    """The columns that are fields, in their order."""
    return [name for name in columns if name.startswith((FIELD, JSON_FIELD))]


def with_fields_of(columns: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """`RAW_EVENTS`, and the fields among these columns."""
    return {**RAW_EVENTS, **{name: columns[name] for name in fields_among(columns)}}
