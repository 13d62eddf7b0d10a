"""Sessions are delivered to Redis itself, and a user's newest session is at hand, whatever happens in between."""

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
from redis import Connection, ConnectionError, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.connection import AbstractConnection

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.warehouses.base import Changes, LaterDeliveryError, TargetError
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh
from sessions_platform_tests.servers.redis_server import PASSWORD, RedisServer, redis_server
from sessions_platform_tests.storage.delivery_histories import History, assert_equal_after_any_history
from sessions_platform_tests.storage.targets import (
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


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(running: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty database."""
    monkeypatch.setenv("REDIS_URL", running.url)
    with running.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def loaded(redis: Any, open_context: Callable[..., StreamContext]) -> StreamContext:
    assert not redis.dbsize()
    return load_two_days(with_target(open_context))


def with_target(open_context: Callable[..., StreamContext], prefix: str = "shop") -> StreamContext:
    return open_context(targets={"redis": {"url": {"env": "REDIS_URL"}, "prefix": prefix}})


def newest(redis: Any, user: str) -> dict[str, Any] | None:
    """As readers ask for it."""
    found = redis.zrange(f"shop:user:{user}", 0, 0, desc=True)
    if not found:
        return None
    _, partition, session = found[0].split(" ", 2)
    return json.loads(redis.hget(f"shop:sessions:{partition}", session) or "null")


def assert_newest_sessions_are_those_of_postgres(context: StreamContext, redis: Any) -> None:
    rows = in_postgres(context).sort("session_start", "session_partition", "session_id")
    expected = dict(rows.select("user_id", "session_id").iter_rows())
    users = [key.removeprefix("shop:user:") for key in redis.scan_iter("shop:user:*")]
    assert {user: (newest(redis, user) or {}).get("session_id") for user in users} == expected


def test_the_newest_session_of_each_user_follows_what_is_loaded(loaded: StreamContext, redis: Any) -> None:
    assert delivered(loaded) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(loaded)
    assert_newest_sessions_are_those_of_postgres(loaded, redis)
    add_an_event(loaded, ONE, "late \U0001f600 '\\ \\0")
    assert delivered(loaded) == Delivered(applied=[ONE], unchanged=[TWO])
    assert_newest_sessions_are_those_of_postgres(loaded, redis)
    put(loaded, TWO, [], TWO)
    ingest_and_publish(loaded, TWO)
    refresh(loaded)
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)
    assert_newest_sessions_are_those_of_postgres(loaded, redis)
    assert not redis.exists(f"shop:sessions:{TWO}")


def test_it_equals_postgres_after_any_history(redis: Any, open_context: Callable[..., StreamContext]) -> None:
    def begin() -> History:
        redis.flushall()
        return History(with_target(open_context), remove=redis.flushall)

    assert_equal_after_any_history(begin)


def test_a_delivery_that_has_lost_its_turn_is_refused_by_the_script(loaded: StreamContext, redis: Any) -> None:
    """Though it has compared the tokens before the other one came."""
    target, other = the_target(loaded), the_target(loaded)
    first, second = (loaded.ledger.begin_delivery("redis") for _ in range(2))
    rows = in_postgres(loaded).filter(session_partition=ONE)

    def stopped(*_: Any) -> Iterator[pl.DataFrame]:
        other.apply(Changes(second, [ONE], lambda *_: iter([rows])))
        yield rows[1:]

    with pytest.raises(LaterDeliveryError):
        target.apply(Changes(first, [ONE], stopped))
    assert in_target(target).height == 2
    assert not target.is_unfinished()
    assert not list(redis.scan_iter("shop:staged*"))


def test_an_answer_that_was_lost_after_the_script_is_no_failure(
    loaded: StreamContext, running: RedisServer, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that tries again sends the script again, which finds its own work done."""
    monkeypatch.setenv("REDIS_URL", f"{running.url}?retry_on_timeout=yes")
    delivered(loaded)
    add_an_event(loaded, ONE, "late")
    read, answered = Connection.read_response, list[Any]()

    def lost(*arguments: Any, **keys: Any) -> Any:
        answer = read(*arguments, **keys)
        if answer == ["done"]:
            answered.append(answer)
            if len(answered) == 1:
                raise ConnectionError("lost")
        return answer

    monkeypatch.setattr(Connection, "read_response", lost)
    assert delivered(loaded) == Delivered(applied=[ONE], unchanged=[TWO])
    assert len(answered) == 2
    assert_equal_to_postgres(loaded)
    assert_newest_sessions_are_those_of_postgres(loaded, redis)


def test_a_kill_of_the_server_leaves_the_old_or_the_new_state(
    loaded: StreamContext, running: RedisServer, redis: Any
) -> None:
    delivered(loaded)
    before = in_target(the_target(loaded)).sort("session_id")
    add_an_event(loaded, ONE, "late")
    target = the_target(loaded)
    switch = vars(type(target))["_switch"]

    def killed(*arguments: Any) -> None:
        running.server.kill()
        switch(target, *arguments)

    vars(target)["_switch"] = killed
    with pytest.raises(TargetError, match=r"Fix: start the server, or correct host and port"):
        deliver(loaded, target, RUN)
    running.server.start()
    assert in_target(the_target(loaded)).sort("session_id").equals(before)
    assert the_target(loaded).is_unfinished()
    assert delivered(loaded).applied == [ONE]
    assert_equal_to_postgres(loaded)
    assert not list(redis.scan_iter("shop:staged*"))


def test_what_somebody_has_changed_is_found_and_made_whole(loaded: StreamContext, redis: Any) -> None:
    delivered(loaded)
    redis.hdel(f"shop:sessions:{TWO}", *redis.hkeys(f"shop:sessions:{TWO}")[:1])
    redis.rename(f"shop:sessions:{ONE}", "shop:sessions:1999")
    assert delivered(loaded, verify=True).differing == ["1999", ONE, TWO]
    assert_equal_to_postgres(loaded)
    assert_newest_sessions_are_those_of_postgres(loaded, redis)
    redis.flushall()
    assert delivered(loaded).applied == ["1999", ONE, TWO]
    assert_equal_to_postgres(loaded)


def test_two_streams_do_not_share_a_prefix(loaded: StreamContext, open_context: Callable[..., StreamContext]) -> None:
    delivered(loaded)
    with pytest.raises(TargetError, match=f"it has the sessions of the stream {loaded.stream.name}"):
        delivered(load_two_days(with_target(open_context)))


def test_new_columns_are_added_and_another_type_is_a_sentence(loaded: StreamContext) -> None:
    def changed(**columns: Any) -> StreamContext:
        targets = {"redis": {"url": {"env": "REDIS_URL"}, "prefix": "shop"}}
        other = stream(name=loaded.stream.name, targets=targets, session={"columns": columns})
        return StreamContext(other, loaded.source, loaded.lake, loaded.database)

    delivered(loaded)
    newer = changed(best={"max": "page_url"})
    refresh(newer)
    delivered(newer)
    assert_equal_to_postgres(newer)
    target = the_target(changed(best={"max": "event_timestamp"}))
    with pytest.raises(TargetError, match=r"sessions\.best is string there, and timestamp in the stream\. Fix: "):
        target.apply(Changes(target.token() + 1, [ONE], lambda *_: iter([])))


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("redis://:wr0ng@127.0.0.1:{port}/0", "correct the user and password in the URL"),
        ("redis://127.0.0.1:{port}/0", "write user and password into the URL"),
        ("redis://:wr0ng@127.0.0.1:1/0", "start the server, or correct host and port"),
        ("wr0ng", "write redis://user:password@"),
    ],
)
def test_what_the_server_refuses_is_a_sentence_without_secrets(
    loaded: StreamContext, running: RedisServer, url: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", url.format(port=running.port))
    with pytest.raises(TargetError) as refused:
        delivered(loaded)
    assert fix in str(refused.value)
    assert "wr0ng" not in str(refused.value)


def parameters_of_the_client() -> list[str]:
    """All that it takes from a URL, whatever they have to be."""
    classes = (ConnectionPool, AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection)
    named = {name for each in classes for name in inspect.signature(each.__init__).parameters}
    return sorted(named - {"self", "kwargs", "connection_kwargs", "host", "port", "path"})


@pytest.mark.filterwarnings("ignore:Call to '__init__' function with deprecated usage:DeprecationWarning")
def test_parameters_of_a_url_are_taken_or_refused_by_a_sentence(
    loaded: StreamContext, running: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the installed client knows; those that a text can be are taken."""
    refused = dict[str, str]()
    for name in parameters_of_the_client():
        for value in ("foo", "1"):
            monkeypatch.setenv("REDIS_URL", f"{running.url}?{name}={value}")
            try:
                assert the_target(loaded).token() == 0
            except TargetError as error:
                refused[f"{name}={value}"] = str(error)
    texts = {"client_name=foo", "encoding=foo", "lib_name=foo", "max_connections=1", "socket_read_size=1", "protocol=3"}
    assert texts.isdisjoint(refused)
    assert not any(PASSWORD in said for said in refused.values())
    assert set(refused) >= {f"{name}=foo" for name in ("connection_class", "max_connections", "retry")}
    monkeypatch.setenv("REDIS_URL", f"{running.url}?max_connections=5&encoding=utf-8&socket_read_size=100&lib_name=y")
    assert delivered(loaded).applied == [ONE, TWO]
    assert_equal_to_postgres(loaded)
