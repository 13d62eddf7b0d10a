"""Sessions are delivered by Snowflake's protocol (fakesnow): the same to the last bit, whatever happens in between."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from snowflake.connector.cursor import SnowflakeCursor

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.warehouses import snowflake_tables
from sessions_platform.storage.warehouses.base import Changes, LaterDeliveryError, TargetError
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.servers.fakesnow import FakeSnow, fakesnow
from sessions_platform_tests.storage.delivery_histories import Killed
from sessions_platform_tests.storage.targets import (
    BOTH_TABLES,
    ONE,
    RUN,
    TWO,
    add_an_event,
    assert_equal_to_postgres,
    delivered,
    in_postgres,
    in_target,
    load_two_days,
    the_target,
)
from sessions_platform_tests.streams import stream

__all__ = ["context", "open_context"]

pytestmark = pytest.mark.servers
Open = Callable[..., StreamContext]
NAMES = ["SHOP_SESSIONS", "SHOP_SESSIONIZED_EVENTS", "SHOP_SESSIONS_PLATFORM_DELIVERY"]


@pytest.fixture(scope="module")
def running() -> Iterator[FakeSnow]:
    with fakesnow() as server:
        yield server


@pytest.fixture
def snow(running: FakeSnow, monkeypatch: pytest.MonkeyPatch) -> FakeSnow:
    """Without tables of the target."""
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "s3cr3t")
    remove(running)
    return running


@pytest.fixture
def loaded(snow: FakeSnow, open_context: Open) -> StreamContext:
    return load_two_days(open_context(targets=stated(snow)))


def stated(snow: FakeSnow, **changes: Any) -> dict[str, Any]:
    """The key `targets` of a stream."""
    where = {"account": "fake", "user": "loader", "database": "shop", "schema": "public", "prefix": "shop_"}
    how = {"password": {"env": "SNOWFLAKE_PASSWORD"}, "options": snow.options, "tables": BOTH_TABLES}
    return {"snowflake": {**where, **how, **changes}}


def remove(snow: FakeSnow) -> None:
    snow.run(*(f'drop table if exists "{name}"' for name in NAMES))


def tables_of(snow: FakeSnow) -> list[str]:
    return sorted(row[1] for row in snow.run("show tables"))


def only_sessions(rows: pl.DataFrame) -> Callable[[str, str], Iterator[pl.DataFrame]]:
    return lambda table, partition: iter([rows] if (table, partition) == ("sessions", ONE) else [])


def test_a_target_has_the_same_rows_after_changes_and_emptied_partitions(
    loaded: StreamContext, snow: FakeSnow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where rows make several files, and partitions several statements."""
    monkeypatch.setattr(snowflake_tables, "_ROWS_IN_A_FILE", 1)
    monkeypatch.setattr(snowflake_tables, "_PARTITIONS_AT_ONCE", 1)
    assert delivered(loaded) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(loaded)
    add_an_event(loaded, ONE, "late \U0001f600 '\\ %s")
    assert delivered(loaded) == Delivered(applied=[ONE], unchanged=[TWO])
    assert_equal_to_postgres(loaded)
    put(loaded, TWO, [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)
    assert tables_of(snow) == sorted(NAMES)


def test_values_come_back_as_they_went(loaded: StreamContext) -> None:
    target, columns = the_target(loaded), session_columns(loaded.stream)
    one = in_postgres(loaded)[:1].drop("duration_seconds", "event_count", "exit_page", "session_start")
    times = [
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1, UTC),
        datetime(9999, 1, 1, tzinfo=UTC),
    ]
    values = [(0.1 + 0.2, 2**63 - 1, "a'\n\U0001f600"), (5e-324, -(2**63), ""), (1e308, 0, None)]
    schema = {"duration_seconds": pl.Float64, "event_count": pl.Int64, "exit_page": pl.String}
    own = pl.DataFrame(values, schema=schema, orient="row")
    own = own.with_columns(session_start=pl.Series(times, dtype=pl.Datetime("us", "UTC")))
    rows = one.join(own, how="cross").select(*columns)
    target.apply(Changes(target.token() + 1, [ONE], only_sessions(rows)))
    assert_frame_equal(in_target(target).sort("event_count"), rows.sort("event_count"), check_exact=True)


def test_a_delivery_that_has_lost_its_turn_is_refused_in_its_transaction(loaded: StreamContext) -> None:
    """Though it has compared the tokens before the other one came."""
    target, other = the_target(loaded), the_target(loaded)
    first, second = (loaded.ledger.begin_delivery("snowflake") for _ in range(2))
    rows = in_postgres(loaded).filter(session_partition=ONE)

    def stopped(table: str, *_: Any) -> Iterator[pl.DataFrame]:
        if table == "sessionized_events":
            other.apply(Changes(second, [ONE], only_sessions(rows)))
        yield from []

    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], stopped))
    assert in_target(target).height == 2
    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], lambda *_: iter([])))
    assert in_target(target).height == 2


