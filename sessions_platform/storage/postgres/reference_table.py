"""The values of a column of any table in the warehouse database, as reference data.

Not here: reference data in files, which is in ``pipeline.reference_file``.
"""

import polars as pl
from psycopg import errors
from psycopg.sql import SQL, Identifier

from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.database import Database

_UNREADABLE = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName, errors.InsufficientPrivilege)


def values_of_table(database: Database, table: str, column: str) -> pl.Series:
    """The column's distinct values as text, without nulls, in no particular order.

    Args:
        database: the warehouse database.
        table: its schema and name, as in ``public.products``.
        column: the name of the column.

    Raises:
        UserError: the table or the column is missing, or can't be read.
    """
    schema, _, name = table.partition(".")
    query = SQL("select distinct {column}::text from {table} where {column} is not null")
    try:
        with database.transaction(read_only=True) as connection:
            rows = connection.execute(query.format(column=Identifier(column), table=Identifier(schema, name)))
            return pl.Series([value for (value,) in rows], dtype=pl.String)
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the table {table} can't be read: {reason}. Fix: make it, or name another.") from None
