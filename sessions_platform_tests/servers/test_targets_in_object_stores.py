"""Targets in S3 (SeaweedFS) equal PostgreSQL after any history and any kill, and polars reads them."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.storage.warehouses.base import TargetError
from sessions_platform.storage.warehouses.iceberg_tables import IcebergTables
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.servers.object_stores import BUCKET, KEY, SECRET, SECRETS, Bucket, s3
from sessions_platform_tests.storage.delivery_histories import History, assert_equal_after_any_history
from sessions_platform_tests.storage.kills import assert_the_same_after_kills
from sessions_platform_tests.storage.parquet_twins import stopped_before_it_is_published
from sessions_platform_tests.storage.targets import (
    BOTH_TABLES,
    RUN,
    assert_equal_to_postgres,
    in_postgres,
    load_two_days,
    the_target,
)

__all__ = ["context", "open_context"]

pytestmark = pytest.mark.servers
_names = itertools.count()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["parquet", "delta", "iceberg"])
def target(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the key `targets` of a stream, with a place of its own in the bucket."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CATALOG_URL", f"sqlite:///{tmp_path / 'catalog.db'}")
    endpoint, secret = f"http://127.0.0.1:{bucket.port}", {"env": "LANDING_SECRET"}

    def make(secret: Any = secret) -> dict[str, Any]:
        place = f"place{next(_names)}"
        common = {"path": f"{bucket.scheme}://{BUCKET}/{place}", "tables": BOTH_TABLES}
        if request.param == "parquet":
            return {"parquet": {**common, "store": bucket.options(give_up_after="1s")}}
        options = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": secret,
        }
        if request.param == "delta":
            return {"delta": {**common, "options": options}}
        options = {
            "s3.endpoint": endpoint,
            "s3.region": "us-east-1",
            "s3.access-key-id": KEY,
            "s3.secret-access-key": secret,
        }
        catalog = {"catalog": {"env": "CATALOG_URL"}, "namespace": place}
        return {"iceberg": {**common, **catalog, "options": options}}

    return make


def test_tables_in_a_bucket_equal_postgres_after_any_history(
    target: Any, open_context: Callable[..., StreamContext], bucket: Bucket
) -> None:
    def begin() -> History:
        context = open_context(targets=target())

        def remove() -> None:
            (config,) = context.stream.targets.values()
            store = bucket._store()
            prefix = config.place.removeprefix(f"s3://{BUCKET}/")
            for page in store.list(prefix=prefix):
                for entry in page:
                    store.delete(entry["path"])

        return History(context, remove)

    assert_equal_after_any_history(begin)


def test_polars_reads_the_tables(
    target: Any, open_context: Callable[..., StreamContext], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    targets = target()
    loaded = load_two_days(open_context(targets=targets))
    deliver(loaded, the_target(loaded), RUN)
    (keys,) = targets.values()
    path, options = f"{keys['path']}/sessions", keys.get("options", {})
    if "parquet" in targets:
        found = named_by_the_manifest(loaded, bucket)
    elif "delta" in targets:
        found = pl.read_delta(path, storage_options={**options, "AWS_SECRET_ACCESS_KEY": SECRET})
    else:
        metadata = _newest_metadata(loaded)
        found = pl.scan_iceberg(metadata, storage_options={**options, "s3.secret-access-key": SECRET}).collect()
    assert (
        found.select("session_id")
        .sort("session_id")
        .equals(in_postgres(loaded).select("session_id").sort("session_id"))
    )


def named_by_the_manifest(context: StreamContext, bucket: Bucket) -> pl.DataFrame:
    """The sessions of the files that the manifest of a `parquet` target names, as the docs show it."""
    (config,) = context.stream.targets.values()
    manifest = f"{config.place.removeprefix(f's3://{BUCKET}/')}/manifest.json"
    columns = the_target(context).tables["sessions"]
    try:
        tables = json.loads(bytes(bucket._store().get(manifest).bytes()))["tables"]
    except FileNotFoundError:
        return pl.DataFrame(schema=columns)
    files = [f"{config.place}/{file['path']}" for file in tables["sessions"]["partitions"].values()]
    options = {
        "aws_endpoint_url": f"http://127.0.0.1:{bucket.port}",
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
    }
    return pl.read_parquet(files, hive_partitioning=True, try_parse_hive_dates=False, storage_options=options).select(
        *columns
    )


@pytest.mark.parametrize("target", ["parquet"], indirect=True)
def test_parquet_files_are_those_of_a_whole_delivery_wherever_it_is_killed(
    target: Any, open_context: Callable[..., StreamContext], bucket: Bucket
) -> None:
    loaded = load_two_days(open_context(targets=target()))
    assert_the_same_after_kills(loaded, lambda context: named_by_the_manifest(context, bucket), points=3)


@pytest.mark.parametrize("target", ["parquet"], indirect=True)
def test_a_delivery_to_parquet_files_that_is_overtaken_is_refused_and_leaves_nothing(
    target: Any, open_context: Callable[..., StreamContext]
) -> None:
    loaded = load_two_days(open_context(targets=target()))
    stopped_before_it_is_published(loaded, lambda: deliver(loaded, the_target(loaded), "a twin"))
    assert not the_target(loaded).is_unfinished()
    assert_equal_to_postgres(loaded)


def _newest_metadata(context: StreamContext) -> str:
    target = the_target(context)
    assert isinstance(target, IcebergTables)
    with target._catalog() as catalog:
        return catalog.load_table((target.config.namespace, "sessions")).metadata_location


def test_a_refused_login_is_a_sentence_without_secrets(
    target: Any, open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_SECRET", "wr0ng")
    loaded = load_two_days(open_context(targets=target()))
    with pytest.raises(
        TargetError, match=r"Fix: (see whether the path is right and may be written|correct )"
    ) as refused:
        deliver(loaded, the_target(loaded), RUN)
    assert "wr0ng" not in str(refused.value)
