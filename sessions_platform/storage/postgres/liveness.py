"""A connection that the server ends once its process runs no longer: stopped, or on a machine that is gone.

A lock of a session, which is held for hours of work, needs it: the connection is idle all the while, and keepalives are
answered by the system of a stopped process, too. Not here: transactions, whose idle time the server limits by itself
(``connections``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import psycopg

_PING_SECONDS = 60.0
# A setting of the URL wins, as for all others. Ten pings have to fail, so that a busy machine loses nothing.
_LIMIT = """
select set_config('idle_session_timeout', '10min', false) where current_setting('idle_session_timeout') = '0'"""


@contextmanager
def kept_alive(connection: psycopg.Connection) -> Iterator[None]:
    """Ping the server each minute from a thread, for as long as the block lasts.

    Args:
        connection: in autocommit mode, and used by nobody else within the block.
    """
    connection.execute(_LIMIT)
    ends = Event()
    thread = Thread(target=_ping, args=(connection, ends), name="keeps a lock alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _ping(connection: psycopg.Connection, ends: Event) -> None:
    while not ends.wait(_PING_SECONDS):
        try:
            connection.execute("select 1")
        except psycopg.Error:
            return  # whoever uses the connection next is told
