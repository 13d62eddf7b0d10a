"""Cast the text of a column to the column's type.

Here: how a text becomes a boolean, integer, float or timestamp, and the reason for one that can't.
Timestamp formats and timezones are read by ``contracts.polars_syntax``; how a row's text is found in its
payload is in ``transforms.parse``; the rules for values of the right type are in ``contracts.events``, and
are checked in ``transforms.validate``.
"""

import base64
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import polars as pl

from sessions_platform.contracts.columns import Column, ColumnType, Duration
from sessions_platform.contracts.polars_syntax import joined_groups
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.timestamp_reading import read_timestamp
from sessions_platform.contracts.typed_values import BYTES_PREFIX
from sessions_platform.sources.base import FROM

_EXPECTED = {
    ColumnType.integer: "a whole number of 64 bits",
    ColumnType.float: "a finite number",
    ColumnType.boolean: "true or false",
}

_TEXT = pl.String()
_MICROSECONDS = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}
# A longer duration is an error; with more digits decimals would overflow.
_LONGEST_SECONDS = 9 * 10**9


def cast_expr(name: str, column: Column, dtype: pl.DataType = _TEXT) -> pl.Expr:
    """The column `name` (String) as the contract's type; null where it is null or the cast fails.

    Booleans are "true", "false" and the column's `words`, in upper or lower case; integers have 64 bits; floats must be
    finite; timestamps are read by the first of the column's formats that fits, as UTC in microseconds, and floored
    towards the past where the column says so. A string is the text itself, unless the column says how bytes or numbers
    become text. A column that is of instants already (`dtype`) is only floored.
    """
    if dtype != _TEXT:
        return pl.col(name).dt.truncate(column.floor) if column.floor else pl.col(name)
    text = _text(pl.col(name), column)
    match column.type:
        case ColumnType.string:
            return text
        case ColumnType.boolean:
            words = {"true": True, "false": False, **(column.words.values if column.words else {})}
            return text.str.to_lowercase().replace_strict(words, default=None)
        case ColumnType.integer:
            return text.cast(pl.Int64, strict=False)
        case ColumnType.float:
            number = text.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case ColumnType.timestamp:
            text = _with_date_of_file(text, column)
            moment = pl.coalesce(read_timestamp(text, fmt, column.timezone) for fmt in column.formats or [])
            moment = _earlier(moment, column.minus) if column.minus else moment
            return moment.dt.truncate(column.floor) if column.floor else moment


def _with_date_of_file(text: pl.Expr, column: Column) -> pl.Expr:
    """The text behind what the file's path states; or only that, if the column is read from no field."""
    if column.from_file_name is None:
        return text
    file = pl.col("source_uri").str.replace(f"{FROM}[0-9T-]+$", "")  # without what names a slice of a growing file
    stated = joined_groups(file, column.from_file_name)
    return pl.concat_str(stated, text, separator=" ") if column.from_ or column.join else stated


def _earlier(moment: pl.Expr, duration: Duration) -> pl.Expr:
    """The moment less a duration; null where that is no number, or leads before the year 1.

    Decimal digits are exact, and those beyond a microsecond are cut. Of "-" and null nothing is subtracted, and of a
    negative duration neither: clocks that were set back make some.
    """
    text = pl.col(duration.column)
    per_unit = _MICROSECONDS[duration.unit]
    number = text.cast(pl.Decimal(38, 18), strict=False)
    bounded = pl.when(number.abs() <= int(_LONGEST_SECONDS * 10**6 / per_unit)).then(number)
    microseconds = bounded * int(per_unit) if per_unit >= 1 else bounded / int(1 / per_unit)
    whole = pl.when(text.is_null() | (text == "-")).then(0).otherwise(microseconds.floor().cast(pl.Int64))
    earlier = moment - pl.duration(microseconds=whole.clip(lower_bound=0), time_unit="us")
    return pl.when(earlier.dt.year() >= 1).then(earlier)


def may_fail(column: Column) -> bool:
    """Whether there are texts that can't be cast to the column's type."""
    return column.type is not ColumnType.string or column.bytes is not None


def _text(text: pl.Expr, column: Column) -> pl.Expr:
    if column.number == "exact":
        text = _without_zero_fraction(text)
    if column.bytes is None:
        return text
    is_bytes = text.str.starts_with(BYTES_PREFIX)
    if column.bytes == "refuse":
        return pl.when(is_bytes).then(None).otherwise(text)
    decoded = text.map_batches(partial(_decoded, as_text=_AS_TEXT[column.bytes]), pl.String)
    return pl.when(is_bytes).then(decoded).otherwise(text)


def _without_zero_fraction(text: pl.Expr) -> pl.Expr:
    """Whole floats and decimals as integers are written: 42.0 and 42.00 are 42, 1e+16 is 10000000000000000."""
    digits = text.str.extract(r"^([+-]?[0-9]+)\.0+$")
    number = text.cast(pl.Float64, strict=False)
    is_large = text.str.contains(r"^-?[0-9.]+[eE]\+?[0-9]+$") & (number.abs() < 2**63)
    whole = pl.when(is_large & (number == number.floor())).then(number).cast(pl.Int64).cast(pl.String)
    return pl.coalesce(pl.when(digits == "-0").then(pl.lit("0")).otherwise(digits), whole, text)


_AS_TEXT: dict[str, Callable[[bytes], str]] = {
    "text": bytes.decode,
    "hex": bytes.hex,
    "uuid": lambda value: str(uuid.UUID(bytes=value)),
    "base64": lambda value: base64.b64encode(value).decode(),
}


def _decoded(texts: pl.Series, as_text: Callable[[bytes], str]) -> pl.Series:
    """Texts that spell bytes as the text that these are; null where they are none, and for other texts."""
    return pl.Series(texts.name, [_decode(text, as_text) for text in texts], pl.String)


def _decode(text: str | None, as_text: Callable[[bytes], str]) -> str | None:
    if text is None or not text.startswith(BYTES_PREFIX):
        return None
    try:
        return as_text(base64.b64decode(text.removeprefix(BYTES_PREFIX), validate=True))
    except ValueError:  # not UTF-8, or not 16 bytes
        return None


def as_typed(texts: pl.Series, column: Column) -> pl.Series:
    """Texts (String) as values of the column's type, in the same order; null where the cast fails."""
    return texts.to_frame().select(cast_expr(texts.name, column).alias(texts.name)).to_series()


def cast_rule(column: Column) -> tuple[Code, str]:
    """The rejection code and the rule of a text that can't be cast to the column's type."""
    if column.type is ColumnType.timestamp:
        formats = ", ".join(column.formats or [])
        less = f"; less {column.minus.column}, a number of {column.minus.unit}" if column.minus else ""
        of_file = "the file's date and the text as " if column.from_file_name else ""
        zone = f"in {column.timezone} if it states no zone"
        return Code.bad_timestamp, f"{of_file}a timestamp of the formats {formats}; {zone}{less}"
    if column.bytes == "refuse":
        return Code.wrong_type, "text; these are bytes, and the column's key `bytes` says not which text they are"
    if column.bytes:
        return Code.wrong_type, f"bytes that are a text (bytes: {column.bytes})"
    words = f", or one of {', '.join(column.words.values)}" if column.words else ""
    return Code.wrong_type, f"{_EXPECTED[column.type]}{words} (type {column.type.value})"
