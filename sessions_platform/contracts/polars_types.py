"""What of the contracts is polars: the types of columns, and the calendar's rules as expressions.

The other modules state the contract in plain Python, so that an engine of another kind can keep it;
the columns of the assets and their schemas (``schemas``) are built from the types here. Not here:
what polars accepts as a pattern or a format, and how it reads a timestamp (``polars_syntax``).
"""

from collections.abc import Mapping

import polars as pl

from sessions_platform.contracts.calendar import Cadence, Calendar, Window
from sessions_platform.contracts.column_types import OwnType, StoredType
from sessions_platform.contracts.columns import ColumnType

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

# ``rejection_reasons.Reason`` as a value of a column, and the list of a row's reasons.
REASON = pl.Struct({"code": pl.String, "column": pl.String, "rule": pl.String, "value": pl.String})
REASONS = pl.List(REASON)

DTYPES: dict[StoredType, pl.DataType] = {
    ColumnType.string: pl.String(),
    ColumnType.integer: pl.Int64(),
    ColumnType.float: pl.Float64(),
    ColumnType.boolean: pl.Boolean(),
    ColumnType.timestamp: UTC_MICROSECONDS,
    OwnType.binary: pl.Binary(),
    OwnType.reasons: REASONS,
}

_TRUNCATION = {Cadence.daily: "1d", Cadence.weekly: "1w", Cadence.monthly: "1mo"}


def dtypes(types: Mapping[str, StoredType]) -> dict[str, pl.DataType]:
    """The columns, in the same order, with their polars types."""
    return {name: DTYPES[kind] for name, kind in types.items()}


def key_expr(calendar: Calendar, column: str = "event_timestamp") -> pl.Expr:
    """The partition key of each timestamp, equal to ``Calendar.key_of``.

    Days and longer are truncated as dates: a midnight that the clocks skip is a date all the same,
    but not a time that could be truncated to.

    Args:
        calendar: the calendar of the axis.
        column: a column of UTC microseconds; a null has no key.

    Returns:
        String, named as ``column``.
    """
    local = pl.col(column).dt.convert_time_zone(calendar.timezone)
    if calendar.cadence is not Cadence.hourly:
        local = local.dt.date().dt.truncate(_TRUNCATION[calendar.cadence])
    return local.dt.strftime(calendar.key_format)


def in_window(window: Window, column: str = "event_timestamp") -> pl.Expr:
    """Whether a row's time (UTC microseconds) lies in the half-open window."""
    return pl.col(column).is_between(window.start, window.end, closed="left")
