"""Sessions are delivered to MongoDB's protocol (FerretDB), and readers count whole partitions whatever happens."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.warehouses.base import Changes, LaterDeliveryError, TargetError
from sessions_platform.storage.warehouses.mongodb_documents import MongodbDocuments
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.servers.ferretdb import PASSWORD, USER, FerretDb, ferretdb
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
KEYS = {"url": {"env": "MONGODB_URL"}, "database": "shop", "tables": BOTH_TABLES}


@pytest.fixture(scope="module")
def running() -> Iterator[FerretDb]:
    with ferretdb() as server:
        yield server


@pytest.fixture
def mongo(running: FerretDb, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty database."""
    monkeypatch.setenv("MONGODB_URL", running.url)
    with running.client() as client:
        client.drop_database("shop")
        yield client["shop"]


@pytest.fixture
def loaded(mongo: Any, open_context: Callable[..., StreamContext]) -> StreamContext:
    assert not mongo.list_collection_names()
    return load_two_days(open_context(targets={"mongodb": KEYS}))


def sessions_of(database: Any, user: str) -> list[dict[str, Any]]:
    """As the docs show it."""
    while True:
        before = database.delivery.find_one({"_id": "sessions_platform"})
        found = list(database.sessions.find({"user_id": user}))
        if database.delivery.find_one({"_id": "sessions_platform"})["token"] == before["token"]:
            return [row for row in found if row["_version"] == before["versions"].get(row["session_partition"])]


def assert_nothing_is_left(database: Any) -> None:
    """All documents are current ones."""
    current = database.delivery.find_one()["versions"]
    for table in BOTH_TABLES:
        found = {(row["session_partition"], row["_version"]) for row in database[table].find()}
        assert found <= set(current.items())


def test_readers_find_the_sessions_of_a_user_after_each_change(loaded: StreamContext, mongo: Any) -> None:
    assert delivered(loaded) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(loaded)
    assert sorted(row["session_start"].day for row in sessions_of(mongo, "ann")) == [1, 2]
    add_an_event(loaded, ONE, "late \U0001f600 '\\ $x.y")
    assert delivered(loaded) == Delivered(applied=[ONE], unchanged=[TWO])
    assert_equal_to_postgres(loaded)
    put(loaded, TWO, [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)
    assert len(sessions_of(mongo, "ann")) == 1
    assert_nothing_is_left(mongo)


def test_values_come_back_as_they_went(loaded: StreamContext) -> None:
    """Times to the microsecond, also before 1970; numbers that fit into 32 bits, and those that do not."""
    target, columns = the_target(loaded), session_columns(loaded.stream)
    one = in_postgres(loaded)[:1].drop("duration_seconds", "event_count", "exit_page", "session_start")
    times = [
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1, UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ]
    values = [(0.1 + 0.2, 2**63 - 1, "$a.\0\U0001f600"), (5e-324, -1, ""), (1e308, 0, None)]
    schema = {"duration_seconds": pl.Float64, "event_count": pl.Int64, "exit_page": pl.String}
    own = pl.DataFrame(values, schema=schema, orient="row")
    own = own.with_columns(session_start=pl.Series(times, dtype=pl.Datetime("us", "UTC")))
    rows = one.join(own, how="cross").select(*columns)
    target.apply(Changes(target.token() + 1, [ONE], lambda table, _: iter([rows] if table == "sessions" else [])))
    assert_frame_equal(in_target(target).sort("event_count"), rows.sort("event_count"), check_exact=True)


def test_it_equals_postgres_after_any_history(mongo: Any, open_context: Callable[..., StreamContext]) -> None:
    def remove() -> None:
        mongo.client.drop_database("shop")

    def begin() -> History:
        remove()
        return History(open_context(targets={"mongodb": KEYS}), remove)

    assert_equal_after_any_history(begin)


def test_a_delivery_that_is_killed_at_any_point_ends_in_the_same_state(loaded: StreamContext, mongo: Any) -> None:
    assert_the_same_after_kills(loaded, points=5)
    assert_nothing_is_left(mongo)


@pytest.mark.parametrize("batches", [1, 2])
def test_a_delivery_that_has_lost_its_turn_is_refused_and_leaves_nothing(
    loaded: StreamContext, mongo: Any, batches: int
) -> None:
    """Though it has compared the tokens before the other one came: before its next batch, or before it is shown."""
    target, other = the_target(loaded), the_target(loaded)
    first, second = (loaded.ledger.begin_delivery("mongodb") for _ in range(2))
    rows = in_postgres(loaded).filter(session_partition=ONE)

    def only_sessions(table: str, *_: Any) -> Iterator[pl.DataFrame]:
        return iter([rows] if table == "sessions" else [])

    def stopped(table: str, *_: Any) -> Iterator[pl.DataFrame]:
        if table == "sessions":
            yield rows[:1]
            other.apply(Changes(second, [ONE], only_sessions))
            if batches > 1:
                yield rows[1:]

    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], stopped))
    assert in_target(target).height == 2
    assert not target.is_unfinished()
    assert_nothing_is_left(mongo)
    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], stopped))


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_what_is_shown_while_another_takes_the_turn_stays(loaded: StreamContext, mongo: Any) -> None:
    """The other one has read the state before, and is killed when it has removed what it takes for leftovers."""
    target, other, rows = the_target(loaded), the_target(loaded), in_postgres(loaded).filter(session_partition=ONE)
    begin, stage, switch, state = (vars(MongodbDocuments)[f"_{name}"] for name in ("begin", "stage", "switch", "state"))
    changes = Changes(1, [ONE], lambda table, _: iter([rows] if table == "sessions" else []))
    version = begin(target, mongo, changes)
    stage(target, mongo, changes, version)

    def read_too_early(database: Any) -> Any:
        read = state(other, database)
        switch(target, mongo, changes, version)
        return read

    vars(other).update(_state=read_too_early, _stage=killed)
    with pytest.raises(KeyboardInterrupt):
        other.apply(dataclasses.replace(changes, token=2))
    assert_frame_equal(in_target(target), rows, check_row_order=False)


