"""Reading the table of a `lookup`: a CSV file with a header, or Parquet, in which each key is there once.

All that makes a table unusable is found when the stream's file is read, so that no run fails by it: with part of its
table a stream would enrich some events and not others. Cells of CSV are texts that have to be of the stated type; an
empty one is null. polars is imported where a table is read.
"""

import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.data_files import UnusableFileError, content_of, state_of
from sessions_platform.contracts.values import shown

if TYPE_CHECKING:
    import polars as pl

_CSV, _PARQUET = (".csv", ".csv.gz", ".csv.zst"), (".parquet",)
# Of the table that is read; no column of an event has such a name.
KEY, AS_OF = "lookup key", "lookup time"

_WORDS = {"true": True, "false": False}


class Wanted(NamedTuple):
    """What is read of a table: the column of the key and its type, that of the time, and the columns to take."""

    key: str
    key_type: ColumnType
    as_of: str | None
    take: tuple[tuple[str, str, ColumnType], ...]  # name of the event's column, of the table's, type


def is_table(name: str) -> bool:
    """Whether a file's name says that it is a table that can be read."""
    return name.endswith((*_CSV, *_PARQUET))


def check_table(path: Path, wanted: Wanted) -> None:
    """Raise UnusableFileError where a table can't be used. A file that did not change is read once."""
    _checked(path, wanted, state_of(path))


@lru_cache(maxsize=64)
def _checked(path: Path, wanted: Wanted, _state: tuple[int, ...]) -> None:
    read_table(path, content_of(path), wanted)


def read_table(path: Path, content: bytes, wanted: Wanted) -> "pl.DataFrame":
    """What is wanted of a table.

    Args:
        path: of the table, for messages; its suffix says the format.
        content: its bytes.
        wanted: the columns.

    Returns:
        The columns KEY, AS_OF where it is wanted, and those to take by the event's names.

    Raises:
        UnusableFileError: it is no table, lacks a column, has a value of another type, or a key twice or none.
    """
    import polars as pl

    cells = _cells(path, content)
    columns = {KEY: (wanted.key, wanted.key_type)}
    if wanted.as_of:
        columns[AS_OF] = (wanted.as_of, ColumnType.timestamp)
    columns |= {name: (column, kind) for name, column, kind in wanted.take}
    for column, _ in columns.values():
        if column not in cells.columns:
            reason = f"{path} has no column {shown(column)}, but {', '.join(cells.columns)}"
            raise UnusableFileError(reason, "name one of these")
    table = pl.DataFrame({name: _typed(path, cells[column], kind) for name, (column, kind) in columns.items()})
    _require_one_row(path, table, {name: columns[name][0] for name in (KEY, AS_OF) if name in columns})
    return table


def _cells(path: Path, content: bytes) -> "pl.DataFrame":
    """The table as the file has it; all texts where it is CSV."""
    import polars as pl

    try:
        if path.name.endswith(_PARQUET):
            return pl.read_parquet(io.BytesIO(content))
        return pl.read_csv(content, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = f"{path} can't be read: {str(error).splitlines()[0]}"
        raise UnusableFileError(reason, "save it as CSV in UTF-8 with a header, or as Parquet") from None


def _typed(path: Path, cells: "pl.Series", kind: ColumnType) -> "pl.Series":
    """Cells as values of a type. Raises UnusableFileError at the first that is none."""
    from sessions_platform.contracts.polars_types import DTYPES

    values = _read(cells, kind)
    if values is None:
        reason = f"{path}: the column {shown(cells.name)} is of type {cells.dtype}, and not {kind}"
        raise UnusableFileError(reason, "state another type, or save the column as text")
    broken = (values.is_null() & cells.is_not_null()).arg_true()
    if len(broken):
        row = int(broken[0])
        reason = f"{path}: row {row + 1} has {shown(cells[row])} in {shown(cells.name)}, which is no {kind}"
        raise UnusableFileError(reason, "correct the row, or state another type")
    return values.cast(DTYPES[kind]) if values.dtype != DTYPES[kind] else values


def _read(cells: "pl.Series", kind: ColumnType) -> "pl.Series | None":
    """Cells as values of a type, null where one is none; None where their own type is another."""
    import polars as pl

    is_text, dtype = cells.dtype == pl.String, cells.dtype
    if kind is ColumnType.string:
        return cells.cast(pl.String) if is_text or dtype.is_integer() or dtype == pl.Categorical else None
    if kind is ColumnType.boolean:
        return _truths(cells) if is_text else cells if dtype == pl.Boolean else None
    if kind is ColumnType.timestamp:
        return _times(cells) if is_text or dtype in (pl.Date, pl.Datetime) else None
    if kind is ColumnType.integer:
        return cells.cast(pl.Int64, strict=False) if is_text or dtype.is_integer() else None
    numbers = cells.cast(pl.Float64, strict=False) if is_text or dtype.is_numeric() else None
    return None if numbers is None else numbers.to_frame("n").select(pl.when(pl.col("n").is_finite()).then("n"))["n"]


def _truths(cells: "pl.Series") -> "pl.Series":
    import polars as pl

    return cells.str.to_lowercase().replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)


def _times(cells: "pl.Series") -> "pl.Series":
    """Times without an offset are in UTC, and a date is its midnight."""
    import polars as pl

    from sessions_platform.contracts.timestamp_reading import read_timestamp
    from sessions_platform.contracts.timestamps import ISO

    if cells.dtype == pl.String:
        return cells.to_frame("t").select(read_timestamp(pl.col("t"), ISO, "UTC"))["t"]
    times = cells.cast(pl.Datetime("us", cells.dtype.time_zone if isinstance(cells.dtype, pl.Datetime) else None))
    return times.dt.convert_time_zone("UTC") if times.dt.time_zone else times.dt.replace_time_zone("UTC")


def _require_one_row(path: Path, table: "pl.DataFrame", keys: Mapping[str, str]) -> None:
    """Raise UnusableFileError where a row lacks a key, or two have the same; `keys` has their names in the file."""
    named = " and ".join(map(shown, keys.values()))
    for name, column in keys.items():
        if table[name].null_count():
            row = int(table[name].is_null().arg_true()[0]) + 1
            raise UnusableFileError(f"{path}: row {row} has no {shown(column)}", "state it, or remove the row")
    repeated = table.select(*keys).is_duplicated().arg_true()
    if len(repeated):
        row = int(repeated[0])
        values = " and ".join(str(value) for value in table.select(*keys).row(row))
        reason = f"{path}: several rows have {shown(values)} as {named}, the first of them row {row + 1}"
        more = "" if AS_OF in keys else ", or say by as_of from when a row holds"
        raise UnusableFileError(reason, f"keep one{more}")
