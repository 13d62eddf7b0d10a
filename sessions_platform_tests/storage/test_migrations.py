"""A database of any earlier version is upgraded with all its rows, once; one of a later version is refused.

``homes/before_migrations`` is the home of a small stream as the program left it when its tables
had no version yet: the database as SQL, the lake, the stream's file and its landing files.
"""

import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

import sessions_platform
from sessions_platform import cli
from sessions_platform.operations.audit import audit_sample, repeated_event_ids
from sessions_platform.operations.dead_letters import Filter, find_rejected_records
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.repaired_rows import read_repaired_rows
from sessions_platform.operations.replay import replay
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.validate import validate_partition
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.postgres import migrations
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.migrations import HEAD, NewerDatabaseError
from sessions_platform.storage.postgres.migrations.upgrade import migration_scripts

pytestmark = pytest.mark.slow

HOME = Path(__file__).parent / "homes" / "before_migrations"
REPOSITORY = Path(sessions_platform.__file__).parent.parent
DAYS = ["2026-03-01", "2026-03-02"]
SCHEMAS = ["sessions_platform", "shop"]
NEW_TABLES = {
    "sessions_platform.schema_version",
    "sessions_platform.source_cursors",
    "sessions_platform.deliveries",
    "sessions_platform.alerts",
    "sessions_platform.score_models",
    "sessions_platform.targets",
    "sessions_platform.run_heartbeats",
    "sessions_platform.verifications",
    "sessions_platform.erasures",
    "sessions_platform.tombstones",
}
ADDED_COLUMNS = {
    "sessions_platform.landing_files": {
        "redacted_digest": None,
        "refused_rows": 0,
        "text_digest": None,
        "placed_digest": None,
        "extent": None,
        "redacted_extent": None,
    },
    "sessions_platform.landing_versions": {"skipped": 0, "repeated_lines": 0, "rejected_stretches": None},
    "sessions_platform.session_versions": {
        "simultaneous_events": 0,
        "events_outside_sessions": 0,
        "events_without_tool_id": 0,
    },
    "sessions_platform.repairs": {"rows": 1},
    "shop.rejected_events": {"rows": 1},
}
RENAMED_TABLES = {
    "sessions_platform.waiting": "sessions_platform.stale_partitions",
    "sessions_platform.replayed": "sessions_platform.repairs",
}
RENAMED_COLUMNS = {
    "policy_version": "session_rule_version",
    "shape": "observed_schema",
    "longest_chain_seconds": "longest_activity_chain_seconds",
    "root_id": "original_id",
    "root_uri": "original_uri",
    "root_position": "original_position",
    "successor_id": "merged_into",
}
PREPARE = """
import sys
from pathlib import Path
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.postgres.database import Database
url, home = sys.argv[1:]
settings = Settings(home=Path(home), lake=Path(home), streams=(), warehouse_url=url)
Ledger(Database(settings), "shop").prepare({})
"""

WAITING = """from pg_locks where not granted and relation is not null
    and database = (select oid from pg_database where datname = current_database())"""

Rows = dict[str, list[dict[str, Any]]]
_names = itertools.count()


@pytest.fixture
def open_settings(administrator: Database, tmp_path: Path) -> Callable[[], Settings]:
    """Settings with a copy of the old home's files, and an empty database."""

    def make() -> Settings:
        name = f"migrated{next(_names)}"
        with psycopg.connect(administrator.url, autocommit=True) as connection:
            connection.execute(SQL("create database {}").format(Identifier(name)))
        shutil.copytree(HOME, home := tmp_path / name)
        url = administrator.url.replace("/sessions?", f"/{name}?")
        return Settings(home=home, lake=home / "lake", streams=(home / "streams",), warehouse_url=url)

    return make


@pytest.fixture
def old(open_settings: Callable[[], Settings]) -> Settings:
    return restored(open_settings())


