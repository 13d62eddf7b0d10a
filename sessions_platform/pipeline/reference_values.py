"""What makes the values of a reference usable: that there are some, and that they are of the column's type.

Not here: where they come from (`reference_file.py`, `storage/postgres/reference_table.py`).
"""

import polars as pl

from sessions_platform.contracts.columns import Column, Reference
from sessions_platform.errors import UserError
from sessions_platform.transforms.cast import as_typed


def usable_values(texts: pl.Series, column: Column, reference: Reference) -> pl.Series:
    """The distinct values, typed by the rules that events are typed by, and sorted.

    Args:
        texts: String, with nulls, empty and repeated ones; named as the column that refers to them.
        column: that column.
        reference: for messages.

    Raises:
        UserError: there is no value, or one is not of the column's type.
    """
    texts = texts.filter((texts != "").fill_null(value=False)).unique()
    if texts.is_empty():
        raise UserError(f"{reference} has no values. Fix: fill it, or name another column.")
    values = as_typed(texts, column)
    if values.null_count():
        invalid = texts.filter(values.is_null())[0]
        raise UserError(
            f"{reference} has the value {invalid!r}, which is not of type {column.type.value}. "
            "Fix: correct the value or the type."
        )
    return values.unique().sort()
