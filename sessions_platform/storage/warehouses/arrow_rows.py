"""Rows as Arrow has them, for targets whose libraries take it: the partition is never null, texts are short ones."""

from collections.abc import Iterator
from contextlib import contextmanager

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


def arrow_tables(
    frames: Iterator[pl.DataFrame], columns: Columns, partition: str, rows_at_once: int
) -> Iterator[pa.Table]:
    """The rows of a partition in tables of at least so many rows, the last one excepted.

    A library that is told the partition takes rows of any: so that of each row is compared.
    """
    held, height = list[pl.DataFrame](), 0
    for frame in frames:
        assert frame[PARTITION].eq(partition).all(), "the library takes rows of any partition"
        held.append(frame)
        height += frame.height
        if height >= rows_at_once:
            yield arrow_table(pl.concat(held), columns)
            held, height = [], 0
    if height:
        yield arrow_table(pl.concat(held), columns)


@contextmanager
def arrow_stream(frames: Iterator[pl.DataFrame], columns: Columns) -> Iterator[pa.RecordBatchReader]:
    """Frames as a stream of batches with that schema, made as they are asked for.

    A library that reads the stream makes a text of what a frame's source raises. So this raises it itself, at the end
    of `with`, in place of the library's error.
    """
    raised: list[BaseException] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for frame in frames:
                yield from arrow_table(frame, columns).to_batches()
        except BaseException as error:
            raised.append(error)
            raise

    try:
        yield pa.RecordBatchReader.from_batches(arrow_schema(columns), batches())
    except Exception:
        if raised:
            raise raised[0] from None
        raise