def restored(settings: Settings) -> Settings:
    """Settings whose database has the old tables, which know the landing files as they were copied."""
    with connected(settings) as connection:
        connection.execute((HOME / "database.sql").read_bytes())
        for file in opened(settings).source.find():
            connection.execute(
                "update sessions_platform.landing_files set fingerprint = %s where uri = %s",
                [file.fingerprint, file.uri],
            )
    return settings


def connected(settings: Settings) -> psycopg.Connection:
    assert settings.warehouse_url
    return psycopg.connect(settings.warehouse_url)


def opened(settings: Settings) -> StreamContext:
    (context,) = open_contexts(settings, ["shop"])
    return context


def upgraded(settings: Settings) -> StreamContext:
    """The stream, with its ledger and warehouse prepared; the ledger first, which upgrades the database."""
    context = opened(settings)
    context.prepare()
    return context


def prepare(settings: Settings) -> None:
    Ledger(Database(settings), "shop").prepare({})


def version(settings: Settings) -> str:
    with connected(settings) as connection:
        row = connection.execute("select version_num from sessions_platform.schema_version").fetchone()
    assert row
    return row[0]


def all_rows(settings: Settings) -> Rows:
    """Every row of every table of the ledger and the stream."""
    tables = """select table_schema, table_name from information_schema.tables
                where table_schema = any(%s) and table_type = 'BASE TABLE'"""
    with connected(settings) as connection, connection.cursor(row_factory=dict_row) as cursor:
        found = connection.execute(tables, [SCHEMAS]).fetchall()
        return {
            f"{schema}.{table}": sorted(
                cursor.execute(SQL("select * from {}").format(Identifier(schema, table))).fetchall(), key=str
            )
            for schema, table in found
        }


def in_todays_terms(rows: Rows) -> Rows:
    """The rows of an old database, by the names that tables and columns have now."""
    renamed = {
        RENAMED_TABLES.get(table, table): [
            {RENAMED_COLUMNS.get(name, name): value for name, value in row.items()} for row in of_table
        ]
        for table, of_table in rows.items()
    }
    for row in renamed["shop.loaded_partitions"]:
        row["written_by"] = row["written_by"].replace("policy_version", "session_rule_version")
    added = {table: [row | ADDED_COLUMNS.get(table, {}) for row in of_table] for table, of_table in renamed.items()}
    return {table: sorted(of_table, key=str) for table, of_table in added.items()}


