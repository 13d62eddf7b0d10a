"""A standalone master of Spark and two workers, each on an address of its own: what Spark takes for two hosts."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sessions_platform.engines import spark
from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.servers.running import Server, free_port, listens
from sessions_platform_tests.spark.conftest import configured
from sessions_platform_tests.spark.planted import Overtaken, planted
from sessions_platform_tests.spark.samples import AGGREGATES, COLUMNS, by_polars, fill, require_same

pytestmark = pytest.mark.spark
HOSTS = ("127.0.0.2", "127.0.0.3")
# Another task is started for one that has run for a second, on another host alone.
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.task.duration.threshold": "1s",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.multiplier": "1.1",
}


@pytest.fixture(scope="module")
def master(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001
    folder, port = tmp_path_factory.mktemp("spark"), free_port()
    url = f"spark://127.0.0.1:{port}"
    started = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    with ExitStack() as servers:
        servers.enter_context(deployed(folder / "master", "master.Master", started, lambda _: listens(port)))
        for host in HOSTS:
            room = ["--host", host, "--webui-port", "0", "--cores", "1", "--memory", "1g", url]
            servers.enter_context(deployed(folder / host, "worker.Worker", room, is_registered))
        with configured(url, {**SPECULATION, "spark.driver.memory": "1g", "spark.executor.memory": "512m"}):
            yield url


def deployed(folder: Path, name: str, arguments: list[str], ready: Callable[[str], bool]) -> Server:
    """A process of a standalone cluster."""
    folder.mkdir()
    home = Path(importlib.import_module("pyspark").__file__ or "").parent
    command = [home / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *arguments]
    log = folder / "server.log"
    return Server(command, folder, lambda: ready(log.read_text()), {"SPARK_HOME": str(home)})


def is_registered(log: str) -> bool:
    return "Successfully registered with master" in log


def test_a_task_that_spark_has_started_twice_doubles_nothing(
    open_context: Callable[..., StreamContext], master: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower of the two has written its files, too, and is ended by Spark."""
    monkeypatch.setattr(spark, "Job", planted(Overtaken, tmp_path))
    context = open_context(columns=COLUMNS, session={"columns": AGGREGATES})
    fill(context)
    expected = by_polars(context)
    require_same(context, master, expected)
    assert (tmp_path / "first").exists()
