"""A stream that is dropped leaves nothing but its landing files and who was erased; one without a file is told."""

from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.stream_checks import SQL_WORDS
from sessions_platform.errors import UserError
from sessions_platform.operations.drop import drop, streams_with_data, what_is_dropped, without_file
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.ingested import DAY, open_folder
from sessions_platform_tests.operations.test_likely_causes import event


@pytest.fixture
def loaded(tmp_path: Path, settings: Settings) -> StreamContext:
    context = open_folder(tmp_path, settings)
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "a").write_text(event() + "\n")
    run_pipeline(context, [DAY], "a-run")
    return context


def rows_of(database: Database, name: str) -> int:
    """How many rows of a stream the tables of the ledger have, but for who was erased."""
    tables = database.query(
        "select distinct table_name from information_schema.columns join information_schema.tables "
        "using (table_schema, table_name) where table_schema = 'sessions_platform' and column_name = 'stream' "
        "and table_type = 'BASE TABLE'"
    )
    counts = [
        f"select count(*) as n from sessions_platform.{row['table_name']} where stream = '{name}'" for row in tables
    ]
    return sum(row["n"] for row in database.query(" union all ".join(counts)))


def test_a_dropped_stream_has_no_table_no_row_and_no_lake_file_and_its_landing_files_stay(
    loaded: StreamContext, settings: Settings, tmp_path: Path, database: Database
) -> None:
    name = loaded.stream.name
    other = open_folder(tmp_path / "other", settings)
    other.prepare()
    found = what_is_dropped(settings, name)
    assert {"sessions", "rejected_events", "sessions_now"} <= set(found.tables)
    assert found.ledger_rows == rows_of(database, name) > 3
    assert found.lake_files >= 3
    drop(settings, found)
    assert rows_of(database, name) == 0
    assert database.query(f"select 1 from pg_namespace where nspname = '{name}'") == []
    assert not (settings.lake / name).exists()
    assert (tmp_path / DAY / "a").exists()
    assert rows_of(database, other.stream.name) == 1
    with pytest.raises(UserError, match=rf"{name}: there is no data of such a stream\. Fix: name one that has some: "):
        what_is_dropped(settings, name)


@pytest.mark.slow
def test_a_stream_is_not_dropped_while_another_process_remakes_it(loaded: StreamContext, settings: Settings) -> None:
    found = what_is_dropped(settings, loaded.stream.name)
    with (
        loaded.database.alone(f"sessions_platform/{loaded.stream.name}/rebuild"),
        pytest.raises(UserError, match=r"another process works on it\. Fix: wait"),
    ):
        drop(settings, found)
    assert what_is_dropped(settings, loaded.stream.name) == found


@pytest.mark.slow
def test_a_view_of_somebody_else_that_would_go_too_is_named(
    loaded: StreamContext, settings: Settings, administrator: Database
) -> None:
    name = loaded.stream.name
    view = Identifier(f"of_{name}")
    with administrator.transaction() as connection:
        made = SQL("create view public.{} as select user_id from {}").format(view, Identifier(name, "sessions"))
        connection.execute(made)
    with pytest.raises(UserError, match=rf"{name}: public\.of_{name} would be dropped with it\. Fix: drop that"):
        what_is_dropped(settings, name)
    with administrator.transaction() as connection:
        connection.execute(SQL("drop view public.{}").format(view))


@pytest.mark.slow
def test_what_a_killed_drop_has_left_is_removed_by_another(loaded: StreamContext, settings: Settings) -> None:
    name = loaded.stream.name
    drop(settings, what_is_dropped(settings, name))
    (settings.lake / name / "events").mkdir(parents=True)
    (settings.lake / name / "events" / "left.parquet").write_bytes(b"")
    found = what_is_dropped(settings, name)
    assert (found.tables, found.ledger_rows, found.lake_files) == ([], 0, 1)
    drop(settings, found)
    assert not (settings.lake / name).exists()


@pytest.mark.parametrize("name", ["", ".", "..", "public", "sessions_platform", "pg_catalog", "a/b"])
def test_what_is_no_stream_is_never_dropped(settings: Settings, database: Database, name: str) -> None:
    streams_with_data(database)
    with pytest.raises(UserError, match="there is no data of such a stream"):
        what_is_dropped(settings, name)


def test_a_stream_with_data_and_no_file_is_told(loaded: StreamContext, database: Database) -> None:
    name = loaded.stream.name
    told = {str(each["stream"]): each["problems"] for each in without_file(database, [])}
    fix = f"put its file back, or remove its data with `sessions-platform drop {name}`"
    assert told[name] == [f"it has data and no file. Fix: {fix}."]
    assert name not in {each["stream"] for each in without_file(database, [name])}


def test_no_stream_has_a_name_that_postgresql_would_need_quoted(database: Database) -> None:
    words = database.query("select word from pg_get_keywords() where catcode in ('R', 'T')")
    assert {row["word"] for row in words} == SQL_WORDS
