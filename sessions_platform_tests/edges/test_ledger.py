"""Edge cases of the ledger: which rows a statement changes, what a lock prevents, and which change is the newest."""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import errors

from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.ledger import (
    CalendarChangedError,
    Ledger,
    Repair,
    SessionVersion,
    StaleWriteError,
)
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.ledgers import record_file

ONE, TWO, THREE, FOUR = "2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"
RULE, OLD_RULE = "a session rule", "the session rule before"
CALENDARS = {"landing.partition": "daily", "session.timezone": "UTC"}
STORED = StoredFile("raw/a.parquet", 3, 99)

_names = itertools.count()


@pytest.fixture
def open_ledger(database: Database) -> Callable[[], Ledger]:
    def make() -> Ledger:
        ledger = Ledger(database, f"edge{next(_names)}")
        ledger.prepare(CALENDARS)
        return ledger

    return make


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


def publish(ledger: Ledger, partition: str, *affected: str, rule: str = RULE, rows: int = 1, fields: Any = None) -> int:
    landing = {
        "landing_partition": partition,
        "raw_sequence": 1,
        "raw_files": [],
        "events_path": f"events/{partition}",
        "rejected_path": f"rejected/{partition}",
        "raw_rows": rows,
        "accepted": rows,
        "rejected": 0,
        "duplicates": 0,
        "rejected_by_reason": {},
        "contract_version": "a contract",
        "session_rule_version": rule,
        "reference_digests": {},
        "observed_schema": {"rows": rows, "fields": fields or {}},
        "run_id": "a run",
    }
    with ledger.database.transaction() as connection:
        ledger.lock(connection)
        return ledger.publish(connection, landing, affected)


