"""MariaDB itself, from Debian: one server with a database of its own, behind a proxy that tests can disturb."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from sessions_platform_tests.servers.installs import from_debian
from sessions_platform_tests.servers.proxy import Proxy
from sessions_platform_tests.servers.running import Server, free_port

DATABASE, USER, PASSWORD = "shop", "reader", "s3cr3t"
_PACKAGE = "mariadb-server"


class MariaDb:
    """A server. Kill it by `server.kill`, and start it again on the same data by `server.start`."""

    def __init__(self, folder: Path, port: int, proxy: Proxy) -> None:
        self.port, self.proxy = port, proxy
        program, install = (from_debian(_PACKAGE, each) for each in ("mariadbd", "mariadb-install-db"))
        # It refuses to run as root, unless it is told as whom instead.
        user = ["--user=mysql"] if os.geteuid() == 0 else []
        login = "--auth-root-authentication-method=normal"
        made = [install, "--no-defaults", f"--datadir={folder / 'data'}", *user, login, "--skip-test-db"]
        subprocess.run(made, check=True, capture_output=True, timeout=120)
        settings = [
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={folder / 's.sock'}",
            "--skip-name-resolve",
        ]
        small = ["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--skip-log-bin"]
        command = [program, "--no-defaults", f"--datadir={folder / 'data'}", *user, *settings, *small]
        self.server = Server(command, folder, self._answers)

    def connect(self, **changes: Any) -> "pymysql.Connection[Any]":
        """A connection as root, that commits by itself."""
        stated = {"host": "127.0.0.1", "port": self.port, "user": "root", "database": DATABASE, "autocommit": True}
        return pymysql.connect(**{**stated, **changes})

    def run(self, *statements: str) -> None:
        """As root, each by itself."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _answers(self) -> bool:
        try:
            self.connect(database=None, connect_timeout=1).close()
        except pymysql.MySQLError:
            return False
        return True


@contextmanager
def mariadb() -> Iterator[MariaDb]:
    """A server that runs within `with`, with a user who may only read."""
    from_debian(_PACKAGE, "mariadbd")  # which makes the server's user, too
    folder = Path(tempfile.mkdtemp(prefix="maria-"))
    folder.chmod(0o755)  # the server's user has to enter
    if os.geteuid() == 0:
        shutil.chown(folder, "mysql")
    port = free_port()
    with Proxy(port) as proxy:
        server = MariaDb(folder, port, proxy)
        with server.server:
            with contextlib.closing(server.connect(database=None)) as connection, connection.cursor() as cursor:
                cursor.execute(f"create database {DATABASE} character set utf8mb4")
                cursor.execute(f"create user {USER}@'127.0.0.1' identified by '{PASSWORD}'")
                cursor.execute(f"grant select on {DATABASE}.* to {USER}@'127.0.0.1'")
            yield server
    shutil.rmtree(folder, ignore_errors=True)
