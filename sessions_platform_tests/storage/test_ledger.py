"""The ledger: what is current and what is stale. The database: which of its errors are transient."""

import dataclasses
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.errors import UserError
from sessions_platform.sources.base import Cursor
from sessions_platform.storage.lake.lake import StoredFile
from sessions_platform.storage.ledger.ledger import (
    CalendarChangedError,
    Delivery,
    KnownFile,
    LandingVersion,
    Ledger,
    SessionVersion,
    Snapshot,
    StaleWriteError,
)
from sessions_platform.storage.postgres.database import Database, QueryError, is_transient, lock
from sessions_platform_tests.streams import DAY_ONE

ONE, TWO, THREE = "2026-01-01", "2026-01-02", "2026-01-03"
RULE = "a session rule"
CALENDARS = {"landing.partition": "daily", "session.timezone": "UTC"}
STORED = StoredFile("raw/a.parquet", 3, 99)

_names = itertools.count()


@pytest.fixture
def open_ledger(database: Database) -> Callable[[], Ledger]:
    def make() -> Ledger:
        ledger = Ledger(database, f"ledger{next(_names)}")
        ledger.prepare(CALENDARS)
        return ledger

    return make


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


def landing(partition: str = ONE, raw_sequence: int = 1, **more: Any) -> dict[str, Any]:
    row = {
        "landing_partition": partition,
        "raw_sequence": raw_sequence,
        "raw_files": [{"uri": "a", "digest": "b", "path": "c"}],
        "events_path": f"events/{partition}/{raw_sequence}",
        "rejected_path": f"rejected/{partition}/{raw_sequence}",
        "raw_rows": 4,
        "accepted": 1,
        "rejected": 2,
        "duplicates": 1,
        "rejected_by_reason": {Code.malformed.value: 2},
        "first_event": DAY_ONE,
        "last_event": None,
        "contract_version": "a contract",
        "session_rule_version": RULE,
        "reference_digests": {"product_id": "a digest"},
        "run_id": "a run",
    }
    return {**row, **more}


def publish(ledger: Ledger, *affected: str, **changes: Any) -> int:
    with ledger.database.transaction() as connection:
        ledger.lock(connection)
        return ledger.publish(connection, landing(**changes), affected)


def write(ledger: Ledger, partition: str, snapshot: int, rule: str = RULE) -> SessionVersion:
    row = {
        "session_partition": partition,
        "path": f"sessionized/{partition}/{next(_names)}",
        "rows": 2,
        "bytes": 9,
        "duplicates_across": 1,
        "conflicts_across": 0,
        "longest_activity_chain_seconds": 0.0,
        "snapshot": snapshot,
        "session_rule_version": rule,
        "run_id": "a run",
    }
    ledger.write_sessions([row])
    (version,) = ledger.sessions_at([row["path"]])
    return version


def mark_loaded(ledger: Ledger, *versions: SessionVersion) -> None:
    with ledger.database.transaction() as connection:
        ledger.lock(connection)
        ledger.mark_loaded(connection, versions)


def loaded(ledger: Ledger) -> list[SessionVersion]:
    with ledger.database.transaction(read_only=True) as connection:
        return ledger.loaded_sessions(connection)