def write(ledger: Ledger, partition: str, snapshot: int, rule: str = RULE) -> SessionVersion:
    row = {
        "session_partition": partition,
        "path": f"sessionized/{partition}/{next(_names)}",
        "rows": 2,
        "bytes": 9,
        "duplicates_across": 0,
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


# What is stale -------------------------------------------------------------------------------------------


def test_partitions_without_the_newest_change_of_another_session_rule_are_stale(ledger: Ledger) -> None:
    publish(ledger, ONE, rule=OLD_RULE)
    between = publish(ledger, TWO)
    newest = publish(ledger, THREE, rule=OLD_RULE)
    mark_loaded(ledger, write(ledger, ONE, between), write(ledger, TWO, newest - 1), write(ledger, THREE, newest))
    assert ledger.stale_partitions(RULE) == [ONE, TWO]


def test_a_change_under_the_same_session_rule_makes_only_its_affected_partitions_stale(ledger: Ledger) -> None:
    mark_loaded(ledger, write(ledger, ONE, 0))
    publish(ledger, TWO, TWO)
    assert ledger.stale_partitions(RULE) == [TWO]


def test_a_load_clears_stale_partitions_up_to_its_snapshot_and_no_later(ledger: Ledger) -> None:
    seen = publish(ledger, ONE, ONE)
    version = write(ledger, ONE, seen)
    mark_loaded(ledger, version._replace(snapshot=seen - 1))
    assert ledger.stale_partitions(RULE) == [ONE]
    mark_loaded(ledger, version)
    assert ledger.stale_partitions(RULE) == []


# Other files and other streams ---------------------------------------------------------------------------


def test_recording_a_file_changes_no_other_file_and_no_other_stream(
    open_ledger: Callable[[], Ledger],
) -> None:
    one, two = open_ledger(), open_ledger()
    for ledger in (one, two):
        ledger.assign(["a", "b"], ONE)
        for uri in ("a", "b"):
            record_file(ledger, uri, "print 1", "digest", STORED)
    before = one.files()[1], two.files()
    one.record_unchanged("a", "print 2")
    record_file(one, "a", "print 3", "digest 2", STORED)
    assert (one.files()[1], two.files()) == before
    assert one.files()[0].fingerprint == "print 3"


def test_files_are_listed_by_partition_and_stream(open_ledger: Callable[[], Ledger]) -> None:
    one, two = open_ledger(), open_ledger()
    one.assign(["a"], ONE)
    one.assign(["b"], TWO)
    two.assign(["c"], ONE)
    assert [file.uri for file in one.files([ONE])] == ["a"]
    assert [file.uri for file in one.files()] == ["a", "b"]


def test_a_load_changes_no_loaded_version_of_another_stream(open_ledger: Callable[[], Ledger]) -> None:
    one, two = open_ledger(), open_ledger()
    mine, yours = write(one, ONE, 1), write(two, ONE, 1)
    mark_loaded(one, mine)
    mark_loaded(two, yours)
    mark_loaded(one, write(one, ONE, 2))
    assert loaded(two) == [yours]


def test_versions_of_a_stream_that_was_deleted_meanwhile_are_not_loaded(ledger: Ledger) -> None:
    version = write(ledger, ONE, 1)
    ledger.delete_stream()
    with ledger.database.transaction() as connection, pytest.raises(StaleWriteError, match="rebuilt"):
        ledger.mark_loaded(connection, [version])


# The previous partition ----------------------------------------------------------------------------------


def test_the_previous_observed_schema_is_of_the_newest_earlier_partition_with_rows(
    open_ledger: Callable[[], Ledger],
) -> None:
    ledger, other = open_ledger(), open_ledger()
    publish(ledger, ONE, fields={"was": {}})
    publish(ledger, ONE, fields={"is": {}})
    publish(ledger, TWO)
    publish(ledger, THREE, rows=0)
    publish(ledger, FOUR)
    publish(other, THREE)
    assert list(ledger.observed_before(FOUR, [])) == [TWO]
    assert list(ledger.observed_before(TWO, [])) == [ONE]
    assert ledger.observed_before(FOUR, [TWO, FOUR]) == {ONE: {"rows": 1, "fields": {"is": {}}}}
    assert ledger.observed_before(ONE, []) == {}


# Locks ---------------------------------------------------------------------------------------------------


@contextmanager
def locked(ledger: Ledger) -> Any:
    with ledger.database.transaction() as connection:
        ledger.lock(connection)
        yield connection


@contextmanager
def writing(ledger: Ledger) -> Any:
    with ledger._writing() as connection:
        yield connection


@contextmanager
def comparing_files(ledger: Ledger) -> Any:
    with ledger.database.transaction() as connection:
        ledger.contains(connection, [])
        yield connection


@contextmanager
def recording_repairs(ledger: Ledger) -> Any:
    with ledger.database.transaction() as connection:
        repair = Repair("an id", "a digest", ONE, "repaired", 1, "an id", "a", 1)
        ledger.record_repairs(connection, STORED, [repair], "a digest", "a run")
        yield connection


Lock = Callable[[Ledger], AbstractContextManager[psycopg.Connection]]


@pytest.mark.parametrize("lock", [locked, writing])
def test_a_stream_is_not_replaced_during_a_write(ledger: Ledger, lock: Lock) -> None:
    with lock(ledger), ledger.database.transaction() as other:
        other.execute("set lock_timeout = 1")
        with pytest.raises(errors.LockNotAvailable):
            other.execute("delete from sessions_platform.streams where stream = %s", [ledger.stream])


@pytest.mark.parametrize("lock", [comparing_files, recording_repairs])
def test_no_file_is_recorded_until_a_comparison_or_a_repair_has_ended(ledger: Ledger, lock: Lock) -> None:
    with lock(ledger), ledger.database.transaction() as other:
        other.execute("set lock_timeout = 1")
        with pytest.raises(errors.LockNotAvailable):
            ledger._check_calendars(other)


def test_files_whose_sequence_was_read_are_not_recorded_before_the_transaction_ends(ledger: Ledger) -> None:
    ledger.assign(["a", "b"], ONE)
    record_file(ledger, "a", "print", "digest", STORED)
    update = "update sessions_platform.landing_files set rows = 0 where stream = %s and uri = %s"
    with ledger.database.transaction() as connection:
        assert list(ledger.sequences(connection, ["a"])) == ["a"]
        with ledger.database.transaction() as other:
            other.execute("set lock_timeout = 1")
            other.execute(update, [ledger.stream, "b"])
            with pytest.raises(errors.LockNotAvailable):
                other.execute(update, [ledger.stream, "a"])


@pytest.mark.parametrize(
    "write_something",
    [
        lambda ledger: ledger.assign(["a"], ONE),
        lambda ledger: ledger.record_unchanged("a", "print"),
        lambda ledger: publish(ledger, ONE),
        lambda ledger: write(ledger, ONE, 0),
    ],
)
def test_nothing_is_written_once_the_stream_has_other_calendars(
    ledger: Ledger, write_something: Callable[[Ledger], object]
) -> None:
    write_something(ledger)
    with ledger.database.transaction() as connection:
        sql = "update sessions_platform.streams set calendars = %s where stream = %s"
        connection.execute(sql, ['{"session.timezone": "Asia/Tokyo"}', ledger.stream])
    with pytest.raises(CalendarChangedError, match=r"session\.timezone"):
        write_something(ledger)


def test_a_stream_of_an_empty_database_has_no_calendars_and_can_be_deleted(administrator: Database) -> None:
    for ask in (Ledger.recorded_calendars, Ledger.delete_stream):
        name = f"empty{next(_names)}"
        with psycopg.connect(administrator.url, autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        url = administrator.url.replace("/sessions?", f"/{name}?")
        assert not ask(Ledger(Database(replace(administrator._settings, warehouse_url=url)), "any"))
