"""What a URL says is kept, its password is never shown, and a connection that says nothing does not keep its locks."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg import errors

from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings, SettingsError
from sessions_platform.storage.postgres.database import Database, lock
from sessions_platform.storage.postgres.errors import in_a_sentence
from sessions_platform.storage.postgres.migrations import ensure_current

REPOSITORY = Path(__file__).parents[2]


def at(database: Database, parameters: str) -> Database:
    return Database(dataclasses.replace(database._settings, warehouse_url=f"{database.url}&{parameters}"))


def shown(database: Database, *names: str) -> dict[str, str]:
    with database.transaction() as connection:
        rows = connection.execute("select name, current_setting(name) from unnest(%s::text[]) as name", [list(names)])
        return dict(rows.fetchall())


# What the URL says ---------------------------------------------------------------------------------------


def test_what_the_url_sets_is_kept_and_the_rest_is_the_platforms(database: Database) -> None:
    own = "options=-c%20work_mem%3D7MB%20-c%20lock_timeout%3D7s&application_name=mine&connect_timeout=3"
    names = ("work_mem", "lock_timeout", "application_name", "statement_timeout", "TimeZone")
    assert shown(at(database, own), *names) == {
        "work_mem": "7MB",
        "lock_timeout": "7s",
        "application_name": "mine",
        "statement_timeout": "30min",
        "TimeZone": "UTC",
    }
    assert shown(database, "lock_timeout", "application_name", "idle_in_transaction_session_timeout") == {
        "lock_timeout": "2min",
        "application_name": "sessions-platform",
        "idle_in_transaction_session_timeout": "10min",
    }


def test_the_time_zone_is_utc_whatever_the_url_says(database: Database) -> None:
    assert shown(at(database, "options=-c%20timezone%3DAsia/Tokyo"), "TimeZone") == {"TimeZone": "UTC"}


def test_a_role_that_may_only_read_writes_nothing(database: Database) -> None:
    reading = at(database, "options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(errors.ReadOnlySqlTransaction) as caught, reading.transaction() as connection:
        connection.execute("create table mine (a int)")
    assert in_a_sentence(caught.value) == (
        "PostgreSQL: the role may only read: cannot execute CREATE TABLE in a read-only transaction. Fix: use a role "
        "that may write; docs/operations.md, Roles, has the SQL."
    )


# Passwords -----------------------------------------------------------------------------------------------

PASSWORDS = ["p@sspart", "sspart/x", "a?sspart", "a%sspart", "sspart%", "a%00sspart", "a]sspart@", "a:sspart@b"]


ODD = ["sspart#", "sspart ", "sspart\\", "sspart&x=", "sspart;", "a[sspart", "\nsspart"]


@pytest.mark.parametrize("name", ["SESSIONS_WAREHOUSE_URL", "DAGSTER_POSTGRES_URL"])
@pytest.mark.parametrize("password", [*PASSWORDS, *ODD])
def test_no_part_of_a_password_is_shown_whatever_it_contains(database: Database, name: str, password: str) -> None:
    def connect() -> None:
        settings = Settings.from_environment({name: f"postgresql://ann:{password}@127.0.0.1:1/shop"})
        url = settings.warehouse_url or settings.dagster_postgres_url
        with Database(dataclasses.replace(database._settings, warehouse_url=url)).transaction():
            pass

    with pytest.raises(UserError, match="Fix: ") as caught:
        connect()
    assert "sspart" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_that_is_not_encoded_is_refused_in_a_sentence(password: str) -> None:
    with pytest.raises(SettingsError, match=r"is not percent-encoded.*Fix: write @ as %40"):
        Settings.from_environment({"SESSIONS_WAREHOUSE_URL": f"postgresql://ann:{password}@host/shop"})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret/shop",
        "postgresql://host:port/shop",
        "postgresql://[::1/shop",
        "postgresql://ann@h1:1,h2:x/shop",
    ],
)
def test_a_url_that_cannot_be_parsed_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match=r"Fix: write"):
        Settings.from_environment({"SESSIONS_WAREHOUSE_URL": url})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:p%40ss@host:5432/shop?sslmode=require",
        "postgresql://ann@[::1]:5432/shop",
        "postgresql://ann@h1:5432,h2:5433/shop?target_session_attrs=read-write",
        "postgresql://ann@%2Fvar%2Frun/shop",
        "postgresql:///shop?host=/var/run&user=ann@tenant",
        "postgresql://host",
    ],
)
def test_a_url_that_libpq_understands_is_kept_as_it_is(url: str) -> None:
    assert Settings.from_environment({"SESSIONS_WAREHOUSE_URL": url}).warehouse_url == url


def test_the_readers_url_needs_the_warehouses(database: Database) -> None:
    with pytest.raises(SettingsError, match="SESSIONS_READER_URL: it is of no use without SESSIONS_WAREHOUSE_URL"):
        Settings.from_environment({"SESSIONS_READER_URL": "postgresql://ann@host/shop"})
    assert "secret" not in repr(dataclasses.replace(database._settings, reader_url="postgresql://a:secret@b"))


# A worker that is stopped --------------------------------------------------------------------------------

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database, is_transient
from sessions_platform.storage.postgres.retries import retried
url, name = sys.argv[1:]
settings = Settings(home=Path("/"), lake=Path("/"), streams=(), warehouse_url=url)
from sessions_platform.storage.postgres.database import lock
try:
    with Database(settings).transaction() as connection:
        lock(connection, name)
        connection.execute("insert into sessions_platform.streams values ('zombie', '{}')")
        print("locked", flush=True)
        sys.stdin.readline()
        connection.execute("select 1")
except Exception as error:
    print(type(error).__name__, is_transient(error), flush=True)
else:
    print("published", flush=True)
"""


