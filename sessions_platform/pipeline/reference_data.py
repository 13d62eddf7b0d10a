"""The values of a stream's references, read once for a run, with a digest that identifies their state.

Here belongs what makes a reference usable: that it has values, and that they are of the column's type. Not here: how a
file (`reference_file.py`) or a table (`storage/postgres/reference_table.py`) is read, and the rule that rejects rows
with an unknown value (`transforms/validate.py`).
"""

import hashlib
import json
from dataclasses import dataclass

import polars as pl

from sessions_platform.contracts.columns import Reference
from sessions_platform.contracts.events import Known
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.reference_file import values_of_file
from sessions_platform.storage.postgres.reference_table import values_of_table
from sessions_platform.transforms.cast import as_typed


@dataclass(frozen=True)
class References:
    """The known values of each column that has `references`, and a digest (hex) of each."""

    known: Known
    digests: dict[str, str]


def read_references(context: StreamContext) -> References:
    """Read every reference of the stream.

    Raises:
        UserError: a reference can't be read, or has no values. That stops the run, because it is a fault of the
            reference and not of the rows that would be rejected.
    """
    read: dict[Reference, pl.Series] = {}
    known: dict[str, pl.Series] = {}
    for name, reference in context.stream.references.items():
        try:
            if reference not in read:
                read[reference] = _texts(context, reference)
            known[name] = _typed(read[reference].alias(name), context, reference)
        except UserError as invalid:
            raise UserError(f"{context.stream.path}: columns.{name}.references: {invalid}") from None
    return References(known, {name: _digest(values) for name, values in known.items()})


def _texts(context: StreamContext, reference: Reference) -> pl.Series:
    if reference.table:
        texts = values_of_table(context.database, reference.table, reference.column)
    else:
        texts = values_of_file(context.stream, reference)
    texts = texts.filter((texts != "").fill_null(value=False)).unique()
    if texts.is_empty():
        raise UserError(f"{reference} has no values. Fix: fill it, or name another column.")
    return texts


def _typed(texts: pl.Series, context: StreamContext, reference: Reference) -> pl.Series:
    """The distinct values, typed by the rules that events are typed by, and sorted."""
    column = context.stream.columns[texts.name]
    values = as_typed(texts, column)
    if values.null_count():
        invalid = texts.filter(values.is_null())[0]
        raise UserError(
            f"{reference} has the value {invalid!r}, which is not of type {column.type.value}. "
            "Fix: correct the value or the type."
        )
    return values.unique().sort()


def _digest(values: pl.Series) -> str:
    return hashlib.sha256(json.dumps(values.to_list()).encode()).hexdigest()