def test_what_killed_deliveries_left_is_looked_for_in_their_partitions_alone(
    loaded: StreamContext, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rows, three = the_target(loaded), in_postgres(loaded).filter(session_partition=ONE), "2026-01-03"

    def changed(token: int, *partitions: str) -> Changes:
        def own(table: str, partition: str) -> Iterator[pl.DataFrame]:
            return iter([rows.with_columns(session_partition=pl.lit(partition))] if table == "sessions" else [])

        return Changes(token, partitions, own)

    target.apply(changed(1, ONE, TWO, three))
    before = in_target(target)
    with monkeypatch.context() as patch:
        patch.setattr(MongodbDocuments, "_switch", killed)  # when it has staged
        with pytest.raises(KeyboardInterrupt):
            target.apply(changed(2, ONE))
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "delete_many", killed)  # when it has taken the turn
        with pytest.raises(KeyboardInterrupt):
            target.apply(changed(3, TWO))
    assert mongo.sessions.count_documents({}) == before.height + rows.height
    delete, asked = Collection.delete_many, set[str]()

    def noted(collection: Any, chosen: Any) -> Any:
        partitions = chosen["session_partition"]
        asked.update(partitions["$in"] if isinstance(partitions, dict) else [partitions])
        return delete(collection, chosen)

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "delete_many", noted)
        target.apply(changed(4, TWO))
        assert asked == {ONE, TWO}
        asked.clear()
        target.apply(changed(5, TWO))
        assert asked == {TWO}
    assert_nothing_is_left(mongo)
    assert_frame_equal(in_target(target), before, check_row_order=False)