def test_many_may_prepare_at_once_and_again(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("create database fresh")
    fresh = at(database, database.url.replace("/sessions?", "/fresh?"))
    failures: list[BaseException] = []

    def prepare() -> None:
        try:
            Ledger(fresh, "any").prepare(CALENDARS)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Ledger(fresh, "any").snapshot() == Snapshot(0, ())


def test_a_stream_keeps_the_calendars_that_it_began_with(ledger: Ledger) -> None:
    """Otherwise its partition keys would mean other times."""
    ledger.prepare(CALENDARS)
    with pytest.raises(CalendarChangedError) as caught:
        ledger.prepare({**CALENDARS, "session.timezone": "Europe/Berlin"})
    message = str(caught.value)
    assert message.startswith(f"{ledger.stream}: session.timezone: it is Europe/Berlin here")
    assert f"Fix: run `sessions-platform rebuild {ledger.stream}`, or write UTC again" in message
    ledger.prepare(CALENDARS)


# Landing files -------------------------------------------------------------------------------------------


def test_files_belong_to_the_landing_partition_that_first_saw_them(ledger: Ledger) -> None:
    ledger.assign(["b", "a"], ONE)
    ledger.assign(["b", "c"], TWO)
    ledger.assign([], THREE)
    assert [(file.uri, file.landing_partition) for file in ledger.files()] == [("a", ONE), ("b", ONE), ("c", TWO)]
    assert [file.uri for file in ledger.files([TWO])] == ["c"]
    assert ledger.files([]) == []


def test_a_file_that_was_assigned_is_known_and_not_read(ledger: Ledger) -> None:
    ledger.assign(["a"], ONE)
    (file,) = ledger.files()
    assert file == KnownFile("a", ONE, file.seen_at, None, None, None, None, None, None)
    with pytest.raises(ValueError, match="never read"):
        _ = file.stored


def test_a_later_reading_has_a_higher_sequence(ledger: Ledger) -> None:
    ledger.assign(["a", "b"], ONE)
    ledger.record_file("a", "print 1", "digest 1", STORED, "a run")
    ledger.record_file("b", "print 1", "digest 2", STORED, "a run")
    first = {file.uri: file.sequence or 0 for file in ledger.files()}
    ledger.record_file("a", "print 2", "digest 3", StoredFile("raw/b.parquet", 4, 100), "a run")
    a, b = ledger.files()
    assert (a.fingerprint, a.digest, a.stored) == ("print 2", "digest 3", StoredFile("raw/b.parquet", 4, 100))
    assert first["a"] < first["b"] < (a.sequence or 0)
    assert b.sequence == first["b"]


def test_a_file_with_the_same_content_keeps_its_sequence(ledger: Ledger) -> None:
    ledger.assign(["a"], ONE)
    ledger.record_file("a", "print 1", "digest", STORED, "a run")
    (before,) = ledger.files()
    ledger.record_unchanged("a", "print 2")
    (after,) = ledger.files()
    assert (after.fingerprint, after.sequence, after.stored) == ("print 2", before.sequence, STORED)


def test_a_cursor_is_stored_with_its_slice(open_ledger: Callable[[], Ledger]) -> None:
    ledger, other = open_ledger(), open_ledger()
    ledger.assign(["a", "b"], ONE)
    assert ledger.cursors() == {}
    ledger.record_file("a", "print 1", "digest 1", STORED, "a run", Cursor("orders/1", {"offset": 9}))
    ledger.record_file("a", "print 1", "digest 1", STORED, "a run", Cursor("orders/0", {"offset": 3, "epoch": None}))
    ledger.record_file("b", "print 1", "digest 1", STORED, "a run")
    assert ledger.cursors() == {"orders/0": {"offset": 3, "epoch": None}, "orders/1": {"offset": 9}}
    ledger.record_unchanged("b", "print 2", "a run", Cursor("orders/1", {"offset": 10}))
    assert ledger.cursors()["orders/1"] == {"offset": 10}
    assert other.cursors() == {}


def test_neither_a_cursor_nor_its_slice_is_stored_where_one_fails(ledger: Ledger) -> None:
    ledger.assign(["a"], ONE)
    with pytest.raises(psycopg.DataError):
        ledger.record_file("a", "print", "digest", STORED, "a run", Cursor("orders/0", {"name": "\0"}))
    (file,) = ledger.files()
    assert (file.sequence, ledger.cursors()) == (None, {})


# Publishing ----------------------------------------------------------------------------------------------


def test_nothing_is_published_at_first(ledger: Ledger) -> None:
    assert ledger.snapshot() == Snapshot(0, ())
    assert ledger.stale_partitions(RULE) == []


def test_what_is_published_is_current_and_replaces_what_was(ledger: Ledger) -> None:
    first = publish(ledger, raw_sequence=1)
    other = publish(ledger, partition=TWO)
    second = publish(ledger, raw_sequence=2, accepted=2)
    assert first < other < second
    expected = {**landing(raw_sequence=2, accepted=2), "version": second}
    del expected["raw_files"], expected["run_id"], expected["session_rule_version"]
    one, two = ledger.landings()
    assert one == LandingVersion(**expected)
    assert (two.landing_partition, two.version) == (TWO, other)
    assert ledger.snapshot().version == second


def test_the_same_rows_may_be_validated_again(ledger: Ledger) -> None:
    publish(ledger, raw_sequence=5, contract_version="old")
    publish(ledger, raw_sequence=5, contract_version="new")
    assert [version.contract_version for version in ledger.landings()] == ["new"]


def test_rows_that_were_read_earlier_do_not_replace_later_ones(ledger: Ledger) -> None:
    publish(ledger, raw_sequence=5)
    before = ledger.snapshot()
    with pytest.raises(StaleWriteError, match=f"{ONE}: rows that were read later"):
        publish(ledger, ONE, raw_sequence=4)
    assert ledger.snapshot() == before
    assert ledger.stale_partitions(RULE) == []
    publish(ledger, partition=TWO, raw_sequence=4)


def test_a_publication_that_fails_on_the_way_leaves_no_trace(ledger: Ledger) -> None:
    publish(ledger, ONE)
    before = ledger.snapshot(), ledger.stale_partitions(RULE)

    def publish_and_fail() -> None:
        with ledger.database.transaction() as connection:
            ledger.publish(connection, landing(raw_sequence=2), [TWO])
            raise KeyError

    with pytest.raises(KeyError):
        publish_and_fail()
    assert (ledger.snapshot(), ledger.stale_partitions(RULE)) == before


def test_one_publishes_at_a_time_and_readers_go_on(ledger: Ledger) -> None:
    publish(ledger, raw_sequence=1)
    with ledger.database.transaction() as publishing:
        ledger.lock(publishing)
        ledger.publish(publishing, landing(raw_sequence=2), [])
        assert [version.raw_sequence for version in ledger.landings()] == [1]
        with ledger.database.transaction() as other:
            other.execute("set lock_timeout = 1")
            with pytest.raises(errors.LockNotAvailable) as caught:
                ledger.lock(other)
    assert is_transient(caught.value)
    assert [version.raw_sequence for version in ledger.landings()] == [2]


def test_a_publication_that_waited_for_the_lock_sees_what_was_published_meanwhile(ledger: Ledger) -> None:
    publish(ledger, raw_sequence=1)
    outcome: list[str] = []
    arrived = threading.Event()

    def publish_late() -> None:
        with ledger.database.transaction() as connection:
            connection.execute("select 1")  # the transaction has begun before the other one ends
            arrived.set()
            ledger.lock(connection)
            try:
                ledger.publish(connection, landing(raw_sequence=2), [])
            except StaleWriteError:
                outcome.append("stale")

    with ledger.database.transaction() as publishing:
        ledger.lock(publishing)
        late = threading.Thread(target=publish_late)
        late.start()
        arrived.wait()
        ledger.publish(publishing, landing(raw_sequence=3), [])
    late.join()
    assert outcome == ["stale"]


def test_streams_do_not_wait_for_each_other(open_ledger: Callable[[], Ledger]) -> None:
    one, two = open_ledger(), open_ledger()
    with one.database.transaction() as first, two.database.transaction() as second:
        second.execute("set lock_timeout = 1")
        one.lock(first)
        two.lock(second)
    publish(one, ONE)
    assert two.snapshot() == Snapshot(0, ())
    assert two.stale_partitions(RULE) == []


# What is stale ------------------------------------------------------------------------------------------


def test_what_is_affected_is_stale_until_a_load_contains_the_change(ledger: Ledger) -> None:
    seen = publish(ledger, ONE, TWO)
    assert ledger.stale_partitions(RULE) == [ONE, TWO]
    mark_loaded(ledger, write(ledger, ONE, snapshot=seen))
    assert ledger.stale_partitions(RULE) == [TWO]
    mark_loaded(ledger, write(ledger, TWO, snapshot=seen))
    assert ledger.stale_partitions(RULE) == []


def test_what_lacks_a_change_that_was_published_by_another_rule_is_stale_too(ledger: Ledger) -> None:
    """By the current rule the activity chains around the change may reach into it."""
    seen = publish(ledger, ONE, TWO)
    mark_loaded(ledger, write(ledger, ONE, snapshot=seen), write(ledger, TWO, snapshot=seen))
    later = publish(ledger, ONE, session_rule_version="the rule before")
    assert ledger.stale_partitions(RULE) == [ONE, TWO]
    mark_loaded(ledger, write(ledger, TWO, snapshot=later))
    assert ledger.stale_partitions(RULE) == [ONE]


def test_what_was_published_after_the_snapshot_stays_stale(ledger: Ledger) -> None:
    seen = publish(ledger, ONE, TWO)
    version = write(ledger, ONE, snapshot=seen)
    unseen = publish(ledger, ONE, partition=TWO)
    mark_loaded(ledger, version)
    assert ledger.stale_partitions(RULE) == [ONE, TWO]
    mark_loaded(ledger, write(ledger, ONE, snapshot=unseen))
    assert ledger.stale_partitions(RULE) == [TWO]


def test_a_snapshot_before_all_changes_leaves_all_stale(ledger: Ledger) -> None:
    publish(ledger, ONE)
    mark_loaded(ledger, write(ledger, ONE, snapshot=0))
    assert ledger.stale_partitions(RULE) == [ONE]


def test_each_partition_is_up_to_date_as_of_its_own_snapshot(ledger: Ledger) -> None:
    first = publish(ledger, ONE, TWO)
    second = publish(ledger, ONE, TWO, partition=TWO)
    mark_loaded(ledger, write(ledger, ONE, snapshot=first), write(ledger, TWO, snapshot=second))
    assert ledger.stale_partitions(RULE) == [ONE]


def test_the_stale_partitions_of_other_streams_stay_stale(open_ledger: Callable[[], Ledger]) -> None:
    one, two = open_ledger(), open_ledger()
    publish(one, ONE)
    seen = publish(two, ONE)
    mark_loaded(two, write(two, ONE, snapshot=seen))
    assert one.stale_partitions(RULE) == [ONE]


def test_a_load_that_fails_leaves_the_partition_stale(ledger: Ledger) -> None:
    version = write(ledger, ONE, snapshot=publish(ledger, ONE))

    def mark_loaded_and_fail() -> None:
        with ledger.database.transaction() as connection:
            ledger.mark_loaded(connection, [version])
            raise KeyError

    with pytest.raises(KeyError):
        mark_loaded_and_fail()
    assert ledger.stale_partitions(RULE) == [ONE]
    assert loaded(ledger) == []


def test_partitions_made_by_another_rule_are_stale_too(ledger: Ledger) -> None:
    mark_loaded(ledger, write(ledger, ONE, 0, "old rule"), write(ledger, TWO, 0))
    write(ledger, THREE, 0, "old rule")  # never loaded: only a change that affects it makes it stale
    assert ledger.stale_partitions(RULE) == [ONE]
    mark_loaded(ledger, write(ledger, ONE, 0))
    assert ledger.stale_partitions(RULE) == []


# Versions of session partitions --------------------------------------------------------------------------


def test_what_is_written_is_not_loaded_before_it_is_marked(ledger: Ledger) -> None:
    version = write(ledger, ONE, snapshot=7)
    assert loaded(ledger) == []
    mark_loaded(ledger, version)
    assert loaded(ledger) == [version]
    assert (version.rows, version.duplicates_across, version.snapshot) == (2, 1, 7)


def test_one_version_of_a_partition_is_loaded_at_a_time(ledger: Ledger) -> None:
    first, other = write(ledger, ONE, 1), write(ledger, TWO, 1)
    mark_loaded(ledger, first, other)
    second = write(ledger, ONE, 2)
    mark_loaded(ledger, second)
    mark_loaded(ledger, second)
    assert loaded(ledger) == [second, other]


def test_the_newest_version_has_the_newest_snapshot_and_of_these_was_written_last(ledger: Ledger) -> None:
    write(ledger, ONE, 2)
    last = write(ledger, ONE, 2)
    write(ledger, ONE, 1)
    other = write(ledger, TWO, 0)
    assert ledger.newest_sessions() == [last, other]
    assert ledger.newest_sessions([TWO]) == [other]
    assert ledger.newest_sessions([]) == []


# Deliveries ----------------------------------------------------------------------------------------------


def test_the_last_delivery_of_each_partition_is_kept_by_target(open_ledger: Callable[[], Ledger]) -> None:
    ledger, other = open_ledger(), open_ledger()
    one, two = Delivery("lakehouse", ONE, 7, "digest 1"), Delivery("lakehouse", TWO, 8, "digest 2")
    for delivery in (two, one, Delivery("elsewhere", ONE, 7, "digest 1")):
        ledger.record_delivery(delivery, "a run")
    assert ledger.deliveries("lakehouse") == {ONE: one, TWO: two}
    later = dataclasses.replace(one, version=9, digest="digest 3")
    ledger.record_delivery(later, "a run")
    assert ledger.deliveries("lakehouse") == {ONE: later, TWO: two}
    assert other.deliveries("lakehouse") == ledger.deliveries("nowhere") == {}


# A stream that is rebuilt --------------------------------------------------------------------------------


def test_a_rebuild_keeps_the_cursors_and_deliveries(ledger: Ledger) -> None:
    """It changes neither how far sources were read nor what other warehouses contain."""
    delivery = Delivery("lakehouse", ONE, 7, "digest 1")
    ledger.assign(["a"], ONE)
    ledger.record_file("a", "print", "digest", STORED, "a run", Cursor("orders/0", {"offset": 3}))
    ledger.record_delivery(delivery, "a run")
    shadow = ledger.shadow
    shadow.prepare(CALENDARS)
    for file in ledger.files():
        shadow.transfer(file, ledger, TWO, file.path)
    with ledger.database.transaction() as connection:
        ledger.lock(connection)
        shadow.lock(connection)
        ledger.replace_by(connection, shadow)
    assert [file.landing_partition for file in ledger.files()] == [TWO]
    assert ledger.cursors() == {"orders/0": {"offset": 3}}
    assert ledger.deliveries("lakehouse") == {ONE: delivery}
    ledger.delete_stream()
    assert ledger.cursors() == ledger.deliveries("lakehouse") == {}


# Errors of the database ----------------------------------------------------------------------------------

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


def caught(database: Database, fail: Fails) -> BaseException:
    with database.transaction() as setup:
        setup.execute("drop table if exists fails")
        setup.execute("create table fails (number int primary key, word text not null)")
        setup.execute("insert into fails values (1, 'a')")
    # not as a context, which would hide what ends the connection
    mine, other = psycopg.connect(database.url), psycopg.connect(database.url)
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
    database: Database, fail: Fails, error: type[BaseException]
) -> None:
    found = caught(database, fail)
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
    database: Database, fail: Fails, error: type[BaseException]
) -> None:
    found = caught(database, fail)
    assert isinstance(found, error)
    assert not is_transient(found)


