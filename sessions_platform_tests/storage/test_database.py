"""The database: which of its errors are transient, what its messages may quote, and what a query may do."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier

from sessions_platform.errors import UserError
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.storage.postgres.database import Database, QueryError, exported_snapshot, is_transient, lock

SECRET = "card-4111-1111"

_names = itertools.count()


def fail(connection: psycopg.Connection) -> None:
    """Copy a row that breaks a constraint; PostgreSQL then quotes it twice."""
    connection.execute("create temporary table strict (payload text check (payload = 'x'), other text)")
    with connection.cursor() as cursor, cursor.copy("copy strict from stdin (format csv)") as copy:
        copy.write(f"{SECRET},DETAIL: and more\n")


def test_an_error_does_not_quote_rows(database: Database) -> None:
    with psycopg.connect(database.url) as connection, pytest.raises(errors.CheckViolation, match=SECRET):
        fail(connection)
    with pytest.raises(errors.CheckViolation) as caught, database.transaction() as connection:
        fail(connection)
    assert str(caught.value) == 'new row for relation "strict" violates check constraint "strict_payload_check"'
    assert SECRET not in repr(caught.value)


# Errors ----------------------------------------------------------------------------------

Fails = Callable[[psycopg.Connection, psycopg.Connection], object]


def backend_is_terminated(mine: psycopg.Connection, other: psycopg.Connection) -> None:
    other.execute("select pg_terminate_backend(%s)", [mine.info.backend_pid])
    mine.execute("select pg_sleep(5)")


def connection_was_lost_before(mine: psycopg.Connection, other: psycopg.Connection) -> None:
    try:
        backend_is_terminated(mine, other)
    except psycopg.OperationalError:
        mine.execute("select 1")


def statement_is_cancelled(mine: psycopg.Connection, _: psycopg.Connection) -> None:
    mine.execute("set statement_timeout = 10")
    mine.execute("select pg_sleep(5)")


def lock_is_taken(mine: psycopg.Connection, other: psycopg.Connection) -> None:
    lock(other, "a name")
    mine.execute("set lock_timeout = 10")
    lock(mine, "a name")


def another_transaction_wrote_meanwhile(mine: psycopg.Connection, other: psycopg.Connection) -> None:
    mine.execute("set transaction isolation level repeatable read")
    mine.execute("select * from fails")
    other.execute("update fails set number = number + 1")
    other.commit()
    mine.execute("update fails set number = number + 1")


def deadlock(mine: psycopg.Connection, other: psycopg.Connection) -> None:
    for connection, name in ((mine, "one"), (other, "two")):
        connection.execute("set deadlock_timeout = '10s'")
        lock(connection, name)
    mine.execute("set deadlock_timeout = 10")
    stale = threading.Thread(target=lock, args=(other, "one"))
    stale.start()
    try:
        lock(mine, "two")
    finally:
        mine.rollback()
        stale.join()


def sql(statement: LiteralString) -> Fails:
    return lambda mine, _: mine.execute(statement)


def caught(administrator: Database, fail: Fails) -> BaseException:
    with administrator.transaction() as setup:
        setup.execute("drop table if exists fails")
        setup.execute("create table fails (number int primary key, word text not null)")
        setup.execute("insert into fails values (1, 'a')")
    # not as a context, which would hide what ends the connection
    mine, other = psycopg.connect(administrator.url), psycopg.connect(administrator.url)
    try:
        fail(mine, other)
    except Exception as error:
        return error
    finally:
        mine.close()
        other.close()
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (backend_is_terminated, errors.AdminShutdown),
        (connection_was_lost_before, psycopg.OperationalError),
        (statement_is_cancelled, errors.QueryCanceled),
        (lock_is_taken, errors.LockNotAvailable),
        (another_transaction_wrote_meanwhile, errors.SerializationFailure),
        (deadlock, errors.DeadlockDetected),
    ],
    ids=lambda case: case.__name__,
)
def test_an_error_that_may_pass_by_itself_is_transient(
    administrator: Database, fail: Fails, error: type[BaseException]
) -> None:
    found = caught(administrator, fail)
    assert isinstance(found, error)
    assert is_transient(found)


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (sql("selekt 1"), errors.SyntaxError),
        (sql("select * from nowhere"), errors.UndefinedTable),
        (sql("insert into fails values (1, 'b')"), errors.UniqueViolation),
        (sql("insert into fails values (2, null)"), errors.NotNullViolation),
        (sql("insert into fails values (2147483648, 'b')"), errors.NumericValueOutOfRange),
        (sql("select 'x'::int"), errors.InvalidTextRepresentation),
        (sql("select 1 / 0"), errors.DivisionByZero),
        (lambda mine, _: mine.execute("select %s", ["a\0"]), psycopg.DataError),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_an_error_that_would_come_again_is_not_transient(
    administrator: Database, fail: Fails, error: type[BaseException]
) -> None:
    found = caught(administrator, fail)
    assert isinstance(found, error)
    assert not is_transient(found)


@pytest.mark.parametrize("error", [ValueError("a"), KeyError("a"), OSError(28, "No space left"), StaleWriteError("a")])
def test_errors_from_elsewhere_are_not_transient(error: BaseException) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), InterruptedError(), BrokenPipeError()])
def test_lost_connections_and_timeouts_are_transient(error: BaseException) -> None:
    assert is_transient(error)


def at(database: Database, url: str) -> Database:
    return Database(dataclasses.replace(database._settings, warehouse_url=url))


def reached(database: Database, url: str) -> BaseException:
    try:
        with at(database, url).transaction():
            raise AssertionError("it was reached")
    except UserError as error:
        return error


def test_an_absent_server_is_a_transient_error(database: Database) -> None:
    error = reached(database, "postgresql://ann:secret@127.0.0.1:1/shop")
    assert is_transient(error)
    assert "secret" not in str(error)


def test_a_missing_database_is_not_a_transient_error(database: Database) -> None:
    error = reached(database, database.url.replace("/sessions?", "/nowhere?"))
    assert '"nowhere" does not exist' in str(error)
    assert not is_transient(error)


def test_a_missing_role_is_not_a_transient_error(database: Database) -> None:
    error = reached(database, database.url + "&user=nobody_at_all&password=secret")
    assert not is_transient(error)
    assert "secret" not in str(error)


# Queries -------------------------------------------------------------------------------------------------


def test_a_query_gives_rows_by_name_and_in_utc(database: Database) -> None:
    (row,) = database.query("select 1 as one, 'é' as \"ü\", '2026-07-01 00:00+02'::timestamptz as at, null as nothing")
    assert row == {"one": 1, "ü": "é", "at": datetime(2026, 6, 30, 22, tzinfo=UTC), "nothing": None}
    assert database.query("select 10 % 3 as rest")[0]["rest"] == 1


@pytest.mark.parametrize(
    "statement",
    [
        "delete from {}",
        "drop table {}",
        "select 1; delete from {}",
        "rollback; delete from {}",
        "commit; delete from {}; commit",
        "set transaction read write; delete from {}",
        "with gone as (delete from {} returning *) select * from gone",
        "selekt",
    ],
)
def test_a_query_is_read_only(database: Database, administrator: Database, statement: str) -> None:
    table = f"kept{next(_names)}"
    with administrator.transaction() as connection:
        connection.execute(SQL("create table {} as select 1 as number").format(Identifier(table)))
    with pytest.raises(QueryError, match=r"\w"):
        database.query(statement.format(table))
    assert database.query(f"select * from {table}") == [{"number": 1}]


def test_a_query_of_a_table_that_is_not_there_says_when_it_is(database: Database) -> None:
    with pytest.raises(QueryError, match=r'(?s)"nowhere" does not exist.*\nFix: '):
        database.query("select * from nowhere")


def test_a_reader_with_the_snapshot_of_another_sees_what_that_one_sees(
    database: Database, administrator: Database
) -> None:
    with administrator.transaction() as connection:
        connection.execute("create table public.at_one_moment (n int)")
        connection.execute("grant select on public.at_one_moment to public")
    with database.reading() as first:
        snapshot = exported_snapshot(first)
        with administrator.transaction() as connection:
            connection.execute("insert into public.at_one_moment values (1)")
        with database.reading(snapshot) as second, database.reading() as later:
            readers = first, second, later
            counts = [reader.execute("select count(*) from public.at_one_moment").fetchone() for reader in readers]
    with administrator.transaction() as connection:
        connection.execute("drop table public.at_one_moment")
    assert counts == [(0,), (0,), (1,)]


def test_an_empty_query_has_no_rows(database: Database) -> None:
    assert database.query("") == []


def test_a_name_is_free_at_once_when_its_block_ends(database: Database) -> None:
    """Not only once the server has noticed that the connection was closed; so it is after an error, too."""
    for attempt in range(50):
        with suppress(LookupError), database.alone("a name") as is_alone:
            assert is_alone, attempt
            with database.alone("a name") as is_second:
                assert not is_second
            raise LookupError


HOLDER = """
import sys
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import liveness
from sessions_platform.storage.postgres.database import Database

liveness._PING_SECONDS = 0.2
with Database(Settings.from_environment()).alone("a held name") as is_alone:
    print(is_alone, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_stopped_process_loses_a_name_and_a_running_one_keeps_it(database: Database, tmp_path: Path) -> None:
    url = f"{database.url}{'&' if '?' in database.url else '?'}options=-c%20idle_session_timeout%3D2s"
    variables = {"PATH": os.defpath, "SESSIONS_HOME": str(tmp_path), "SESSIONS_WAREHOUSE_URL": url}
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, env=variables, stdin=PIPE, stdout=PIPE, text=True) as holder:
        assert holder.stdin and holder.stdout  # noqa: PT018
        assert holder.stdout.readline() == "True\n"
        end = time.monotonic() + 3
        while time.monotonic() < end:  # longer than an idle session may last
            assert not is_free(database, "a held name")
        holder.send_signal(signal.SIGSTOP)
        while not is_free(database, "a held name"):
            assert time.monotonic() < end + 60
        holder.send_signal(signal.SIGCONT)
        holder.stdin.close()
        assert holder.wait(60) == 0


def is_free(database: Database, name: str) -> bool:
    with database.alone(name) as is_alone:
        return is_alone
