"""Sessions are delivered to ClickHouse's engine by HTTP (chdb): readers see whole deliveries, whatever happens."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.warehouses import clickhouse_tables
from sessions_platform.storage.warehouses.base import Changes, LaterDeliveryError, TargetError
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.servers.clickhouse import DATABASE, PASSWORD, USER, ClickHouse, clickhouse
from sessions_platform_tests.storage.delivery_histories import History, assert_equal_after_any_history
from sessions_platform_tests.storage.kills import assert_the_same_after_kills
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
Rows = Callable[[str, str], Iterator[pl.DataFrame]]
ROWS = [f"shop.{table}_rows" for table in BOTH_TABLES]
DELIVERY = "shop.sessions_platform_delivery"


@pytest.fixture(scope="module")
def running() -> Iterator[ClickHouse]:
    with clickhouse() as server:
        yield server


@pytest.fixture
def house(running: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> ClickHouse:
    """With an empty database."""
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", PASSWORD)
    remove(running)
    return running


@pytest.fixture
def loaded(house: ClickHouse, open_context: Open) -> StreamContext:
    return load_two_days(open_context(targets=stated(house)))


def stated(house: ClickHouse, **changes: Any) -> dict[str, Any]:
    """The key `targets` of a stream."""
    where = {"host": "127.0.0.1", "port": house.port, "tls": False, "database": DATABASE}
    who = {"user": USER, "password": {"env": "CLICKHOUSE_PASSWORD"}}
    return {"clickhouse": {**where, **who, "tables": BOTH_TABLES, **changes}}


def remove(house: ClickHouse) -> None:
    views = [f"drop view if exists shop.{table}" for table in BOTH_TABLES]
    house.run(*views, *(f"drop table if exists {table}" for table in [*ROWS, DELIVERY]))


def only_sessions(rows: pl.DataFrame) -> Rows:
    return lambda table, partition: iter([rows] if (table, partition) == ("sessions", ONE) else [])


def assert_nothing_is_left(house: ClickHouse) -> None:
    """All rows are current ones, and only the delivery that readers see is remembered."""
    for table in BOTH_TABLES:
        counted = f"select (select count() from shop.{table}_rows), (select count() from shop.{table})"
        ((rows, shown),) = house.run(counted)
        assert rows == shown
    assert house.run(f"select count(distinct token) from {DELIVERY}") == [(1,)]


def test_readers_see_the_same_rows_after_changes_and_emptied_partitions(
    loaded: StreamContext, house: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where rows make several inserts, and partitions several statements."""
    monkeypatch.setattr(clickhouse_tables, "_ROWS_IN_AN_INSERT", 1)
    monkeypatch.setattr(clickhouse_tables, "_PARTITIONS_AT_ONCE", 1)
    assert delivered(loaded) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(loaded)
    assert house.run("select count() from shop.sessions where user_id = 'ann'") == [(2,)]
    add_an_event(loaded, ONE, "late \U0001f600 '\\ {x:String} %s")
    assert delivered(loaded) == Delivered(applied=[ONE], unchanged=[TWO])
    assert_equal_to_postgres(loaded)
    put(loaded, TWO, [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)
    assert house.run("select count() from shop.sessions where user_id = 'ann'") == [(1,)]
    assert_nothing_is_left(house)


def test_values_come_back_as_they_went_and_are_what_they_were(loaded: StreamContext, house: ClickHouse) -> None:
    target, columns = the_target(loaded), session_columns(loaded.stream)
    one = in_postgres(loaded)[:1].drop("duration_seconds", "event_count", "exit_page", "session_start")
    times = [
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1, UTC),
        datetime(1900, 1, 1, tzinfo=UTC),
        datetime(2299, 12, 31, 23, 59, 59, 999_999, UTC),
    ]
    values = [
        (0.1 + 0.2, 2**63 - 1, "a'\n\\\0\U0001f600"),
        (5e-324, -(2**63), ""),
        (-0.0, -1, None),
        (1e308, 0, "\\N"),
    ]
    schema = {"duration_seconds": pl.Float64, "event_count": pl.Int64, "exit_page": pl.String}
    own = pl.DataFrame(values, schema=schema, orient="row")
    own = own.with_columns(session_start=pl.Series(times, dtype=pl.Datetime("us", "UTC")))
    rows = one.join(own, how="cross").select(*columns)
    target.apply(Changes(target.token() + 1, [ONE], only_sessions(rows)))
    assert_frame_equal(in_target(target).sort("event_count"), rows.sort("event_count"), check_exact=True)
    texts = house.run("select toString(session_start) from shop.sessions order by session_start")
    assert [text for (text,) in texts] == [f"{at:%Y-%m-%d %H:%M:%S.%f}" for at in sorted(times)]


