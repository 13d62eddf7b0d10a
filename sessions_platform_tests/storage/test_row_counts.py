"""A trigger or rule of somebody else that leaves rows out is told, and then nothing is published."""

from datetime import UTC, datetime

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.postgres.database import is_transient
from sessions_platform.storage.postgres.errors import RowsChangedMeanwhileError
from sessions_platform.storage.postgres.roles import as_owner
from sessions_platform.storage.warehouses.postgres.row_counts import RowsLostError, check_count
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, stale, table

DAY = "2026-01-01"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def leave_out(context: StreamContext, when: str, on: str = "sessions", row: str = "new") -> None:
    """Somebody's trigger that leaves out the rows of ann."""
    name = context.stream.name
    condition = f"if {row}.user_id = 'ann' then return null; end if;" if on == "sessions" else "return null;"
    with context.database.transaction() as connection, as_owner(connection):
        connection.execute(
            f"create function {name}.leave_out() returns trigger language plpgsql as "
            f"$$ begin {condition} return {row}; end $$".encode()
        )
        trigger = f"create trigger somebodys before {when} on {name}.{on} for each row execute function"
        connection.execute(f"{trigger} {name}.leave_out()".encode())


def ingest(context: StreamContext, *users: str, minute: int = 0) -> None:
    """Events of these users, as the whole file of the day."""
    at = NOON.replace(minute=minute)
    put(context, "a", [line(user, at, f"{user} {minute}") for user in users], DAY)
    ingest_and_publish(context, DAY)


def refused(context: StreamContext, counts: str) -> None:
    with pytest.raises(RowsLostError, match=rf"{counts}.*: somebodys\. Nothing was published\. Fix: drop") as caught:
        refresh(context)
    assert not is_transient(caught.value)
    assert stale(context) == [DAY]


def test_a_first_load_that_loses_a_row_publishes_nothing(context: StreamContext) -> None:
    context.prepare()
    leave_out(context, "insert")
    ingest(context, "ann", "bob")
    refused(context, "of 2 rows that had to be inserted, PostgreSQL reports 1")
    assert table(context) == []


@pytest.mark.parametrize(
    ("when", "row", "then", "counts"),
    [
        ("insert", "new", ["ann", "bob"], "of 1 rows that had to be inserted, PostgreSQL reports 0"),
        ("delete", "old", ["bob"], "of 1 rows that had to be deleted, PostgreSQL reports 0"),
    ],
)
def test_a_later_load_that_loses_a_row_leaves_the_old_table(
    context: StreamContext, when: str, row: str, then: list[str], counts: str
) -> None:
    ingest(context, "bob" if when == "insert" else "ann")
    refresh(context)
    before = table(context)
    leave_out(context, when, row=row)
    ingest(context, *then)
    refused(context, counts)
    assert table(context) == before


def test_an_update_that_is_lost_leaves_the_old_table(context: StreamContext) -> None:
    ingest(context, "ann")
    refresh(context)
    before = table(context)
    leave_out(context, "update")
    put(context, "b", [line("ann", NOON.replace(minute=5), "later")], DAY)
    ingest_and_publish(context, DAY)
    refused(context, "of 1 rows that had to be updated, PostgreSQL reports 0")
    assert table(context) == before


def test_a_log_that_loses_rows_publishes_nothing(context: StreamContext) -> None:
    context.prepare()
    leave_out(context, "insert", on="session_changes")
    ingest(context, "ann")
    refused(context, "session_changes: of 1 rows that had to be logged, PostgreSQL reports 0")


def test_rejected_rows_that_are_lost_are_told(context: StreamContext) -> None:
    context.prepare()
    leave_out(context, "insert", on="rejected_events")
    put(context, "a", [b"not json"], DAY)
    with pytest.raises(RowsLostError, match="rejected_events: of 1 rows that had to be inserted"):
        ingest_and_publish(context, DAY)
    assert context.ledger.landings() == []


def test_rows_that_somebody_else_changed_meanwhile_are_loaded_by_another_attempt(context: StreamContext) -> None:
    context.prepare()
    with context.database.transaction() as connection, pytest.raises(RowsChangedMeanwhileError) as caught:
        check_count(connection, context.tables.sessions, "updated", 2, 1)
    assert is_transient(caught.value)
