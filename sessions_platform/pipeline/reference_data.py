"""What stands in the references of a stream: read once for a run, and told by a digest from another state."""

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
    """Read every reference of the stream. Raises Mistake where one can't be read, or holds nothing to look up.

    A state that can't be right must stop the run: it is no reason to reject rows.
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
        raise UserError(f"{reference} holds no value. Fix: fill it, or name another column.")
    return texts


def _typed(texts: pl.Series, context: StreamContext, reference: Reference) -> pl.Series:
    """By the rules by which events are read, so that equal values are equal."""
    column = context.stream.columns[texts.name]
    values = as_typed(texts, column)
    if values.null_count():
        stranger = texts.filter(values.is_null())[0]
        raise UserError(
            f"{reference} holds {stranger!r}, which is no {column.type.value}. Fix: mend the value or type."
        )
    return values.unique().sort()


def _digest(values: pl.Series) -> str:
    return hashlib.sha256(json.dumps(values.to_list()).encode()).hexdigest()