def test_it_equals_postgres_after_any_history(house: ClickHouse, open_context: Open) -> None:
    def begin() -> History:
        remove(house)
        return History(open_context(targets=stated(house)), lambda: remove(house))

    assert_equal_after_any_history(begin)


def test_a_delivery_that_is_killed_at_any_point_ends_in_the_same_state(
    loaded: StreamContext, house: ClickHouse
) -> None:
    assert_the_same_after_kills(loaded, points=3)
    assert_nothing_is_left(house)


@pytest.mark.parametrize("batches", [1, 2])
def test_a_delivery_that_has_lost_its_turn_is_refused_and_leaves_nothing(
    loaded: StreamContext, house: ClickHouse, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has compared the tokens before the other one came: before its next insert, or before it is shown."""
    monkeypatch.setattr(clickhouse_tables, "_ROWS_IN_AN_INSERT", 1)
    target, other = the_target(loaded), the_target(loaded)
    first, second = (loaded.ledger.begin_delivery("clickhouse") for _ in range(2))
    rows = in_postgres(loaded).filter(session_partition=ONE)

    def stopped(table: str, *_: Any) -> Iterator[pl.DataFrame]:
        if table == "sessions":
            yield rows[:1]
            other.apply(Changes(second, [ONE], only_sessions(rows)))
            if batches > 1:
                yield rows[1:]

    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], stopped))
    assert_frame_equal(in_target(target), rows, check_row_order=False)
    assert not target.is_unfinished()
    assert_nothing_is_left(house)
    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], stopped))


def overtaken(loaded: StreamContext, another: Callable[[Changes], None]) -> int:
    """A delivery without rows of the first day, in whose last moment before it is shown another one comes."""
    stopped, token = the_target(loaded), loaded.ledger.begin_delivery("clickhouse")
    log = vars(type(stopped))["_log"]
    rows = in_postgres(loaded).filter(session_partition=ONE)

    def late(client: Any, state: Any, *, is_shown: bool) -> None:
        if is_shown:
            another(Changes(loaded.ledger.begin_delivery("clickhouse"), [TWO], only_sessions(rows)))
        log(stopped, client, state, is_shown=is_shown)

    vars(stopped)["_log"] = late
    with pytest.raises(LaterDeliveryError):
        stopped.apply(Changes(token, [ONE], lambda *_: iter([])))
    return token


def test_what_is_shown_too_late_is_seen_by_nobody(loaded: StreamContext) -> None:
    """There is nothing that compares and sets: it is the token that counts."""
    delivered(loaded)
    before = in_target(the_target(loaded)).filter(session_partition=ONE)
    token = overtaken(loaded, the_target(loaded).apply)
    assert_frame_equal(in_target(the_target(loaded)), before, check_row_order=False)
    assert the_target(loaded).token() > token


def test_rows_that_another_delivery_goes_by_are_not_dropped(loaded: StreamContext) -> None:
    """It has read what is current, then the stopped one is shown, and then the other one goes on."""
    delivered(loaded)
    before = in_target(the_target(loaded)).filter(session_partition=ONE)
    other: Any = the_target(loaded)
    go_on = list[Callable[[], None]]()

    def begins(changes: Changes) -> None:
        client_of = clickhouse_tables.client_of(other)
        client = client_of.__enter__()
        other._begin(client, changes.token)
        state = other._state(client)
        versions = {**state.versions, TWO: changes.token}

        def ends() -> None:
            other._log(client, clickhouse_tables._State(changes.token, changes.token, versions), is_shown=True)
            client_of.__exit__(None, None, None)

        go_on.append(ends)

    overtaken(loaded, begins)
    go_on[0]()
    assert_frame_equal(in_target(other), before, check_row_order=False)


def test_a_server_that_dies_in_the_middle_has_changed_nothing(loaded: StreamContext, house: ClickHouse) -> None:
    delivered(loaded)
    before = in_target(the_target(loaded))
    add_an_event(loaded, ONE, "late")
    target = the_target(loaded)
    stage = vars(type(target))["_stage"]

    def killed(*arguments: Any) -> None:
        stage(target, *arguments)
        house.server.kill()

    vars(target)["_stage"] = killed
    with pytest.raises(TargetError, match=r"can't be reached: .*Fix: start the server, or correct host, port and tls"):
        deliver(loaded, target, RUN)
    with pytest.raises(TargetError, match=r"Connection refused.*Fix: start the server") as down:
        delivered(loaded)
    assert PASSWORD not in str(down.value)
    add_an_event(loaded, TWO, "sessions are loaded meanwhile")
    house.server.start()
    assert_frame_equal(in_target(the_target(loaded)), before, check_row_order=False)
    assert the_target(loaded).is_unfinished()
    assert delivered(loaded).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)
    assert_nothing_is_left(house)


def test_what_somebody_has_changed_is_found_and_made_whole(
    loaded: StreamContext, house: ClickHouse, open_context: Open
) -> None:
    delivered(loaded)
    house.run(
        f"delete from shop.sessions_rows where session_partition = '{TWO}' and user_id = 'ann'",
        f"insert into shop.sessions_rows (* except user_id, user_id) select * except user_id, unhex('ff') "
        f"from shop.sessions_rows where session_partition = '{ONE}' limit 1",
    )
    assert delivered(loaded, verify=True).differing == [ONE, TWO]
    assert_equal_to_postgres(loaded)
    house.run("create or replace view shop.sessions as select * except _version from shop.sessions_rows where 0")
    assert delivered(loaded, verify=True).differing == [ONE, TWO]
    assert_equal_to_postgres(loaded)
    for what in ["view shop.sessions", "table shop.sessions_rows", f"table {DELIVERY}"]:
        house.run(f"drop {what}")
        assert delivered(loaded).applied == [ONE, TWO]
        assert_equal_to_postgres(loaded)
        assert_nothing_is_left(house)
    with pytest.raises(TargetError, match=f"it has the sessions of the stream {loaded.stream.name}"):
        delivered(load_two_days(open_context(targets=stated(house))))


@pytest.mark.parametrize(
    ("name", "kind", "engine"),
    [
        ("sessions", "table", "(a Int64) engine = MergeTree order by a"),
        ("sessions_rows", "table", "(a Int64) engine = Log"),
        ("sessions_platform_delivery", "table", "(a Int64) engine = Log"),
        ("sessions", "view", "as select 1 as a"),
    ],
)
def test_what_is_somebody_elses_stays(
    loaded: StreamContext, house: ClickHouse, name: str, kind: str, engine: str
) -> None:
    house.run(f"create {kind} shop.{name} {engine}")
    if kind == "table":
        house.run(f"insert into shop.{name} values (1)")
    target = the_target(loaded)
    with pytest.raises(TargetError, match=rf"it has another {name}, of engine .*Fix: state another prefix, or rename"):
        target.apply(Changes(1, [ONE], lambda *_: iter([])))
    assert house.run(f"select a from shop.{name}") == [(1,)]
    assert house.run("select name from system.tables where database = 'shop'") == [(name,)]
    house.run(f"drop {kind} shop.{name}")


def test_errors_of_the_lake_are_not_told_as_the_servers(loaded: StreamContext) -> None:
    def broken(*_: str) -> Iterator[pl.DataFrame]:
        raise FileNotFoundError("block.parquet")

    with pytest.raises(FileNotFoundError):
        the_target(loaded).apply(Changes(1, [ONE], broken))


def test_somebodys_copy_of_a_later_version_is_dropped(loaded: StreamContext, house: ClickHouse) -> None:
    delivered(loaded)
    house.run("insert into shop.sessions_rows select * except _version, 9000000000000000000 from shop.sessions_rows")
    assert the_target(loaded).is_unfinished()
    delivered(loaded)
    assert not the_target(loaded).is_unfinished()
    assert_nothing_is_left(house)
    assert_equal_to_postgres(loaded)


def test_new_columns_are_added_and_another_type_is_a_sentence(loaded: StreamContext, house: ClickHouse) -> None:
    def changed(**columns: Any) -> StreamContext:
        other = stream(name=loaded.stream.name, targets=stated(house), session={"columns": columns})
        return StreamContext(other, loaded.source, loaded.lake, loaded.database)

    delivered(loaded)
    newer = changed(best={"max": "page_url"})
    refresh(newer)
    delivered(newer)
    assert_equal_to_postgres(newer)
    target = the_target(changed(best={"max": "event_timestamp"}))
    expected = (
        r"sessions\.best is Nullable\(String\) there, and Nullable\(DateTime64\(6, 'UTC'\)\) in the stream\. Fix: drop"
    )
    with pytest.raises(TargetError, match=expected):
        target.apply(Changes(target.token() + 1, [ONE], lambda *_: iter([])))
    assert_equal_to_postgres(newer)


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        (
            {"user": "somebody"},
            r"says 'somebody: Authentication failed.*Fix: correct user and the environment variable",
        ),
        ({"database": "nowhere"}, r"says .*nowhere.*Fix: create the database, or correct database"),
        ({"port": 1}, r"Connection refused.*Fix: start the server, or correct host, port and tls"),
    ],
)
def test_what_the_server_refuses_is_a_sentence_without_secrets(
    loaded: StreamContext, house: ClickHouse, changes: dict[str, Any], fix: str
) -> None:
    other = stream(name=loaded.stream.name, targets=stated(house, **changes))
    with pytest.raises(TargetError, match=fix) as refused:
        delivered(StreamContext(other, loaded.source, loaded.lake, loaded.database))
    assert PASSWORD not in str(refused.value)