@pytest.mark.slow
def test_a_stopped_worker_loses_its_lock_and_publishes_nothing_once_it_goes_on(
    database: Database, context: StreamContext
) -> None:
    context.prepare()
    impatient = at(database, "options=-c%20idle_in_transaction_session_timeout%3D1s").url
    worker = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, impatient, "a stopped worker's"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    try:
        assert worker.stdout.readline() == "locked\n"
        os.kill(worker.pid, signal.SIGSTOP)
        with database.transaction() as connection:  # waits until the server has ended the other transaction
            lock(connection, "a stopped worker's")
        os.kill(worker.pid, signal.SIGCONT)
        out, _ = worker.communicate("go on\n", timeout=60)
    finally:
        worker.kill()
        worker.wait()
    assert out == "IdleInTransactionSessionTimeout True\n"
    assert database.query("select from sessions_platform.streams where stream = 'zombie'") == []


# Kept open -----------------------------------------------------------------------------------------------


def backend(database: Database, **options: bool) -> int:
    with database.transaction(**options) as connection:
        return connection.info.backend_pid


def test_transactions_share_a_connection_while_it_is_kept_open(database: Database) -> None:
    with database.kept_open():
        assert len({backend(database), backend(database, read_only=True), backend(database)}) == 1
    assert len({backend(database), backend(database)}) == 2


ADD = "insert into sessions_platform.streams values (%s, '{}')"


def has(database: Database, stream: str) -> bool:
    with database.transaction(read_only=True) as connection:
        query = "select from sessions_platform.streams where stream = %s"
        return connection.execute(query, [stream]).rowcount == 1


def test_a_transaction_that_writes_may_follow_one_that_only_reads(database: Database) -> None:
    with database.kept_open():
        with database.transaction() as connection:
            ensure_current(connection)
        with pytest.raises(errors.ReadOnlySqlTransaction), database.transaction(read_only=True) as connection:
            connection.execute(ADD, ["kept"])
        assert not has(database, "kept")
        with database.transaction() as connection:
            connection.execute(ADD, ["kept"])
        assert has(database, "kept")
    assert has(database, "kept")


def test_a_transaction_within_another_has_a_connection_of_its_own(database: Database) -> None:
    with database.kept_open(), database.transaction() as outer, database.transaction() as inner:
        assert outer.info.backend_pid != inner.info.backend_pid


def test_what_an_error_leaves_is_rolled_back_and_not_kept(database: Database) -> None:
    with database.transaction() as connection:
        ensure_current(connection)
    with database.kept_open():
        kept = backend(database)
        with pytest.raises(errors.DivisionByZero), database.transaction() as connection:  # noqa: PT012  both statements are meant
            connection.execute(ADD, ["unkept"])
            connection.execute("select 1 / 0")
        assert backend(database) != kept
        assert not has(database, "unkept")


def test_one_that_the_server_has_ended_meanwhile_is_replaced(database: Database, administrator: Database) -> None:
    with database.kept_open():
        kept = backend(database)
        with administrator.transaction() as connection:
            ended = connection.execute("select pg_terminate_backend(%s, 10000)", [kept]).fetchone()
        assert ended == (True,)
        assert backend(database) != kept


def test_no_connection_is_left_behind(database: Database) -> None:
    with database.kept_open():
        with database.transaction() as outer, database.transaction() as inner:
            pass
        assert not outer.closed
    assert outer.closed
    assert inner.closed