def test_an_answer_that_was_lost_leaves_what_readers_see_whole(
    loaded: StreamContext, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the update that shows a delivery nobody knows whether it was made; nothing of it may be removed."""
    delivered(loaded)
    add_an_event(loaded, ONE, "late")
    update = Collection.update_one

    def lost(collection: Any, only: Any, change: Any, **keys: Any) -> Any:
        answer = update(collection, only, change, **keys)
        if "token" in change.get("$set", {}):
            raise AutoReconnect("lost")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "update_one", lost)
        with pytest.raises(TargetError, match="can't be reached: 'lost'"):
            delivered(loaded)
    assert_equal_to_postgres(loaded)
    assert the_target(loaded).is_unfinished()
    assert delivered(loaded).applied == [ONE]
    assert_equal_to_postgres(loaded)
    assert_nothing_is_left(mongo)


def test_a_server_that_dies_in_the_middle_has_changed_nothing(loaded: StreamContext, running: FerretDb) -> None:
    delivered(loaded)
    before = in_target(the_target(loaded)).sort("session_id")
    add_an_event(loaded, ONE, "late")
    target = the_target(loaded)
    switch = vars(type(target))["_switch"]

    def killed(*arguments: Any) -> None:
        running.server.kill()
        switch(target, *arguments)

    vars(target)["_switch"] = killed
    with pytest.raises(TargetError, match=r"can't be reached: .*Fix: start the server, or correct host, port"):
        deliver(loaded, target, RUN)
    add_an_event(loaded, TWO, "sessions are loaded meanwhile")
    running.server.start()
    assert in_target(the_target(loaded)).sort("session_id").equals(before)
    assert delivered(loaded).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)


def test_what_somebody_has_changed_is_found_and_made_whole(loaded: StreamContext, mongo: Any) -> None:
    delivered(loaded)
    mongo.sessions.delete_one({"session_partition": TWO})
    mongo.sessions.update_many({"session_partition": ONE}, {"$set": {"event_count": "many", "session_start": 7}})
    assert delivered(loaded, verify=True).differing == [ONE, TWO]
    assert_equal_to_postgres(loaded)
    for collection in ("delivery", "sessions"):
        mongo.drop_collection(collection)
        assert delivered(loaded).applied == [ONE, TWO]
        assert_equal_to_postgres(loaded)
        assert_nothing_is_left(mongo)


def test_new_columns_are_added_and_what_does_not_fit_is_a_sentence(
    loaded: StreamContext, open_context: Callable[..., StreamContext]
) -> None:
    def changed(**columns: Any) -> StreamContext:
        other = stream(name=loaded.stream.name, targets={"mongodb": KEYS}, session={"columns": columns})
        return StreamContext(other, loaded.source, loaded.lake, loaded.database)

    delivered(loaded)
    newer = changed(best={"max": "page_url"})
    refresh(newer)
    delivered(newer)
    assert_equal_to_postgres(newer)
    target = the_target(changed(best={"max": "event_timestamp"}))
    with pytest.raises(TargetError, match=r"sessions\.best is string there, and date in the stream\. Fix: drop"):
        target.apply(Changes(target.token() + 1, [ONE], lambda *_: iter([])))
    with pytest.raises(TargetError, match=f"it has the sessions of the stream {loaded.stream.name}"):
        delivered(load_two_days(open_context(targets={"mongodb": KEYS})))


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("mongodb://loader:wr0ng@127.0.0.1:{port}/", "correct user, password and authSource in the URL"),
        ("mongodb://loader:wr0ng@127.0.0.1:1/?serverSelectionTimeoutMS=10", "start the server, or correct host, port"),
        ("mongodb://loader:wr0ng@127.0.0.1:1/?foo=1", "write mongodb://user:password@"),
        ("mongodb://loader:wr0ng@127.0.0.1:port", "write mongodb://user:password@"),
        ("wr0ng", "write mongodb://user:password@"),
    ],
)
def test_what_the_server_refuses_is_a_sentence_without_secrets(
    loaded: StreamContext, running: FerretDb, url: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert USER in running.url
    assert PASSWORD in running.url
    monkeypatch.setenv("MONGODB_URL", url.format(port=running.port))
    with pytest.raises(TargetError) as refused:
        delivered(loaded)
    assert fix in str(refused.value)
    assert "wr0ng" not in str(refused.value)


def test_a_refused_document_is_a_sentence_without_its_values(loaded: StreamContext, mongo: Any) -> None:
    mongo.sessions.create_index([("user_id", 1)], unique=True, name="somebody's")
    with pytest.raises(TargetError, match=r"the server refuses documents with error 11000\. Fix: ") as refused:
        delivered(loaded)
    assert "ann" not in str(refused.value)
