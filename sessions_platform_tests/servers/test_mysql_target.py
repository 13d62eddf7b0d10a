"""Sessions are delivered to MariaDB itself: the same to the last bit, whatever happens to server and connections."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.warehouses.base import Changes, LaterDeliveryError, TargetError
from sessions_platform.storage.warehouses.mysql_session import LoadingConnection
from sessions_platform.storage.warehouses.mysql_tables import MysqlTables
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.servers.mariadb import DATABASE, MariaDb, mariadb
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
USER, PASSWORD = "loader", "b'\"ig s3cr3t"


@pytest.fixture(scope="module")
def maria() -> Iterator[MariaDb]:
    with mariadb() as server:
        server.run(
            "create user loader@'127.0.0.1' identified by 'b''\"ig s3cr3t'",
            f"grant create, alter, index, select, insert, update, delete on {DATABASE}.* to loader@'127.0.0.1'",
        )
        yield server


@pytest.fixture
def loaded(
    maria: MariaDb, open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> StreamContext:
    monkeypatch.setenv("LOADER_PASSWORD", PASSWORD)
    context = open_context()
    return load_two_days(with_target(context, maria, prefix=f"{context.stream.name}_"))


def with_target(context: StreamContext, maria: MariaDb, **changes: Any) -> StreamContext:
    own = {"host": "127.0.0.1", "port": maria.port, "database": DATABASE, "user": USER, "tables": BOTH_TABLES}
    target = {**own, "password": {"env": "LOADER_PASSWORD"}, **changes}
    other = stream(name=context.stream.name, targets={"mysql": target})
    return StreamContext(other, context.source, context.lake, context.database)


@pytest.fixture(params=["load data", "insert", "insert, since load data would commit"])
def way(request: pytest.FixtureRequest, maria: MariaDb) -> Iterator[str]:
    """By which statement rows are written."""
    changes = {
        "load data": (),
        "insert": ("set global local_infile = 0",),
        "insert, since load data would commit": ("set global wsrep_load_data_splitting = 1",),
    }
    maria.run(*changes[request.param])
    yield request.param.partition(",")[0]
    maria.run("set global local_infile = 1", "set global wsrep_load_data_splitting = 0")


def only_sessions_of_one(rows: pl.DataFrame) -> Callable[[str, str], Iterator[pl.DataFrame]]:
    """The rows of a delivery that has some only for one table and day."""
    return lambda table, key: iter([rows] if (table, key) == ("sessions", ONE) else [])


def test_a_target_has_the_same_rows_after_changes_and_emptied_partitions(
    loaded: StreamContext, maria: MariaDb, way: str
) -> None:
    before = loads(maria)
    assert delivered(loaded) == Delivered(applied=[ONE, TWO])
    assert (loads(maria) - before > 1) == (way == "load data")
    assert_equal_to_postgres(loaded)
    add_an_event(loaded, ONE, "late \U0001f600 '\\ \\0 \x1e \x1f,\"")
    assert delivered(loaded) == Delivered(applied=[ONE], unchanged=[TWO])
    assert_equal_to_postgres(loaded)
    put(loaded, TWO, [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)


def loads(maria: MariaDb) -> int:
    """How many statements `load data` the server was asked to run, those that it refused, too."""
    with contextlib.closing(maria.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("show global status like 'Com_load'")
        ((_, count),) = cursor.fetchall()
    return int(count)


# those that separate, quote, escape or replace something on the way, and any others
characters = st.sampled_from("\x1e\x1f01,\"'\\\n\r\tN") | st.characters(
    exclude_categories=["Cs"], exclude_characters="\0"
)
texts = st.sampled_from(["NULL", "\\N", "1", "nan"]) | st.text(characters, max_size=20)
values = st.tuples(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | texts,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(values, min_size=1, max_size=50))
def test_values_come_back_as_they_went(
    loaded: StreamContext, way: str, some: list[tuple[float | None, int | None, str | None]]
) -> None:
    assert way
    target, columns = the_target(loaded), session_columns(loaded.stream)
    one = in_postgres(loaded)[:1].drop("duration_seconds", "event_count", "exit_page")
    own = pl.DataFrame(some, schema=["duration_seconds", "event_count", "exit_page"], orient="row", strict=False)
    own = own.cast({"duration_seconds": pl.Float64, "event_count": pl.Int64, "exit_page": pl.String})
    unsigned = pl.when(duration_seconds=0).then(0.0).otherwise("duration_seconds")
    rows = one.join(own.with_columns(duration_seconds=unsigned), how="cross").select(*columns)
    target.apply(Changes(target.token() + 1, [ONE, TWO], only_sessions_of_one(rows)))
    by = ["exit_page", "event_count", "duration_seconds"]
    assert_frame_equal(in_target(target).sort(by), rows.sort(by), check_exact=True)


def test_a_delivery_is_made_again_after_a_kill_and_what_somebody_altered_is_made_whole(
    loaded: StreamContext, maria: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_deliveries", killed)
        with pytest.raises(KeyboardInterrupt):
            delivered(loaded)
    assert delivered(loaded) == Delivered(applied=[ONE, TWO], differing=[ONE, TWO])
    table = f"{DATABASE}.{loaded.stream.name}_sessions"
    maria.run(f"delete from {table} where session_partition = '{TWO}' limit 1", f"update {table} set event_count = 7")
    assert delivered(loaded, verify=True).differing == [ONE, TWO]
    assert_equal_to_postgres(loaded)
    maria.run(f"drop table {table}")
    assert delivered(loaded) == Delivered(applied=[ONE, TWO], differing=[ONE, TWO])
    assert_equal_to_postgres(loaded)


def test_a_row_that_load_data_would_skip_fails_the_delivery(
    loaded: StreamContext, maria: MariaDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the server is set to list no warnings, and where none come."""
    delivered(loaded)
    table = f"{DATABASE}.{loaded.stream.name}_sessions"
    maria.run(f"delete from {table}", f"alter table {table} add unique index own (session_partition)")
    maria.run("set global max_error_count = 0")
    with pytest.raises(TargetError, match="the server says 'Duplicate entry'"):
        delivered(loaded, verify=True)
    with monkeypatch.context() as patch:
        patch.setattr(LoadingConnection, "show_warnings", lambda _: ())
        with pytest.raises(TargetError, match="0 of 1 rows were loaded"):
            delivered(loaded, verify=True)
    maria.run("set global max_error_count = 64", f"alter table {table} drop index own")
    assert delivered(loaded, verify=True).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)


