"""A query's result as a stream of Arrow record batches, read by ADBC, which copies them out in PostgreSQL's own format.

Here belongs its connection, which reads only and is the reader's, as `database.reading` has it by psycopg. Not here:
results row by row, with every type of PostgreSQL (``results``). ADBC has other values than PostgreSQL for a few types
(an oid above 2^31, money, arrays of arrays), so only queries of the platform's own tables belong here.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from sessions_platform.errors import MissingExtraError
from sessions_platform.storage.postgres.errors import QueryError, UnreachableError

if TYPE_CHECKING:
    import pyarrow as pa

_ONE_STATE = "set transaction isolation level repeatable read, read only"


@contextmanager
def arrow_batches(conninfo: str, where: str, query: str, before: str | None = None) -> "Iterator[pa.RecordBatchReader]":
    """The result of one query; batches come as they are asked for, while the block lasts.

    Args:
        conninfo: a libpq connection string. It may contain a password.
        where: the server, without secrets, for messages.
        query: a `select`, whose values are written into it, as COPY takes no parameters.
        before: a statement that is run in the same transaction before it.

    Raises:
        UnreachableError: it can't be connected to.
        QueryError: PostgreSQL rejected the query, or it took too long.
        MissingExtraError: the extra `frames` is not installed.
    """
    try:
        import adbc_driver_manager
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise MissingExtraError("adbc-driver-postgresql", "frames") from None

    try:
        connection = dbapi.connect(conninfo)
    except adbc_driver_manager.Error as error:
        raise UnreachableError(where, _said(error)) from None
    try:
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(_ONE_STATE)
            if before:
                cursor.execute(before)
                cursor.fetchall()
            cursor.execute(query)
            with cursor.fetch_record_batch() as reader:
                yield reader
    except adbc_driver_manager.Error as error:
        raise QueryError(_said(error)) from None


def _said(error: Any) -> str:
    """libpq's or PostgreSQL's own words, without ADBC's."""
    return " ".join(str(error).split()).partition("failed: ")[2] or " ".join(str(error).split())