@pytest.mark.parametrize("error", [ValueError("a"), KeyError("a"), OSError(28, "No space left"), StaleWriteError("a")])
def test_errors_from_elsewhere_are_not_transient(error: BaseException) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), InterruptedError(), BrokenPipeError()])
def test_but_lost_connections_and_timeouts_are(error: BaseException) -> None:
    assert is_transient(error)


def at(database: Database, url: str) -> Database:
    return Database(dataclasses.replace(database._settings, warehouse_url=url))


def reached(database: Database, url: str) -> BaseException:
    try:
        with at(database, url).transaction():
            raise AssertionError("it was reached")
    except UserError as error:
        return error


def test_a_server_that_is_not_there_may_come_back(database: Database) -> None:
    error = reached(database, "postgresql://ann:secret@127.0.0.1:1/shop")
    assert is_transient(error)
    assert "secret" not in str(error)


def test_a_database_that_is_not_there_will_not(database: Database) -> None:
    error = reached(database, database.url.replace("/sessions?", "/nowhere?"))
    assert '"nowhere" does not exist' in str(error)
    assert not is_transient(error)


def test_a_role_that_is_not_there_will_not_either(database: Database) -> None:
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
def test_a_query_only_reads(database: Database, statement: str) -> None:
    table = f"kept{next(_names)}"
    with database.transaction() as connection:
        connection.execute(SQL("create table {} as select 1 as number").format(Identifier(table)))
    with pytest.raises(QueryError, match=r"\w"):
        database.query(statement.format(table))
    assert database.query(f"select * from {table}") == [{"number": 1}]


def test_a_query_that_says_nothing_has_no_rows(database: Database) -> None:
    assert database.query("") == []
