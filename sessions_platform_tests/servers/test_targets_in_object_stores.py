"""Delta and Iceberg tables in S3 (SeaweedFS) equal PostgreSQL after any history, and polars reads them."""

import itertools
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
from sessions_platform_tests.storage.targets import BOTH_TABLES, RUN, in_postgres, load_two_days, the_target

__all__ = ["context", "open_context"]

pytestmark = pytest.mark.servers
_names = itertools.count()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["delta", "iceberg"])
def target(request: pytest.FixtureRequest, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the key `targets` of a stream, with a place of its own in the bucket."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CATALOG_URL", f"sqlite:///{tmp_path / 'catalog.db'}")
    endpoint, secret = f"http://127.0.0.1:{bucket.port}", {"env": "LANDING_SECRET"}

    def make(secret: Any = secret) -> dict[str, Any]:
        place = f"place{next(_names)}"
        common = {"path": f"{bucket.scheme}://{BUCKET}/{place}", "tables": BOTH_TABLES}
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
    target: Any, open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    targets = target()
    loaded = load_two_days(open_context(targets=targets))
    deliver(loaded, the_target(loaded), RUN)
    path = f"{next(iter(targets.values()))['path']}/sessions"
    options: dict[str, Any] = next(iter(targets.values()))["options"]
    if "delta" in targets:
        found = pl.read_delta(path, storage_options={**options, "AWS_SECRET_ACCESS_KEY": SECRET})
    else:
        metadata = _newest_metadata(loaded)
        found = pl.scan_iceberg(metadata, storage_options={**options, "s3.secret-access-key": SECRET}).collect()
    assert (
        found.select("session_id")
        .sort("session_id")
        .equals(in_postgres(loaded).select("session_id").sort("session_id"))
    )


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
    with pytest.raises(TargetError, match="Fix: see whether the path is right and may be written") as refused:
        deliver(loaded, the_target(loaded), RUN)
    assert "wr0ng" not in str(refused.value)
