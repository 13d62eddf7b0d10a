"""The ledger says what is current and what is stale."""

import dataclasses
import itertools
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.sources.base import Cursor
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.files import ReadBatch, ReadFile
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
from sessions_platform.storage.postgres.database import Database, is_transient
from sessions_platform_tests.ledgers import record_file
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
        "skipped": 0,
        "repeated_lines": 0,
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


def test_concurrent_and_repeated_preparations_succeed(administrator: Database) -> None:
    with psycopg.connect(administrator.url, autocommit=True) as connection:
        connection.execute("create database fresh")
    url = administrator.url.replace("/sessions?", "/fresh?")
    fresh = Database(dataclasses.replace(administrator._settings, warehouse_url=url))
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


def test_files_stay_in_the_landing_partition_that_they_were_first_assigned_to(ledger: Ledger) -> None:
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
    record_file(ledger, "a", "print 1", "digest 1", STORED)
    record_file(ledger, "b", "print 1", "digest 2", STORED)
    first = {file.uri: file.sequence or 0 for file in ledger.files()}
    record_file(ledger, "a", "print 2", "digest 3", StoredFile("raw/b.parquet", 4, 100))
    a, b = ledger.files()
    assert (a.fingerprint, a.digest, a.stored) == ("print 2", "digest 3", StoredFile("raw/b.parquet", 4, 100))
    assert first["a"] < first["b"] < (a.sequence or 0)
    assert b.sequence == first["b"]


def test_files_that_are_recorded_together_have_sequences_in_the_order_of_reading(ledger: Ledger) -> None:
    uris = [f"{number:04}" for number in range(500)]
    shuffled = random.Random(1).sample(uris, len(uris))
    ledger.assign(uris, ONE)
    read = [ReadFile(uri, "print", "digest", 1, None) for uri in shuffled]
    ledger.record_batch(ReadBatch(read, STORED), "a run")
    assert [file.uri for file in sorted(ledger.files(), key=lambda file: file.sequence or 0)] == shuffled


def test_a_file_with_the_same_content_keeps_its_sequence(ledger: Ledger) -> None:
    ledger.assign(["a"], ONE)
    record_file(ledger, "a", "print 1", "digest", STORED)
    (before,) = ledger.files()
    ledger.record_unchanged("a", "print 2")
    (after,) = ledger.files()
    assert (after.fingerprint, after.sequence, after.stored) == ("print 2", before.sequence, STORED)


def test_a_cursor_is_stored_with_its_slice(open_ledger: Callable[[], Ledger]) -> None:
    ledger, other = open_ledger(), open_ledger()
    ledger.assign(["a", "b"], ONE)
    assert ledger.cursors() == {}
    record_file(ledger, "a", "print 1", "digest 1", STORED, Cursor("orders/1", {"offset": 9}))
    record_file(ledger, "a", "print 1", "digest 1", STORED, Cursor("orders/0", {"offset": 3, "epoch": None}))
    record_file(ledger, "b", "print 1", "digest 1", STORED)
    assert ledger.cursors() == {"orders/0": {"offset": 3, "epoch": None}, "orders/1": {"offset": 9}}
    moved = [Cursor("orders/1", {"offset": 10})]
    ledger.record_batch(ReadBatch(unchanged={"b": "print 2"}, cursors=moved, cursors_before=ledger.cursors()), "a run")
    assert ledger.cursors()["orders/1"] == {"offset": 10}
    assert other.cursors() == {}


def test_neither_a_cursor_nor_its_slice_is_stored_where_one_fails(ledger: Ledger) -> None:
    ledger.assign(["a"], ONE)
    with pytest.raises(psycopg.DataError):
        record_file(ledger, "a", "print", "digest", STORED, Cursor("orders/0", {"name": "\0"}))
    (file,) = ledger.files()
    assert (file.sequence, ledger.cursors()) == (None, {})


# Publishing ----------------------------------------------------------------------------------------------


def test_nothing_is_published_at_first(ledger: Ledger) -> None:
    assert ledger.snapshot() == Snapshot(0, ())
    assert ledger.stale_partitions(RULE) == []


def test_a_published_version_is_current_and_replaces_the_previous_one(ledger: Ledger) -> None:
    first = publish(ledger, raw_sequence=1)
    other = publish(ledger, partition=TWO)
    second = publish(ledger, raw_sequence=2, accepted=2)
    assert first < other < second
    expected: dict[str, Any] = {**landing(raw_sequence=2, accepted=2), "version": second}
    expected["rejected_stretches"] = expected["rejected"]  # by an older program, for which each row stood for itself
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


