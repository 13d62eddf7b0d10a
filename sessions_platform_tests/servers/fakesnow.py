"""fakesnow, which speaks Snowflake's protocol and answers with DuckDB: what it takes is what the target says.

It is not Snowflake. It has one kind of table, no roles, warehouses and passwords; changes of tables are part of a
transaction; it refuses the second of two writers instead of letting it wait, and can not copy into temporary tables.
Where a client dies, its transaction stays until the server ends; Snowflake ends it, after minutes.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sessions_platform_tests.servers.installs import from_pypi
from sessions_platform_tests.servers.running import Server, free_port, listens

_PACKAGES = ("fakesnow[server]==0.12.1", "snowflake-connector-python==4.8.1")
_PROGRAM = """
import sys, uvicorn
import fakesnow.server as server
server.shared_fs = server.FakeSnow(db_path=sys.argv[1])
uvicorn.run(server.app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""


class FakeSnow:
    """A server. Kill it by `server.kill`, and start it again on the same data by `server.start`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        (folder / "data").mkdir()
        command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(folder / "data"), str(self.port)]
        library = {"PYTHONPATH": str(from_pypi(*_PACKAGES)), "PYTHONNOUSERSITE": "1"}
        self.server = Server(command, folder, lambda: listens(self.port), library)

    @property
    def options(self) -> dict[str, Any]:
        """How a client reaches it, and gives up soon."""
        return {"host": "127.0.0.1", "port": self.port, "protocol": "http", "login_timeout": 2, "network_timeout": 10}

    def run(self, *statements: str) -> list[Any]:
        """Each by itself, with the rows of the last one."""
        import snowflake.connector

        rows = list[Any]()
        with snowflake.connector.connect(
            account="fake", user="somebody", password="any", database="shop", schema="public", **self.options
        ) as connection:
            for statement in statements:
                cursor = connection.cursor()
                cursor.execute(statement)
                rows = cursor.fetchall()
        return rows


@contextmanager
def fakesnow() -> Iterator[FakeSnow]:
    with TemporaryDirectory(prefix="fakesnow-") as name:
        running = FakeSnow(Path(name))
        with running.server:
            yield running