@pytest.mark.parametrize("text", ["repeat('x', 20000)", "repeat(char(31), 10000)"])
def test_a_row_that_the_server_can_not_send_is_a_sentence(loaded: StreamContext, maria: MariaDb, text: str) -> None:
    delivered(loaded)
    maria.run(f"update {DATABASE}.{loaded.stream.name}_sessions set exit_page = {text} limit 1")
    maria.run("set global max_allowed_packet = 16384")
    try:
        with pytest.raises(TargetError, match=r"longer than the server's max_allowed_packet\. Fix: raise it"):
            delivered(loaded, verify=True)
    finally:
        maria.run("set global max_allowed_packet = 16777216")
    assert delivered(loaded, verify=True).differing == [ONE]
    assert_equal_to_postgres(loaded)


def test_a_server_that_asks_for_a_file_gets_none(loaded: StreamContext, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("s3cr3t\n")
    target = the_target(loaded)
    delivered(loaded)
    before = in_target(target)
    with contextlib.closing(vars(MysqlTables)["_connect"](target)) as connection, connection.cursor() as cursor:
        load = f"load data local infile '{file}' into table {loaded.stream.name}_sessions (session_id)"
        with pytest.raises(RuntimeError, match="local_infile option is false"):
            cursor.execute(load)
    assert_frame_equal(in_target(target), before, check_row_order=False)


def test_a_server_that_breaks_off_in_the_middle_has_changed_nothing(loaded: StreamContext, maria: MariaDb) -> None:
    delivered(loaded)
    before = in_target(the_target(loaded))
    add_an_event(loaded, ONE, "late")
    target = the_target(loaded)
    apply = target.apply

    def killed_in_the_middle(changes: Changes) -> None:
        def rows(table: str, partition: str) -> Iterator[pl.DataFrame]:
            yield from changes.rows(table, partition)
            maria.server.kill()

        apply(dataclasses.replace(changes, rows=rows))

    vars(target)["apply"] = killed_in_the_middle
    with pytest.raises(TargetError, match=r"the server says .*Fix: "):
        deliver(loaded, target, RUN)
    with pytest.raises(TargetError, match=r"Connection refused.*Fix: start the server, or correct host and port\."):
        delivered(loaded)
    add_an_event(loaded, TWO, "sessions are loaded meanwhile")
    maria.server.start()
    assert_frame_equal(in_target(the_target(loaded)), before, check_row_order=False)
    assert delivered(loaded).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)


