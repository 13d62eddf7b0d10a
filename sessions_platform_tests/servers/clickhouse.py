"""ClickHouse's engine, by chdb, behind an HTTP server of the tests (`chdb_server.py`).

The statements are run by ClickHouse itself, of the version that chdb embeds. What is not ClickHouse's: the HTTP server,
users and rights, and what happens when several statements run at once, since here they run one after the other.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sessions_platform_tests.servers import chdb_server
from sessions_platform_tests.servers.installs import from_pypi
from sessions_platform_tests.servers.running import Server, free_port, listens

USER, PASSWORD, DATABASE = "loader", "s3cr3t", "shop"


class ClickHouse:
    """A server. Kill it by `server.kill`, and start it again on the same data by `server.start`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, chdb_server.__file__, folder / "data", str(self.port), f"{USER}:{PASSWORD}"]
        library = {"PYTHONPATH": str(from_pypi("chdb-core==26.9.0")), "PYTHONNOUSERSITE": "1"}
        self.server = Server([str(word) for word in command], folder, lambda: listens(self.port), library)

    def run(self, *statements: str) -> list[Any]:
        """Each by itself, with the rows of the last one."""
        import clickhouse_connect

        rows = list[Any]()
        with clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=USER, password=PASSWORD, autogenerate_session_id=False
        ) as client:
            for statement in statements:
                rows = list(client.query(statement).result_rows)
        return rows


@contextmanager
def clickhouse() -> Iterator[ClickHouse]:
    with TemporaryDirectory(prefix="clickhouse-") as name:
        running = ClickHouse(Path(name))
        with running.server:
            running.run(f"create database {DATABASE}")
            yield running
