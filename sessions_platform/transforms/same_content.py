"""Whether rows of one event have the same content, as far as the stream compares it.

Here: one text for each row, which is equal for rows that agree. Which rows are compared is decided in
``transforms.deduplicate`` (within a landing partition) and ``transforms.sessionize`` (across them); what a stream
may leave out of the comparison is in ``contracts.duplicates``.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from sessions_platform.contracts.events import content_columns
from sessions_platform.contracts.stream import Stream


def compared_content(stream: Stream) -> pl.Expr:
    """A text (String, never null) of what is compared of a row: equal for rows of one event that are duplicates."""
    columns = content_columns(stream)
    fields = [name for name in stream.duplicates.ignored if name not in stream.columns]
    if not columns:
        return pl.lit("")
    parts = [pl.col(name) for name in columns if name != "properties" or not fields]
    if "properties" in columns and fields:
        parts.append(pl.col("properties").map_elements(lambda text: without(text, fields), pl.String))
    return pl.struct(parts).struct.json_encode()


def without(document: str, fields: Sequence[str]) -> str | None:
    """A text that is equal for JSON objects that agree apart from these fields; None if none is left.

    A dot enters an object, unless a key itself contains it. Numbers are compared as they are spelled.

    Example:
        >>> without('{"a":1.50,"sent":{"at":7,"by":"x"}}', ["sent.at"])
        "{'a': Decimal('1.50'), 'sent': {'by': 'x'}}"
    """
    value = json.loads(document, parse_float=Decimal)
    for field in fields:
        _remove(value, field)
    return repr(value) if value else None


def _remove(value: Any, field: str) -> None:
    if not isinstance(value, dict):
        return
    if field in value:
        del value[field]
        return
    head, dot, rest = field.partition(".")
    if dot:
        _remove(value.get(head), rest)
