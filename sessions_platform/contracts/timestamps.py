"""How text becomes a timestamp, and which formats can do that at all."""

import warnings
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}  # in microseconds
_PASSED_OVER = ("%Z", "%+")  # by polars, unless it stands alone
_YEAR_10000 = 253_402_300_800 * 1_000_000  # beyond it no calendar here can follow

# Early in a zone ahead of UTC, where another day is told by whoever mixes up local time and UTC.
_ZONE = "Asia/Tokyo"
_SAMPLE = datetime(2021, 11, 23, 2, 35, 47, 123_456, tzinfo=ZoneInfo(_ZONE))


def read_timestamp(text: pl.Expr, fmt: str, timezone: str) -> pl.Expr:
    """UTC microseconds; null where the format does not fit, `timezone` had no such time, or no calendar the year."""
    moment = _read(text, fmt, timezone)
    return pl.when(moment.dt.year().is_between(1, 9999)).then(moment)


def _read(text: pl.Expr, fmt: str, timezone: str) -> pl.Expr:
    if fmt in EPOCHS:
        return _from_epoch(text, EPOCHS[fmt])
    if fmt == "%+" or "%z" in fmt or "%:z" in fmt or "%#z" in fmt:
        return text.str.to_datetime(fmt, time_unit="us", time_zone="UTC", strict=False)
    naive = text.str.to_datetime(fmt, time_unit="us", strict=False)
    local = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def _from_epoch(text: pl.Expr, microseconds: int) -> pl.Expr:
    whole = text.cast(pl.Int64, strict=False)
    part = (text.cast(pl.Float64, strict=False) * microseconds).round()
    limit = _YEAR_10000 // microseconds
    exact = pl.when(whole.is_between(-limit, limit)).then(whole * microseconds)
    rounded = pl.when(part.is_between(-_YEAR_10000, _YEAR_10000)).then(part).cast(pl.Int64, strict=False)
    value = pl.when(whole.is_null()).then(rounded).otherwise(exact)
    return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def format_fault(fmt: str) -> str | None:
    """Why no timestamp can be read by the format; None if one can: the day that it writes has to come back."""
    if fmt in EPOCHS:
        return None
    for directive in _PASSED_OVER:
        if directive in fmt.replace("%%", "") and fmt != directive:
            return f"the offset that {directive} stands for is passed over"
    try:
        return None if _keeps_the_day(fmt) else "it does not tell the day"
    except (pl.exceptions.PolarsError, Warning) as error:
        return str(error).splitlines()[0].removeprefix("Invalid format string: ").partition(". ")[0].rstrip(".")


def _keeps_the_day(fmt: str) -> bool:
    can_only_be_read, alike = "%#z", "%z"
    sample = pl.Series("text", [_SAMPLE], pl.Datetime("us", _ZONE))
    with warnings.catch_warnings(action="error"):  # polars warns of formats that read fractions wrongly
        text = sample.dt.strftime(fmt.replace(can_only_be_read, alike)).to_frame()
        read = read_timestamp(pl.col("text"), fmt, _ZONE).dt.convert_time_zone(_ZONE)
        return text.select(read.dt.date().eq_missing(_SAMPLE.date())).item()
