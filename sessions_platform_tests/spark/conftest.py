"""Where the engine spark runs in tests: Spark in this process' own JVM, and Sail, a Connect server without Java."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.engines.spark_session import open_session
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.exactness.conftest import environment
from sessions_platform_tests.servers.running import Server, free_port, listens
from sessions_platform_tests.spark.java import provide_java

__all__ = ["context", "environment", "open_context"]


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    for package in ("pyspark", "pysail"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed, as `make spark` does it where the registry is reached")


@pytest.fixture(scope="session")
def java(tmp_path_factory: pytest.TempPathFactory) -> None:
    provide_java(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="module")
def sail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Connect server in another session time zone than UTC."""
    port = free_port()
    command = [sys.executable, "-m", "pysail", "spark", "server", "--ip", "127.0.0.1", "--port", str(port)]
    away = {"SPARK_REMOTE": "", "TZ": "America/New_York", "PYTHONPATH": str(Path(__file__).parents[2])}
    with Server(command, tmp_path_factory.mktemp("sail"), lambda: listens(port), away):
        master = f"sc://127.0.0.1:{port}"
        spark = open_session(master)
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")
        yield master
        spark.stop()


@pytest.fixture(scope="module")
def cluster(java: None) -> Iterator[str]:  # noqa: ARG001
    """Two executors, each a JVM of its own, that a driver of this process asks."""
    master = "local-cluster[2,1,1024]"
    spark = open_session(master)
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kathmandu")
    yield master
    spark.stop()


@contextmanager
def configured(master: str, options: Mapping[str, str]) -> Iterator[None]:
    """A session of this process with options of its own, which the engine finds and uses."""
    here = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        builder: Any = importlib.import_module("pyspark.sql").SparkSession.builder.master(master)
        for name, value in {**here, **options}.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield
        session.stop()
