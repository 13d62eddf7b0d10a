"""What each role may do, on the embedded server and on one whose URL is given."""

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.database import Database, QueryError
from sessions_platform.storage.postgres.roles import LOADER, OWNER, READER, ROLES_SQL, as_owner

_names = itertools.count()


@pytest.fixture
def tables(context: StreamContext) -> str:
    """The name of a stream that has its tables."""
    context.prepare()
    return context.stream.name


# The embedded server -------------------------------------------------------------------------------------

ESCAPES = [
    "copy (select 1) to program 'touch {file}'",
    "copy (select 1) to '{file}'",
    "set role postgres",
    "set session authorization postgres",
    "reset role",
    "reset session authorization",
    "select set_config('role', 'postgres', false)",
    "select set_config('role', 'sessions_owner', false)",
    "select set_config('session_authorization', 'postgres', false)",
    "select query_to_xml('copy (select 1) to program ''touch {file}''', true, true, '')",
    "select lo_export(lo_from_bytea(0, 'x'), '{file}')",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "alter system set port = 1",
    "create table {stream}.mine (a int)",
    "delete from {stream}.sessions",
    "update sessions_platform.streams set calendars = '{{}}'",
    "drop schema {stream} cascade",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
]


@pytest.mark.parametrize("statement", ESCAPES)
def test_a_query_can_neither_write_nor_leave_its_role(
    database: Database, tables: str, tmp_path: Path, statement: str
) -> None:
    file = tmp_path / "written"
    tmp_path.chmod(0o777)
    before = database.query(f"select count(*) as tables from pg_tables where schemaname = '{tables}'")
    try:
        rows = database.query(statement.format(file=file, stream=tables))
    except QueryError:
        rows = []
    assert rows == []  # or it was refused
    assert not file.exists()
    who = "select current_user::text as is, session_user::text as logged_in, current_setting('is_superuser') as super"
    assert database.query(who) == [{"is": READER, "logged_in": READER, "super": "off"}]
    assert database.query(f"select count(*) as tables from pg_tables where schemaname = '{tables}'") == before


def test_a_query_gives_up_after_five_minutes_and_on_a_lock_after_half_a_one(database: Database) -> None:
    shown = "current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock"
    assert database.query(f"select {shown}") == [{"statement": "5min", "lock": "30s"}]


def test_a_query_that_waits_for_a_lock_ends_in_a_sentence(database: Database, tables: str) -> None:
    hurried = f"{database.url}&options=-c%20lock_timeout%3D1"
    impatient = Database(dataclasses.replace(database._settings, warehouse_url=hurried))
    with database.transaction() as connection:
        connection.execute(SQL("lock {} in access exclusive mode").format(Identifier(tables, "sessions")))
        with pytest.raises(QueryError, match=r"lock timeout.*Fix: "):
            impatient.query(f"select * from {tables}.sessions")


def test_loads_change_rows_and_only_the_owner_changes_tables(database: Database, tables: str) -> None:
    with database.transaction() as connection:
        assert connection.execute("select session_user::text, current_setting('is_superuser')").fetchone() == (
            LOADER,
            "off",
        )
        connection.execute(f"delete from {tables}.sessions".encode())
    for statement in (
        "drop table {}.sessions cascade",
        "alter table {}.sessions add m int",
        "create table {}.mine (a int)",
    ):
        with pytest.raises(errors.InsufficientPrivilege), database.transaction() as connection:
            connection.execute(statement.format(tables).encode())
        with database.transaction() as connection:
            with as_owner(connection):
                connection.execute(statement.format(tables).encode())
            assert connection.execute("select current_user::text").fetchone() == (LOADER,)
            connection.rollback()


def test_everything_of_the_platform_belongs_to_the_owner(database: Database, tables: str) -> None:
    owners = """select distinct pg_get_userbyid(relowner)::text as owner from pg_class c
        join pg_namespace n on n.oid = relnamespace where nspname in ('sessions_platform', '{}')"""
    assert database.query(owners.format(tables)) == [{"owner": OWNER}]


def test_dagsters_storage_is_the_owners_and_closed_to_readers(settings: Settings) -> None:
    server = embedded.attach(settings.home)
    with psycopg.connect(server.url("dagster", OWNER)) as connection:
        connection.execute("create table runs_of_mine (a int)")
        connection.rollback()
    for role in (READER, LOADER):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(server.url("dagster", role))


