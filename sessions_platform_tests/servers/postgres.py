"""PostgreSQL as a server that can be killed and started again, on a port; the programs are those of the wheel.

Not here: the embedded server of the platform itself, which the fixtures `settings` and `database` have.
"""

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from sessions_platform.storage.postgres.embedded.account import server_account
from sessions_platform.storage.postgres.embedded.programs import find_programs
from sessions_platform_tests.servers.running import Server, free_port

USER = "postgres"


class PostgresServer(Server):
    """A server. Its processes leave the group of the first one, so that `kill` ends each of them.

    Args:
        folder: of its data.
        port: where it listens on this machine's own address, without a password.
        network: another address on which it listens, and asks for one.
    """

    def __init__(self, folder: Path, port: int, network: str | None = None) -> None:
        self.port = port
        account, programs = server_account(), find_programs(server_account())
        account.take_ownership(folder)
        made = account.run(
            programs / "initdb", "--pgdata=data", f"--username={USER}", "--auth=trust", "--no-sync", cwd=folder
        )
        assert made.returncode == 0, made.stdout.decode()
        if network:
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network}/24 scram-sha-256\n")
        addresses = ",".join(filter(None, ["127.0.0.1", network]))
        settings = ["-h", addresses, "-p", str(port), "-k", "", "-c", "wal_level=logical"]
        user = None if account.is_me else pwd.getpwuid(account.uid).pw_name
        super().__init__([programs / "postgres", "-D", "data", *settings], folder, self._answers, user=user)

    def connect(self) -> psycopg.Connection:
        """A connection that commits by itself."""
        return psycopg.connect(host="127.0.0.1", port=self.port, user=USER, dbname=USER, autocommit=True)

    def kill(self) -> None:
        """End all processes at once, and return once none of them is left."""
        children = self._children()
        super().kill()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(_runs(pid) for pid in children):
            continue

    def _children(self) -> list[int]:
        if self._process is None:
            return []
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _runs(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextmanager
def postgres(network: str | None = None) -> Iterator[PostgresServer]:
    """A server that runs within `with`, perhaps on a network, too."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    with PostgresServer(folder, free_port(), network) as server:
        assert isinstance(server, PostgresServer)
        yield server
    shutil.rmtree(folder, ignore_errors=True)
