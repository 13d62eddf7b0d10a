"""Cast the text of a column to the column's type.

Here: how a text becomes a boolean, integer, float or timestamp, and the reason for one that can't.
Timestamp formats and timezones are read by ``contracts.polars_syntax``; how a row's text is found in its
payload is in ``transforms.parse``; the rules for values of the right type are in ``contracts.events``, and
are checked in ``transforms.validate``.
"""

import polars as pl

from sessions_platform.contracts.columns import Column, ColumnType
from sessions_platform.contracts.polars_syntax import read_timestamp
from sessions_platform.contracts.rejection_reasons import Code

_EXPECTED = {
    ColumnType.integer: "a whole number of 64 bits",
    ColumnType.float: "a finite number",
    ColumnType.boolean: "true or false",
}


def cast_expr(name: str, column: Column) -> pl.Expr:
    """The column `name` (String) as the contract's type; null where it is null or the cast fails.

    Booleans are "true" and "false", in upper or lower case; integers have 64 bits; floats must be finite;
    timestamps are read by the first of the column's formats that fits, as UTC in microseconds.
    """
    text = pl.col(name)
    match column.type:
        case ColumnType.string:
            return text
        case ColumnType.boolean:
            return text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None)
        case ColumnType.integer:
            return text.cast(pl.Int64, strict=False)
        case ColumnType.float:
            number = text.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case ColumnType.timestamp:
            return pl.coalesce(read_timestamp(text, fmt, column.timezone) for fmt in column.formats or [])


def as_typed(texts: pl.Series, column: Column) -> pl.Series:
    """Texts (String) as values of the column's type, in the same order; null where the cast fails."""
    return texts.to_frame().select(cast_expr(texts.name, column).alias(texts.name)).to_series()


def cast_rule(column: Column) -> tuple[Code, str]:
    """The rejection code and the rule of a text that can't be cast to the column's type."""
    if column.type is ColumnType.timestamp:
        formats = ", ".join(column.formats or [])
        return Code.bad_timestamp, f"a timestamp of the formats {formats}; in {column.timezone} if it states no zone"
    return Code.wrong_type, f"{_EXPECTED[column.type]} (type {column.type.value})"
