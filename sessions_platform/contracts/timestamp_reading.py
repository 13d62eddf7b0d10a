"""How text becomes timestamps, by each kind of format.

Not here: the plain rules of formats (``timestamps``), which texts a pattern would misread (``timestamp_shapes``),
and whether a format can be used at all (``polars_syntax``).
"""

from functools import partial

import polars as pl

from sessions_platform.contracts.timestamp_shapes import digits_shape, second_60_shape
from sessions_platform.contracts.timestamps import EPOCHS, ISO, LOCAL_EPOCH, has_offset

_MICROSECONDS = pl.Datetime("us")
_UTC_MICROSECONDS = pl.Datetime("us", "UTC")
# The first moments of the years 1 and 10000 in microseconds since 1970. None outside of them can be shown as a date.
_YEAR_1 = -62_135_596_800 * 1_000_000
_YEAR_10000 = 253_402_300_800 * 1_000_000
_NANOSECONDS = 1_000  # of a microsecond

# Dates and times of ISO 8601, extended and basic; the latter have no marks but the T. Offsets are alike in both.
_DATE, _ORDINAL, _BASIC_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{4}-[0-9]{3}", "[0-9]{8}"
_FRACTION, _OFFSET = "(?:[.,][0-9]+)?", "(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_TIME = rf"(?:[Tt ][0-9]{{2}}(?::[0-9]{{2}}(?::[0-5][0-9]{_FRACTION})?)?{_OFFSET})?"
_BASIC_TIME = rf"(?:[Tt][0-9]{{2}}(?:[0-9]{{2}}(?:[0-5][0-9]{_FRACTION})?)?{_OFFSET})?"
_ISO = rf"^(?:(?:{_DATE}|{_ORDINAL}){_TIME}|{_BASIC_DATE}{_BASIC_TIME})$"
# What most programs write, and ``%+`` reads by itself.
_RFC_3339 = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$"
_NORMAL = "%Y-%m-%dT%H:%M:%S%.f"
_PARTS = (
    r"^(?P<year>.{4})-?(?:(?P<ordinal>[0-9]{3})|(?P<month>[0-9]{2})-?(?P<day>[0-9]{2}))"
    r"(?:[Tt ](?P<hour>..):?(?P<minute>[0-9]{2})?:?(?P<second>[0-9]{2})?(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?P<offset>[Zz]|[+-].*)?$"
)


def read_timestamp(text: pl.Expr, fmt: str, timezone: str) -> pl.Expr:
    """Read text as timestamps.

    Args:
        text: String.
        fmt: a format for which ``format_problem`` is None.
        timezone: of text that states no offset. A local time that the clocks show twice is the earlier one.

    Returns:
        UTC microseconds; null where the text is not of the format, the clocks of ``timezone`` skip its time, its
        second is 60, numbers that touch have too few digits, or its year is not between 1 and 9999. Digits of a
        fraction beyond microseconds are cut; fractions of epochs are rounded to microseconds, as doubles.
    """
    if fmt in EPOCHS:
        moment = _from_epoch(text, fmt)
        moment = _in_utc(moment, timezone) if fmt == LOCAL_EPOCH else moment.dt.replace_time_zone("UTC")
        return pl.when(moment.dt.year().is_between(1, 9999)).then(moment)
    read = _by_iso if fmt == ISO else partial(_by_pattern, fmt=fmt)
    return text.map_batches(lambda texts: _in_calendar(read(texts, timezone=timezone)), _UTC_MICROSECONDS)


def _in_utc(local: pl.Expr, timezone: str) -> pl.Expr:
    """Times as clocks on the wall show them, in UTC."""
    moment = local.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return moment.dt.convert_time_zone("UTC")


def _in_calendar(moments: pl.Series) -> pl.Series:
    """Only moments whose year is between 1 and 9999."""
    microseconds = moments.to_physical()
    is_in = microseconds.is_between(_YEAR_1, _YEAR_10000, closed="left")
    return moments if is_in.all() else _only(moments, is_in)


def _only(values: pl.Series, keep: pl.Series) -> pl.Series:
    """The values for which `keep` (Boolean) is true; null where it is not."""
    return pl.select(pl.when(pl.lit(keep)).then(pl.lit(values)).alias(values.name)).to_series()


# Epochs --------------------------------------------------------------------------------------------------