def structure(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """All that the catalog says of the schemas: columns, indexes, constraints, views and their comments."""
    queries = {
        "columns": """
            select table_schema, table_name, ordinal_position, column_name, data_type, is_nullable, column_default,
                is_identity
            from information_schema.columns where table_schema = any(%s) order by 1, 2, 3""",
        "tables": """
            select relnamespace::regnamespace::text, relname, relkind, reloptions, obj_description(oid, 'pg_class')
            from pg_class where relnamespace::regnamespace::text = any(%s) and relkind <> 'i' order by 1, 2""",
        "indexes": "select schemaname, indexname, indexdef from pg_indexes where schemaname = any(%s) order by 1, 2",
        "constraints": """
            select connamespace::regnamespace::text, conrelid::regclass::text, conname, pg_get_constraintdef(oid)
            from pg_constraint where connamespace::regnamespace::text = any(%s) order by 1, 2, 3""",
        "views": "select schemaname, viewname, definition from pg_views where schemaname = any(%s) order by 1, 2",
    }
    with connected(settings) as connection:
        return {name: connection.execute(query.encode(), [SCHEMAS]).fetchall() for name, query in queries.items()}


def materialize(context: StreamContext) -> dict[str, int]:
    """Ingest, publish and load every day anew; how many files were read, and rows of the warehouse changed."""
    read = sum(done.read for done in ingest(context, DAYS, "a run").values())
    rejected = 0
    for day in DAYS:
        validated = validate_partition(context, day, context.raw_events([day]))
        rejected += publish(context, validated, "a run").rejected.changed
    sessionize_partitions(context, DAYS, "a run")
    loaded = load_sessions(context, context.sessionized_events(DAYS), "a run")
    return {"read": read, "rejected": rejected, "sessions": loaded.changed.changed}


def test_all_rows_of_an_old_database_are_kept(old: Settings) -> None:
    before = all_rows(old)
    assert min(map(len, (before["sessions_platform.replayed"], before["sessions_platform.waiting"]))) > 0
    upgraded(old)
    after = all_rows(old)
    assert version(old) == HEAD
    assert {name: rows for name, rows in after.items() if name not in NEW_TABLES} == in_todays_terms(before)
    assert after["sessions_platform.source_cursors"] == after["sessions_platform.deliveries"] == []


def test_the_status_of_an_old_home_is_what_it_was(old: Settings) -> None:
    found = status(upgraded(old))
    expected = {"raw_rows": 23, "accepted": 15, "rejected": 7, "duplicates": 1, "sessions": 8, "events_in_sessions": 14}
    assert {name: found[name] for name in expected} == expected
    # Its contract is another one since blank text is null, so its rows will be validated again.
    assert found["pending"] == {"landing": DAYS, "session": ["2026-03-02"]}


def test_raw_rows_of_an_old_lake_are_read_with_all_their_values(old: Settings) -> None:
    raw = upgraded(old).raw_events(DAYS).scan().collect()
    for file in sorted((HOME / "streams" / "landing").glob("*/*.ndjson")):
        rows = raw.filter(pl.col("source_uri").str.ends_with(file.name)).sort("position")
        chunks = [part or b"" for row in rows.select("preamble", "payload", "line_terminator").rows() for part in row]
        assert b"".join(chunks) == file.read_bytes()
    (corrupt,) = raw.filter(pl.col("corrupt_reason").is_not_null()).to_dicts()
    assert (old.lake / corrupt["payload"].decode()).read_bytes() == next(
        (HOME / "streams" / "landing").glob("*/broken*")
    ).read_bytes()


def test_an_old_home_is_materialized_anew_and_nothing_changes(old: Settings) -> None:
    context = upgraded(old)
    # The session that was pending, and the version of the contract that rejects the seven rows. Two of these are alike
    # and neighbours: they leave as two, and come back as one that stands for both.
    assert materialize(context) == {"read": 0, "rejected": 8, "sessions": 1}
    assert status(context)["rejected"] == 7
    before = all_rows(old)["shop.sessions"]
    assert status(context)["pending"] == {"landing": [], "session": []}
    assert materialize(context) == {"read": 0, "rejected": 0, "sessions": 0}
    assert all_rows(old)["shop.sessions"] == before


def test_a_rejected_row_of_an_old_home_is_repaired(old: Settings) -> None:
    context = upgraded(old)
    with context.database.transaction(read_only=True) as connection:
        (row,) = context.dead_letters.find(connection, code="malformed")
    payload = json.dumps({"id": "g1", "user": "gil", "ts": "2026-03-01T12:00:00Z", "type": "view"})
    line = json.dumps({"stream": "shop", "rejection_id": row["rejection_id"], "payload": payload})
    replay(context, read_repaired_rows([line], "repaired.ndjson")["shop"], "a run")
    materialize(context)
    assert "gil" in {session["user_id"] for session in all_rows(old)["shop.sessions"]}
    with context.database.transaction(read_only=True) as connection:
        (row,) = context.dead_letters.find(connection, code="malformed")
    assert row["status"] == "resolved"


READERS: dict[str, Callable[[StreamContext], object]] = {
    "prepare": StreamContext.prepare,
    "status": status,
    "pending landing partitions": pending_landing_partitions,
    "ingest": lambda context: ingest(context, DAYS, "a run"),
    "read references": read_references,
    "find rejected rows": lambda context: find_rejected_records(context, Filter()),
    "replay": lambda context: replay(context, [], "a run"),
    "audit a sample": lambda context: audit_sample(context, 20, random.Random(1)),
    "audit event ids": repeated_event_ids,
}
WRITERS: dict[str, Callable[[StreamContext], object]] = {
    "run the pipeline": lambda context: run_pipeline(context, DAYS, "a run"),
    "rebuild": lambda context: rebuild(context, "a run", lambda _: None),
}


@pytest.mark.parametrize("entry", READERS.values(), ids=READERS)
def test_whichever_function_is_called_first_the_rows_of_an_old_database_are_kept(
    old: Settings, entry: Callable[[StreamContext], object]
) -> None:
    before = all_rows(old)
    entry(opened(old))
    opened(old).prepare()
    assert version(old) == HEAD
    after = all_rows(old)
    assert {name: rows for name, rows in after.items() if name not in NEW_TABLES} == in_todays_terms(before)


@pytest.mark.parametrize("entry", WRITERS.values(), ids=WRITERS)
def test_an_old_home_may_be_refreshed_or_rebuilt_before_anything_else(
    old: Settings, entry: Callable[[StreamContext], object]
) -> None:
    before = in_todays_terms(all_rows(old))
    entry(opened(old))
    after = all_rows(old)
    assert version(old) == HEAD
    assert not {name for rows in after.values() for row in rows for name in row} & RENAMED_COLUMNS.keys()
    for table in ("shop.sessions", "shop.session_changes"):
        assert len(after[table]) == len(before[table]) + 1, table  # the session that was pending
    context = opened(old)
    assert status(context)["pending"] == {"landing": [], "session": []}
    audit = audit_sample(context, 100, random.Random(1))
    assert (audit.sessions, audit.mismatches) == (len(after["shop.sessions"]), [])


def test_the_tables_of_a_stream_are_not_widened_before_the_upgrade(old: Settings) -> None:
    """A renamed column would be added under its new name, and the values of the old one be lost."""
    before, context = all_rows(old), opened(old)
    with context.database.transaction() as connection:
        context.tables.prepare(connection)
    after = all_rows(old)
    assert version(old) == HEAD
    assert {name: rows for name, rows in after.items() if name not in NEW_TABLES} == in_todays_terms(before)


def test_an_upgraded_database_has_the_structure_of_a_new_one(
    old: Settings, open_settings: Callable[[], Settings]
) -> None:
    new = open_settings()
    for settings in (old, new):
        materialize(upgraded(settings))
    found, expected = structure(old), structure(new)
    for kind, rows in expected.items():
        assert found[kind] == rows, kind
    text = json.dumps(found, default=str)
    assert not [name for name in (*RENAMED_COLUMNS, "waiting", "replayed_in", "replayed_pkey") if name in text]


def test_a_users_view_survives_the_upgrade(old: Settings) -> None:
    with connected(old) as connection:
        connection.execute(
            "create view public.mine as select session_id, policy_version as rule from shop.sessions_now"
        )
        before = connection.execute("select * from public.mine order by 1").fetchall()
    upgraded(old)
    with connected(old) as connection:
        assert connection.execute("select * from public.mine order by 1").fetchall() == before


def test_the_newest_migration_is_the_programs_version() -> None:
    assert migration_scripts().get_heads() == [HEAD]


def test_a_current_database_costs_one_query_and_no_import_of_alembic(open_settings: Callable[[], Settings]) -> None:
    settings = open_settings()
    prepare(settings)
    script = "assert not {'alembic', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", PREPARE + script, *of_process(settings)], cwd=REPOSITORY, check=True)
    with connected(settings) as connection:
        asked = Asked(connection)
        migrations.ensure_current(asked)  # type: ignore[arg-type]
    assert asked.queries == 1


