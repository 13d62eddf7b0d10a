"""How Spark is reached: the session of a master, and what can go wrong with it as sentences.

Here: `SESSIONS_SPARK` becomes a Spark session. pyspark is imported once an engine asks for it, since it is an extra and
takes seconds. Not here: jobs (``engines.spark``). What else Spark needs to know is said to it as everywhere, by
`spark-defaults.conf` in the folder `SPARK_CONF_DIR`.
"""

import importlib
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sessions_platform.errors import MissingExtraError, UserError

_REACHED_WITHIN = 10  # seconds; Spark's own clients try for ten minutes
_DEFAULT_PORTS = {"sc": 15002, "spark": 7077}
_OF_THIS_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}


def open_session(master: str) -> Any:
    """The ``pyspark.sql.SparkSession`` of this process with a master or a Connect server; made where there is none.

    Args:
        master: as `SESSIONS_SPARK` states it: local[2], local-cluster[2,1,1024], spark://HOST:7077, sc://HOST:15002 …

    Raises:
        UserError: pyspark or a JVM is missing, or nothing answers there.
    """
    try:
        builder = importlib.import_module("pyspark.sql").SparkSession.builder
    except ModuleNotFoundError:
        raise MissingExtraError("pyspark", "spark") from None
    _check_reachable(master)
    if master.startswith("sc://"):
        return builder.remote(master).getOrCreate()
    _find_java()
    # A task has a core, so that more threads of polars would only wait for each other.
    builder = builder.master(master).appName("sessions_platform").config("spark.executorEnv.POLARS_MAX_THREADS", "1")
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # and not the python3 of the path
        for name, value in _OF_THIS_MACHINE.items():
            builder = builder.config(name, value)
    return builder.getOrCreate()


@contextmanager
def explained() -> Iterator[None]:
    """Errors of a job that the user can correct become sentences; others stay as Spark raises them."""
    try:
        yield
    except Exception as error:
        if missing := re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", str(error)):
            raise UserError(
                f"spark: the Python of the executors has no module {missing[1]}. Fix: install the same version of "
                f"sessions-platform for them, and name that Python with the variable PYSPARK_PYTHON."
            ) from error
        raise


def _find_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not (shutil.which("java") or (home and shutil.which(f"{home}/bin/java"))):
        raise UserError(
            "spark: there is no Java, which Spark needs on this machine. Fix: install a runtime of Java 17 or 21 (on "
            "Debian and Ubuntu: apt-get install openjdk-17-jre-headless), or use a Connect server: "
            "SESSIONS_SPARK=sc://HOST:15002."
        )


def _check_reachable(master: str) -> None:
    """Spark itself would try for minutes. Of several masters one has to answer."""
    scheme, _, rest = master.partition("://")
    if scheme not in _DEFAULT_PORTS:
        return
    hosts = re.split(r"[/;]", rest, maxsplit=1)[0].split(",")
    if not any(_answers(host, _DEFAULT_PORTS[scheme]) for host in hosts):
        raise UserError(
            f"spark: nothing answers at {scheme}://{','.join(hosts)}. Fix: start the server, or correct the host and "
            f"port in SESSIONS_SPARK."
        )


def _answers(host: str, default_port: int) -> bool:
    name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", str(default_port))
    try:
        socket.create_connection((name.strip("[]"), int(port)), _REACHED_WITHIN).close()
    except OSError:
        return False
    return True
