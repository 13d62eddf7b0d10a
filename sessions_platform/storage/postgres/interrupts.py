"""What becomes of the server's statement when the program that waits for it is interrupted.

Not here: what becomes of the step and the run (`orchestration/interrupts.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import pq

_CANCEL_SECONDS = 5


@contextmanager
def canceled_when_interrupted(connection: psycopg.Connection) -> Iterator[None]:
    """Cancel the statement that an interrupt leaves, and close the connection.

    The server would notice a closed connection only when the statement is complete, and keep its locks until then.
    psycopg itself does this for Ctrl-C alone.
    """
    try:
        yield
    except BaseException:
        if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=_CANCEL_SECONDS)
            connection.close()
        raise