class Asked:
    """A connection that counts what it is asked; anything but a query fails."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.queries = 0

    def execute(self, *query: Any) -> psycopg.Cursor:
        self.queries += 1
        return self.connection.execute(*query)


# A later version


@pytest.fixture
def newer(open_settings: Callable[[], Settings]) -> Settings:
    settings = open_settings()
    prepare(settings)
    with connected(settings) as connection:
        connection.execute("update sessions_platform.schema_version set version_num = '9999'")
    return settings


def test_a_newer_database_is_refused_and_left_alone(newer: Settings) -> None:
    before = all_rows(newer)
    with pytest.raises(NewerDatabaseError, match=rf"version 9999 of its tables.* up to {HEAD}\. Fix: install"):
        prepare(newer)
    assert all_rows(newer) == before


def test_the_command_line_refuses_a_newer_database_in_a_sentence(
    newer: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sessions-platform", "status", "--json"])
    monkeypatch.setenv("SESSIONS_HOME", str(newer.home))
    monkeypatch.setenv("SESSIONS_WAREHOUSE_URL", str(newer.warehouse_url))
    with pytest.raises(SystemExit) as caught:
        cli.main()
    shown = capsys.readouterr()
    assert (caught.value.code, shown.out) == (2, "")
    assert shown.err == f"{NewerDatabaseError('9999')}\n"


def test_a_database_that_becomes_newer_before_the_lock_is_taken_is_refused(
    newer: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "version_of", lambda _: None)
    with pytest.raises(NewerDatabaseError):
        prepare(newer)


# Many at once, and killed on the way


def of_process(settings: Settings) -> list[str]:
    return [str(settings.warehouse_url), str(settings.home)]


def started(settings: Settings) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREPARE, *of_process(settings)]
    return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)


def test_of_many_processes_one_upgrades_and_the_others_wait(old: Settings) -> None:
    before = all_rows(old)
    processes = [started(old) for _ in range(4)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 4
    assert version(old) == HEAD
    after = all_rows(old)
    assert {name: rows for name, rows in after.items() if name not in NEW_TABLES} == in_todays_terms(before)


@pytest.fixture
def blocked(old: Settings) -> Iterator[psycopg.Connection]:
    """A transaction that reads the stream's table, so that a migration waits at that table."""
    with connected(old) as connection:
        connection.execute("lock table shop.session_changes in access share mode")
        yield connection


