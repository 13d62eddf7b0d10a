"""Columns that a function of the user's own computes of distinct inputs.

It gets a polars frame with the columns of ``from``, each combination of values once, in any order and in frames of any
size; and returns a frame of as many rows, in the same order, with the columns that the stream declares. It has to be a
function of each row alone.

Where it raises an error, it is called with halves of the frame, and with their halves, until the inputs are found that
it can't do: so the values of the others do not depend on which inputs came together. What it returns is made fit for
storage: numbers that are not finite are null. Another shape or type than declared is no matter of an input, and fails
the run.
"""

import pkgutil
from collections.abc import Callable
from typing import Any

import polars as pl

from sessions_platform.contracts.own_function import OwnFunction
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.errors import UserError
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.distinct import ERROR


def called(config: OwnFunction) -> Values:
    """Adds the columns that the keys declare.

    Raises UserError where there is no such function.
    """
    function = _function(config)
    return lambda inputs: _values(config, function, inputs)


def _function(config: OwnFunction) -> Callable[[pl.DataFrame], Any]:
    try:
        function = pkgutil.resolve_name(config.function)
    except Exception as error:
        reason = f"{config.function} can't be imported: {type(error).__name__}: {error}"
        raise UserError(f"enrich.python: {reason}. Fix: correct the module, or name another function.") from error
    if not callable(function):
        raise UserError(f"enrich.python: {config.function} is no function. Fix: name one.")
    return function


def _values(config: OwnFunction, function: Callable[[pl.DataFrame], Any], inputs: pl.DataFrame) -> pl.DataFrame:
    try:
        values = function(inputs)
    except MemoryError:
        raise
    except Exception as error:
        if inputs.height > 1:
            middle = inputs.height // 2
            halves = (inputs.head(middle), inputs.slice(middle))
            return pl.concat([_values(config, function, half) for half in halves])
        if config.on_error == "fail":
            what = f"{config.function} raised {type(error).__name__} for {kinds_of(inputs)}"
            fix = "Fix: correct the function and raise its version, or remove on_error: fail."
            # Not with the error itself, whose text may have values.
            raise UserError(f"enrich.python: {what}. {fix}") from None
        return _no_values(config, f"{type(error).__name__} for {kinds_of(inputs)}")
    return _fit(config, values, inputs.height)


def kinds_of(inputs: pl.DataFrame) -> str:
    """What an input is, without its values, which may be about people: url String, amount null."""
    (row,) = inputs.rows()
    kinds = zip(inputs.schema.items(), row, strict=True)
    return ", ".join(f"{name} {'null' if value is None else dtype}" for (name, dtype), value in kinds)


def _no_values(config: OwnFunction, error: str) -> pl.DataFrame:
    nulls = {name: pl.Series([None], dtype=DTYPES[kind]) for name, kind in config.added.items()}
    return pl.DataFrame({**nulls, ERROR: [error]})


def _fit(config: OwnFunction, values: Any, height: int) -> pl.DataFrame:
    """The declared columns of what was returned. Raises UserError where it has another shape or other types."""
    if not isinstance(values, pl.DataFrame):
        raise _misfit(config, f"returned {type(values).__name__}, and no polars.DataFrame")
    if values.height != height:
        raise _misfit(config, f"returned {values.height} rows for {height} inputs")
    if missing := [name for name in config.added if name not in values.columns]:
        raise _misfit(config, f"returned no column {missing[0]!r}")
    columns = {name: _typed(config, values[name], DTYPES[kind]) for name, kind in config.added.items()}
    return pl.DataFrame({**columns, ERROR: pl.repeat(None, height, dtype=pl.String, eager=True)})


def _typed(config: OwnFunction, values: pl.Series, dtype: pl.DataType) -> pl.Series:
    has = values.dtype
    is_zoned = isinstance(has, pl.Datetime) and has.time_zone is not None
    fits = (
        has in (dtype, pl.Null)
        or (dtype == pl.Int64 and has.is_integer() and has not in (pl.UInt64, pl.Int128, pl.UInt128))
        or (dtype == pl.Float64 and has.is_numeric())
        or (dtype == pl.String and has in (pl.Categorical, pl.Enum))
        or (isinstance(dtype, pl.Datetime) and is_zoned)
    )
    if not fits:
        raise _misfit(config, f"returned {values.name!r} as {has}, and not {dtype}")
    if is_zoned:
        values = values.dt.convert_time_zone("UTC")
    typed = values.cast(dtype)
    return pl.select(pl.when(typed.is_finite()).then(typed))[typed.name] if dtype == pl.Float64 else typed


def _misfit(config: OwnFunction, what: str) -> UserError:
    fix = "Fix: correct the function and raise its version, or declare other columns."
    return UserError(f"enrich.python: {config.function} {what}. {fix}")
