"""What Python is given of a stream, against the rows of the tables and of the lake."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from psycopg.sql import SQL

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.sessions import ADDED_BY_WAREHOUSE, session_columns, sessionized_columns
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import Filter
from sessions_platform.operations.rows import (
    REJECTED_RECORDS,
    events,
    rejected,
    session_batches,
    sessionized_events,
    sessions,
    window_of,
)
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.postgres.arrow import arrow_batches
from sessions_platform.storage.postgres.errors import QueryError, UnreachableError
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.streams import DAY_ONE, stream

EVERYTHING = window_of(stream(), None, None)
HOUR = timedelta(hours=1)


@pytest.fixture
def context(open_context: Callable[..., StreamContext]) -> StreamContext:
    """Three sessions of two users, an event that landed on both days, and a rejected row."""
    opened = open_context(session={"columns": {"pages": {"count_distinct": "page_url"}}})
    repeated = line("ann", DAY_ONE, "1", url="/a")
    put(opened, "a", [repeated, line("bob", DAY_ONE + 2 * HOUR, "2", url="/ü"), b"{}"], "2026-01-01")
    put(opened, "b", [repeated, line("ann", DAY_ONE + 30 * HOUR, "3", url=None)], "2026-01-02")
    ingest_and_publish(opened, "2026-01-01", "2026-01-02")
    refresh(opened)
    return opened


def rows_of_table(context: StreamContext) -> list[dict[str, Any]]:
    return context.database.query(f"select * from {context.stream.name}.sessions order by session_start")


def test_sessions_are_the_rows_of_the_table_with_the_types_of_the_contract(context: StreamContext) -> None:
    read = sessions(context, EVERYTHING).sort("session_start")
    assert read.height == 3
    assert read.schema == {**session_columns(context.stream), **ADDED_BY_WAREHOUSE}
    assert read.to_dicts() == [{name: row[name] for name in read.columns} for row in rows_of_table(context)]
    batches = session_batches(context, EVERYTHING)
    assert pl.DataFrame(batches).sort("session_start").equals(read)


def test_a_stream_without_sessions_gives_an_empty_frame_of_the_same_types(
    open_context: Callable[..., StreamContext],
) -> None:
    empty = open_context()
    assert sessions(empty, EVERYTHING).schema == {**session_columns(empty.stream), **ADDED_BY_WAREHOUSE}
    assert events(empty, EVERYTHING).frame().is_empty()
    assert sessionized_events(empty, EVERYTHING).batches().read_all().num_rows == 0
    assert rejected(empty, Filter()).schema == REJECTED_RECORDS


@pytest.mark.slow
def test_a_window_has_what_begins_in_it(context: StreamContext) -> None:
    hours_of = {"1": 0, "2": 2, "3": 30}  # of the events, each of which is a session
    bounds = [-1, 0, 1, 2, 3, 30, 31]
    both = [(0, 2), (1, 3), (2, 2), (3, 1), (30, 31)]
    for since, until in [(None, None), *((at, None) for at in bounds), *((None, at) for at in bounds), *both]:
        window = window_of(context.stream, *(None if at is None else DAY_ONE + at * HOUR for at in (since, until)))
        expected = {name: hours for name, hours in hours_of.items() if _is_within(hours, since, until)}
        assert set(events(context, window).frame()["event_id"]) == set(expected)
        assert sorted(sessionized_events(context, window).frame()["event_id"]) == sorted(expected)
        starts = sessions(context, window)["session_start"]
        assert sorted(starts) == [DAY_ONE + hours * HOUR for hours in expected.values()]


def _is_within(hours: int, since: int | None, until: int | None) -> bool:
    return (since is None or since <= hours) and (until is None or hours < until)


def test_an_event_that_landed_twice_is_there_twice_and_sessionized_once(context: StreamContext) -> None:
    assert sorted(events(context, EVERYTHING).frame()["event_id"]) == ["1", "1", "2", "3"]
    read = sessionized_events(context, EVERYTHING)
    assert sorted(read.frame()["event_id"]) == ["1", "2", "3"]
    assert read.frame().schema == sessionized_columns(context.stream)
    assert pl.DataFrame(read.batches()).sort("event_id").equals(read.frame().sort("event_id"))


def test_columns_are_chosen_and_ordered_and_an_unknown_one_is_a_sentence(context: StreamContext) -> None:
    chosen = ["session_start", "user_id"]
    assert sessions(context, EVERYTHING, chosen).columns == chosen
    assert events(context, EVERYTHING, ["user_id"]).frame().columns == ["user_id"]
    for read in (sessions, events):
        with pytest.raises(UserError, match=r"there is no column 'sesion_id'\. Fix: name some of "):
            read(context, EVERYTHING, ["sesion_id"])


def test_rejected_rows_have_their_reasons_and_decisions(context: StreamContext) -> None:
    read = rejected(context, Filter.of("open", None, None))
    assert read.schema == REJECTED_RECORDS
    assert read["payload"].to_list() == ["{}"]
    assert {reason["column"] for reason in read["reasons"][0]} >= {"user_id", "event_timestamp"}
    assert rejected(context, Filter.of("all", None, "2026-01-02")).is_empty()
    with pytest.raises(UserError, match=r"there is no status 'closed'"):
        Filter.of("closed", None, None)


def test_a_date_begins_at_midnight_in_the_session_timezone() -> None:
    berlin = stream(session={"timezone": "Europe/Berlin"})
    midnight = datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert window_of(berlin, date(2026, 3, 1), datetime(2026, 3, 2, 12)) == Window(  # noqa: DTZ001
        midnight.astimezone(UTC), (midnight + 36 * HOUR).astimezone(UTC)
    )


def test_a_query_that_fails_and_a_server_that_is_away_are_sentences(context: StreamContext) -> None:
    with pytest.raises(QueryError, match="division by zero"), context.database.arrow(SQL("select 1 / 0")):
        pass
    away = "host=127.0.0.1 port=1 password=secret connect_timeout=5"
    with pytest.raises(UnreachableError) as failed, arrow_batches(away, "the server", "select 1"):
        pass
    assert "secret" not in str(failed.value)


def test_a_stream_of_batches_is_read_only(context: StreamContext) -> None:
    table = context.tables.sessions.identifier
    delete = SQL("with gone as (delete from {} returning 1) select * from gone").format(table)
    with pytest.raises(QueryError, match=r"read-only|permission denied"), context.database.arrow(delete) as batches:
        batches.read_all()
    assert len(rows_of_table(context)) == 3