@pytest.fixture
def with_the_librarys_timers() -> Iterator[None]:
    """Ends after the timers that began meanwhile, or what they raise would be another test's."""
    before = set(threading.enumerate())
    yield
    for timer in set(threading.enumerate()) - before:
        if isinstance(timer, threading.Timer):
            timer.join(timeout=60)
            assert not timer.is_alive(), timer


# The library's own thread, which tells the server to stop, finds none.
@pytest.mark.usefixtures("with_the_librarys_timers")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_dies_in_the_middle_has_changed_nothing(loaded: StreamContext, snow: FakeSnow) -> None:
    delivered(loaded)
    before = in_target(the_target(loaded))
    add_an_event(loaded, ONE, "late")
    target = the_target(loaded)
    replace = vars(type(target))["_replace"]

    def killed(*arguments: Any) -> None:
        replace(target, *arguments)
        snow.server.kill()

    vars(target)["_replace"] = killed
    with pytest.raises(TargetError, match=r"the server says .*Fix: "):
        deliver(loaded, target, RUN)
    with pytest.raises(
        TargetError, match=r"Could not connect.*Fix: correct account, or open the network to it\."
    ) as down:
        delivered(loaded)
    assert "s3cr3t" not in str(down.value)
    add_an_event(loaded, TWO, "sessions are loaded meanwhile")
    snow.server.start()
    assert_frame_equal(in_target(the_target(loaded)), before, check_row_order=False)
    assert the_target(loaded).is_unfinished()
    assert delivered(loaded).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)
    assert tables_of(snow) == sorted(NAMES)


def test_a_delivery_that_ends_after_any_statement_has_changed_nothing_or_all_and_is_made_again(
    loaded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client ends there, and its connection with it; that a server ends what a lost client began is not shown."""
    execute, left = SnowflakeCursor.execute, [0]

    def ending(cursor: SnowflakeCursor, *args: Any, **named: Any) -> Any:
        result = execute(cursor, *args, **named)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return result

    monkeypatch.setattr(SnowflakeCursor, "execute", ending)
    target, tokens = the_target(loaded), itertools.count(1)
    empty = {table: pl.DataFrame(schema=columns) for table, columns in target.tables.items()}

    def apply(count: int) -> None:
        rows = {table: rows.clear(count).with_columns(session_partition=pl.lit(ONE)) for table, rows in empty.items()}
        target.apply(Changes(next(tokens), [ONE], lambda table, _: iter([rows[table]])))

    statement, is_whole = 0, False
    while not is_whole:
        statement += 1
        apply(statement)
        assert not target.is_unfinished()
        left[0] = statement
        with suppress(Killed):
            apply(statement + 1)
        is_whole, left[0] = left[0] > 0, 0
        assert [in_target(target, table).height for table in target.tables] in ([statement] * 2, [statement + 1] * 2)
    assert statement > 20


def test_what_somebody_has_changed_is_found_and_made_whole(
    loaded: StreamContext, snow: FakeSnow, open_context: Open
) -> None:
    delivered(loaded)
    snow.run(
        f"delete from shop_sessions where session_partition = '{TWO}' and user_id = 'ann'",
        f"update shop_sessions set event_count = 7 where session_partition = '{ONE}'",
        "insert into shop_sessions select * replace ('1999' as session_partition) from shop_sessions",
    )
    assert delivered(loaded, verify=True).differing == ["1999", ONE, TWO]
    assert_equal_to_postgres(loaded)
    snow.run("drop table shop_sessions")
    assert delivered(loaded).applied == ["1999", ONE, TWO]
    assert_equal_to_postgres(loaded)
    with pytest.raises(TargetError, match=f"it has the sessions of the stream {loaded.stream.name}"):
        delivered(load_two_days(open_context(targets=stated(snow))))


def test_new_columns_are_added_and_another_type_is_a_sentence(loaded: StreamContext, snow: FakeSnow) -> None:
    def changed(**columns: Any) -> StreamContext:
        other = stream(name=loaded.stream.name, targets=stated(snow), session={"columns": columns})
        return StreamContext(other, loaded.source, loaded.lake, loaded.database)

    delivered(loaded)
    newer = changed(best={"max": "page_url"})
    refresh(newer)
    delivered(newer)
    assert_equal_to_postgres(newer)
    target = the_target(changed(best={"max": "event_timestamp"}))
    with pytest.raises(TargetError, match=r"sessions\.best is TEXT there, and TIMESTAMP_NTZ in the stream\. Fix: drop"):
        target.apply(dataclasses.replace(Changes(target.token() + 1, [ONE], lambda *_: iter([]))))
