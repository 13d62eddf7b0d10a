"""The error of the embedded server, and the fix that every message ends with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from sessions_platform.errors import UserError

OWN_SERVER = "or set SESSIONS_WAREHOUSE_URL to use a PostgreSQL of your own."


class EmbeddedPostgresError(UserError):
    """The embedded server can't be used; the message says why, and what to do."""


@contextmanager
def explaining(home: Path) -> Iterator[None]:
    """Turn errors of the operating system and of PostgreSQL into an EmbeddedPostgresError that says which home's."""
    try:
        yield
    except (OSError, psycopg.Error) as problem:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL of {home} cannot be used: {problem}."
            f" Its log, if it got so far, is {home / 'postgres' / 'cluster' / 'server.log'}."
            f" Fix: remove the cause, {OWN_SERVER}"
        ) from problem
