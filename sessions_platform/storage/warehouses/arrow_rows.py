"""Rows as Arrow has them, for targets whose libraries take it: the partition is never null, texts are short ones."""

import polars as pl
import pyarrow as pa

from sessions_platform.storage.warehouses.base import PARTITION, Columns


def arrow_schema(columns: Columns) -> pa.Schema:
    """The schema of a table with these columns."""
    schema = pl.DataFrame(schema=columns).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    position = schema.get_field_index(PARTITION)
    return schema.set(position, schema.field(position).with_nullable(False))


def arrow_table(rows: pl.DataFrame, columns: Columns) -> pa.Table:
    """Rows in the columns' order, with that schema."""
    return rows.select(*columns).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow_schema(columns))
