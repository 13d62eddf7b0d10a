"""Executors and a lake in an object store: what they write there, and what a killed one leaves."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sessions_platform.engines import spark
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.servers import object_stores
from sessions_platform_tests.servers.object_stores import BUCKET, KEY, SECRET
from sessions_platform_tests.spark.conftest import configured
from sessions_platform_tests.spark.planted import KilledOnce, planted
from sessions_platform_tests.spark.samples import AGGREGATES, COLUMNS, IDENTITY, RULES, by_polars, fill, require_same
from sessions_platform_tests.streams import stream

pytestmark = pytest.mark.spark
_MASTER = "local-cluster[2,1,1024]"


@pytest.fixture(scope="module")
def cluster(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001
    """Two executors, which know how the bucket is reached by variables of their own, as hosts of a cluster do."""
    with object_stores.s3(tmp_path_factory.mktemp("s3")) as bucket, pytest.MonkeyPatch.context() as environment:
        own = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
        own |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{bucket.port}", "AWS_ALLOW_HTTP": "true"}
        for name, value in own.items():
            environment.setenv(name, value)
        with configured(_MASTER, {f"spark.executorEnv.{name}": value for name, value in own.items()}):
            yield _MASTER


@pytest.mark.parametrize("rule", ["a gap", "people"])
def test_a_killed_executor_loses_and_doubles_nothing(
    settings: Settings, cluster: str, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has put its files into the bucket, and was killed before it told."""
    monkeypatch.setattr(spark, "Job", planted(KilledOnce, tmp_path))
    name = f"bucket_{len(rule)}"
    session = {**RULES[rule], "columns": AGGREGATES}
    of_stream = stream(name=name, columns=COLUMNS, identity=IDENTITY, session=session)
    context = StreamContext.open(of_stream, replace(settings, lake_url=f"s3://{BUCKET}/lake"), MemorySource())
    fill(context)
    expected = by_polars(context)
    require_same(context, cluster, expected)
    assert (tmp_path / "first").exists()
    assert not (settings.lake / name).exists()
