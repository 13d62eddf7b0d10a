"""The values of a stream's references, read once for a run, with a digest that identifies their state.

Not here: what makes values usable (`reference_values.py`), how a file (`reference_file.py`) or a table
(`storage/postgres/reference_table.py`) is read, and the rule that rejects rows with an unknown value
(`transforms/validate.py`).
"""

import hashlib
import json
from dataclasses import dataclass

import polars as pl

from sessions_platform.contracts.columns import Reference
from sessions_platform.contracts.events import Known
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.reference_values import usable_values
from sessions_platform.storage.postgres.reference_table import values_of_table


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
            known[name] = usable_values(read[reference].alias(name), context.stream.columns[name], reference)
        except UserError as invalid:
            raise UserError(f"{context.stream.path}: columns.{name}.references: {invalid}") from None
    return References(known, {name: _digest(values) for name, values in known.items()})


def _texts(context: StreamContext, reference: Reference) -> pl.Series:
    if reference.table:
        return values_of_table(context.database, reference.table, reference.column)
    from sessions_platform.pipeline.reference_file import values_of_file  # brings all that reads landing files

    return values_of_file(context.stream, reference)


def _digest(values: pl.Series) -> str:
    return hashlib.sha256(json.dumps(values.to_list()).encode()).hexdigest()
