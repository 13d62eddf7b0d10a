"""Compare how many rows PostgreSQL says it changed with how many were sent to be changed.

A user's trigger or rule can leave rows out without an error; then sessions would be missing and nobody would know.
Here: the comparison, and its errors, each of which ends the load's transaction. Not here: what is sent (`loader.py`,
`merge.py`).
"""

import psycopg

from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.errors import RowsChangedMeanwhileError
from sessions_platform.storage.warehouses.postgres.tables import Table

_TRIGGERS = """
select tgname from pg_trigger where tgrelid = to_regclass(%(table)s) and not tgisinternal
union all
select rulename from pg_rewrite where ev_class = to_regclass(%(table)s) and rulename <> '_RETURN'
order by 1"""


class RowsLostError(UserError):
    """A trigger or rule of somebody else kept rows from being loaded; nothing was published."""


def check_count(connection: psycopg.Connection, table: Table, what: str, sent: int, reported: int) -> None:
    """Compare a statement's count.

    Args:
        connection: of the load's transaction.
        table: that was changed; with a log of changes, that too may be where rows were left out.
        what: what was to be done with the rows: inserted, updated, deleted or logged.
        sent: how many rows were to be changed.
        reported: how many PostgreSQL says were.

    Raises:
        RowsLostError: fewer, and the table has triggers or rules that may be why.
        RowsChangedMeanwhileError: fewer, because another transaction has changed rows; the load may be repeated.
    """
    if reported == sent:
        return
    name = f"{table.schema}.{table.name}"
    counts = f"{name}: of {sent} rows that had to be {what}, PostgreSQL reports {reported}"
    triggers = [found for (found,) in connection.execute(_TRIGGERS, {"table": table.identifier.as_string()}).fetchall()]
    if triggers:
        raise RowsLostError(
            f"{counts}. The table has triggers or rules that are not the platform's: {', '.join(triggers)}. Nothing "
            f"was published. Fix: drop or correct them, then run again."
        )
    raise RowsChangedMeanwhileError(f"{counts}, because another transaction changed the table meanwhile")
