"""Encode frames as rows of PostgreSQL's binary COPY format, and send encoded rows to a table.

Only the format is here. Not here: which rows are sent, and where they are stored until then (`staged_sessions.py`,
`merge.py`). pgpq encodes Arrow batches; this module adds JSON columns, and joins what several frames were encoded
to: the format's header comes once before all rows, and its trailer once after them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl
import psycopg
from psycopg.sql import SQL, Composable, Identifier

from sessions_platform.contracts.polars_types import REASONS

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 64 * 1024
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # the signature; no flags, no extension
_TRAILER = b"\xff\xff"


class CopyEncoder:
    """Encodes frames that have at least these columns, of these types or types that can be cast to them."""

    def __init__(self, columns: Mapping[str, pl.DataType]) -> None:
        from pgpq import ArrowToPostgresBinaryEncoder  # brings pyarrow, which what only reads does without
        from pgpq.encoders import LargeStringEncoderBuilder
        from pgpq.schema import Jsonb

        self._columns = [
            _as_json(name) if dtype == REASONS else pl.col(name).cast(dtype) for name, dtype in columns.items()
        ]
        empty = {name: pl.String() if dtype == REASONS else dtype for name, dtype in columns.items()}
        self._schema = _as_arrow(pl.DataFrame(schema=empty)).schema
        self._builders = {field.name: ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in self._schema}
        for name, dtype in columns.items():
            if dtype == REASONS:
                self._builders[name] = LargeStringEncoderBuilder.new_with_output(self._schema.field(name), Jsonb())

    def rows(self, frame: pl.DataFrame) -> Iterator[bytes]:
        """The frame's rows in their order, without header and trailer, in chunks that may end within a row."""
        from pgpq import ArrowToPostgresBinaryEncoder

        encoder = ArrowToPostgresBinaryEncoder.new_with_encoders(self._schema, self._builders)
        encoder.write_header()
        for part in frame.iter_slices(_ROWS_AT_ONCE):
            for batch in _as_arrow(part.select(self._columns)).to_batches():
                yield encoder.write_batch(batch)
        yield encoder.finish().removesuffix(_TRAILER)


def copy_rows(connection: psycopg.Connection, table: Composable, columns: Iterable[str], rows: Iterable[bytes]) -> int:
    """Copy encoded rows into a table, inside the connection's transaction.

    Args:
        connection: to the database.
        table: its quoted name.
        columns: that the rows were encoded with, in the same order.
        rows: chunks as `CopyEncoder.rows` makes them, of any number of frames.

    Returns:
        How many rows PostgreSQL says are in the table now; a trigger may have left some out.
    """
    names = SQL(", ").join(map(Identifier, columns))
    statement = SQL("copy {} ({}) from stdin (format binary)").format(table, names)
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(_HEADER)
            for chunk in rows:
                copy.write(chunk)
            copy.write(_TRAILER)
        return cursor.rowcount


def _as_json(name: str) -> pl.Expr:
    reasons = pl.col(name).list.eval(pl.element().struct.json_encode()).list.join(",")
    return pl.format("[{}]", reasons).alias(name)


def _as_arrow(frame: pl.DataFrame) -> "pa.Table":
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
