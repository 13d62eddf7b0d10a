"""What is peculiar to Parquet files in a bucket as a target: no lock and no rename, but a manifest that is compared."""

import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import Delivered, deliver
from sessions_platform.storage.warehouses import parquet_places
from sessions_platform.storage.warehouses.base import Changes, TargetError
from sessions_platform.storage.warehouses.parquet_places import BucketPlace
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.storage.delivery_histories import History, assert_equal_after_any_history
from sessions_platform_tests.storage.parquet_twins import stopped_before_it_is_published
from sessions_platform_tests.storage.targets import (
    BOTH_TABLES,
    ONE,
    RUN,
    TWO,
    add_an_event,
    assert_equal_to_postgres,
    delivered,
    in_target,
    load_two_days,
    the_target,
)
from sessions_platform_tests.streams import PLAIN

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["context", "open_context"]

Stores = defaultdict[str, MemoryStore]


class Failing:
    """A store whose requests are counted, and of which one fails: before it is done, or after."""

    def __init__(self, store: MemoryStore, number: int, *, is_done: bool) -> None:
        self._store, self._number, self._is_done, self.asked = store, number, is_done, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)

        def ask(*args: Any, **named: Any) -> Any:
            self.asked += 1
            if self.asked != self._number:
                return real(*args, **named)
            if self._is_done:
                real(*args, **named)
            raise GenericError("the line is cut")

        return ask


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The stores that targets open, in memory, by bucket."""
    opened = Stores(MemoryStore)
    monkeypatch.setattr(parquet_places, "open_store", lambda objects, *_: opened[objects.bucket])
    return opened


@pytest.fixture
def loaded(stores: Stores, open_context: Callable[..., StreamContext]) -> StreamContext:
    assert not stores
    return load_two_days(open_context(targets=in_bucket("bucket")))


def in_bucket(bucket: str) -> dict[str, Any]:
    return {"parquet": {"path": f"s3://{bucket}/shop", "tables": BOTH_TABLES, "store": {"give_up_after": "1ms"}}}


def objects(store: "ObjectStore") -> list[str]:
    return sorted(each["path"] for page in store.list() for each in page)


def named(store: "ObjectStore") -> list[str]:
    """The manifest, and the objects that it names."""
    manifest = json.loads(bytes(store.get("shop/manifest.json").bytes()))
    files = [file["path"] for table in manifest["tables"].values() for file in table["partitions"].values()]
    return sorted(f"shop/{path}" for path in ["manifest.json", *files])


def apply(context: StreamContext, token: int, partition: str, count: int) -> None:
    """Let a partition have that many sessions, and nothing else."""
    target = the_target(context)
    empty = pl.DataFrame(schema=target.tables["sessions"])
    rows = empty.clear(count).with_columns(session_partition=pl.lit(partition))
    target.apply(Changes(token, [partition], lambda table, _: iter([rows] if table == "sessions" else [])))


@pytest.mark.slow
def test_parquet_files_in_a_bucket_equal_postgres_after_any_history(
    stores: Stores, open_context: Callable[..., StreamContext]
) -> None:
    def begin() -> History:
        bucket = f"bucket{len(stores)}"

        def remove() -> None:
            for path in objects(stores[bucket]):
                stores[bucket].delete(path)

        assert stores[bucket]
        return History(open_context(targets=in_bucket(bucket)), remove)

    assert_equal_after_any_history(begin)


def test_the_bucket_has_the_manifest_and_what_it_names(loaded: StreamContext, stores: Stores) -> None:
    assert delivered(loaded) == Delivered(applied=[ONE, TWO])
    assert_equal_to_postgres(loaded)
    first = objects(stores["bucket"])
    add_an_event(loaded, TWO, "late")
    assert delivered(loaded) == Delivered(applied=[TWO], unchanged=[ONE])
    assert_equal_to_postgres(loaded)
    assert objects(stores["bucket"]) == named(stores["bucket"])
    assert len(set(first) & set(objects(stores["bucket"]))) == 3  # the manifest, and one file of each table


def test_a_delivery_that_is_overtaken_is_refused_and_leaves_nothing(loaded: StreamContext, stores: Stores) -> None:
    delivered(loaded)
    stopped_before_it_is_published(loaded, lambda: deliver(loaded, the_target(loaded), "a twin"))
    assert objects(stores["bucket"]) == named(stores["bucket"])
    assert_equal_to_postgres(loaded)


def test_a_delivery_removes_no_file_of_a_later_one_that_is_about_to_be_published(
    loaded: StreamContext, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, others = BucketPlace.publish, list[str]()

    def first_then_second(place: BucketPlace, manifest: bytes) -> bool:
        if not others:
            others.extend(objects(stores["bucket"]))
            apply(loaded, first, ONE, 0)  # with all of its removals
            assert set(others) <= set(objects(stores["bucket"]))
        return publish(place, manifest)

    first, second = (loaded.ledger.begin_delivery("parquet") for _ in range(2))
    monkeypatch.setattr(BucketPlace, "publish", first_then_second)
    apply(loaded, second, TWO, 1)
    assert objects(stores["bucket"]) == named(stores["bucket"])
    assert in_target(the_target(loaded))["session_partition"].to_list() == [TWO]


@pytest.mark.parametrize("is_done", [False, True])
def test_a_delivery_of_which_any_request_fails_changes_nothing_or_all(
    is_done: bool, loaded: StreamContext, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the request was done, and only its answer was lost: the manifest may be the new one then."""
    counting = Failing(stores["bucket"], 0, is_done=is_done)
    with monkeypatch.context() as patch:
        patch.setattr(parquet_places, "open_store", lambda *_: counting)
        apply(loaded, 1, ONE, 3)
        counting.asked = 0
        apply(loaded, 2, ONE, 2)
    for number in range(1, counting.asked + 1):
        apply(loaded, 2 * number + 1, ONE, 2)
        failing = Failing(stores["bucket"], number, is_done=is_done)
        with monkeypatch.context() as patch, suppress(TargetError):
            patch.setattr(parquet_places, "open_store", lambda *_, failing=failing: failing)
            apply(loaded, 2 * number + 2, ONE, 1)
        found = named(stores["bucket"])
        assert set(found) <= set(objects(stores["bucket"]))
        assert pl.read_parquet(bytes(stores["bucket"].get(found[1]).bytes())).height in (1, 2)
        apply(loaded, 2 * number + 3, TWO, 0)
        assert objects(stores["bucket"]) == named(stores["bucket"])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"path": "ftp://bucket/shop"}, "ftp:// is no store"),
        ({"path": "s3://bucket"}, "is no path of keys"),
        ({"path": "s3:///shop"}, "names no bucket"),
        ({"path": "out", "store": {"region": "eu-central-1"}}, "store belongs to objects"),
        ({"path": "s3://bucket/shop", "store": {"account": "a"}}, "store.account is no key of s3://"),
    ],
)
def test_a_place_that_is_none_is_a_sentence(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Stream.model_validate({**PLAIN, "targets": {"parquet": keys}})


def test_a_secret_that_is_not_set_is_a_sentence(open_context: Callable[..., StreamContext]) -> None:
    store = {"access_key": "me", "secret_key": {"env": "NOT_SET_ANYWHERE"}}
    context = open_context(targets={"parquet": {"path": "s3://bucket/shop", "store": store}})
    with pytest.raises(TargetError, match=r"targets\.parquet\.store\.secret_key: .* NOT_SET_ANYWHERE is not set"):
        deliver(context, the_target(context), RUN)
