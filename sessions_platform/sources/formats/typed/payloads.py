"""The canonical JSON of many rows at once, made of their columns: byte for byte what `rows` makes of each row.

Here: the payloads of raw rows that have fields instead (`contracts.raw_events`). Runs in the parent, and so without
pyarrow.
"""

import msgspec
import polars as pl

from sessions_platform.contracts.raw_events import JSON_FIELD, fields_among
from sessions_platform.contracts.typed_values import json_number

_ESCAPED = r'["\\\x00-\x1f]'
# Floats between these, and zero, have no exponent in polars' spelling.
_LEAST_PLAIN, _MOST_PLAIN = 1e-4, 1e15
_DIGITS = {"ms": 3, "us": 6, "ns": 9}


def with_payloads(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw rows, each with its payload, and without fields.

    Args:
        raw: `payload` (Binary, null where it is to be made), fields, and any other columns.
    """
    fields = fields_among(raw.columns)
    if not fields:
        return raw
    payloads = raw["payload"]
    if payloads.null_count():
        payloads = raw.select(pl.coalesce("payload", pl.lit(payloads_of(raw.select(fields))))).to_series()
    return raw.drop(fields).with_columns(payload=payloads)


def payloads_of(fields: pl.DataFrame) -> pl.Series:
    """Each row as a JSON object (Binary, not null), with its fields in the order of these columns."""
    texts: list[pl.Series] = []
    parts: list[pl.Expr] = []
    behind = "{"
    for number, column in enumerate(fields.get_columns()):
        text, before, after = json_of(column)
        if text.null_count():
            text, before, after = _with_nulls(text, before, after), "", ""
        texts.append(text.alias(str(number)))
        key = msgspec.json.encode(field_name(column.name)).decode()
        parts += [pl.lit(f"{behind}{key}:{before}"), pl.col(str(number))]
        behind = f"{after},"
    parts.append(pl.lit(f"{behind[:-1]}}}"))
    return pl.DataFrame(texts).select(payload=pl.concat_str(parts).cast(pl.Binary)).to_series()


def field_name(column: str) -> str:
    """The name that a field's column has in its file."""
    return column.partition(".")[2]


def _with_nulls(texts: pl.Series, before: str, after: str) -> pl.Series:
    whole = pl.concat_str(pl.lit(before), pl.lit(texts), pl.lit(after))
    return pl.select(whole.fill_null("null")).to_series()


def json_of(field: pl.Series) -> tuple[pl.Series, str, str]:
    """The values as JSON, null where they are null; and what is before and behind each of them that is not."""
    if field.name.startswith(JSON_FIELD):
        return field, "", ""
    match field.dtype:
        case pl.String:
            return _escaped(field), '"', '"'
        case pl.Date | pl.Datetime(time_zone=None):
            return iso(field), '"', '"'
        case pl.Datetime():
            return iso(field), '"', '+00:00"'
        case pl.Float64:
            return _numbers(field), "", ""
        case _:
            return field.cast(pl.String), "", ""


def iso(times: pl.Series) -> pl.Series:
    """Dates and times by ISO 8601, without a zone, and without the zeros at the end of their fractions."""
    if not isinstance(times.dtype, pl.Datetime):
        return times.dt.strftime("%Y-%m-%d")
    texts = times.dt.replace_time_zone(None).dt.strftime(f"%Y-%m-%dT%H:%M:%S%.{_DIGITS[times.dtype.time_unit]}f")
    return texts.str.strip_chars_end("0").str.strip_chars_end(".")


def _escaped(texts: pl.Series) -> pl.Series:
    is_escaped = texts.str.contains(_ESCAPED)
    if not is_escaped.any():
        return texts
    rows = is_escaped.fill_null(value=False).arg_true()
    return _replaced(texts, rows, [msgspec.json.encode(text).decode()[1:-1] for text in texts.gather(rows)])


def _numbers(numbers: pl.Series) -> pl.Series:
    """Those with an exponent, which polars spells otherwise, and those that are none in JSON one by one."""
    texts, is_odd = numbers.cast(pl.String), has_odd_spelling(numbers)
    if not is_odd.any():
        return texts
    rows = is_odd.fill_null(value=False).arg_true()
    spelled = [msgspec.json.encode(json_number(number)).decode() for number in numbers.gather(rows)]
    return _replaced(texts, rows, spelled)


def has_odd_spelling(numbers: pl.Series) -> pl.Series:
    """Which of these floats polars spells with an exponent, or are none in JSON; null where they are null."""
    size = numbers.abs()
    is_plain = ((size >= _LEAST_PLAIN) & (size <= _MOST_PLAIN)) | (size == 0)
    if is_plain.all():
        return ~is_plain
    return numbers.cast(pl.String).str.contains("e", literal=True) | ~numbers.is_finite()


def _replaced(texts: pl.Series, rows: pl.Series, by: list[str]) -> pl.Series:
    return texts.clone().scatter(rows, pl.Series(by, dtype=pl.String)) if len(rows) else texts
