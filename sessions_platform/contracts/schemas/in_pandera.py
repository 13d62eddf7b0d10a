"""A schema in the words of pandera: the one module of the platform that imports it.

Pandera brings a second's worth of imports, so this module is imported where a stored asset breaks its contract. Not
here: the checks themselves, whether all are kept, and which values of rows that are to be rejected are broken
(`schema.py`).
"""

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from sessions_platform.contracts.schemas.schema import Schema, ValueCheck


def pandera_schema(schema: Schema) -> pa.DataFrameSchema:
    """The schema for pandera; the checks of a column are in the same order, which its reports number."""
    columns = {
        name: pa.Column(
            column.dtype,
            nullable=column.nullable,
            unique=column.unique,
            checks=[_check(check) for check in column.checks],
            description=column.description,
        )
        for name, column in schema.columns.items()
    }
    return pa.DataFrameSchema(
        columns, checks=[_check(check) for check in schema.checks], strict=schema.strict, name=schema.name
    )


def broken_values(schema: Schema, frame: pl.DataFrame) -> pl.DataFrame | None:
    """What pandera reports of a frame: a row for each value that breaks a check; None where all are kept.

    Returns:
        Columns column (String), check (String), check_number (Int32, null where a value must not be null) and index
        (Int32, the row's; null where the frame as a whole is meant), and pandera's others.
    """
    try:
        schema.pandera.validate(frame, lazy=True)
    except SchemaErrors as broken:
        return broken.failure_cases
    return None


def _check(check: ValueCheck) -> pa.Check:
    if check.builtin:
        name, argument = check.builtin
        return getattr(pa.Check, name)(argument)
    return pa.Check(
        lambda data: data.lazyframe.select(check.holds(pl.col(data.key))), name=check.text, description=check.text
    )