def test_a_killed_migration_leaves_the_old_state(old: Settings, blocked: psycopg.Connection) -> None:
    before = all_rows(old)
    process = started(old)
    with connected(old) as connection:
        connection.autocommit = True
        wait_until(lambda: is_waiting(connection))
        process.kill()
        process.communicate()
        connection.execute(f"select pg_terminate_backend(pid) {WAITING}".encode())
        wait_until(lambda: not is_waiting(connection))
    assert version(old) == "0001"
    after = all_rows(old)
    del after["sessions_platform.schema_version"]
    assert after == before
    blocked.rollback()
    upgraded(old)
    kept = {name: rows for name, rows in all_rows(old).items() if name not in NEW_TABLES}
    assert kept == in_todays_terms(before)


def is_waiting(connection: psycopg.Connection) -> bool:
    """Whether any transaction waits for a table of this database."""
    return connection.execute(f"select {WAITING}".encode()).fetchone() is not None


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_migration_that_fails_leaves_the_old_state(old: Settings) -> None:
    before = all_rows(old)
    with connected(old) as connection:  # in the way of what the last renames
        connection.execute("create index repairs_original_id_idx on sessions_platform.streams (calendars)")
    with pytest.raises(Exception, match="repairs_original_id_idx"):
        prepare(old)
    with connected(old) as connection:
        connection.execute("drop index sessions_platform.repairs_original_id_idx")
    after: Mapping[str, Any] = all_rows(old)
    assert {name: rows for name, rows in after.items() if name not in NEW_TABLES} == before
    prepare(old)
    assert version(old) == HEAD