def test_a_delivery_that_has_lost_its_turn_is_refused(loaded: StreamContext) -> None:
    target = the_target(loaded)
    first, second = (loaded.ledger.begin_delivery("mysql") for _ in range(2))
    rows = in_postgres(loaded).filter(session_partition=ONE)
    target.apply(Changes(second, [ONE], only_sessions_of_one(rows)))
    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], lambda *_: iter([])))
    assert in_target(target).height == 2


@pytest.mark.parametrize("lost", ["STRICT_ALL_TABLES", "NO_BACKSLASH_ESCAPES"])
def test_a_session_that_has_lost_a_mode_writes_nothing(
    loaded: StreamContext, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that hands the statements to another session than the one that was set up."""
    delivered(loaded)
    before = in_target(the_target(loaded))
    add_an_event(loaded, ONE, "\\")
    connect = vars(MysqlTables)["_connect"]

    def without(target: MysqlTables) -> Any:
        connection = connect(target)
        with connection.cursor() as cursor:
            cursor.execute(f"set sql_mode = replace(@@sql_mode, '{lost}', '')")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(MysqlTables, "_connect", without)
        with pytest.raises(TargetError, match=rf"has lost its sql_mode {lost}\. Fix: connect to the server itself"):
            delivered(loaded)
    assert_frame_equal(in_target(the_target(loaded)), before, check_row_order=False)
    assert delivered(loaded).applied == [ONE]
    assert_equal_to_postgres(loaded)


@pytest.mark.parametrize(
    ("keys", "fix"),
    [
        ({"user": "nobody"}, "correct user and the environment variable of password"),
        ({"database": "other"}, "grant the target's user create, alter"),
        ({"user": "reader", "password": {"env": "READER_PASSWORD"}}, "grant the target's user create, alter"),
    ],
)
def test_what_the_server_refuses_is_a_sentence_without_secrets(
    loaded: StreamContext, maria: MariaDb, keys: dict[str, Any], fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READER_PASSWORD", "s3cr3t")
    with pytest.raises(TargetError) as refused:
        delivered(with_target(loaded, maria, **{"prefix": "refused_", **keys}))
    assert fix in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_new_columns_are_added_and_another_type_is_a_sentence(loaded: StreamContext, maria: MariaDb) -> None:
    delivered(loaded)
    table = f"{DATABASE}.{loaded.stream.name}_sessions"
    maria.run(f"alter table {table} drop column entry_page")
    assert delivered(loaded, verify=True).differing == []  # every entry page is null
    add_an_event(loaded, ONE, "late")
    delivered(loaded)
    assert_equal_to_postgres(loaded)
    maria.run(f"alter table {table} modify column event_count varchar(9)")
    add_an_event(loaded, ONE, "later")
    with pytest.raises(TargetError, match=r"event_count is varchar there, and bigint in the stream\. Fix: drop"):
        delivered(loaded)
    assert isinstance(the_target(loaded), MysqlTables)