def _from_epoch(text: pl.Expr, fmt: str) -> pl.Expr:
    """Numbers of the epoch's unit as times without a timezone. Nanoseconds are cut to microseconds."""
    whole = text.cast(pl.Int64, strict=False)
    number = text.cast(pl.Float64, strict=False)
    if EPOCHS[fmt] < _NANOSECONDS:
        exact, part = whole // _NANOSECONDS, (number / _NANOSECONDS).round()
    else:
        unit = EPOCHS[fmt] // _NANOSECONDS
        limit = _YEAR_10000 // unit
        exact, part = pl.when(whole.is_between(-limit, limit)).then(whole * unit), (number * unit).round()
    rounded = pl.when(part.is_between(-_YEAR_10000, _YEAR_10000)).then(part).cast(pl.Int64, strict=False)
    return pl.when(whole.is_null()).then(rounded).otherwise(exact).cast(_MICROSECONDS)


# Patterns ------------------------------------------------------------------------------------------------


def _by_pattern(texts: pl.Series, fmt: str, timezone: str) -> pl.Series:
    if shape := digits_shape(fmt):
        texts = _only(texts, texts.str.contains(shape))
    zone = "UTC" if has_offset(fmt) else None
    shown = texts.str.to_datetime(fmt, time_unit="us", time_zone=zone, strict=False)
    shown = _without_second_60(shown, texts, fmt)
    return shown if zone else shown.to_frame("").select(_in_utc(pl.first(), timezone)).to_series()


def _without_second_60(shown: pl.Series, texts: pl.Series, fmt: str) -> pl.Series:
    """Null where the text has a second 60: it was read as the second 0 of the next minute."""
    shape = second_60_shape(fmt)
    if shape is None:
        return shown
    suspects = (shown.dt.second() == 0).arg_true()
    if not len(suspects):
        return shown
    is_60 = texts.gather(suspects).str.contains(shape)
    return shown.scatter(suspects.filter(is_60), None) if is_60.any() else shown


# ISO 8601 ------------------------------------------------------------------------------------------------


def _by_iso(texts: pl.Series, timezone: str) -> pl.Series:
    is_usual = texts.str.contains(_RFC_3339).fill_null(value=False)
    usual = _only(texts, is_usual).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    others = (texts.is_not_null() & ~is_usual).arg_true()
    if not len(others):
        return usual
    read = pl.DataFrame({"text": texts.gather(others)}).select(_from_parts(pl.col("text"), timezone)).to_series()
    return usual.scatter(others, read)


def _from_parts(text: pl.Expr, timezone: str) -> pl.Expr:
    """Each part by itself; what is not stated of the time is zero."""
    parts = pl.when(text.str.contains(_ISO)).then(text.str.extract_groups(_PARTS))
    year, month, day, ordinal = (parts.struct.field(name) for name in ("year", "month", "day", "ordinal"))
    by_ordinal = pl.concat_str(year, pl.lit("-"), ordinal).str.to_date("%Y-%j", strict=False).cast(pl.String)
    date = pl.coalesce(pl.concat_str(year, pl.lit("-"), month, pl.lit("-"), day), by_ordinal)
    clock = [parts.struct.field(name).fill_null("00") for name in ("hour", "minute", "second", "fraction")]
    shown = pl.format("{}T{}:{}:{}.{}", date, *clock).str.to_datetime(_NORMAL, time_unit="us", strict=False)
    offset = parts.struct.field("offset")
    moment = (shown - _offset(offset)).dt.replace_time_zone("UTC")
    return pl.when(offset.is_null()).then(_in_utc(shown, timezone)).otherwise(moment)


def _offset(text: pl.Expr) -> pl.Expr:
    """An offset such as +02, +0200 or Z, as a duration; null where it has 24 hours or 60 minutes."""
    hours = text.str.extract("^[+-]([0-9]{2})").cast(pl.Int64).fill_null(0)
    minutes = text.str.extract("^[+-][0-9]{2}:?([0-9]{2})$").cast(pl.Int64).fill_null(0)
    sign = pl.when(text.str.starts_with("-")).then(-1).otherwise(1)
    length = pl.duration(minutes=sign * (60 * hours + minutes), time_unit="us")
    return pl.when((hours < 24) & (minutes < 60)).then(length)
