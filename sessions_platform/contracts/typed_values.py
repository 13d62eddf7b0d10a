"""How values that JSON has no type for are spelled in a record of a typed format, such as Parquet.

Both sides need to agree on it: the formats (``sources.formats``), and the columns that are read from them
(``contracts.columns``, ``transforms.cast``). Nothing else belongs here, since the process that reads Parquet files
imports it.
"""

import math

# Bytes are a data URI (RFC 2397) without a media type, so that they can't be taken for text.
BYTES_PREFIX = "data:;base64,"


def json_number(value: float) -> float | str:
    """A float as JSON can represent it: those that are no numbers there by their names."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