@pytest.mark.slow
def test_a_home_that_was_made_by_the_superuser_is_given_to_the_owner(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As older versions of this package made them: no roles, and all tables the superuser's."""
    home = tmp_path_factory.mktemp("home")
    for folder in (home, home.parent):
        folder.chmod(0o755)
    server = embedded.attach(home)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create schema sessions_platform; create table sessions_platform.streams (stream text)")
        connection.execute("insert into sessions_platform.streams values ('shop')")
        connection.execute("create schema shop; create table shop.sessions (a int generated always as identity)")
        connection.execute("comment on database sessions is null; comment on database dagster is null")
    with psycopg.connect(server.url("dagster"), autocommit=True) as connection:
        connection.execute("create table runs (a serial)")
    server.close()
    try:
        server = embedded.attach(home)
        for database, table in (("sessions", "shop.sessions"), ("dagster", "runs")):
            with psycopg.connect(server.url(database, OWNER)) as connection:
                connection.execute(f"alter table {table} add b int".encode())
                connection.execute(f"insert into {table} default values".encode())
        with psycopg.connect(server.url("sessions", READER)) as connection:
            assert connection.execute("select a from shop.sessions").fetchall() == [(1,)]
    finally:
        server.close()


# A server whose URL is given -----------------------------------------------------------------------------


@pytest.fixture
def given(administrator: Database) -> Iterator[Callable[..., Settings]]:
    """Makes a database whose owner is a new login, and settings with its URL. Roles last as long as the server does."""
    made: list[str] = []

    def make(*, may_create_roles: bool = False, owns: bool = True, **settings: str) -> Settings:
        name = f"given{next(_names)}"
        made.append(name)
        right = SQL("createrole" if may_create_roles else "nocreaterole")
        with psycopg.connect(administrator.url, autocommit=True) as connection:
            connection.execute(SQL("create role {} login {}").format(Identifier(name), right))
            if may_create_roles:  # they exist already, as if it had made them
                roles = "grant sessions_owner, sessions_loader, sessions_reader to {} with admin option"
                connection.execute(SQL(roles).format(Identifier(name)))
            owner = Identifier(name if owns else "postgres")
            connection.execute(SQL("create database {} owner {}").format(Identifier(name), owner))
        url = administrator.url.replace("postgres@", f"{name}@").replace("/sessions?", f"/{name}?")
        return dataclasses.replace(administrator._settings, warehouse_url=url, **settings)

    yield make
    with psycopg.connect(administrator.url, autocommit=True) as connection:
        for name in made:
            connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))
            connection.execute(SQL("drop owned by {0}; drop role {0}").format(Identifier(name)).as_bytes())


def roles_of(database: Database) -> dict[str, object]:
    (row,) = database.query("select current_user::text as is, session_user::text as logged_in")
    return row


def test_where_the_login_may_create_roles_queries_are_the_readers(given: Callable[..., Settings]) -> None:
    database = Database(given(may_create_roles=True))
    Ledger(database, "shop").prepare({})
    assert roles_of(database)["is"] == READER
    assert database.query("select stream from sessions_platform.streams") == [{"stream": "shop"}]
    with pytest.raises(QueryError, match="permission denied"):
        database.query("copy (select 1) to program 'true'")
    with pytest.raises(QueryError, match="read-only"):
        database.query("create table mine (a int)")


def test_where_it_may_not_queries_are_read_only(given: Callable[..., Settings]) -> None:
    settings = given()
    database = Database(settings)
    Ledger(database, "shop").prepare({})
    login = conninfo_to_dict(settings.warehouse_url or "")["user"]
    assert roles_of(database) == {"is": login, "logged_in": login}
    with pytest.raises(QueryError, match="read-only"):
        database.query("delete from sessions_platform.streams")


def test_an_administrators_script_does_the_same_and_may_be_repeated(given: Callable[..., Settings]) -> None:
    settings = given()
    database = Database(settings)
    Ledger(database, "shop").prepare({})
    login = conninfo_to_dict(settings.warehouse_url or "")["user"]
    as_superuser = (settings.warehouse_url or "").replace(f"{login}@", "postgres@")
    with psycopg.connect(as_superuser) as connection:
        for _ in range(2):
            connection.execute(ROLES_SQL.read_bytes())
        connection.execute(SQL("grant sessions_loader to {}").format(Identifier(str(login))))
    Ledger(database, "other").prepare({})
    with pytest.raises(errors.InsufficientPrivilege), database.transaction() as connection:
        connection.execute("drop table sessions_platform.streams")
    with database.transaction() as connection, as_owner(connection):
        connection.execute("create table sessions_platform.more (a int)")
    reading = dataclasses.replace(settings, reader_url=as_superuser.replace("postgres@", f"{READER}@"))
    assert roles_of(Database(reading)) == {"is": READER, "logged_in": READER}
    assert Database(reading).query("select * from sessions_platform.more") == []


@pytest.mark.slow
def test_a_login_without_the_right_to_create_schemas_is_told(given: Callable[..., Settings], tmp_path: Path) -> None:
    settings = given(owns=False)
    told = command("status", settings, tmp_path)
    assert told.returncode == 1
    assert "the role lacks a right: permission denied for database" in told.stderr
    assert "Fix: grant it, or have an administrator run roles.sql" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.slow
def test_a_role_that_may_only_read_stays_so(given: Callable[..., Settings], tmp_path: Path) -> None:
    settings = given()
    url = f"{settings.warehouse_url}&options=-c%20default_transaction_read_only%3Don"
    told = command("status", dataclasses.replace(settings, warehouse_url=url), tmp_path)
    assert told.returncode == 1
    assert "the role may only read: cannot execute CREATE SCHEMA in a read-only transaction" in told.stderr


def command(name: str, settings: Settings, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"SESSIONS_HOME": str(home), "SESSIONS_WAREHOUSE_URL": settings.warehouse_url or "", "PATH": "/bin"}
    arguments = [sys.executable, "-m", "sessions_platform", name]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