def test_a_failed_publication_leaves_no_trace(ledger: Ledger) -> None:
    publish(ledger, ONE)
    before = ledger.snapshot(), ledger.stale_partitions(RULE)

    def publish_and_fail() -> None:
        with ledger.database.transaction() as connection:
            ledger.publish(connection, landing(raw_sequence=2), [TWO])
            raise KeyError

    with pytest.raises(KeyError):
        publish_and_fail()
    assert (ledger.snapshot(), ledger.stale_partitions(RULE)) == before


def test_publications_are_serialized_and_readers_are_not_blocked(ledger: Ledger) -> None:
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


def test_an_affected_partition_is_stale_until_a_load_contains_the_change(ledger: Ledger) -> None:
    seen = publish(ledger, ONE, TWO)
    assert ledger.stale_partitions(RULE) == [ONE, TWO]
    mark_loaded(ledger, write(ledger, ONE, snapshot=seen))
    assert ledger.stale_partitions(RULE) == [TWO]
    mark_loaded(ledger, write(ledger, TWO, snapshot=seen))
    assert ledger.stale_partitions(RULE) == []


def test_a_partition_without_a_change_published_under_another_rule_is_stale_too(ledger: Ledger) -> None:
    """By the current rule the activity chains around the change may reach into it."""
    seen = publish(ledger, ONE, TWO)
    mark_loaded(ledger, write(ledger, ONE, snapshot=seen), write(ledger, TWO, snapshot=seen))
    later = publish(ledger, ONE, session_rule_version="the rule before")
    assert ledger.stale_partitions(RULE) == [ONE, TWO]
    mark_loaded(ledger, write(ledger, TWO, snapshot=later))
    assert ledger.stale_partitions(RULE) == [ONE]


def test_changes_published_after_the_snapshot_stay_stale(ledger: Ledger) -> None:
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


def test_a_written_version_is_not_loaded_before_it_is_marked(ledger: Ledger) -> None:
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


def record(ledger: Ledger, target: str, *deliveries: Delivery) -> None:
    ledger.record_deliveries(target, ledger.begin_delivery(target), deliveries, "a run")


def test_the_last_delivery_of_each_partition_is_kept_by_target(open_ledger: Callable[[], Ledger]) -> None:
    ledger, other = open_ledger(), open_ledger()
    one, two = Delivery("lakehouse", ONE, 7, "digest 1"), Delivery("lakehouse", TWO, 8, "digest 2")
    record(ledger, "lakehouse", two, one)
    record(ledger, "elsewhere", Delivery("elsewhere", ONE, 7, "digest 1"))
    assert ledger.deliveries("lakehouse") == {ONE: one, TWO: two}
    later = one._replace(version=9, digest="digest 3")
    record(ledger, "lakehouse", later)
    assert ledger.deliveries("lakehouse") == {ONE: later, TWO: two}
    assert other.deliveries("lakehouse") == ledger.deliveries("nowhere") == {}


def test_tokens_of_deliveries_grow_and_begin_with_the_time(ledger: Ledger) -> None:
    """A ledger that is made anew gives greater ones than the one before it, which a target may remember."""
    before = datetime.now(UTC) - timedelta(minutes=1)
    tokens = [ledger.begin_delivery("lakehouse") for _ in range(3)]
    assert before.timestamp() * 1_000_000 < tokens[0] < tokens[1] < tokens[2]


def test_a_delivery_is_recorded_only_while_no_later_one_has_begun(ledger: Ledger) -> None:
    first = ledger.begin_delivery("lakehouse")
    second = ledger.begin_delivery("lakehouse")
    with pytest.raises(StaleWriteError, match="a later delivery to lakehouse has begun"):
        ledger.record_deliveries("lakehouse", first, [Delivery("lakehouse", ONE, 7, "older")], "a run")
    ledger.record_failure("lakehouse", first, "of the older one")
    assert ledger.deliveries("lakehouse") == {}
    ledger.record_failure("lakehouse", second, "it is down")
    state = ledger.target_state("lakehouse")
    assert (state.failure, state.delivered_token) == ("it is down", 0)
    ledger.record_deliveries("lakehouse", second, [], "a run")
    state = ledger.target_state("lakehouse")
    assert (state.failure, state.failed_at, state.delivered_token) == (None, None, second)


# A stream that is rebuilt --------------------------------------------------------------------------------


def test_a_rebuild_keeps_the_cursors_and_deliveries(ledger: Ledger) -> None:
    """It changes neither how far sources were read nor what other warehouses contain."""
    delivery = Delivery("lakehouse", ONE, 7, "digest 1")
    ledger.assign(["a"], ONE)
    record_file(ledger, "a", "print", "digest", STORED, Cursor("orders/0", {"offset": 3}))
    record(ledger, "lakehouse", delivery)
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
