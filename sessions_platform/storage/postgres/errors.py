"""What PostgreSQL's errors mean: which are transient, and each in a sentence with its fix.

Here: errors of connections and statements. Not here: the embedded server's own errors (``embedded.errors``), retries
(``retries``), and errors about the content of tables, which are raised where the tables are.
"""

import re

import psycopg
from psycopg import errors

from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.embedded.errors import EmbeddedPostgresError

_QUOTES_ROWS = re.compile(r"\n(?:DETAIL|CONTEXT):")
_SPACE = re.compile(r"\s+")


class QueryError(UserError):
    """PostgreSQL rejected a statement; the message is PostgreSQL's."""


class DatabaseError(UserError):
    """The database failed or refused a statement; the message is a sentence with a fix, and quotes no rows."""


class UnreachableError(UserError):
    """The database can't be connected to. `is_refusal` says whether another attempt would fail the same way.

    `variable` is the one that names it.
    """

    def __init__(self, where: str, reason: str, variable: str = "SESSIONS_WAREHOUSE_URL") -> None:
        self.is_refusal = any(refusal in reason for refusal in _REFUSALS)
        in_a_line = _SPACE.sub(" ", reason).rstrip(".")
        super().__init__(f"{where} can't be reached: {in_a_line}. Fix: start it, or correct {variable}.")


class RowsChangedMeanwhileError(RuntimeError):
    """Another transaction changed rows while they were loaded; nothing was published, and the load may be repeated."""


_TRANSIENT = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.TooManyConnections,
    errors.IdleInTransactionSessionTimeout,
    RowsChangedMeanwhileError,
    ConnectionError,
    TimeoutError,
    InterruptedError,
)
# The server answered, and would answer the same again; or the URL can't be used.
_REFUSALS = (
    "does not exist",
    "authentication failed",
    "no pg_hba.conf entry",
    "permission denied",
    "no password",
    "not permitted to log in",
    "invalid",
    "Name or service not known",
    "does not support SSL",
    "certificate",
)
_RUN_AGAIN = "Nothing was published. Fix: run again once it answers."
# By the SQLSTATE's beginning, the longest first: what failed, and the fix.
_SENTENCES = {
    "2BP01": (
        "a view of yours, or the like, depends on what has to be made anew",
        "Nothing was published. Fix: drop it, run again, and create it again; see docs/operations.md, Rebuild.",
    ),
    "25006": ("the role may only read", "Fix: use a role that may write; docs/operations.md, Roles, has the SQL."),
    "25P03": ("the program was silent within a transaction for too long", "Nothing was published. Fix: run again."),
    "42501": (
        "the role lacks a right",
        "Fix: grant it, or have an administrator run roles.sql; see docs/operations.md, Roles.",
    ),
    "53100": ("its disk is full", "Nothing was published. Fix: free space on the server's disk, then run again."),
    "53200": ("it is out of memory", "Nothing was published. Fix: give it more memory, then run again."),
    "53300": ("it has no free connections", "Fix: raise max_connections, or run less at once."),
    "53": ("it is out of resources", "Nothing was published. Fix: see the server's log, then run again."),
    "55P03": ("a lock was not free in time", "Fix: run again once the other work has ended."),
    "57014": (
        "a statement was canceled",
        "Fix: run again; if it takes too long, set options=-c%20statement_timeout%3D2h in SESSIONS_WAREHOUSE_URL.",
    ),
    "40": ("two transactions were in each other's way", "Nothing was published. Fix: run again."),
    "57P": ("the server stops or starts", _RUN_AGAIN),
    "08": ("the connection was lost", _RUN_AGAIN),
    "": ("the connection was lost", _RUN_AGAIN),
}


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed when it is tried again: connections, locks, timeouts; not data or settings."""
    if isinstance(error, UnreachableError):
        return not error.is_refusal
    if isinstance(error, EmbeddedPostgresError):
        return isinstance(error.__cause__, psycopg.Error) and is_transient(error.__cause__)
    if is_lost_connection(error):
        return True
    return isinstance(error, _TRANSIENT)


def is_lost_connection(error: BaseException) -> bool:
    """Whether the error ended the connection, so that nobody knows the outcome of a commit that was under way."""
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return True
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(("08", "57P"))


def in_a_sentence(error: psycopg.Error) -> str:
    """The error for people: what failed, PostgreSQL's own words without rows, and the fix."""
    said = _SPACE.sub(" ", without_rows(str(error))).strip().rstrip(".")
    if isinstance(error, errors.DependentObjectsStillExist) and error.diag.message_detail:
        said += f": {'; '.join(error.diag.message_detail.splitlines())}"  # names of objects, and no rows
    state = error.sqlstate or ("" if isinstance(error, psycopg.OperationalError) else "-")
    for beginning, (what, fix) in _SENTENCES.items():
        if state.startswith(beginning) and (beginning or not state):
            return f"PostgreSQL: {what}: {said}. {fix}"
    return f"PostgreSQL rejected a statement: {said}. Fix: see the server's log; if nothing explains it, report it."


def without_rows(message: str) -> str:
    """The message without its details and context, which quote rows: payloads must not reach logs."""
    return _QUOTES_ROWS.split(message, maxsplit=1)[0]
